"""Statistics of the values of a segment's voxels: mean, standard deviation, and the share of its volume below or above a threshold."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inference import codes
from inference.codes import Code
from inference.findings import Measurement
from inference.imaging.measures.measure import ALL_PADDING, Concept, DescribedImages, Kind, Reals, SegmentedImages, Unmeasured
from inference.imaging.measures.quantity import DIFFUSION, OF_MODALITY, UPTAKE, Quantity, Unknown
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

STANDARD_DEVIATION = Code("386136009", "SCT", "Standard Deviation")
EVERY_VOXEL = Code("EVERY-VOXEL", "99HILUM", "Every voxel of the segment, by the volume it stands for")
FIXED_THRESHOLD = Code("FIXED-THRESHOLD", "99HILUM", "Fixed threshold on the values of the segment's voxels")


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfValues(ABC):
    """A number from the values of all voxels of each segment."""

    segments: tuple[str, ...]
    method: ClassVar[Code]

    @property
    @abstractmethod
    def words(self) -> Translatable:
        """As `Measure`."""

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return tuple(self._concept(one) for each in modality for one in OF_MODALITY.get(each, ()) if self._refused(one) is None)

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return True

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        quantity = images.quantity
        return quantity.reason if isinstance(quantity, Unknown) else self._refused(quantity)

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        for segment in given.those(self.segments):
            if (against := self.against(given, given.volume(segment))) is not None:
                yield Unmeasured(reason=against)
                return
            quantity = given.quantity
            assert not isinstance(quantity, Unknown), "it was asked before"
            said = self._concept(quantity)
            values, shares = given.values(segment, quantity)
            if not values.size:
                yield Unmeasured(reason=ALL_PADDING)
                continue
            yield Measurement(
                name=said.name,
                value=self._value(values, shares),
                unit=said.unit,
                derivation=said.derivation,
                method=self.method,
                segment=segment.label,
            )

    def _refused(self, quantity: Quantity) -> Translatable | None:
        """Why it is nothing of such values."""
        return None

    @abstractmethod
    def _concept(self, quantity: Quantity) -> Concept: ...

    @abstractmethod
    def _value(self, values: Reals, shares: Reals) -> float:
        """Of the values of a segment's voxels (N,), which stand for these shares of its volume (N,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(_OfValues):
    """Mean of the values of each segment."""

    method = EVERY_VOXEL

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the mean value")

    def _concept(self, quantity: Quantity) -> Concept:
        return Concept(name=quantity.name, unit=quantity.unit, derivation=codes.MEAN)

    def _value(self, values: Reals, shares: Reals) -> float:
        return float(np.average(values, weights=shares))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation(_OfValues):
    """Standard deviation of the values of each segment: of all that there are, not estimated from a sample."""

    method = EVERY_VOXEL

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the standard deviation of the values")

    def _concept(self, quantity: Quantity) -> Concept:
        return Concept(name=quantity.name, unit=quantity.unit, derivation=STANDARD_DEVIATION)

    def _value(self, values: Reals, shares: Reals) -> float:
        apart = values - np.average(values, weights=shares)
        return float(np.sqrt(np.average(apart * apart, weights=shares)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share(_OfValues):
    limit: float
    method = FIXED_THRESHOLD

    def _refused(self, quantity: Quantity) -> Translatable | None:
        return None if quantity.sign else say("the values of these images have no unit that a threshold could be in")

    def _named(self, sign: str, word: str, quantity: Quantity) -> Concept:
        """No published scheme has codes of thresholds; the value says which, so that only the same share of an earlier study stands
        beside it."""
        by_rule = ", by rule" if quantity.name == DIFFUSION.name else ""
        uptake = f"{UPTAKE.name.meaning} " if quantity.name == UPTAKE.name else ""
        meaning = f"Share of volume {word} {uptake}{self.limit:g} {codes.unit_sign(quantity.unit.value)}{by_rule}"
        return Concept(name=Code(f"{sign}{self.limit:g}-{quantity.sign}", "99HILUM", meaning), unit=codes.PERCENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareBelow(_Share):
    """Share of each segment's volume whose values are below a threshold, in per cent."""

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the share of the volume below {limit}", limit=f"{self.limit:g}")

    def _concept(self, quantity: Quantity) -> Concept:
        return self._named("LT", "below", quantity)

    def _value(self, values: Reals, shares: Reals) -> float:
        return 100 * float(shares[values < self.limit].sum() / shares.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareAbove(_Share):
    """Share of each segment's volume whose values are above a threshold, in per cent."""

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the share of the volume above {limit}", limit=f"{self.limit:g}")

    def _concept(self, quantity: Quantity) -> Concept:
        return self._named("GT", "above", quantity)

    def _value(self, values: Reals, shares: Reals) -> float:
        return 100 * float(shares[values > self.limit].sum() / shares.sum())


_UNITS = (
    "CT in HU (RescaleType), an ADC map (ImageType; its unit by RealWorldValueMappingSequence or RescaleType, and where none is stated by "
    "its values: 10⁻⁶, 10⁻³ or 1 mm²/s, of which the median is 300 to 2,900 × 10⁻⁶ mm²/s), or PET as of `suv_max`"
)
_OTHER = f"{_UNITS}; of other MR the signal in arbitrary units"
KINDS = (
    Kind(
        word="mean",
        make=Mean,
        says="Mean of the values: of CT the attenuation, of an ADC map the diffusion coefficient, of PET the SUV, of other MR the signal.",
        method="Every voxel of the segment counts by the volume it stands for; the images' own voxels, never interpolated ones, and "
        "without padding (PixelPaddingValue, PixelPaddingRangeLimit).",
        needs=_OTHER,
    ),
    Kind(
        word="deviation",
        make=Deviation,
        says="Standard deviation of the values.",
        method="As `mean`; of all voxels, divided by their number.",
        needs=_OTHER,
    ),
    Kind(
        word="share_below",
        make=ShareBelow,
        says="Share of the volume whose values are below a number, in per cent: `{share_below: -950}` in a lung.",
        method="Strictly below; nothing is smoothed or corrected before.",
        needs=_UNITS,
        limit="in HU, of an ADC map in 10⁻⁶ mm²/s, of PET in SUV",
    ),
    Kind(
        word="share_above",
        make=ShareAbove,
        says="Share of the volume whose values are above a number, in per cent.",
        method="Strictly above; as `share_below`.",
        needs=_UNITS,
        limit="in HU, of an ADC map in 10⁻⁶ mm²/s, of PET in SUV",
    ),
)
