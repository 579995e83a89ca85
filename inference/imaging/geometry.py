"""Slice geometry: pure functions over planes, no files. One stack of parallel slices or a reason why not.

Only orientation and position count (PS3.3 C.7.6.2.1.1); never InstanceNumber, PatientPosition or SpacingBetweenSlices. A tilted gantry
shifts each slice sideways in proportion to its depth: the stack is sheared, and its affine says so. SliceThickness is asked in two places:
of a single slice, and of slices that are not evenly spaced, which are one stack where blocks of thinner and thicker slices leave no gap.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.imaging.bounds import refuse_extent, refuse_places
from inference.imaging.errors import (
    DuplicatePosition,
    FourDimensional,
    GantryTilt,
    Gap,
    IrregularSpacing,
    MissingAttribute,
    MixedOrientation,
    MixedShape,
    ShiftedSlices,
    naming,
)
from inference.imaging.volume import Affine

Reals: TypeAlias = NDArray[np.float64]

DIRECTION_TOLERANCE = 1e-3
"""Largest error of a direction cosine: the coarsest writers round to four decimals; 1e-3 moves the far edge of 500 pixels by half
a pixel."""

SAME_PLACE_MM = 0.01
"""Two slices nearer than this are one place: scanners round positions to 0.001 mm or finer, and none images slices so thin."""

OFF_GRID_STEPS = 0.1
"""How far, in slice steps, a slice may lie from where even spacing puts it: a tenth of a voxel is below what a mask can show, and
positions rounded to 0.1 mm at a spacing of 0.625 mm stay within it."""

SIDEWAYS_PIXELS = 0.25
"""How far, in pixels, slices may drift sideways over the stack: positions rounded to 0.1 mm stay within it, the least tilt
of a gantry (0.5 degrees) leaves it after a few slices."""

MOST_TILT_DEGREES = 35.0
"""Gantries tilt by 30 degrees at most; a stack that is sheared by more has wrong positions."""

NEAREST_BLOCKS_MM = 1.0
"""The least distance from one block of slices to the next: a stack that is resampled in finer steps than this grows beyond measure."""

MOST_GROWTH = 16
"""How many times as many planes as slices blocks may take when they are resampled evenly: 0.625 mm and 10 mm beside each other do."""

SAME_THICKNESS = 1e-2
"""Relative difference of SliceThickness up to which slices are of one block: writers round it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """The place of one image.

    Attributes
    ----------
    uid, frame
        SOP Instance UID; the 1-based frame in a multi-frame instance, else None.
    position
        ImagePositionPatient: centre of the first voxel, mm, LPS.
    orientation
        ImageOrientationPatient: direction of increasing column index, then of increasing row index.
    spacing
        PixelSpacing: distance between rows, then between columns, mm.
    thickness
        SliceThickness in mm.
    """

    uid: str
    frame: int | None
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing: tuple[float, float]
    rows: int
    columns: int
    thickness: float | None = None

    @property
    def name(self) -> str:
        """How messages name it."""
        return self.uid if self.frame is None else f"{self.uid} frame {self.frame}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesGeometry:
    """The order of the planes along the normal, and the affine of the stack.

    Attributes
    ----------
    order
        Indices into the planes, sorted along the normal (row direction x column direction), so that the axes (column, row, slice) are
        right-handed. Because `affine` takes (z, y, x), its columns are reversed and its determinant is negative.
    affine
        (4, 4), array indices (z, y, x, 1) to mm (LPS). Its last two columns are exactly perpendicular; so is the first to both, unless the
        gantry was tilted.
    steps
        As `Volume.steps`.
    """

    order: tuple[int, ...]
    affine: Affine
    steps: tuple[float, ...] | None = None


def series_geometry(planes: Sequence[Plane]) -> SeriesGeometry:
    """Sort the planes of one series and measure their spacing.

    Raises
    ------
    InputError
        One of BeyondMeasure, MissingAttribute, MixedOrientation, MixedShape, FourDimensional, DuplicatePosition, GantryTilt,
        ShiftedSlices, Gap, IrregularSpacing: the first that holds, in this order; BeyondMeasure again of the stack as a whole.
    """
    across, down = _directions(planes)
    _same_shape(planes)
    normal = np.cross(across, down)
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    depth: Reals = positions @ normal
    order = _order(planes, depth)
    stack = [planes[index] for index in order]
    positions, depth = positions[order], depth[order]
    _one_image_a_place(stack, depth)
    slope: Reals = np.zeros(3)
    steps: Reals | None = None
    if len(stack) == 1:
        spacing = _thickness(stack[0])
    else:
        slope = _slope(stack, positions, depth, normal)
        spacing, steps = _spacing(stack, depth)
    # the best fit to all positions: rounded ones then err by half of what they would against the first alone
    step = (normal + slope) * spacing
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = down * stack[0].spacing[0]
    affine[:3, 2] = across * stack[0].spacing[1]
    affine[:3, 3] = positions.mean(axis=0) - step * ((len(stack) - 1) / 2 if steps is None else steps.mean())
    refuse_extent(affine, (len(stack), stack[0].rows, stack[0].columns), stack[0].name)
    return SeriesGeometry(order=tuple(order), affine=affine, steps=None if steps is None else tuple(map(float, steps)))


def places_of(planes: Sequence[Plane]) -> list[tuple[int, ...]]:
    """Indices of the planes at each depth along the normal, from the first to the last.

    Raises
    ------
    BeyondMeasure, MissingAttribute, MixedOrientation
        The planes are not parallel, or nowhere.
    """
    across, down = _directions(planes)
    depth: Reals = np.array([plane.position for plane in planes], dtype=np.float64) @ np.cross(across, down)
    order = _order(planes, depth)
    apart = np.flatnonzero(np.diff(depth[order]) >= SAME_PLACE_MM) + 1
    return [tuple(map(int, place)) for place in np.split(np.array(order), apart)]


def missing_slices(depths_mm: Sequence[float], thicknesses_mm: Sequence[float] = ()) -> int:
    """How many slices are missing between others; 0 where nothing is, or where they lie otherwise than evenly, or evenly in blocks.

    Parameters
    ----------
    depths_mm
        Places along the normal, in any order.
    thicknesses_mm
        SliceThickness of each, above zero; () where that is not known of all.
    """
    order = np.argsort(np.array(depths_mm, dtype=np.float64), kind="stable")
    depth: Reals = np.array(depths_mm, dtype=np.float64)[order]
    thick: Reals = np.array(thicknesses_mm or np.zeros(len(depth)), dtype=np.float64)[order]
    places = np.concatenate([[True], np.diff(depth) >= SAME_PLACE_MM])
    return sum((_lost(depth[places], thick[places]) or {}).values()) if len(depth) else 0


def _lost(depth: Reals, thick: Reals) -> dict[int, int] | None:
    """After which slices others are missing, and how many at least; None where that does not explain the distances between them.

    Slices of one thickness, or of no known one, are evenly spaced but for that; so are those of each block, and from block to block the
    last and the first slice touch or overlap, by their own thickness: 4 mm through the skull base, 7 mm above.
    """
    ends = np.flatnonzero(np.abs(np.diff(thick)) > SAME_THICKNESS * thick[:-1]) + 1 if thick.min() > 0 else np.array([], dtype=np.intp)
    lost: dict[int, int] = {}
    for first, block in zip((0, *map(int, ends)), np.split(depth, ends), strict=True):
        within = _lost_evenly(block) if len(block) > 1 else None
        if within is None:
            return None
        lost |= {first + index: count for index, count in within.items()}
    for end in map(int, ends):
        between, touching = float(depth[end] - depth[end - 1]), float(thick[end - 1] + thick[end]) / 2
        if between < NEAREST_BLOCKS_MM:
            return None
        if between > touching * (1 + OFF_GRID_STEPS):
            lost[end - 1] = math.ceil((between - touching) / float(thick[end - 1 : end + 1].max()))
    return lost


def _lost_evenly(depth: Reals) -> dict[int, int] | None:
    """`_lost`, of slices that are evenly spaced but for that."""
    if _even_spacing(depth) is not None:
        return {}
    gaps = np.diff(depth)
    usual = float(np.median(gaps))
    multiples = np.round(gaps / usual)
    regular = np.abs(gaps - multiples * usual) <= OFF_GRID_STEPS * usual
    if not bool(np.all(regular & (multiples >= 1))) or not bool(np.any(multiples > 1)):
        return None
    return {index: int(multiples[index]) - 1 for index in map(int, np.flatnonzero(multiples > 1))}


def _order(planes: Sequence[Plane], depth: Reals) -> list[int]:
    """Along the normal; the names break ties, so that the order never depends on the order of the files."""
    return sorted(range(len(planes)), key=lambda index: (depth[index], planes[index].uid, planes[index].frame or 0))


def _same_shape(planes: Sequence[Plane]) -> None:
    for plane in planes:
        if min(plane.spacing) <= 0:
            raise MissingAttribute(f"PixelSpacing of {plane.name} is {plane.spacing[0]:g} x {plane.spacing[1]:g} mm, not above zero")
    first = planes[0]
    others = [plane for plane in planes if (plane.rows, plane.columns) != (first.rows, first.columns)]
    if others:
        raise MixedShape(
            f"{len(others)} of {len(planes)} images have other rows and columns than {first.rows} x {first.columns} "
            f"(first: {others[0].rows} x {others[0].columns}): {naming(p.name for p in others)}"
        )
    # a relative error of 1e-3 moves the far edge of 500 pixels by half a pixel
    others = [plane for plane in planes if not np.allclose(plane.spacing, first.spacing, rtol=DIRECTION_TOLERANCE, atol=0)]
    if others:
        raise MixedShape(
            f"{len(others)} of {len(planes)} images have another pixel spacing than {first.spacing[0]:g} x {first.spacing[1]:g} mm "
            f"(first: {others[0].spacing[0]:g} x {others[0].spacing[1]:g} mm): {naming(p.name for p in others)}"
        )


def _directions(planes: Sequence[Plane]) -> tuple[Reals, Reals]:
    """The common row and column direction, made exactly orthonormal."""
    refuse_places(planes)
    all_directions = np.array([plane.orientation for plane in planes], dtype=np.float64)
    across, down = all_directions[:, :3], all_directions[:, 3:]
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.max(
            np.abs([np.linalg.norm(across, axis=1) - 1, np.linalg.norm(down, axis=1) - 1, np.einsum("ij,ij->i", across, down)]), axis=0
        )
    # the error of numbers that are too large for their squares is no number
    wrong = [planes[int(index)].name for index in np.flatnonzero(~(error <= DIRECTION_TOLERANCE))]
    if wrong:
        raise MissingAttribute(f"ImageOrientationPatient is not two perpendicular unit vectors in {naming(wrong)}")
    differs = np.max(np.abs(all_directions - all_directions[0]), axis=1) > DIRECTION_TOLERANCE
    if differs.any():
        # the smaller group is named: it is what a person will look for
        minority = differs if differs.sum() * 2 <= len(planes) else ~differs
        normals = np.cross(across, down)
        odd, usual = int(np.flatnonzero(minority)[0]), int(np.flatnonzero(~minority)[0])
        angle = math.degrees(math.acos(float(np.clip(normals[odd] @ normals[usual], -1, 1))))
        raise MixedOrientation(
            f"{int(minority.sum())} of {len(planes)} images are oriented differently from the others (slice normals {angle:.1f} degrees "
            f"apart): {naming(planes[int(index)].name for index in np.flatnonzero(minority))}"
        )
    # the mean, so that the first file has no say
    row, column = across.mean(axis=0), down.mean(axis=0)
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)


def _one_image_a_place(stack: Sequence[Plane], depth: Reals) -> None:
    """Refuse several images at one depth: all positions alike is a fourth dimension, else some are repeated."""
    apart = np.flatnonzero(np.diff(depth) >= SAME_PLACE_MM) + 1
    if len(apart) == len(stack) - 1:
        return
    places = np.split(np.arange(len(stack)), apart)
    counts = {len(place) for place in places}
    crowded = next(place for place in places if len(place) > 1)
    names = naming(stack[int(index)].name for index in crowded)
    if len(counts) == 1:
        raise FourDimensional(f"{counts.pop()} images at each of {len(places)} position{'s'[: len(places) > 1]}, for example {names}")
    repeated = sum(1 for place in places if len(place) > 1)
    raise DuplicatePosition(
        f"{repeated} of {len(places)} positions hold several images; at {_mm(stack[crowded[0]].position)} lie {len(crowded)}: {names}"
    )


def _thickness(alone: Plane) -> float:
    if alone.thickness is None or alone.thickness <= 0:
        raise MissingAttribute(f"a single slice needs its SliceThickness, which {alone.name} does not give")
    return alone.thickness


def _slope(stack: Sequence[Plane], positions: Reals, depth: Reals, normal: Reals) -> Reals:
    """How far the slices shift sideways for each mm along the normal, (3,): nothing, unless the gantry was tilted."""
    allowed = SIDEWAYS_PIXELS * min(stack[0].spacing)
    off = positions - positions[0]
    sideways = off - (off @ normal)[:, None] * normal
    if float(np.linalg.norm(sideways, axis=1).max()) <= allowed:
        return np.zeros(3)
    # a tilted gantry shifts in proportion to the depth, whatever the spacing
    deep, aside = depth - depth.mean(), sideways - sideways.mean(axis=0)
    slope: Reals = deep @ aside / (deep @ deep)
    if float(np.linalg.norm(aside - deep[:, None] * slope, axis=1).max()) > allowed:
        worst = int(np.argmax(np.linalg.norm(np.diff(sideways, axis=0), axis=1)))
        shift = float(np.linalg.norm(sideways[worst + 1] - sideways[worst]))
        raise ShiftedSlices(f"{stack[worst + 1].name} lies {shift:.1f} mm sideways of its neighbour {stack[worst].name}")
    angle = math.degrees(math.atan(float(np.linalg.norm(slope))))
    if angle > MOST_TILT_DEGREES:
        raise GantryTilt(
            f"the slices are sheared by {angle:.1f} degrees ({np.linalg.norm(sideways[-1]):.1f} mm over the stack), from {stack[0].name} "
            f"to {stack[-1].name}; a gantry tilts by 30 at most"
        )
    return slope


def _spacing(stack: Sequence[Plane], depth: Reals) -> tuple[float, Reals | None]:
    """The distance from one slice to the next in mm, along the normal; of slices in blocks the mean one, and where each slice lies."""
    spacing = _even_spacing(depth)
    if spacing is not None:
        return spacing, None
    gaps = np.diff(depth)
    lost = _lost(depth, np.array([plane.thickness or 0.0 for plane in stack]))
    if lost:
        missing, others = sum(lost.values()), np.delete(gaps, list(lost))
        usual = (
            f"a spacing of {np.median(gaps):.2f} mm"
            if np.ptp(others) <= OFF_GRID_STEPS * others.min()
            else f"spacings of {others.min():.2f} to {others.max():.2f} mm"
        )
        where = [f"{stack[i].name} and {stack[i + 1].name} ({gaps[i]:.2f} mm)" for i in lost]
        raise Gap(f"{'1 slice is' if missing == 1 else f'{missing} slices are'} missing at {usual}: between {naming(where)}")
    if lost is not None and float(depth[-1] - depth[0]) <= MOST_GROWTH * len(stack) * float(gaps.min()):
        mean = float(depth[-1] - depth[0]) / (len(stack) - 1)
        return mean, (depth - depth[0]) / mean
    mostly = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - mostly)))
    raise IrregularSpacing(
        f"the distance between slices varies from {gaps.min():.2f} to {gaps.max():.2f} mm (mostly {mostly:.2f} mm); "
        f"it is {gaps[worst]:.2f} mm between {stack[worst].name} and {stack[worst + 1].name}"
    )


def _even_spacing(depth: Reals) -> float | None:
    """The one distance between slices; None where it varies."""
    index = np.arange(len(depth)) - (len(depth) - 1) / 2
    spacing = float(index @ depth / (index @ index))
    return spacing if float(np.abs(depth - depth.mean() - spacing * index).max()) <= OFF_GRID_STEPS * spacing else None


def _mm(position: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in position) + ") mm"
