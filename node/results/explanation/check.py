"""Reads an explanation's page back: a page about its images that says it shows no place."""

from node.domain.profile import Language
from node.results.kind import Checking
from node.results.page.check import check_page
from node.results.port import ResultMalformed

_ENDING = {Language.ENGLISH: "no location", Language.CHINESE: "不表示病变部位"}


def check(checking: Checking) -> None:
    """A page that explains says in its series and of its making that it is no location.

    Raises
    ------
    ResultMalformed, PageDiffers, ReferencesDiffer
    """
    dataset, ending = checking.dataset, _ENDING[checking.encoding.language]
    check_page(dataset, checking.sources)
    for said in (dataset.SeriesDescription, dataset.DerivationDescription):
        if ending not in said:
            raise ResultMalformed(f'"{said}" does not say that the explanation is no location')
