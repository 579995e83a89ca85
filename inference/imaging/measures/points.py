"""Points of segments: the centroid, and the ends of diameters; they become places in the patient, which viewers show beside the numbers."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inference.codes import Code
from inference.findings import Location, PointInSpace, Segment, SegmentPoint
from inference.imaging.measures.lengths import is_axial, longest_axes, longest_ends
from inference.imaging.measures.measure import Concept, DescribedImages, Kind, Reals, SegmentedImages, Unmeasured
from inference.imaging.volume import Volume
from inference.segment_mask import box_of
from inference.translatable import Translatable, say

CENTER_OF_MASS = Code("128138", "DCM", "Center of Mass")
BOUNDARY_POINT = Code("128141", "DCM", "Boundary point")
CENTROID = Code("CENTROID", "99HILUM", "Centroid: mean place of the voxels, by the volume they stand for")
END_ON_ONE_SLICE = Code("AXIAL-END", "99HILUM", "End of the longest diameter on one axial slice")
END_IN_SPACE = Code("END", "99HILUM", "End of the longest diameter in space")
_LONGEST_LABEL = 64
_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsOfSegments(ABC):
    """Points of each segment: no numbers, but locations."""

    segments: tuple[str, ...]
    purpose: ClassVar[Code]
    method: ClassVar[Code]
    names: ClassVar[tuple[str, ...]]
    """How the label of each point begins; "of" and the segment's label follow."""

    @property
    @abstractmethod
    def words(self) -> Translatable:
        """As `Measure`."""

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`: no number."""
        return ()

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return False

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        return None

    def of(self, given: SegmentedImages) -> Iterator[Location | Unmeasured]:
        """As `Measure`."""
        for segment in given.those(self.segments):
            volume = given.volume(segment)
            if (against := self.against(given, volume)) is not None:
                yield Unmeasured(reason=against)
                return
            for name, (x, y, z) in zip(self.names, self._points(segment.mask, volume), strict=True):
                # what lies between two slices is on either
                at = volume.to_indices(np.array([x, y, z]))[0]
                yield Location(
                    label=_labelled(f"{name} of {segment.label}"),
                    finding=segment.type,
                    shape=PointInSpace(x=float(x), y=float(y), z=float(z)),
                    image=int(np.clip(np.floor(at + 0.5), 0, len(volume.voxels) - 1)),
                    finding_site=_site(segment),
                    laterality=segment.laterality,
                    point=SegmentPoint(segment=segment.label, purpose=self.purpose, method=self.method),
                )

    @abstractmethod
    def _points(self, mask: NDArray[np.bool_], volume: Volume) -> Sequence[Reals]:
        """Of a mask (Z, Y, X) with a voxel: (x, y, z) each, mm in LPS, as many as there are `names`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Centroid(PointsOfSegments):
    """The centroid of each segment; of a bent one it may lie outside of it."""

    purpose = CENTER_OF_MASS
    method = CENTROID
    names = ("centroid",)

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the centroid")

    def _points(self, mask: NDArray[np.bool_], volume: Volume) -> Sequence[Reals]:
        return [centroid(mask, volume)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AxialDiameterEnds(PointsOfSegments):
    """Both ends of the longest diameter of each segment on one axial slice: of `AxialDiameter`."""

    purpose = BOUNDARY_POINT
    method = END_ON_ONE_SLICE
    names = ("axial end 1", "axial end 2")

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the ends of the axial diameter")

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        return None if is_axial(volume) else say("the slices are not axial")

    def _points(self, mask: NDArray[np.bool_], volume: Volume) -> Sequence[Reals]:
        z, axes = longest_axes(mask, volume.spacing_mm[1:])
        # of a segment at the border an end may lie beyond it by a part of a pixel
        ends = (np.clip(end, 0, mask.shape[1:]) for end in (axes.start, axes.end))
        return [volume.to_patient(np.array([z, row - 0.5, column - 0.5])) for row, column in ends]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiameterEnds(PointsOfSegments):
    """Both ends of the longest diameter of each segment in space: of `LongestDiameter`."""

    purpose = BOUNDARY_POINT
    method = END_IN_SPACE
    names = ("end 1", "end 2")

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the ends of the longest diameter in space")

    def _points(self, mask: NDArray[np.bool_], volume: Volume) -> Sequence[Reals]:
        return longest_ends(mask, volume)


def centroid(mask: NDArray[np.bool_], volume: Volume) -> Reals:
    """The mean place (x, y, z), mm in LPS, of the voxels of a mask (Z, Y, X) that has one, each by the volume that it stands for."""
    box = box_of(mask)
    inside = mask[box]
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    # of each slice the mean place: the voxels themselves are many
    on_rows, on_columns = (np.count_nonzero(inside[slices], axis=axis) for axis in (2, 1))
    counts = on_rows.sum(axis=1)
    rows, columns = (by @ np.arange(by.shape[1]) / counts for by in (on_rows, on_columns))
    places = np.stack([slices, rows, columns], axis=1) + [each.start for each in box]
    weights = counts * volume.slice_shares[slices + box[0].start]
    return np.asarray(np.average(volume.to_patient(places), axis=0, weights=weights), dtype=np.float64)


def _site(segment: Segment) -> Code | None:
    """As reports about segments have it: a left kidney without a site lies where the left kidney is."""
    return segment.finding_site or (segment.type if segment.laterality else None)


def _labelled(text: str) -> str:
    """A label of its own, which fits: what is cut off is told apart by a digest of all of it."""
    if len(text) <= _LONGEST_LABEL:
        return text
    return f"{text[: _LONGEST_LABEL - _DIGITS - 1]} {hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"


KINDS = (
    Kind(
        word="centroid",
        make=Centroid,
        says="The centroid, as a point in the patient.",
        method="Mean place of the voxels, each by the volume it stands for, all parts together; of what is bent it may lie outside.",
    ),
    Kind(
        word="axial_diameter_ends",
        make=AxialDiameterEnds,
        says="Both ends of `axial_diameter`'s longest diameter, as points in the patient.",
        method="As `axial_diameter`: on the outer edges of the mask, on the slice where it is longest.",
        needs="axial slices",
    ),
    Kind(
        word="diameter_ends",
        make=DiameterEnds,
        says="Both ends of `diameter`, as points in the patient.",
        method="As `diameter`: on the middles of voxels' faces. Of pairs that are equally far apart it is one.",
    ),
)
