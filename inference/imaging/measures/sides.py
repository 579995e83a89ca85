"""The two sides of a structure: their volumes together, and how much they differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inference import codes
from inference.codes import Code
from inference.findings import Measurement
from inference.imaging.judge.borders import borders_met
from inference.imaging.measures.measure import Concept, DescribedImages, Kind, SegmentedImages, Unmeasured
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

ASYMMETRY = Code("ASYMMETRY", "99HILUM", "Asymmetry of volumes, left less right")
OVER_THE_MEAN = Code("OVER-THE-MEAN", "99HILUM", "Left less right over the mean of both sides")
_SUM = Concept(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)
_INDEX = Concept(name=ASYMMETRY, unit=codes.PERCENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asymmetry:
    """Volume of both sides of a structure together, and the asymmetry of these volumes in per cent of their mean.

    `segments` are two: the left one, then the right one.
    """

    segments: tuple[str, ...]

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        left, right = self.segments
        return say("the asymmetry of {left} and {right}", left=f'"{left}"', right=f'"{right}"')

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return _SUM, _INDEX

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return False

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        return None

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`; of phases nothing."""
        found = {one.label: one for one in given.those(self.segments)}
        if set(found) != set(self.segments):
            yield Unmeasured(reason=say("not both sides were found"))
            return
        sides = [found[label] for label in self.segments]
        if any(borders_met(given.volume(one), one.mask) for one in sides):
            yield Unmeasured(reason=say("a side reaches the border of the images"))
            return
        left, right = (given.volume(one).volume_mm3(one.mask) / 1000 for one in sides)
        both = Measurement(name=_SUM.name, value=left + right, unit=_SUM.unit, total=sides[0].type, parts=self.segments)
        yield both
        index = 100 * (left - right) / ((left + right) / 2)
        yield Measurement(name=_INDEX.name, value=index, unit=_INDEX.unit, total=sides[0].type, parts=self.segments, method=OVER_THE_MEAN)


KINDS = (
    Kind(
        word="asymmetry",
        make=Asymmetry,
        says="Of each structure with a left and a right segment: the volume of both, and how much larger the left one is, in per cent.",
        method="Left less right, over the mean of both: above 0 the left side is larger.",
        needs="both sides, neither of which reaches the border of the images",
        pairs=True,
    ),
)
