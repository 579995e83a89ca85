"""Field of view of a fundus photograph: a disc on a dark ground, whole or cut straight; and what else an image may be instead.

A fundus camera looks through the pupil: what it sees is round, and around it nothing is exposed. A photograph of the eye from outside, a
section by OCT and a picture of anything else fill their frame; angiograms, red-free and autofluorescent images are round and not in colour.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from inference.errors import quoted
from inference.imaging.subject import Image
from inference.translatable import Translatable, say

LEAST_PIXELS = 256
"""Sides of the field's box, at least: half of the networks' 512, below which thin vessels are guessed."""

_SIDE = 400
"""The longer side of the small copy on which the field is looked for."""
_DARK = 0.12
"""Of the brightest twentieth: what is darker counts as ground. Shadows towards a field's rim stay above it, noise of a ground below."""
_TRIES = 400
_NEAR = 0.012
"""Of the radius: how far from the circle its rim may lie."""
_SECTORS, _LEAST_SECTORS = 36, 11
"""Parts of the circle's round, and in how many of them the rim has to be seen."""
_LEAST_FILLED, _MOST_BEYOND = 0.85, 0.05
"""Of the disc, how much has to be brighter than the ground; of what is brighter, how much may lie outside the disc."""
_RED = 1.1
"""How many times as strong as green and as blue the red of a fundus is, at least: blood and pigment take the others away."""
_GREY = 6
"""Grey values between colours, at most, of an image that has none."""

_OTHERWISE = re.compile(
    r"fluoresc|indocyan|angiogra|red.?free|infra.?red|ultra.?violet|external camera|slit|specular|keratos|pupillo|operating microscope|"
    r"(?:green|blue|yellow|red) (?:optical )?filter|(?:\b|^)(?:green|blue|red)$",
    re.IGNORECASE,
)
"""Words of a device, a light, a filter, a channel or an agent by which a photograph is not one of the fundus in its own colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The disc that was exposed, and the box within which it is not cut; pixels, from the first one's edge as in `image[top:bottom]`.

    Attributes
    ----------
    row, column, radius
        Of the disc; its middle and parts of it may lie outside the box.
    top, left, bottom, right
        The box.
    """

    row: float
    column: float
    radius: float
    top: int
    left: int
    bottom: int
    right: int

    def mask(self) -> NDArray[np.bool_]:
        """(bottom - top, right - left): which pixels of the box have their middle in the disc."""
        rows = np.arange(self.top, self.bottom) + 0.5 - self.row
        columns = np.arange(self.left, self.right) + 0.5 - self.column
        inside: NDArray[np.bool_] = rows[:, None] ** 2 + columns**2 <= self.radius**2
        return inside


def otherwise_taken(stated: Sequence[str]) -> Translatable | None:
    """What headers say against a photograph of the fundus in its own colours; None where they say nothing against it."""
    against = [each for each in stated if _OTHERWISE.search(each)]
    return say("its header says {stated}", stated=", ".join(quoted(each) for each in against)) if against else None


def field_of(image: Image) -> Field | Translatable:
    """The field of view of a photograph; or why it is none of the fundus in colour, half a sentence."""
    if (against := otherwise_taken(image.photographed)) is not None:
        return against
    if image.pixels.ndim != 3:
        return say("it is grey")
    rows, columns = image.pixels.shape[:2]
    # small images stay as they are: an enlarged rim is no finer
    times = max(1.0, max(rows, columns) / _SIDE)
    small = np.asarray(Picture.fromarray(image.pixels).resize((round(columns / times), round(rows / times)), Picture.Resampling.BOX))
    bright = _bright_part(small.max(axis=2))
    circle = _circle_around(bright)
    if circle is None:
        return say("there is no round field on a dark ground")
    field = _scaled(bright, circle, times, (rows, columns))
    if min(field.bottom - field.top, field.right - field.left) < LEAST_PIXELS:
        return say(
            "its field has {columns} × {rows} pixels, fewer than {least} to a side",
            columns=str(field.right - field.left),
            rows=str(field.bottom - field.top),
            least=str(LEAST_PIXELS),
        )
    return _not_in_colour(small[bright]) or field


def _bright_part(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The largest part that is brighter than the ground, without holes and without what is as thin as letters."""
    from scipy import ndimage

    lit = values > max(10.0, _DARK * float(np.percentile(values, 95)))
    lit = ndimage.binary_opening(np.pad(lit, 3, mode="edge"), iterations=2)[3:-3, 3:-3]
    labels, count = ndimage.label(lit)
    if count == 0:
        return np.zeros(values.shape, dtype=np.bool_)
    largest = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(largest)
    return filled


def _circle_around(bright: NDArray[np.bool_]) -> tuple[float, float, float] | None:
    """(row, column, radius) of the circle that a part's rim lies on; None where it is no disc, whole or cut."""
    from scipy import ndimage

    rim = bright & ~ndimage.binary_erosion(bright, border_value=1)
    # what the frame cuts is no rim
    rim[[0, -1]] = rim[:, [0, -1]] = False
    points = np.argwhere(rim).astype(np.float64) + 0.5
    if len(points) < 3 * _SECTORS:
        return None
    best = _most_agreed(points, bright.shape)
    if best is None:
        return None
    for _ in range(3):
        near = points[_off(points, best) <= _NEAR * best[2] + 1]
        if len(near) < _SECTORS:
            return None
        best = _through(near)
    turns = np.arctan2(near[:, 0] - best[0], near[:, 1] - best[1])
    sectors = np.unique(((turns + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS)
    return best if len(sectors) >= _LEAST_SECTORS and _fills(bright, best) else None


def _most_agreed(points: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[float, float, float] | None:
    """Of circles through three points of the rim the one that most of it lies on (Fischler and Bolles 1981); the same each time."""
    picked = points[np.random.default_rng(0).integers(0, len(points), (_TRIES, 3))]
    one, two, three = picked[:, 0], picked[:, 1], picked[:, 2]
    across, along = two - one, three - one
    twice = 2 * (across[:, 0] * along[:, 1] - across[:, 1] * along[:, 0])
    apart = np.abs(twice) > 1e-6
    across, along, twice, one = across[apart], along[apart], twice[apart], one[apart]
    of_across, of_along = (across**2).sum(axis=1), (along**2).sum(axis=1)
    row = (along[:, 1] * of_across - across[:, 1] * of_along) / twice
    column = (across[:, 0] * of_along - along[:, 0] * of_across) / twice
    radius = np.hypot(row, column)
    fit = (radius > 0.25 * min(shape)) & (radius < max(shape))
    circles = np.stack([row + one[:, 0], column + one[:, 1], radius], axis=1)[fit]
    if not len(circles):
        return None
    agreed = [int((_off(points, (float(r), float(c), float(of))) <= _NEAR * of + 1).sum()) for r, c, of in circles]
    row_at, column_at, radius_at = circles[int(np.argmax(agreed))]
    return float(row_at), float(column_at), float(radius_at)


def _off(points: NDArray[np.float64], circle: tuple[float, float, float]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.abs(np.hypot(points[:, 0] - circle[0], points[:, 1] - circle[1]) - circle[2])
    return distance


def _through(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """The circle of least squares through points (Kåsa 1976)."""
    design = np.column_stack([2 * points, np.ones(len(points))])
    row, column, rest = np.linalg.lstsq(design, (points**2).sum(axis=1), rcond=None)[0]
    return float(row), float(column), float(np.sqrt(max(rest + row**2 + column**2, 0.0)))


def _box(bright: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of a part."""
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _fills(bright: NDArray[np.bool_], circle: tuple[float, float, float]) -> bool:
    """Whether a part is the disc of a circle, but for straight cuts, shadows and what hangs on its rim."""
    top, left, bottom, right = _box(bright)
    row, column, radius = circle
    rows, columns = np.arange(top, bottom) + 0.5 - row, np.arange(left, right) + 0.5 - column
    disc = rows[:, None] ** 2 + columns**2 <= (radius * (1 + _NEAR) + 1) ** 2
    part = bright[top:bottom, left:right]
    return bool((part & disc).sum() >= _LEAST_FILLED * disc.sum() and (part & ~disc).sum() <= _MOST_BEYOND * part.sum())


def _scaled(bright: NDArray[np.bool_], circle: tuple[float, float, float], times: float, shape: tuple[int, int]) -> Field:
    """The field on the image that the small copy was made of."""
    down, across = shape[0] / bright.shape[0], shape[1] / bright.shape[1]
    row, column, radius = circle[0] * down, circle[1] * across, circle[2] * times
    top, left, bottom, right = _box(bright)
    return Field(
        row=row,
        column=column,
        radius=radius,
        top=max(round(top * down), round(row - radius), 0),
        left=max(round(left * across), round(column - radius), 0),
        bottom=min(round(bottom * down), round(row + radius), shape[0]),
        right=min(round(right * across), round(column + radius), shape[1]),
    )


def _not_in_colour(values: NDArray[Any]) -> Translatable | None:
    """Why a field's (N, 3) pixels are not those of a fundus in colour; None where they may be."""
    wide = values.astype(np.int16)
    if np.median(wide.max(axis=1) - wide.min(axis=1)) <= _GREY:
        return say("it is grey")
    red, green, blue = (float(each) for each in np.median(wide, axis=0))
    return None if red >= _RED * max(green, blue) else say("red is not its strongest colour")
