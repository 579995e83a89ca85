"""Pictures side by side: how large each may be, what stands at its edges, and the locations drawn on it: boxes, points and lines with their
numbers, thin enough to see what they point at. What is on them, their painters know (`figures`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from inference.findings import Box, Line, Location, Point, PointInSpace, Shape
from inference.imaging.volume import Volume
from node.results.page.lettering import Colour, fitted, width, write

BLACK, FRAME = (0, 0, 0), (44, 48, 56)
LETTERS, SOFT = (214, 222, 235), (176, 182, 192)

_GAP = 12
_LENGTHS_MM = (200, 100, 50, 20, 10, 5, 2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One picture of the page.

    Attributes
    ----------
    extent
        Width and height: in mm where `mm` says so, else in pixels of the source, which say nothing of size.
    paint
        Draws it in RGB in (width, height) pixels.
    name
        What people call the image ("image 143").
    letters
        R, L, A, P, H, F at the left, right, top and bottom; "" where nobody knows.
    """

    extent: tuple[float, float]
    mm: bool
    paint: Callable[[tuple[int, int]], Image.Image]
    name: str
    letters: tuple[str, str, str, str] = ("", "", "", "")
    apart: bool = False
    """Whether it is as large as its place allows, whatever the scale of the others: an enlarged part."""


def lay(image: Image.Image, tiles: Sequence[Tile], area: tuple[int, int, int, int], *, columns: int = 0, gap: int = _GAP) -> None:
    """Draw tiles in a grid over `area` (left, top, right, bottom), as large as it allows; those with mm all in one scale."""
    draw = ImageDraw.Draw(image)
    if not tiles:
        return
    room = (area[2] - area[0], area[3] - area[1])
    columns = columns or max(range(1, len(tiles) + 1), key=lambda columns: _covered(tiles, _cell(room, len(tiles), columns, gap)))
    cell = _cell(room, len(tiles), columns, gap)
    alike = [tile for tile in tiles if not tile.apart]
    together = all(tile.mm for tile in alike)
    scale = min((_fit(tile, cell) for tile in alike), default=0.0)
    for number, tile in enumerate(tiles):
        left = area[0] + (number % columns) * (cell[0] + gap)
        top = area[1] + (number // columns) * (cell[1] + gap)
        box = (round(left), round(top), round(left + cell[0]), round(top + cell[1]))
        draw.rectangle(box, fill=BLACK)
        own = scale if together and not tile.apart else _fit(tile, cell)
        size = (max(round(tile.extent[0] * own), 1), max(round(tile.extent[1] * own), 1))
        image.paste(tile.paint(size), (round(left + (cell[0] - size[0]) / 2), round(top + (cell[1] - size[1]) / 2)))
        draw.rectangle(box, outline=FRAME)
        _mark(draw, box, tile, own)


def _cell(room: tuple[int, int], count: int, columns: int, gap: int) -> tuple[float, float]:
    rows = -(-count // columns)
    return (room[0] - (columns - 1) * gap) / columns, (room[1] - (rows - 1) * gap) / rows


def _fit(tile: Tile, cell: tuple[float, float]) -> float:
    return max(min((cell[0] - 4) / tile.extent[0], (cell[1] - 4) / tile.extent[1]), 1e-9)


def _covered(tiles: Sequence[Tile], cell: tuple[float, float]) -> float:
    """How much of a page the tiles would cover in cells of this size."""
    alike = [tile for tile in tiles if not tile.apart]
    if alike and all(tile.mm for tile in alike):
        return min(_fit(tile, cell) for tile in alike)
    return sum(tile.extent[0] * tile.extent[1] * _fit(tile, cell) ** 2 for tile in tiles)


def _mark(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], tile: Tile, scale: float) -> None:
    """Letters at the four edges, the image's name, and a scale where there are mm."""
    left, top, right, bottom = box
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    size = 22 if right - left > 220 else 16
    at_left, at_right, on_top, below = tile.letters
    write(draw, (left + 8, middle_y - size / 2), at_left, size, LETTERS, seam=2)
    write(draw, (right - 8, middle_y - size / 2), at_right, size, LETTERS, align=1, seam=2)
    write(draw, (middle_x, top + 6), on_top, size, LETTERS, align=0.5, seam=2)
    write(draw, (middle_x, bottom - size - 10), below, size, LETTERS, align=0.5, seam=2)
    small = 18 if right - left > 220 else 14
    bar = scale_bar(draw, (right - 12, bottom - 10), scale, (right - left) / 3.2, small - 2) if tile.mm else 0.0
    room = (middle_x - 14 if below else right - 24 - bar) - left - 10
    write(draw, (left + 10, bottom - small - 12), fitted(tile.name, small, room), small, LETTERS, seam=2)


def scale_bar(draw: ImageDraw.ImageDraw, end: tuple[float, float], scale: float, most: float, size: int, colour: Colour = SOFT) -> float:
    """A bar of a round length that ends at (x, y) `end`, at most `most` pixels long; `scale` is in pixels per mm; returns its length."""
    length_mm = next((mm for mm in _LENGTHS_MM if mm * scale < most), 0)
    if not length_mm:
        return 0.0
    x, y = end
    start = x - length_mm * scale
    for offset, ink in ((1, BLACK), (0, colour)):
        draw.line((start + offset, y + offset, x + offset, y + offset), fill=ink, width=2)
    for tick in (start, x):
        draw.line((tick, y - 4, tick, y + 1), fill=colour, width=2)
    write(draw, (x, y - size - 9), f"{length_mm // 10} cm" if length_mm >= 10 else f"{length_mm} mm", size, colour, align=1, seam=2)
    return length_mm * scale


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
