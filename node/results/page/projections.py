"""Pictures of subjects without a place in the patient: radiographs and mammograms, ultrasound stills and loops. No geometry is invented:
a scale stands only where the header calibrates it, and no letter at an edge."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.findings import Findings, Location
from inference.imaging import subject as subjects
from inference.imaging.subject import Cine, Images
from inference.translatable import say
from node.results.page.figures import TILES, Figure, by_certainty, on_image
from node.results.page.panels import GreyWindow, heated
from node.results.page.shapes import draw_locations, extent_of
from node.results.page.tiles import Tile

_THIN = 1_000_000
"""About so many pixels are looked at to find a window."""
_WHOLE, _ENLARGED = 3, 0.14
"""With up to so many images on the page there is room to enlarge what was found, to squares of at least this share of the image."""


def images_figure(images: Images, findings: Findings, names: Sequence[str]) -> Figure:
    """The images with what was found on them, those first that hold something; what is small on a large image also enlarged."""
    every = range(len(images.images))
    chosen = sorted(list(dict.fromkeys([*by_certainty(findings.locations), *_rested_on(findings), *every]))[:TILES])
    tiles = [_whole(images.images[index], on_image(findings.locations, index), names[index]) for index in chosen]
    if len(chosen) <= _WHOLE:
        numbers = sorted(enumerate(findings.locations, 1), key=lambda each: -(each[1].certainty or 0.0))
        for number, location in numbers[: TILES - len(chosen)]:
            tiles.append(_enlarged(images.images[location.image], number, location))
    return Figure(tiles=tiles, images=chosen)


def bare(image: subjects.Image, name: str) -> Tile:
    """The whole image with nothing on it."""
    return _whole(image, (), name)


def explained(image: subjects.Image, share: NDArray[np.float32], name: str) -> Tile:
    """The whole image with a map (row, column) of 0 to 1 over it."""
    tile = bare(image, name)
    return replace(tile, paint=lambda size: heated(tile.paint(size), share))


def cine_figure(cine: Cine, findings: Findings, names: Sequence[str]) -> Figure:
    """Frames with what was found on them; then the ends of what was measured, then frames spread evenly over the loop."""
    count = len(cine.frames)
    spans = [one.span for one in findings.measurements if one.span] + [one.span for one in findings.evaluations if one.span]
    ends = [frame for span in spans for frame in (span.first, span.last)]
    evenly = [int(frame) for frame in np.linspace(0, count - 1, min(TILES, count)).round()]
    chosen = sorted(list(dict.fromkeys([*by_certainty(findings.locations), *_rested_on(findings), *ends, *evenly]))[:TILES])
    window = None if cine.frames.ndim == 4 else window_of_pixels(cine.frames)
    top, left, bottom, right, mm = _scanned(cine)
    across, along = mm or (1.0, 1.0)
    tiles = []
    for index in chosen:
        paint = partial(_painted, cine.frames[index, top:bottom, left:right], window, on_image(findings.locations, index), (top, left))
        tiles.append(Tile(extent=((right - left) * across, (bottom - top) * along), mm=mm is not None, paint=paint, name=names[index]))
    return Figure(tiles=tiles, images=chosen)


def window_of_pixels(pixels: NDArray[Any]) -> GreyWindow:
    """From the darkest to the brightest of what is not background, but for the outermost of both."""
    flat = pixels.reshape(-1)
    sample = flat[:: max(flat.size // _THIN, 1)]
    ground = sample.min()
    inside = sample[sample > ground] if (sample > ground).any() else sample
    low, high = (float(value) for value in np.percentile(inside, (0.5, 99.7)))
    return GreyWindow(low=low, high=max(high, low + 1e-6), name="")


def _scanned(cine: Cine) -> tuple[int, int, int, int, tuple[float, float] | None]:
    """(top, left, bottom, right) of the calibrated regions, whose surroundings hold names, logos and settings; and mm per column and per
    row where all regions agree."""
    rows, columns = cine.frames.shape[1:3]
    boxes = [
        (max(y0, 0), max(x0, 0), min(y1 + 1, rows), min(x1 + 1, columns)) for x0, y0, x1, y1, _, _ in cine.regions if x1 > x0 and y1 > y0
    ]
    if not boxes:
        return 0, 0, rows, columns, None
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    scales = {(across, along) for *_, across, along in cine.regions}
    mm = scales.pop() if len(scales) == 1 else None
    return min(tops), min(lefts), max(bottoms), max(rights), mm


def _rested_on(findings: Findings) -> list[int]:
    return [index for one in findings.evaluations for index in one.images]


def _whole(image: subjects.Image, here: Sequence[tuple[int, Location]], name: str) -> Tile:
    rows, columns = image.pixels.shape[:2]
    down, right = image.spacing_mm or (1.0, 1.0)
    mm = image.spacing_mm is not None and image.calibrated
    return Tile(
        extent=(columns * right, rows * down), mm=mm, paint=partial(_painted, image.pixels, _window(image), here, (0, 0)), name=name
    )


def _enlarged(image: subjects.Image, number: int, location: Location) -> Tile:
    rows, columns = image.pixels.shape[:2]
    down, right = image.spacing_mm or (1.0, 1.0)
    box = extent_of(location.shape)
    # a square in the patient, inside the image, the location in its middle where the image reaches far enough
    half = max((box.bottom - box.top) * down, (box.right - box.left) * right, _ENLARGED * min(rows * down, columns * right)) / 2 * 1.3
    top, bottom = _within((box.top + box.bottom) / 2, half / down, rows)
    left, end = _within((box.left + box.right) / 2, half / right, columns)
    part = image.pixels[top:bottom, left:end]
    paint = partial(_painted, part, _window(image), [(number, location)], (top, left))
    mm = image.spacing_mm is not None and image.calibrated
    return Tile(
        extent=((end - left) * right, (bottom - top) * down),
        mm=mm,
        paint=paint,
        name=say("{number}, enlarged", number=str(number)),
        apart=True,
    )


def _within(middle: float, half: float, size: int) -> tuple[int, int]:
    low = int(np.clip(round(middle - half), 0, max(size - 1, 0)))
    return low, int(np.clip(round(middle + half), low + 1, size))


def _window(image: subjects.Image) -> GreyWindow | None:
    return None if image.pixels.ndim == 3 else window_of_pixels(image.pixels)


def _painted(
    pixels: NDArray[Any], window: GreyWindow | None, here: Sequence[tuple[int, Location]], corner: tuple[int, int], size: tuple[int, int]
) -> Image.Image:
    """Pixels in their window, and locations; `corner` is where the first pixel lies on the image, as (row, column)."""
    shades = np.asarray(pixels, dtype=np.uint8) if window is None else window.grey(pixels)
    image = Image.fromarray(np.ascontiguousarray(shades)).convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    across, along = size[0] / pixels.shape[1], size[1] / pixels.shape[0]
    draw_locations(image, here, lambda row, column: ((column - corner[1]) * across, (row - corner[0]) * along))
    return image
