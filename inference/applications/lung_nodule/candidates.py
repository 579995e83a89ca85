"""Nodule candidates: components of what the network marks, with place on the source images, size, density, rating and certainty."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.follow_up import Density
from inference.applications.lung_nodule.preparing import Floats, Mask, PreparedLungs, prepare
from inference.applications.lung_nodule.rating import Rating, shipped_rater
from inference.applications.port import Infer, ModelRef
from inference.engines.calling import run
from inference.engines.port import SERVING, Tiles
from inference.findings import Box, Line, Point
from inference.imaging.diameters import Axes, axes_of
from inference.imaging.resample import Grid, Interpolation, Shape, resample
from inference.imaging.volume import Volume

MODEL = ModelRef(name="lung_nodule_planted", version=SERVING)
"""Made by `hilum train lung-nodule`; what was imported or exported last is served."""
INPUT, OUTPUT = "INPUT__0", "OUTPUT__0"
WINDOW: Shape = (48, 48, 48)
OVERLAP = 0.25

GLASS, SOLID = 1, 2
"""Channels of the network's answer, after the background."""

FAINT, SURE = 0.2, 0.5
"""Probability of a nodule from which on voxels are a candidate, and from which on they are its shape."""
LEAST_MM3 = 15.0
"""A ball of 3 mm; smaller ones are noise."""
MOST_MM = 40.0
"""What is longer, along any axis, is no nodule (they have at most 30 mm): a mass, or a part of the heart or of the wall."""
LEAST_ROUND = 0.2
"""Share of the ball of its length that a nodule fills, at the least; vessels fill less."""
REPORTED = 0.82
"""Certainty from which on a candidate is told: on validation CTs, two false positives a CT; `hilum evaluate lung-nodule` says how many."""
PART_SOLID_FROM, SOLID_FROM = 0.35, 0.8
"""Diameter of the solid part, as a share of the whole's (of balls of their volumes): below the first a nodule is ground glass alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that may be a nodule.

    Attributes
    ----------
    centre_mm
        (x, y, z), LPS.
    image
        Index of the source slice that shows most of it.
    box, axis
        There: what encloses it, and the ends of its longest diameter.
    long_mm, short_mm
        There: the longest diameter, and the widest across it.
    solid_mm
        The longest diameter of its solid part; 0 for ground glass.
    certainty
        0 to 1: the mean probability over its voxels.
    cut
        It is marked on the first or the last source slice: there may be more of it.
    rating
        What LIDC's readers would rate its outline; None where it is cut, or where they outlined hardly any of its size.
    """

    centre_mm: tuple[float, float, float]
    image: int
    box: Box
    axis: Line
    long_mm: float
    short_mm: float
    volume_mm3: float
    density: Density
    solid_mm: float
    certainty: float
    cut: bool
    rating: Rating | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnmeasuredMark:
    """Something marked that is longer than nodules are, or no round one: a mass, a vessel, a part of the heart or of the wall.

    Attributes
    ----------
    places_mm
        (N, 3): where its voxels are, (x, y, z), LPS.
    too_long
        Longer than `MOST_MM`.
    certainty
        0 to 1: the mean probability over its voxels.
    mass
        It is too long, as sure as what is told, and as round as a nodule.
    """

    places_mm: NDArray[np.float64]
    too_long: bool
    certainty: float
    mass: bool

    def away_mm(self, at_mm: NDArray[np.float64]) -> float:
        """From a place (x, y, z) to the nearest of its voxels."""
        return float(np.linalg.norm(self.places_mm - at_mm, axis=1).min())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detected:
    """Candidates, surest first; what was marked and is none; and how much was searched for them."""

    prepared: PreparedLungs
    candidates: tuple[Candidate, ...]
    unmeasured: tuple[UnmeasuredMark, ...]
    searched_cm3: float

    @property
    def reported(self) -> tuple[Candidate, ...]:
        """Those that are sure enough to be told."""
        return tuple(each for each in self.candidates if each.certainty >= REPORTED)


def detect(volume: Volume, infer: Infer) -> Detected:
    """Look for nodules in the lungs of a chest CT.

    Raises
    ------
    NoLungs
    """
    prepared = prepare(volume)
    by_default = Tiles(window=WINDOW, overlap=OVERLAP)
    probabilities = run(infer, MODEL, prepared.image[None], input=INPUT, output=OUTPUT, by_default=by_default, finish=_softmax)
    searched = int(np.count_nonzero(prepared.search)) * float(np.prod(prepared.grid.spacing_mm)) / 1000
    candidates, unmeasured = marks_in(prepared, probabilities, volume)
    return Detected(prepared=prepared, candidates=candidates, unmeasured=unmeasured, searched_cm3=searched)


def marks_in(prepared: PreparedLungs, probabilities: Floats, volume: Volume) -> tuple[tuple[Candidate, ...], tuple[UnmeasuredMark, ...]]:
    """What is marked: candidates, surest first, and what is no nodule by its length or form.

    Parameters
    ----------
    probabilities
        (3, Z, Y, X) on the prepared grid: background, ground glass, solid.
    """
    from scipy import ndimage

    nodule = np.where(prepared.search, probabilities[GLASS] + probabilities[SOLID], np.float32(0))
    labels = _parts(nodule)
    voxel_mm3 = float(np.prod(prepared.grid.spacing_mm))
    found: list[Candidate] = []
    unmeasured: list[UnmeasuredMark] = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        around = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)
        start: Shape = (around[0].start, around[1].start, around[2].start)
        mine = labels[around] == number
        # with a rim, so that values between voxels can fall off; without what belongs to others
        near = ndimage.binary_dilation(mine) & ((labels[around] == number) | (labels[around] == 0))
        sure = np.where(near, nodule[around], np.float32(0))
        shape = mine & (sure >= min(SURE, float(sure.max()) / 2))
        if int(np.count_nonzero(shape)) * voxel_mm3 < LEAST_MM3:
            continue
        stop: Shape = (start[0] + mine.shape[0], start[1] + mine.shape[1], start[2] + mine.shape[2])
        grid = prepared.grid.cropped(start, stop)
        too_long, is_round = _form(shape, grid)
        if too_long or not is_round:
            unmeasured.append(_unmeasured(shape, float(sure[shape].mean()), grid, too_long=too_long, is_round=is_round))
            continue
        solid = np.where(near, probabilities[SOLID][around], np.float32(0))
        found.append(_candidate(shape, sure, solid, grid, Grid.of(volume)))
    return tuple(sorted(found, key=lambda each: (-each.certainty, each.centre_mm))), tuple(unmeasured)


def _form(shape: Mask, grid: Grid) -> tuple[bool, bool]:
    """Whether it is longer than nodules are, by the longest side of the box around it, and whether as round as they are."""
    sides = [np.ptp(there) + 1 for there in np.nonzero(shape)]
    longest_mm = float(max(side * step for side, step in zip(sides, grid.spacing_mm, strict=True)))
    filled_mm3 = int(np.count_nonzero(shape)) * float(np.prod(grid.spacing_mm))
    return longest_mm > MOST_MM, filled_mm3 >= LEAST_ROUND * math.pi / 6 * longest_mm**3


def _unmeasured(shape: Mask, certainty: float, grid: Grid, *, too_long: bool, is_round: bool) -> UnmeasuredMark:
    indices = np.argwhere(shape)
    places_mm = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    mass = too_long and is_round and certainty >= REPORTED
    return UnmeasuredMark(places_mm=places_mm, too_long=too_long, certainty=certainty, mass=mass)


def _parts(nodule: Floats) -> NDArray[np.int32]:
    """Sure parts for themselves, and faint parts that hold nothing sure."""
    from scipy import ndimage

    faint, _ = ndimage.label(nodule >= FAINT)
    sure, count = ndimage.label(nodule >= SURE)
    holding = np.unique(faint[sure > 0])
    alone = (faint > 0) & ~np.isin(faint, holding)
    others, _ = ndimage.label(alone)
    labels: NDArray[np.int32] = np.where(alone, others + count, sure).astype(np.int32)
    return labels


def _candidate(shape: Mask, sure: Floats, solid: Floats, grid: Grid, source: Grid) -> Candidate:
    """Measured where the network marks it: volume and density on its grid, diameters on the source slice that shows most of it."""
    is_solid = shape & (2 * solid >= sure)
    density = _density(shape, is_solid)
    voxel_mm3 = float(np.prod(grid.spacing_mm))
    middle = np.argwhere(shape).mean(axis=0)
    x_mm, y_mm, z_mm = (float(each) for each in (grid.affine @ np.append(middle, 1.0))[:3])
    image, plane, first = _shown(np.where(shape | (sure > 0), sure, np.float32(0)), min(SURE, float(sure.max()) / 2), grid, source)
    axes, (top, left) = axes_of(plane, source.spacing_mm[1:]), first
    cut = _reaches_end(shape, grid, source)
    rows, columns = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    return Candidate(
        centre_mm=(x_mm, y_mm, z_mm),
        image=image,
        box=Box(
            top=float(top + rows[0]), left=float(left + columns[0]), bottom=float(top + rows[-1] + 1), right=float(left + columns[-1] + 1)
        ),
        axis=_line(axes, top, left),
        long_mm=axes.long_mm,
        short_mm=axes.short_mm,
        volume_mm3=int(np.count_nonzero(shape)) * voxel_mm3,
        density=density,
        solid_mm=_solid_mm(density, axes, is_solid, grid, source),
        certainty=float(sure[shape].mean()),
        cut=cut,
        rating=None if cut else shipped_rater().rate(shape, grid.spacing_mm),
    )


def _reaches_end(shape: Mask, grid: Grid, source: Grid) -> bool:
    """Whether the middle of a voxel lies within half a step, its own or the slices', of the first or the last source slice."""
    to_source = np.linalg.inv(source.affine) @ grid.affine
    heights = np.argwhere(shape) @ to_source[0, :3] + to_source[0, 3]
    near = max(1.0, float(np.abs(to_source[0, :3]).max())) / 2
    return bool(heights.min() <= near or heights.max() >= source.shape[0] - 1 - near)


def _density(shape: Mask, solid: Mask) -> Density:
    core = (int(np.count_nonzero(solid)) / int(np.count_nonzero(shape))) ** (1 / 3)
    if core < PART_SOLID_FROM:
        return Density.GROUND_GLASS
    return Density.PART_SOLID if core < SOLID_FROM else Density.SOLID


def _solid_mm(density: Density, axes: Axes, solid: Mask, grid: Grid, source: Grid) -> float:
    if density is Density.GROUND_GLASS:
        return 0.0
    if density is Density.SOLID:
        return axes.long_mm
    _, plane, _ = _shown(solid.astype(np.float32), 0.5, grid, source)
    return axes_of(plane, source.spacing_mm[1:]).long_mm


def _shown(values: Floats, least: float, grid: Grid, source: Grid) -> tuple[int, Mask, tuple[int, int]]:
    """The source slice on which most of what has `least` lies; there, what does (Y, X), and the row and column of its first voxel."""
    start, stop = _extent(grid, source)
    there = resample(values, grid, source.cropped(start, stop), by=Interpolation.LINEAR)
    # between two slices, none shows it at its surest
    marked = there >= min(least, float(there.max()) / 2)
    if not there.max() > 0:
        # thinner than the slices are apart: one pixel of the nearest
        marked = np.zeros(there.shape, dtype=np.bool_)
        marked[tuple(side // 2 for side in there.shape)] = True
    z = int(marked.sum(axis=(1, 2)).argmax())
    return start[0] + z, marked[z], (start[1], start[2])


def _extent(grid: Grid, source: Grid) -> tuple[Shape, Shape]:
    """The part of the source grid that a grid lies in, at least one voxel."""
    corners = np.array([[*corner, 1.0] for corner in np.ndindex(2, 2, 2)]) * [*grid.shape, 1.0] - [0.5, 0.5, 0.5, 0.0]
    at = (np.linalg.inv(source.affine) @ grid.affine @ corners.T)[:3]
    low = np.clip(np.floor(at.min(axis=1) + 0.5).astype(int), 0, np.array(source.shape) - 1)
    high = np.clip(np.ceil(at.max(axis=1) + 0.5).astype(int), low + 1, np.array(source.shape))
    return (int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2]))


def _line(axes: Axes, top: int, left: int) -> Line:
    start, end = (Point(row=top + row, column=left + column) for row, column in (axes.start, axes.end))
    return Line(start=start, end=end)


def _softmax(values: Floats) -> Floats:
    """Over the first axis."""
    powers = np.exp(values - values.max(axis=0))
    shares: Floats = (powers / powers.sum(axis=0)).astype(np.float32)
    return shares
