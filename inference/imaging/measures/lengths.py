"""Diameters of segments: the longest on one axial slice with the widest across it, and the longest in space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.codes import Code
from inference.findings import Measurement
from inference.imaging.diameters import Axes, axes_of
from inference.imaging.measures.measure import Concept, DescribedImages, Kind, Reals, SegmentedImages, Unmeasured
from inference.imaging.volume import Volume
from inference.segment_mask import box_of
from inference.translatable import Translatable, say

LONGEST = Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")
ON_ONE_SLICE = Code("LARGEST-SLICE", "99HILUM", "Axial slice with the longest diameter, from outer to outer edge")
FACES = Code("VOXEL-FACES", "99HILUM", "Between the middles of the outermost faces of voxels")
_LONG, _SHORT = (Concept(name=name, unit=codes.MILLIMETRE) for name in (codes.LONG_AXIS, codes.SHORT_AXIS))
_IN_SPACE = Concept(name=LONGEST, unit=codes.MILLIMETRE)
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AxialDiameter:
    """Longest diameter of each segment on one axial slice, and the widest one across it."""

    segments: tuple[str, ...]

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the axial diameter")

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return _LONG, _SHORT

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return False

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        return None if is_axial(volume) else say("the slices are not axial")

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        for segment in given.those(self.segments):
            volume = given.volume(segment)
            if (against := self.against(given, volume)) is not None:
                yield Unmeasured(reason=against)
                return
            _, axes = longest_axes(segment.mask, volume.spacing_mm[1:])
            for said, value in ((_LONG, axes.long_mm), (_SHORT, axes.short_mm)):
                yield Measurement(name=said.name, value=value, unit=said.unit, segment=segment.label, method=ON_ONE_SLICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestDiameter:
    """Longest diameter of each segment in space."""

    segments: tuple[str, ...]

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the longest diameter in space")

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return (_IN_SPACE,)

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return False

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        return None

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        for segment in given.those(self.segments):
            one, other = longest_ends(segment.mask, given.volume(segment))
            length_mm = float(np.linalg.norm(one - other))
            yield Measurement(name=LONGEST, value=length_mm, unit=codes.MILLIMETRE, segment=segment.label, method=FACES)


def longest_axes(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> tuple[int, Axes]:
    """The slice of a mask (Z, Y, X) that has the longest diameter, and both diameters on it, by places of the whole slice; of equals the
    first."""
    box = box_of(mask)
    planes = ((z, axes_of(plane, spacing_mm)) for z, plane in enumerate(mask[box], box[0].start) if plane.any())
    z, axes = max(planes, key=lambda each: each[1].long_mm)
    top, left = box[1].start, box[2].start
    start, end = ((row + top, column + left) for row, column in (axes.start, axes.end))
    return z, replace(axes, start=start, end=end)


def longest_ends(mask: NDArray[np.bool_], volume: Volume) -> tuple[Reals, Reals]:
    """The two points (x, y, z), mm in LPS, that are farthest apart on the surface of a mask (Z, Y, X), which marching cubes puts on the
    middles of voxels' faces; of equals the first pair."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import cdist

    ends = _ends_of_rows(mask)
    beyond = np.concatenate([ends + step for axis in np.eye(3) for step in (axis / 2, -axis / 2)])
    places = volume.to_patient(beyond)
    corners = places[ConvexHull(places).vertices]
    farthest, pair = -1.0, (0, 0)
    # a few at a time: all pairs of a large body's corners are a gigabyte
    for at in range(0, len(corners), _AT_ONCE):
        apart = cdist(corners[at : at + _AT_ONCE], corners[at:])
        one, other = np.unravel_index(int(apart.argmax()), apart.shape)
        if apart[one, other] > farthest:
            farthest, pair = float(apart[one, other]), (at + int(one), at + int(other))
    return corners[pair[0]], corners[pair[1]]


def _ends_of_rows(mask: NDArray[np.bool_]) -> Reals:
    """(N, 3): the first and the last voxel of each row; whatever else is marked lies between them."""
    box = box_of(mask)
    inside = mask[box]
    z, y = np.nonzero(inside.any(axis=2))
    rows = inside[z, y]
    first, last = rows.argmax(axis=1), inside.shape[2] - 1 - rows[:, ::-1].argmax(axis=1)
    corner = np.array([each.start for each in box])
    ends: Reals = np.concatenate([np.stack([z, y, x], axis=1) for x in (first, last)]) + corner.astype(np.float64)
    return ends


def is_axial(volume: Volume) -> bool:
    """Whether the normal of the slices is nearest to the patient's long axis."""
    normal = np.cross(volume.affine[:3, 1], volume.affine[:3, 2])
    return int(np.abs(normal).argmax()) == 2


KINDS = (
    Kind(
        word="axial_diameter",
        make=AxialDiameter,
        says="Longest diameter on one axial slice, and the widest one across it.",
        method="Of all slices the one where it is longest, from outer edge to outer edge of the mask, all of its parts together: of "
        "several lesions in one segment it is how far they lie apart.",
        needs="axial slices",
    ),
    Kind(
        word="diameter",
        make=LongestDiameter,
        says="Longest diameter in space.",
        method="Between the middles of the outermost faces of voxels, where a mesh by marching cubes has its vertices (IBSI L0JK); all "
        "parts together.",
    ),
)
