"""Reads a summary page back: a picture about images of this job; the same values are checked in the reports."""

from node.results.kind import Checking
from node.results.page.check import check_page


def check(checking: Checking) -> None:
    """An RGB picture that is not empty, about images that were analysed.

    Raises
    ------
    PageDiffers, ReferencesDiffer
    """
    check_page(checking.dataset, checking.sources)
