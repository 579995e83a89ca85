"""Standardized uptake of segments on PET: the largest value, and the peak, which noise moves less."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.codes import Code
from inference.findings import Measurement
from inference.imaging.measures.measure import ALL_PADDING, Concept, DescribedImages, Kind, Reals, SegmentedImages, Unmeasured
from inference.imaging.measures.quantity import UPTAKE, Quantity, Unknown
from inference.imaging.volume import Volume
from inference.segment_mask import Box, box_of
from inference.translatable import Translatable, say

MAXIMUM = Code("56851009", "SCT", "Maximum")
PEAK = Code("126031", "DCM", "Peak Value Within ROI")
BODY_WEIGHT = Code("126410", "DCM", "SUV body weight calculation method")
_WHOLE: Box = (slice(None), slice(None), slice(None))
SPHERE_MM3 = 1000.0
_RADIUS_MM = (SPHERE_MM3 * 3 / 4 / np.pi) ** (1 / 3)
_PARTS = 5
"""Parts along each axis in which a voxel is counted into a sphere."""
_LARGEST, _PEAK = (Concept(name=UPTAKE.name, unit=UPTAKE.unit, derivation=one) for one in (MAXIMUM, PEAK))


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfUptake:
    """What is measured of the SUV of segments."""

    segments: tuple[str, ...]

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return True

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        uptake = _uptake(images)
        return None if isinstance(uptake, Quantity) else uptake


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestUptake(_OfUptake):
    """SUVmax of each segment."""

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("SUVmax")

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return (_LARGEST,) if "PT" in modality else ()

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        uptake = _uptake(given)
        if not isinstance(uptake, Quantity):
            yield Unmeasured(reason=uptake)
            return
        for segment in given.those(self.segments):
            values, _ = given.values(segment, uptake)
            yield _said(_LARGEST, float(values.max()), segment.label) if values.size else Unmeasured(reason=ALL_PADDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakUptake(_OfUptake):
    """SUVpeak of each segment: the largest mean of a sphere of 1 cm³ around one of its voxels."""

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("SUVpeak")

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return (_PEAK,) if "PT" in modality else ()

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        uptake = _uptake(given)
        if not isinstance(uptake, Quantity):
            yield Unmeasured(reason=uptake)
            return
        for segment in given.those(self.segments):
            volume = given.volume(segment)
            found = peak_of(volume, segment.mask, given.padding(volume, _WHOLE))
            if found is None:
                yield Unmeasured(reason=say("no sphere of 1 cm³ around a part of it lies in evenly spaced images"))
            else:
                peak, of_all = found
                yield replace(_said(_PEAK, peak * uptake.factor, segment.label), at_least=not of_all)


def peak_of(volume: Volume, mask: NDArray[np.bool_], padding: NDArray[np.bool_] | None = None) -> tuple[float, bool] | None:
    """The largest mean of the voxels in a sphere of 1 cm³ around a voxel of a mask, and whether it is that of all such spheres; a voxel
    counts by its part in the sphere.

    Spheres that reach beyond the images, or into their padding, are left out: around what is no padding itself, the mean of one of them may
    have been larger. None where all are, or slices lie in unequal steps.
    """
    from scipy import ndimage

    if volume.steps is not None:
        return None
    sphere = _sphere(volume)
    reach = [side // 2 for side in sphere.shape]
    inner = tuple(slice(each, side - each) for each, side in zip(reach, mask.shape, strict=True))
    centres = np.zeros(mask.shape, dtype=np.bool_)
    centres[inner] = mask[inner]
    if not centres.any():
        return None
    box = box_of(centres)
    wide = tuple(slice(part.start - each, part.stop + each) for part, each in zip(box, reach, strict=True))
    means = ndimage.convolve(volume.voxels[wide].astype(np.float64), sphere, mode="nearest")
    chosen = centres[box]
    middle = tuple(slice(each, -each or None) for each in reach)
    if padding is not None:
        chosen = chosen & ~ndimage.binary_dilation(padding[wide], structure=sphere > 0)[middle]
    if not chosen.any():
        return None
    values = mask if padding is None else mask & ~padding
    return float(means[middle][chosen].max()), np.count_nonzero(chosen) == np.count_nonzero(values)


def _sphere(volume: Volume) -> Reals:
    """Shares of voxels in the sphere around the middle one, which add up to 1."""
    # to the last voxels of which the sphere holds a part, and no further: a sphere that only touches the border lies in the images
    reach = [max(0, int(np.ceil(_RADIUS_MM * step - 0.5))) for step in np.linalg.norm(np.linalg.inv(volume.affine[:3, :3]), axis=1)]
    fine = [(np.arange((2 * each + 1) * _PARTS) + 0.5) / _PARTS - each - 0.5 for each in reach]
    z, y, x = np.meshgrid(*fine, indexing="ij")
    inside = np.linalg.norm(np.stack([z, y, x], axis=-1) @ volume.affine[:3, :3].T, axis=-1) <= _RADIUS_MM
    sides = [2 * each + 1 for each in reach]
    shares: Reals = inside.reshape(sides[0], _PARTS, sides[1], _PARTS, sides[2], _PARTS).sum(axis=(1, 3, 5)).astype(np.float64)
    shares /= shares.sum()
    return shares


def _uptake(images: DescribedImages) -> Quantity | Translatable:
    """What the values are multiplied by to be SUVbw; or why nobody can say."""
    quantity = images.quantity
    if isinstance(quantity, Unknown):
        return quantity.reason
    return quantity if quantity.name == UPTAKE.name else say("these images are no PET")


def _said(concept: Concept, value: float, label: str) -> Measurement:
    return Measurement(name=concept.name, value=value, unit=concept.unit, derivation=concept.derivation, segment=label, method=BODY_WEIGHT)


_NEEDS = (
    "PET in Bq/ml with attenuation and decay correction (to the start of the series, or to the injection), PatientWeight, dose, half-life "
    "and time of the injection; or PET in g/ml by body weight"
)
KINDS = (
    Kind(
        word="suv_max",
        make=LargestUptake,
        says="SUVmax: the largest standardized uptake by body weight.",
        method="Activity concentration times weight over the dose that is left at the start of the series (QIBA).",
        needs=_NEEDS,
    ),
    Kind(
        word="suv_peak",
        make=PeakUptake,
        says="SUVpeak: the largest mean in a sphere of 1 cm³.",
        method="As `suv_max`; spheres around the segment's voxels, wholly in the images and without padding; a voxel counts by its part in "
        "the sphere. Where spheres had to be left out, the report says that it is at least this.",
        needs=_NEEDS,
    ),
)
