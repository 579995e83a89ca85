"""Reads a drawn map back: a picture about images of this job; its values are checked in the parametric map."""

from node.results.kind import Checking
from node.results.page.check import check_page


def check(checking: Checking) -> None:
    """An RGB picture that is not empty, about images that were analysed.

    Raises
    ------
    PageDiffers, ReferencesDiffer
    """
    check_page(checking.dataset, checking.sources)
