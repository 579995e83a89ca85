"""Key slices as a radiologist looks at them: which ones, which way up, in which window; segments as contours, maps laid over."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference import codes
from inference.codes import Code
from inference.findings import Segment
from inference.imaging.volume import Volume
from inference.translatable import say

_COLOURS = ((0.0, (40, 0, 0)), (0.4, (200, 30, 10)), (0.75, (255, 170, 30)), (1.0, (255, 255, 220)))
_FAINTEST, _STRONGEST = 0.08, 0.75
"""Below this share of the largest value nothing is laid over; at it, this much of the picture is covered."""


def heated(image: Image.Image, share: NDArray[Any]) -> Image.Image:
    """Lay a map over an RGB picture of the same extent.

    Parameters
    ----------
    share
        (row, column) 0 to 1; resampled to the picture.
    """
    fine = Image.fromarray(np.ascontiguousarray(share, dtype=np.float32)).resize(image.size, Image.Resampling.BILINEAR)
    values = np.clip(np.asarray(fine), 0, 1)
    places = [place for place, _ in _COLOURS]
    colours = np.stack([np.interp(values, places, [rgb[channel] for _, rgb in _COLOURS]) for channel in range(3)], axis=-1)
    weight = (np.clip((values - _FAINTEST) / (1 - _FAINTEST), 0, 1) ** 0.5 * _STRONGEST)[..., None]
    return Image.fromarray((np.asarray(image) * (1 - weight) + colours * weight).astype(np.uint8))


Mask = NDArray[np.bool_]

KEY_SLICES = 6
_LUNGS = frozenset({codes.LUNG, codes.LUNGS})
LUNG, SOFT_TISSUE, VESSELS, BONE = (-600.0, 1500.0), (40.0, 400.0), (200.0, 700.0), (450.0, 1800.0)
"""Centre and width in HU."""
NUCLEAR = ("PT", "NM")

# where the viewer's right and down lie in the patient (LPS) when slices are sagittal, coronal, axial
_CONVENTION = (((0, 1, 0), (0, 0, -1)), ((1, 0, 0), (0, 0, -1)), ((1, 0, 0), (0, 1, 0)))
_ENDS = (("R", "L"), ("A", "P"), ("F", "H"))
_OBLIQUE = 0.26
"""From 15 degrees on an edge gets its second letter."""
_MARGIN = 0.03
_NEARLY = 0.8
"""A slice with this share of a segment's largest area shows it well enough."""
_THIN = 3
"""Windows are found on every third row and column."""
_NEAR_MM = 10.0
_FINER, _LINE, _SEAM = 2, 4, 2
"""Contours are drawn this many times finer, and this wide in the finer pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How slices are turned for display.

    Attributes
    ----------
    transpose, flip_down, flip_right
        What is done to a (Y, X) slice, in this order; turning and mirroring only, no resampling.
    spacing_mm
        Between pixels of the turned slice, down and to the right.
    left, right, top, bottom
        The letters at its edges (R, L, A, P, H, F).
    """

    transpose: bool
    flip_down: bool
    flip_right: bool
    spacing_mm: tuple[float, float]
    left: str
    right: str
    top: str
    bottom: str

    def turn(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A (Y, X) slice as it is shown."""
        turned = plane.T if self.transpose else plane
        return turned[:: -1 if self.flip_down else 1, :: -1 if self.flip_right else 1]

    def place(self, row: float, column: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Where a place on a (Y, X) slice of this shape, counted from the outer edge of its first pixel, lies on the turned one."""
        (down, right), (rows, columns) = ((column, row), shape[::-1]) if self.transpose else ((row, column), shape)
        return rows - down if self.flip_down else down, columns - right if self.flip_right else right


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyWindow:
    """Grey from `low` (black) to `high` (white), and how people call it."""

    low: float
    high: float
    name: str
    inverse: bool = False
    """Uptake is shown dark on white, as nuclear medicine does."""

    def grey(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Values as 0 (black) to 255 (white)."""
        shade = np.clip((values.astype(np.float32) - self.low) / (self.high - self.low), 0, 1) * 255
        return np.asarray(255 - shade if self.inverse else shade).astype(np.uint8)


def view_of(volume: Volume, axis: int = 0) -> View:
    """How the planes across an array axis are turned; 0 gives the slices themselves.

    Axial: patient's right at the viewer's left, front on top. Coronal: right at the left, head on top. Sagittal: front at the left, head
    on top. Decided by the affine alone, so that a patient who lies prone or feet first is shown the same way.
    """
    rows, columns = (each for each in range(3) if each != axis)
    down, right = (volume.affine[:3, each] / np.linalg.norm(volume.affine[:3, each]) for each in (rows, columns))
    return turned(down, right, (volume.spacing_mm[rows], volume.spacing_mm[columns]))


def turned(down: NDArray[np.float64], right: NDArray[np.float64], spacing_mm: tuple[float, float]) -> View:
    """The same of a plane alone, by where its rows and columns lead in the patient (LPS, unit vectors); spacing between rows, columns."""
    kind = int(np.argmax(np.abs(np.cross(right, down))))
    want_right, want_down = (np.array(vector, dtype=np.float64) for vector in _CONVENTION[kind])
    transpose = bool(abs(down @ want_right) > abs(right @ want_right))
    if transpose:
        down, right = right, down
    flip_down, flip_right = bool(down @ want_down < 0), bool(right @ want_right < 0)
    down, right = (-down if flip_down else down), (-right if flip_right else right)
    y, x = spacing_mm
    return View(
        transpose=transpose,
        flip_down=flip_down,
        flip_right=flip_right,
        spacing_mm=(x, y) if transpose else (y, x),
        left=_letters(-right),
        right=_letters(right),
        top=_letters(-down),
        bottom=_letters(down),
    )


def key_slices(volume: Volume, segments: Sequence[Segment], most: int = KEY_SLICES, also: Sequence[int] = ()) -> list[int]:
    """Up to `most` slices that show what was found, from head to feet, from front to back, or from right to left.

    First the slices that are asked for (`also`), then for each segment the one where it is largest, as far as there is room; the others
    lie where equal shares of all voxels found lie. Without any voxel they are spread evenly over the volume.
    """
    depth = len(volume.sources)
    count = min(most, depth)
    areas = [_areas(segment) for segment in segments]
    found = sorted((area for area in areas if area.any()), key=lambda area: float(area.sum()))
    chosen = list(dict.fromkeys(also))[:count]
    # the smallest first: the large ones are on most slices anyway
    for area in found:
        if len(chosen) < count and not any(area[z] >= _NEARLY * area.max() for z in chosen):
            chosen.append(int(area.argmax()))
    whole = np.sum(found, axis=0) if found else np.ones(depth)
    shares = np.cumsum(whole) / whole.sum()
    places = [int(index) for index in np.searchsorted(shares, (np.arange(count) + 0.5) / count)]
    # of the shares' places the ones farthest from what is shown already; then, where what was found is thin, its neighbours
    while len(chosen) < count and any(z not in chosen for z in places):
        chosen.append(max((z for z in places if z not in chosen), key=lambda z: min((abs(z - other) for other in chosen), default=0)))
    middle = sum(chosen) / max(len(chosen), 1)
    for z in sorted(range(depth), key=lambda z: abs(z - middle)):
        if len(chosen) < count and z not in chosen:
            chosen.append(z)
    along = volume.affine[:3, 0]
    axis = int(np.argmax(np.abs(along)))
    # x and y grow to the left and to the back, z towards the head
    ascending = along[axis] > 0 if axis < 2 else along[axis] < 0
    return sorted(chosen, reverse=not ascending)


def _areas(segment: Segment) -> NDArray[np.float64]:
    """How many voxels of a segment lie on each slice."""
    (along, _, _), inside = segment.inside
    areas = np.zeros(segment.shape[0])
    areas[along] = np.count_nonzero(inside, axis=(1, 2))
    return areas


def window_of(volume: Volume, segments: Sequence[Segment], sites: Collection[Code | None] = ()) -> GreyWindow:
    """The window that a reader would choose.

    CT: that of the tissue that was found, by its mean HU; without any, that of the lung where `sites` (where was looked) are lungs. PT and
    NM: from nothing to nearly the highest uptake, dark on white. Others: from the darkest to nearly the brightest of what was found, and,
    where that is small against its surroundings, of these too: a reader compares it with them.
    """
    thin = (slice(None), slice(None, None, _THIN), slice(None, None, _THIN))
    sample = volume.voxels[thin]
    found = np.zeros(sample.shape, dtype=np.bool_)
    for segment in segments:
        found |= segment.mask[thin]
    if volume.modality == "CT":
        centre, width, name = *SOFT_TISSUE, say("soft tissue")
        mean = float(sample[found].mean(dtype=np.float64)) if found.any() else 0.0
        if mean < -300 or (not found.any() and not _LUNGS.isdisjoint(sites)):
            centre, width, name = *LUNG, say("lung")
        elif mean > 400:
            centre, width, name = *BONE, say("bone")
        elif mean > 150:
            centre, width, name = *VESSELS, say("vessels")
        said = say("{tissue} C {centre} W {width}", tissue=name, centre=f"{centre:.0f}", width=f"{width:.0f}")
        return GreyWindow(low=centre - width / 2, high=centre + width / 2, name=said)
    if volume.modality in NUCLEAR:
        high = float(np.percentile(sample, 99.8))
        return GreyWindow(low=0.0, high=max(high, 1e-6), name=say("0 to {high}, dark is high", high=f"{high:.4g}"), inverse=True)
    # fat near a coil outshines all else: what was found sets the window where anything was
    bright = sample[found] if found.any() else sample[sample > _air(sample)]
    low = float(np.percentile(sample, 1))
    high = 1.1 * float(np.percentile(bright, 99.5 if found.any() else 98)) if bright.size else low + 1
    if found.any():
        near = _near(found, [volume.spacing_mm[axis] * step for axis, step in enumerate((1, _THIN, _THIN))])
        if np.count_nonzero(near) > 2 * np.count_nonzero(found):
            high = max(high, 1.05 * float(np.percentile(sample[near], 98)))
    return GreyWindow(low=low, high=max(high, low + 1e-6), name="")


def _near(found: Mask, spacing_mm: Sequence[float]) -> Mask:
    """What was found, and what lies within a centimetre of it along each axis."""
    from scipy import ndimage  # a tenth of what a console's start takes, which needs none of it

    sizes = [2 * max(1, round(_NEAR_MM / spacing)) + 1 for spacing in spacing_mm]
    return np.asarray(ndimage.maximum_filter(found.astype(np.uint8), size=sizes) > 0)


def crop_of(
    volume: Volume, segments: Sequence[Segment], view: View, slices: Sequence[int], axis: int = 0, also: Mask | None = None
) -> tuple[slice, slice]:
    """Rows and columns of the turned planes that hold the body and everything found; one crop for all, so that sizes compare.

    `also` is what else has to be inside, on a plane that is not turned. Of the body a few voxels may be lost, of what was found none.
    """
    planes = np.stack([view.turn(np.take(volume.voxels, z, axis)) for z in slices]).astype(np.float32)
    body = (planes > _ground(planes, volume.modality)).any(axis=0)
    found: Mask = np.zeros(body.shape, dtype=np.bool_) if also is None else view.turn(also).copy()
    for segment in segments:
        for z in slices:
            found |= view.turn(segment.plane(z, axis))
    down, right = np.asarray(found.any(axis=1)), np.asarray(found.any(axis=0))
    return _extent(body.mean(axis=1), down), _extent(body.mean(axis=0), right)


def panel(
    volume: Volume,
    segments: Sequence[Segment],
    view: View,
    window: GreyWindow,
    crop: tuple[slice, slice],
    z: int,
    size: tuple[int, int],
    axis: int = 0,
) -> Image.Image:
    """One plane of (width, height) `size` in pixels, in RGB, with a contour around each segment."""
    grey = window.grey(view.turn(np.take(volume.voxels, z, axis))[crop])
    image = Image.fromarray(np.ascontiguousarray(grey)).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    for segment in segments:
        mask = np.ascontiguousarray(view.turn(segment.plane(z, axis))[crop])
        if mask.any():
            contour(image, mask, segment.rgb)
    return image


def contour(image: Image.Image, mask: Mask, rgb: tuple[int, int, int]) -> None:
    """Draw the border of a mask of the image's extent, along its inner edge, on a dark seam that keeps it visible on bright tissue."""
    across, along = image.width / mask.shape[1], image.height / mask.shape[0]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    # only where the mask is, and a little around it: pages of a hundred structures stay cheap
    left, top = max(int((columns[0] - 1) * across) - _LINE, 0), max(int((rows[0] - 1) * along) - _LINE, 0)
    right = min(int((columns[-1] + 2) * across) + _LINE + 1, image.width)
    bottom = min(int((rows[-1] + 2) * along) + _LINE + 1, image.height)
    size, place = (right - left, bottom - top), (left / across, top / along, right / across, bottom / along)
    fine = (size[0] * _FINER, size[1] * _FINER)
    smooth = Image.fromarray(mask.astype(np.uint8) * 255).resize(fine, Image.Resampling.BILINEAR, box=place)
    solid = np.asarray(smooth) >= 128
    inner = ~_grown(~solid, _LINE)
    for edge, colour, strength in ((_grown(solid, _SEAM), (0, 0, 0), 140), (solid, rgb, 255)):
        ring = Image.fromarray((edge & ~inner).astype(np.uint8) * np.uint8(strength))
        image.paste(colour, (left, top), ring.resize(size, Image.Resampling.BOX))


def _grown(mask: Mask, steps: int) -> Mask:
    """The mask, wider by `steps` pixels on all sides."""
    grown = mask.copy()
    for axis in (0, 1):
        lines = np.moveaxis(grown, axis, 0)
        before = lines.copy()
        for step in range(1, steps + 1):
            lines[step:] |= before[:-step]
            lines[:-step] |= before[step:]
    return grown


def _ground(planes: NDArray[np.float32], modality: str) -> float:
    """What is brighter is body."""
    if modality == "CT":
        return -500.0
    uptake = planes[planes > 0] if modality in NUCLEAR else planes[:0]
    # a bladder holds a hundred times the uptake of the tissue around it, but is a small part of it
    return float(np.percentile(uptake, 90)) * 0.1 if uptake.size else _air(planes)


def _air(values: NDArray[Any]) -> float:
    return float(np.percentile(values, 99.9)) * 0.1


def _extent(share: NDArray[Any], found: Mask) -> slice:
    """From the first to the last line of which some is body, or on which anything was found, with a margin."""
    lines = np.flatnonzero((share > 0.01) | found)
    if not lines.size:
        return slice(0, len(share))
    margin = round(len(share) * _MARGIN)
    return slice(max(int(lines[0]) - margin, 0), min(int(lines[-1]) + 1 + margin, len(share)))


def _letters(direction: NDArray[np.float64]) -> str:
    """Where a direction points in the patient: its main letter, and the second when it is oblique."""
    axes = sorted(range(3), key=lambda axis: -abs(float(direction[axis])))[:2]
    return "".join(_ENDS[axis][int(direction[axis] > 0)] for rank, axis in enumerate(axes) if rank == 0 or abs(direction[axis]) > _OBLIQUE)
