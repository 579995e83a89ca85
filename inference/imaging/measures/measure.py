"""What a measure is: a measurement that an application declares of its segments, what it is given, and how it says that it cannot be made.

Each family has a file of its own beside this one, with a `Kind` for each of its measures; `measuring` knows them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.codes import Code
from inference.findings import Findings, Location, Measurement, Segment
from inference.imaging.measures.quantity import Padding, Quantity, Unknown, quantity_of
from inference.imaging.subject import Phases, Subject, volume_of
from inference.imaging.volume import Volume
from inference.segment_mask import Box
from inference.translatable import Translatable, say

Reals: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """What a number may be called: name, unit and derivation, as in `Measurement`."""

    name: Code
    unit: Code
    derivation: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A measurement that cannot be made, and why, in words that follow "was not measured:"."""

    reason: Translatable


ALL_PADDING = say("all voxels of a segment are padding")


class Measure(Protocol):
    """One measurement, declared of the segments that it names by their labels."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The labels of the segments that are measured."""

    @property
    def words(self) -> Translatable:
        """What is measured, in the middle of a sentence ("the mean value")."""

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """All that it may say of images of these modalities, for the manifest."""

    @property
    def of_values(self) -> bool:
        """Whether it needs to know what the values of the images are."""

    def against(self, images: "DescribedImages", volume: Volume) -> Translatable | None:
        """Why nothing of such images is measured, whatever segments there are; None: nothing is against it.

        `volume` is how the images lie: its voxels are not looked at.
        """

    def of(self, given: "SegmentedImages") -> Iterator[Measurement | Location | Unmeasured]:
        """Measure those of its segments that are there."""


class DescribedImages(Protocol):
    """What the headers of images say: as `SegmentedImages`."""

    @property
    def headers(self) -> Sequence[Dataset]:
        """Of the instances that the volume was made of."""

    @property
    def quantity(self) -> Quantity | Unknown:
        """What the values of the images are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A measure as it is declared.

    Attributes
    ----------
    word
        As app.yaml names it.
    make
        Its class: a `Measure` of labels of segments, and of its number where it has one.
    says, method
        What it is, and how it is computed; for the reference.
    needs
        What it needs of the images and their headers; without it, the report says that it was not measured, and why.
    limit
        What its number is ("in HU"); "" of a measure without one.
    pairs
        It compares two sides: it is made of each pair of segments of one code, left and right.
    tissue
        SNOMED CT codes of the segments that it is made of, at the vertebra that it is declared with; none of another measure.
    """

    word: str
    make: type[Any]
    says: str
    method: str
    needs: str = "nothing"
    limit: str = ""
    pairs: bool = False
    tissue: frozenset[str] = frozenset()


class SegmentedImages:
    """What is measured: segments on the grid of the images as they were acquired, and the headers of those images.

    Parameters
    ----------
    headers
        Of the instances that the volume was made of; of several volumes, of the reference's.
    """

    def __init__(self, subject: Subject, headers: Sequence[Dataset], findings: Findings) -> None:
        self._subject = subject
        self.headers = headers
        self._segments = findings.segments
        self._padding = Padding(headers)

    @cached_property
    def quantity(self) -> Quantity | Unknown:
        """What the values of the images are."""
        volume = volume_of(self._subject)
        assert volume is not None, "a segment has a place in space"
        return quantity_of(volume, self.headers)

    def those(self, labels: Sequence[str]) -> list[Segment]:
        """The segments of these labels that have a voxel; of phases that of each phase."""
        named = [*labels] if not isinstance(self._subject, Phases) else None
        there = (one for one in self._segments if one.has_voxels)
        return [one for one in there if (one.label in named if named is not None else one.label.rsplit(", phase ", 1)[0] in labels)]

    def volume(self, segment: Segment) -> Volume:
        """The volume that a segment lies on."""
        if isinstance(self._subject, Phases) and segment.phase is not None:
            return self._subject.volumes[segment.phase]
        volume = volume_of(self._subject)
        assert volume is not None, "a segment has a place in space"
        return volume

    def values(self, segment: Segment, quantity: Quantity) -> tuple[Reals, Reals]:
        """The values of a segment's voxels in the unit of the quantity, and how much of the volume each voxel stands for (mean 1); padding
        is left out."""
        volume, (box, inside) = self.volume(segment), segment.inside
        padding = self.padding(volume, box)
        if padding is not None:
            inside = inside & ~padding
        shares = np.broadcast_to(volume.slice_shares[box[0], None, None], inside.shape)[inside]
        return volume.voxels[box][inside].astype(np.float64) * quantity.factor, shares

    def padding(self, volume: Volume, box: Box) -> NDArray[np.bool_] | None:
        """Which voxels (z, y, x) of a box of a volume are padding; None where the headers of its slices name none."""
        return self._padding.among(volume, box[0], volume.voxels[box])
