"""Locations drawn on pictures: boxes, points and lines with their numbers, thin enough to see what they point at."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from inference.findings import Box, Line, Location, Point, PointInSpace, Shape
from inference.imaging.volume import Volume
from node.results.page.lettering import Colour, width, write

Place: TypeAlias = Callable[[float, float], tuple[float, float]]
"""(row, column) on the source image, from the outer edge of its first pixel, to (x, y) on the picture."""

INK: Colour = (64, 224, 255)
_SEAM = (0, 0, 0)
_SMALLEST, _ROOM, _ARM = 7, 4, 9
"""Half of the least side of a box in pixels; the room between a box and what it is around; the arm of a cross."""


def draw_locations(image: Image.Image, numbered: Sequence[tuple[int, Location]], place: Place, volume: Volume | None = None) -> None:
    """Draw locations with their numbers, but none that lies outside of the picture: its number would stand on what it does not mean.

    `volume` is what was analysed, which points in space need.
    """
    draw = ImageDraw.Draw(image)
    for number, location in numbered:
        if not _on_picture(extent_of(location.shape, volume), place, image.size):
            continue
        corner = _shape(draw, location, place, volume)
        _badge(draw, image.size, corner, str(number))


def in_image(point: PointInSpace, volume: Volume) -> Point:
    """The point on its slice, counted as points on images are."""
    _, row, column = volume.to_indices(np.array([point.x, point.y, point.z]))
    return Point(row=float(row) + 0.5, column=float(column) + 0.5)


def extent_of(shape: Shape, volume: Volume | None = None) -> Box:
    """The rectangle on its image that holds a shape."""
    if isinstance(shape, Box):
        return shape
    if isinstance(shape, Line):
        rows, columns = sorted((shape.start.row, shape.end.row)), sorted((shape.start.column, shape.end.column))
        return Box(top=rows[0], left=columns[0], bottom=rows[1], right=columns[1])
    if isinstance(shape, PointInSpace):
        assert volume is not None, "only what is found in a volume lies in space"
        shape = in_image(shape, volume)
    return Box(top=shape.row, left=shape.column, bottom=shape.row, right=shape.column)


def _on_picture(box: Box, place: Place, size: tuple[int, int]) -> bool:
    ends = zip(place(box.top, box.left), place(box.bottom, box.right), size, strict=True)
    return all(min(one, other) <= room and max(one, other) >= 0 for one, other, room in ends)


def _shape(draw: ImageDraw.ImageDraw, location: Location, place: Place, volume: Volume | None) -> tuple[float, float]:
    """Draws it; returns where its number may stand."""
    shape = location.shape
    if isinstance(shape, Box):
        (x0, y0), (x1, y1) = place(shape.top, shape.left), place(shape.bottom, shape.right)
        left, right = _around(min(x0, x1), max(x0, x1))
        top, bottom = _around(min(y0, y1), max(y0, y1))
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_SEAM, width=4)
        draw.rectangle((left, top, right, bottom), outline=INK, width=2)
        return right, top
    if isinstance(shape, Line):
        ends = [place(end.row, end.column) for end in (shape.start, shape.end)]
        draw.line([*ends[0], *ends[1]], fill=_SEAM, width=5)
        draw.line([*ends[0], *ends[1]], fill=INK, width=2)
        for x, y in ends:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=INK, outline=_SEAM)
        return max(ends)
    if isinstance(shape, PointInSpace):
        assert volume is not None, "only what is found in a volume lies in space"
        shape = in_image(shape, volume)
    x, y = place(shape.row, shape.column)
    for ink, thick in ((_SEAM, 5), (INK, 2)):
        # open in the middle: the point itself stays visible
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            draw.line((x + 4 * dx, y + 4 * dy, x + _ARM * dx, y + _ARM * dy), fill=ink, width=thick)
    return x + _ARM, y - _ARM


def _around(low: float, high: float) -> tuple[float, float]:
    middle, half = (low + high) / 2, max((high - low) / 2 + _ROOM, _SMALLEST)
    return middle - half, middle + half


def _badge(draw: ImageDraw.ImageDraw, size: tuple[int, int], corner: tuple[float, float], text: str) -> None:
    """A number beside its shape, inside the picture."""
    room = width(text, 16, bold=True)
    x = min(max(corner[0] + 5, 2), size[0] - room - 2)
    y = min(max(corner[1] - 18, 0), size[1] - 22)
    write(draw, (x, y), text, 16, INK, seam=2, bold=True)
