"""Reads a map of uncertainty back, value by value, and that it says that it is no finding."""

import numpy as np

from inference.codes import NO_UNITS
from node.domain.profile import Language
from node.results.identity import LONGEST_LO
from node.results.kind import Checking
from node.results.page.words import PAGE_WORDS
from node.results.parametric_map.check import compared
from node.results.port import MapDiffers, ResultMalformed

_BEHIND_THE_LABEL = {Language.ENGLISH: ",", Language.CHINESE: "，"}
_ENDINGS = {Language.ENGLISH: "no finding", Language.CHINESE: "不表示病变"}


def check(checking: Checking) -> None:
    """The object holds one of the maps exactly, on its source slices, and no value beyond 0 to 1.

    Raises
    ------
    ResultMalformed, MapDiffers, ReferencesDiffer
    """
    dataset, encoding = checking.dataset, checking.encoding
    ending, words = _ENDINGS[encoding.language], PAGE_WORDS[encoding.language]
    if not dataset.ContentDescription.endswith(ending) or ending not in dataset.SeriesDescription:
        raise ResultMalformed(f'"{dataset.SeriesDescription}" does not say that it is no finding')
    shown = dataset.ContentDescription.rpartition(_BEHIND_THE_LABEL[encoding.language])[0]
    # a label is cut where the element ends, and nowhere else
    cut = len(dataset.ContentDescription) == LONGEST_LO
    labels = [words.label(one.label) for one in encoding.findings.uncertainties]
    found = [
        one
        for one, label in zip(encoding.findings.uncertainties, labels, strict=True)
        if label == shown or (cut and shown and label.startswith(shown))
    ]
    if len(found) != 1:
        raise MapDiffers(f'"{dataset.ContentDescription}" is {"none" if not found else "more than one"} of the maps that were found')
    compared(checking, found[0].label, found[0].values, found[0].quantity, NO_UNITS)
    values = np.frombuffer(dataset.FloatPixelData, dtype="<f4")
    if not 0 <= float(values.min()) <= float(values.max()) <= 1:
        raise MapDiffers(f'the values of "{found[0].label}" are not all 0 to 1')
