"""Reads an explanation's Parametric Map back: its values, the image that it explains, and that it claims no place in the patient."""

import numpy as np
from pydicom.dataset import Dataset

from inference.codes import NO_UNITS
from inference.findings import Explanation
from node.domain.profile import Language
from node.results.explanation_map.make import description_of
from node.results.kind import Checking
from node.results.port import Encoding, MapDiffers, ReferencesDiffer, ResultMalformed
from node.results.sources import Sources

_ENDINGS = {Language.ENGLISH: "no location", Language.CHINESE: "不表示病变部位"}


def check(checking: Checking) -> None:
    """The object holds one of the explanations exactly, refers to its image alone, and lies in no patient.

    Raises
    ------
    ResultMalformed, MapDiffers, ReferencesDiffer
    """
    dataset, encoding, sources = checking.dataset, checking.encoding, checking.sources
    if dataset.BitsAllocated != 32 or "PixelData" in dataset or int(dataset.NumberOfFrames) != 1:
        raise ResultMalformed("the explanation is not one frame of 32-bit floating point values")
    ending = _ENDINGS[encoding.language]
    if not dataset.ContentDescription.endswith(ending) or ending not in dataset.SeriesDescription:
        raise ResultMalformed(f'"{dataset.SeriesDescription}" does not say that it is no location')
    shared, frame = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence[0]
    if any(keyword in group for group in (shared, frame) for keyword in ("PlanePositionSequence", "PlaneOrientationSequence")):
        raise ResultMalformed("the explanation claims a place in the patient, where its image has none")
    (image,) = frame.DerivationImageSequence[0].SourceImageSequence
    number = image.get("ReferencedFrameNumber")
    refers = (str(image.ReferencedSOPInstanceUID), None if number is None else int(number))
    (series,) = dataset.ReferencedSeriesSequence
    listed = {str(one.ReferencedSOPInstanceUID) for one in (*dataset.SourceImageSequence, *series.ReferencedInstanceSequence)}
    if listed != {refers[0]}:
        raise ReferencesDiffer(f"the explanation refers to {', '.join(sorted(listed))}, its frame to {refers[0]}")
    meant = _meant(dataset, encoding, sources, refers)
    if (dataset.Rows, dataset.Columns) != meant.values.shape:
        raise MapDiffers(f"the explanation has {dataset.Rows} x {dataset.Columns} pixels, its image {meant.values.shape}")
    values = np.frombuffer(dataset.FloatPixelData, dtype="<f4")
    if values.size != meant.values.size or not np.array_equal(values, meant.values.reshape(-1)):
        raise MapDiffers(f'the values of "{meant.label}" were written otherwise than they were computed')
    (mapping,) = shared.RealWorldValueMappingSequence
    unit, quantity = mapping.MeasurementUnitsCodeSequence[0], mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    told = (str(quantity.CodeValue), str(unit.CodeValue), float(mapping.RealWorldValueSlope), float(mapping.RealWorldValueIntercept))
    if told != (meant.quantity.value, NO_UNITS.value, 1.0, 0.0):
        raise MapDiffers(f'"{meant.label}" states quantity, unit, slope and intercept {told}')


def _meant(dataset: Dataset, encoding: Encoding, sources: Sources, refers: tuple[str, int | None]) -> Explanation:
    """Which explanation this one is, by its image and by what its values are called."""
    said = str(dataset.ContentDescription)
    found = [
        one
        for one in encoding.findings.explanations
        if (sources.slices[one.image].sop_instance_uid, sources.slices[one.image].frame) == refers
        and said == description_of(one, encoding.language)
    ]
    if len(found) != 1:
        raise ReferencesDiffer(f'"{said}" of {refers[0]} is {"none" if not found else "more than one"} of the explanations')
    return found[0]
