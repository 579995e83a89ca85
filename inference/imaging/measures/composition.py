"""Muscle and fat at a vertebra: the area of their segments on one axial slice, of the voxels whose attenuation is that of the tissue.

Which attenuation that is, Mitsiopoulos N and others say: Cadaver validation of skeletal muscle measurement by magnetic resonance imaging
and computerized tomography. Journal of Applied Physiology 1998;85:115-122. One slice stands for the whole body by Shen W and others: Total
body skeletal muscle and adipose tissue volumes: estimation from a single abdominal cross-sectional image. Journal of Applied Physiology
2004;97:2333-2338.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inference.codes import Code
from inference.findings import Measurement, Segment
from inference.imaging.measures.lengths import is_axial
from inference.imaging.measures.measure import Concept, DescribedImages, Kind, SegmentedImages, Unmeasured
from inference.imaging.measures.points import centroid
from inference.imaging.measures.quantity import HOUNSFIELD, Unknown
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

SQUARE_CENTIMETRE = Code("cm2", "UCUM", "square centimeter")
MUSCLE_HU, FAT_HU = (-29, 150), (-190, -30)
"""Both ends belong to it."""
_CERVICAL = ("14806007", "39976000", "113205007", "5329002", "36978003", "36054005", "87391001")
_THORACIC = (
    *("64864005", "53733008", "1626008", "73071006", "56401006", "45296009", "62487009"),
    *("11068009", "82687006", "7610001", "12989004", "23215003"),
)
_LUMBAR = ("66794005", "14293000", "36470004", "11994002", "49668003")
LEVELS: Mapping[str, str] = {
    f"{part}{number}": code
    for part, listed in zip("CTL", (_CERVICAL, _THORACIC, _LUMBAR), strict=True)
    for number, code in enumerate(listed, 1)
}
"""SNOMED CT codes of the vertebrae (CID 7603)."""
MUSCLES = frozenset(
    {
        *("127954009", "71616004", "91727004"),  # skeletal muscle, muscle
        *("244849004", "68455001"),  # deep muscle of back, iliopsoas
        *("181674001", "78333006", "75297007"),  # gluteus maximus, medius, minimus
    }
)
FATS = frozenset({"67769002", "55603005", "256674009"})
"""Codes of segments that are muscle, and of such that are fat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _AreaAtVertebra(ABC):
    """Area of each segment of a tissue on the axial slice at the middle of a vertebra.

    Attributes
    ----------
    segments
        The labels of the tissue's.
    vertebra
        That of the vertebra's.
    level
        Which one it is ("L3").
    """

    segments: tuple[str, ...]
    vertebra: str
    level: str
    window_hu: ClassVar[tuple[int, int]]
    tissue: ClassVar[str]
    method: ClassVar[Code]

    @property
    @abstractmethod
    def words(self) -> Translatable:
        """As `Measure`."""

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return (self._concept,) if "CT" in modality else ()

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return True

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        quantity = images.quantity
        if isinstance(quantity, Unknown):
            return quantity.reason
        if quantity.name != HOUNSFIELD.name:
            return say("these images are no CT")
        return None if is_axial(volume) else say("the slices are not axial")

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        bones = given.those((self.vertebra,))
        for segment in given.those(self.segments):
            volume = given.volume(segment)
            if (against := self.against(given, volume)) is not None:
                yield Unmeasured(reason=against)
                return
            # over time each phase has a vertebra of its own
            bone = next((one for one in bones if one.phase == segment.phase), None)
            if bone is None:
                yield Unmeasured(reason=say("the vertebra {level} was not found", level=self.level))
                return
            if bone.mask[0].any() or bone.mask[-1].any():
                yield Unmeasured(reason=say("the vertebra {level} reaches the first or the last image", level=self.level))
                return
            yield self._area(given, segment, volume, middle_slice(bone, volume))

    def _area(self, given: SegmentedImages, segment: Segment, volume: Volume, z: int) -> Measurement | Unmeasured:
        plane, place = segment.mask[z], (slice(z, z + 1), slice(None), slice(None))
        if not plane.any():
            return Unmeasured(reason=say("none of it lies on the slice of the vertebra {level}", level=self.level))
        values, (low, high) = volume.voxels[z], self.window_hu
        counted = plane & (values >= low) & (values <= high)
        padding = given.padding(volume, place)
        if padding is not None:
            counted &= ~padding[0]
        _, row_mm, column_mm = volume.spacing_mm
        said = self._concept
        return Measurement(
            name=said.name,
            value=int(np.count_nonzero(counted)) * row_mm * column_mm / 100,
            unit=said.unit,
            method=self.method,
            segment=segment.label,
            # what goes on beyond the field of view is not in the area
            at_least=bool(plane[[0, -1]].any() or plane[:, [0, -1]].any()),
        )

    @property
    def _concept(self) -> Concept:
        """No published scheme has codes of areas at a vertebra; the value says which, so that only the area at the same one of an earlier
        study stands beside it."""
        name = Code(f"{self.tissue.upper()}-AREA-{self.level}", "99HILUM", f"Area of {self.tissue} at {self.level}")
        return Concept(name=name, unit=SQUARE_CENTIMETRE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MuscleArea(_AreaAtVertebra):
    """Area of muscle at a vertebra."""

    window_hu = MUSCLE_HU
    tissue = "muscle"
    method = Code("MUSCLE-HU", "99HILUM", "-29 to 150 HU on the axial slice at the vertebra's centroid")

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the area of muscle at {level}", level=self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class FatArea(_AreaAtVertebra):
    """Area of fat at a vertebra."""

    window_hu = FAT_HU
    tissue = "fat"
    method = Code("FAT-HU", "99HILUM", "-190 to -30 HU on the axial slice at the vertebra's centroid")

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the area of fat at {level}", level=self.level)


def middle_slice(bone: Segment, volume: Volume) -> int:
    """The slice that the centroid of a segment lies nearest to."""
    return int(np.floor(volume.to_indices(centroid(bone.mask, volume))[0] + 0.5))


_NEEDS = (
    "axial CT in HU, a segment of this vertebra that reaches neither the first nor the last image, and segments with a code of {tissue}"
)
KINDS = (
    Kind(
        word="muscle_area",
        make=MuscleArea,
        says="Area of each segment of muscle at a vertebra, in cm²: `{muscle_area: L3}`.",
        method="Voxels of the segment from -29 to 150 HU (Mitsiopoulos 1998) on the slice at the centroid of the vertebra (Shen 2004); "
        "at least this, where it reaches the border of the image.",
        needs=_NEEDS.format(tissue="muscle"),
        tissue=MUSCLES,
    ),
    Kind(
        word="fat_area",
        make=FatArea,
        says="Area of each segment of fat at a vertebra, in cm²: `{fat_area: L3}`.",
        method="As `muscle_area`, from -190 to -30 HU.",
        needs=_NEEDS.format(tissue="fat"),
        tissue=FATS,
    ),
)
