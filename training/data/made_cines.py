"""Cines that are made of two drawn phases: a beat from end-diastole to end-systole and back, warped between the two by their outlines.

Nobody acquired what lies between: how fast the ventricle empties and fills, what it looks like half emptied, and what breath, flow and
noise add are made up here, within what hearts and scanners do. What is judged on such cines says how well a method reads them, and nothing
of a patient's.

A slice has an outline at both phases. In each direction from its middle the cavity's border lies between the two; what is within is
stretched with it, what is around it gives way, up to `YIELDING_PX` beyond. Slices that were drawn at one phase only are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.imaging.subject import Phases
from training.data.cases import Case
from training.data.short_axes import LabelledPhases, phases_of, short_axes
from training.errors import UnfitData

CINES, FRAMES = 3, 20
"""Of each patient that is held out: how many are made, and of how many frames each."""
YIELDING_PX = 18.0
_ANGLES, _REACH_PX, _SMOOTH = 64, 64.0, 1.5
_SWAY_PX = 6.0
_MIDDLE_PX = 192
"""Of the images, as much around their middle: what the application looks at, and more."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeBeat:
    """When a made ventricle is how empty.

    Attributes
    ----------
    emptied
        (T,) of each frame, from 0 at end-diastole to 1 at end-systole.
    moments
        (T,) of each frame, as a share of the beat from end-diastole on.
    systole
        The share at which end-systole is.
    """

    emptied: NDArray[np.float64]
    moments: NDArray[np.float64]
    systole: float

    def frames(self) -> tuple[int, int]:
        """Those nearest to end-diastole and to end-systole, from 0."""
        diastole, systole = (int(np.argmin(around(self.moments - at, 1.0))) for at in (0.0, self.systole))
        return diastole, systole

    def shares(self, wide: float = 0.7) -> Floats:
        """(2, T), 1 in sum over the frames: how near each is to either phase, by twentieths of the beat."""
        off = np.stack([around(self.moments - at, 1.0) for at in (0.0, self.systole)]) * 20
        near = np.exp(-0.5 * (off / wide) ** 2) + 1e-9
        shares: Floats = (near / near.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares


def around(off: NDArray[np.float64], whole: float) -> NDArray[np.float64]:
    """How far it is on a circle of so much, whichever way is shorter."""
    far: NDArray[np.float64] = np.abs((off + whole / 2) % whole - whole / 2)
    return far


def made_beat(frames: int, rng: np.random.Generator) -> MadeBeat:
    """A beat: it empties in 28 to 45 % of it, fills fast, rests a while, fills up with the atrium; it begins at any frame, and one in four
    lacks up to a tenth of its end, as gated by the R wave."""
    from scipy.interpolate import PchipInterpolator

    systole = rng.uniform(0.28, 0.45)
    filled, kick = min(systole + rng.uniform(0.15, 0.28), 0.82), 1 - rng.uniform(0.08, 0.16)
    rest = rng.uniform(0.05, 0.3)
    half = systole * rng.uniform(0.42, 0.58)
    known = [(0.0, 0.0), (half, 0.5), (systole, 1.0), (filled, rest), (kick, rest * rng.uniform(0.7, 0.95)), (1.0, 0.0)]
    # three beats: it is as steep at its end as at its beginning
    at, value = np.array([(moment + beat, share) for beat in (-1, 0, 1) for moment, share in known[:-1]]).T
    whole = rng.random() < 0.75
    moments = np.arange(frames) / frames * (1.0 if whole else rng.uniform(0.9, 1.0))
    moments = np.roll((moments + rng.uniform()) % 1.0 if whole else moments, int(rng.integers(frames)))
    return MadeBeat(emptied=np.clip(PchipInterpolator(at, value)(moments), 0, 1), moments=moments, systole=systole)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Outline:
    """The border of a cavity: its middle (row, column), and how far it is in each of `_ANGLES` directions, in pixels."""

    middle: NDArray[np.float64]
    radii: NDArray[np.float64]


def _outline(label: NDArray[np.uint8]) -> _Outline:
    from scipy.ndimage import gaussian_filter1d, map_coordinates

    middle = np.argwhere(label > 0).mean(axis=0)
    angles = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    steps = np.arange(0, _REACH_PX, 0.5)
    rays = np.stack([np.sin(angles), np.cos(angles)])[:, :, None] * steps + middle[:, None, None]
    inside = map_coordinates((label > 0).astype(np.float32), rays.reshape(2, -1), order=1).reshape(_ANGLES, -1) > 0.5
    radii = np.where(inside.any(axis=1), inside.shape[1] - inside[:, ::-1].argmax(axis=1), 1) * 0.5
    return _Outline(middle=middle, radii=gaussian_filter1d(radii, _SMOOTH, mode="wrap"))


def made_slice(
    images: Floats, labels: NDArray[np.uint8], beat: MadeBeat, rng: np.random.Generator, coarser: int = 1
) -> tuple[Floats, NDArray[np.float64]]:
    """A slice over a beat, from its images at end-diastole and end-systole and what was drawn on them.

    Parameters
    ----------
    images, labels
        (2, Y, X) each.
    coarser
        How many pixels of the drawn images theirs are wide.

    Returns
    -------
    tuple
        (T, Y, X), and how large the outlined cavity is in each frame, in pixels.
    """
    from scipy.ndimage import gaussian_filter1d, map_coordinates

    frames, (rows, columns) = len(beat.emptied), images.shape[1:]
    low, high = np.percentile(images[0], (2, 98))
    contrast = max(float(high - low), 1e-6)
    # the second on the scale of the first: each was stretched by itself
    second = (images[1] - images[1].mean()) / max(float(images[1].std()), 1e-6) * float(images[0].std()) + float(images[0].mean())
    # of which image how much: not only by the phase, or the frame that is of one image alone would give itself away
    leaning = rng.uniform(0.2, 0.8) + rng.uniform(0, 0.8) * (beat.emptied - 0.5)
    of_second = np.clip(leaning + rng.normal(0, 0.08, frames), 0, 1)[:, None, None]
    sway = (gaussian_filter1d(rng.normal(0, 1.5, (frames, 2)), 2.0, axis=0, mode="wrap") + rng.normal(0, 0.35, (frames, 2))) / coarser
    places = np.mgrid[:rows, :columns].astype(np.float32)[:, None] - sway.T.astype(np.float32)[:, :, None, None]
    areas, inside = np.zeros(frames), np.zeros((frames, rows, columns), dtype=np.bool_)
    moving = [places.copy(), places.copy()]
    if (labels > 0).any(axis=(1, 2)).all():
        outlines = [_outline(one) for one in labels]
        # slices move through their plane with breath and long axis: the area alone is not the truth
        through = 1 + gaussian_filter1d(rng.normal(0, 0.05, frames), 1.0, mode="wrap")
        emptied = beat.emptied[:, None]
        radii = ((1 - emptied) * outlines[0].radii + emptied * outlines[1].radii) * through[:, None]
        middles = (1 - emptied) * outlines[0].middle + emptied * outlines[1].middle
        areas = 0.5 * (radii**2).sum(axis=1) * 2 * np.pi / _ANGLES
        box = _box(middles, float(radii.max()) + YIELDING_PX / coarser, (rows, columns))
        near = places[:, :, *box]
        from_middle = near - middles.T.astype(np.float32)[:, :, None, None]
        far = np.hypot(*from_middle)
        angle = np.arctan2(*from_middle) % np.float32(2 * np.pi) * np.float32(_ANGLES / (2 * np.pi))
        inside[:, *box] = far <= _around(radii, angle)
        for at, outline in zip(moving, outlines, strict=True):
            at[:, :, *box] = _moved(near, from_middle, far, angle, radii, middles, outline, YIELDING_PX / coarser)
    first, other = (
        map_coordinates(image, at.reshape(2, -1), order=1, mode="nearest") for image, at in zip((images[0], second), moving, strict=True)
    )
    shape = (frames, rows, columns)
    made = (1 - of_second) * first.reshape(shape) + of_second * other.reshape(shape)
    flow = 1 + gaussian_filter1d(rng.normal(0, 0.35, frames), 1.5, mode="wrap")[:, None, None] * inside
    gain = 1 + gaussian_filter1d(rng.normal(0, 0.2, frames), 3.0, mode="wrap")[:, None, None]
    made = (low + (made - low) * flow) * gain + rng.normal(0, contrast * rng.uniform(0.01, 0.08) / coarser, shape)
    return made.astype(np.float32), areas


def _box(middles: NDArray[np.float64], reach_px: float, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns in which a pixel may lie so near to one of the middles (T, 2), swaying about."""
    low, high = middles.min(axis=0) - reach_px - _SWAY_PX, middles.max(axis=0) + reach_px + _SWAY_PX
    down, across = (slice(max(0, int(first)), min(side, int(last) + 2)) for first, last, side in zip(low, high, shape, strict=True))
    return down, across


def _around(radii: NDArray[np.float64], angle: Floats) -> Floats:
    """The radius (T, Y, X) in the direction of each pixel, between those of (T, `_ANGLES`)."""
    below = angle.astype(np.intp)
    share = angle - below.astype(np.float32)
    frame = np.arange(len(radii))[:, None, None]
    wide = radii.astype(np.float32)
    between: Floats = wide[frame, below % _ANGLES] * (1 - share) + wide[frame, (below + 1) % _ANGLES] * share
    return between


def _moved(
    places: Floats,
    from_middle: Floats,
    far: Floats,
    angle: Floats,
    radii: NDArray[np.float64],
    middles: NDArray[np.float64],
    source: _Outline,
    yielding_px: float,
) -> Floats:
    """Where in an image of one phase each pixel (2, T, Y, X) of every frame lies."""
    now = _around(radii, angle)
    then = _around(np.repeat(source.radii[None], len(radii), axis=0), angle)
    outer = np.maximum(now, then) + yielding_px
    within, beyond = far / np.maximum(now, 0.5) * then, then + (far - now) * (outer - then) / (outer - now)
    stretched = np.where(far <= now, within, np.where(far < outer, beyond, far))
    yielding = np.clip((outer - far) / (outer - now), 0, 1)
    aside = (source.middle - middles).T.astype(np.float32)[:, :, None, None]
    moved = places + aside * yielding + from_middle * ((stretched - far) / np.maximum(far, 1e-3))
    return moved.astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeCine:
    """A made cine of a patient, as serving would assemble it, and what is true of it.

    Attributes
    ----------
    phases
        T volumes of the slices that were drawn at both phases, with one at either end on which there is no cavity.
    diastole, systole
        Which of them is end-diastole, and which end-systole, from 0.
    areas
        (T,) pixels of the outlined cavity on all slices together: what whoever outlines without a fault would measure.
    """

    phases: Phases
    diastole: int
    systole: int
    areas: NDArray[np.float64]
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnBeat:
    """What cines are made of: the drawn phases, and one cine of so many frames."""

    drawn: LabelledPhases
    name: str
    number: int
    frames: int

    def cine(self) -> MadeCine:
        """The same each time."""
        return _cine(self)


@lru_cache(maxsize=24)
def _cine(of: DrawnBeat) -> MadeCine:
    rng = np.random.default_rng([of.number, of.frames, *of.name.encode()])
    beat = made_beat(of.frames, rng)
    images, labels = both_drawn(of.drawn)
    images = np.concatenate([images[:, :1], images, images[:, -1:]], axis=1)
    labels = np.pad(labels, ((0, 0), (1, 1), (0, 0), (0, 0)))
    for end, aside in ((0, 70), (-1, -70)):
        # another place of the same chest
        images[:, end] = np.roll(images[:, end], aside, axis=-1)
    made, areas = zip(*(made_slice(images[:, z], labels[:, z], beat, rng) for z in range(images.shape[1])), strict=True)
    stack = np.stack(made, axis=1)
    low, high = np.percentile(stack, (0.5, 99.9))
    voxels = np.clip(np.rint((stack - low) / max(float(high - low), 1e-6) * 255), 0, 255).astype(np.uint8)
    diastole, systole = beat.frames()
    return MadeCine(
        phases=phases_of(voxels, f"{of.name} {of.number} {of.frames}"),
        diastole=diastole,
        systole=systole,
        areas=np.sum(areas, axis=0),
        attributes=of.drawn.attributes,
    )


def both_drawn(drawn: LabelledPhases) -> tuple[Floats, NDArray[np.uint8]]:
    """Images and labels (2, Z, Y, X) of the slices that were drawn at both phases, the middle of the images."""
    there = drawn.drawn.all(axis=0)
    middle = tuple(
        slice(max(0, (side - _MIDDLE_PX) // 2), max(0, (side - _MIDDLE_PX) // 2) + _MIDDLE_PX) for side in drawn.labels.shape[2:]
    )
    images = np.stack([volume.voxels[there][:, *middle] for volume in drawn.phases.volumes]).astype(np.float32)
    return images, drawn.labels[:, there][:, :, *middle]


def made_cines(folder: Path) -> tuple[Case, ...]:
    """Of each patient of `short_axes`, `CINES` cases.

    Raises
    ------
    UnfitData
    """
    return tuple(
        Case(patient=case.patient, name=f"{case.name} cine {number + 1}", load=partial(_load, case, number), stratum=case.stratum)
        for case in short_axes(folder)
        for number in range(CINES)
    )


@lru_cache(maxsize=128)
def _drawn(case: Case) -> LabelledPhases:
    loaded: LabelledPhases = case.load()
    if not loaded.drawn.all(axis=0).any():
        raise UnfitData(f"no slice of {case.patient} was drawn at both end-diastole and end-systole: draw one, or leave its files out")
    return loaded


@lru_cache(maxsize=128)
def _load(case: Case, number: int) -> DrawnBeat:
    return DrawnBeat(drawn=_drawn(case), name=case.name, number=number, frames=FRAMES)
