"""Boxes that somebody drew on an image: rectangles by the edges of pixels, each of one class."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inference.findings import Box
from training.errors import UnfitData

_BEYOND_PX = 1.0
"""By how much a box may reach beyond its image: whole numbers that are counted from 1, or that include their last pixel, do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedBox:
    """A box, and which of the table's classes it is of."""

    box: Box
    channel: int


def within(boxes: Sequence[MarkedBox], rows: int, columns: int, said: tuple[int, int] | None = None) -> tuple[MarkedBox, ...]:
    """The boxes of an image with so many rows and columns, cut at its border; `said` is the size that the labels say it has.

    Raises
    ------
    UnfitData
        A box reaches beyond the image, or the labels are of an image of another size.
    """
    if said is not None and said != (rows, columns):
        raise UnfitData(
            f"its labels are of an image of {said[0]} rows and {said[1]} columns, and it has {rows} and {columns}: take the image that was "
            "drawn on, or scale its boxes"
        )
    return tuple(replace(one, box=_cut(one.box, rows, columns)) for one in boxes)


def _cut(box: Box, rows: int, columns: int) -> Box:
    beyond = max(-box.top, -box.left, box.bottom - rows, box.right - columns)
    cut = Box(top=max(box.top, 0.0), left=max(box.left, 0.0), bottom=min(box.bottom, rows), right=min(box.right, columns))
    if beyond > _BEYOND_PX or not (cut.top < cut.bottom and cut.left < cut.right):
        where = f"rows {box.top:g} to {box.bottom:g}, columns {box.left:g} to {box.right:g}"
        raise UnfitData(f"a box ({where}) lies outside of the image, which has {rows} rows and {columns} columns")
    return cut
