"""Categories of lung cancer screening beside the Fleischner Society's rows: Lung-RADS v2022 as data, and which category holds.

Christensen J, Prosper AE, Wu CC and others: ACR Lung-RADS v2022: Assessment Categories and Management Recommendations. Journal of the
American College of Radiology 2024;21:473-488, doi 10.1016/j.jacr.2023.09.009; solid, part-solid and non-solid nodules at baseline,
growing and new. What a mask does not tell (calcium, fat, a place at the pleura or in an airway, spicules) changes categories and is not
known here; nor is what category a nodule had, by which one that is stable gets a lower one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum

from inference.applications.lung_nodule.follow_up import Density, MeasuredNodule
from inference.translatable import Translatable, say

SCREENED_YEARS = range(50, 81)
"""Ages of those who are screened, in completed years: US Preventive Services Task Force: Screening for Lung Cancer. JAMA 2021;325:962-970,
doi 10.1001/jama.2021.1117, which the categories go with. Of whom nobody knows the age nobody knows whether they are for."""
SOURCE = "ACR Lung-RADS v2022, J Am Coll Radiol 2024;21:473-488"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One category of nodules at baseline.

    Attributes
    ----------
    name
        "4A".
    managed
        What is recommended.
    """

    name: str
    managed: Translatable


BENIGN = Category(name="2", managed=say("low-dose CT at 12 months"))
PROBABLY_BENIGN = Category(name="3", managed=say("low-dose CT at 6 months"))
SUSPICIOUS = Category(name="4A", managed=say("low-dose CT at 3 months; PET/CT may be considered with 8 mm or more of solid"))
VERY_SUSPICIOUS = Category(name="4B", managed=say("diagnostic CT, PET/CT with 8 mm or more of solid, tissue sampling or referral"))
CATEGORIES = (BENIGN, PROBABLY_BENIGN, SUSPICIOUS, VERY_SUSPICIOUS)
"""From the least to the most suspicious."""


class Course(Enum):
    """What a prior CT tells of a nodule. `NEW`: it was not found there, and may have been missed; `UNKNOWN`: as at baseline."""

    UNKNOWN = "unknown"
    GROWING = "growing"
    NEW = "new"


_SOLID = ((Decimal(6), BENIGN), (Decimal(8), PROBABLY_BENIGN), (Decimal(15), SUSPICIOUS))
_SOLID_PART = ((Decimal(6), PROBABLY_BENIGN), (Decimal(8), SUSPICIOUS))
_GLASS = ((Decimal(30), BENIGN),)
_SOLID_GROWING = ((Decimal(8), SUSPICIOUS),)
_SOLID_NEW = ((Decimal(4), BENIGN), (Decimal(6), PROBABLY_BENIGN), (Decimal(8), SUSPICIOUS))
_SOLID_PART_CHANGED = ((Decimal(4), SUSPICIOUS),)
"""Of a solid part that is new or grows."""
_PART_SOLID_FROM = Decimal(6)
"""By mean diameters in mm: below each the category beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """The most suspicious nodule by size and density alone: its index, and the categories between which it lies, mostly one."""

    nodule: int
    least: Category
    most: Category

    @property
    def named(self) -> str:
        """ "4A", or "3 - 4A" where the solid part's mean diameter, or whether the nodule is new, is not known."""
        return self.least.name if self.least == self.most else f"{self.least.name} - {self.most.name}"


def mean_mm(one: MeasuredNodule) -> Decimal:
    """The size that the categories go by: the mean of both diameters, all to a tenth of a mm."""
    return _tenth((_tenth(one.long_mm) + _tenth(one.short_mm)) / 2)


def screened(nodules: Sequence[MeasuredNodule], courses: Sequence[Course] = ()) -> Screened | None:
    """The most suspicious nodule, of equals the largest; None where there is none.

    Parameters
    ----------
    courses
        Of each nodule, where there was a prior.
    """
    known = courses or [Course.UNKNOWN] * len(nodules)
    found = [(*_between(one, course), mean_mm(one), -index) for index, (one, course) in enumerate(zip(nodules, known, strict=True))]
    if not found:
        return None
    least, most, _, index = max(found, key=lambda each: (each[1], each[0], each[2], each[3]))
    return Screened(nodule=-index, least=CATEGORIES[least], most=CATEGORIES[most])


def _between(one: MeasuredNodule, course: Course) -> tuple[int, int]:
    """Places in `CATEGORIES`: by what a prior tells, where that is no less than at baseline. One that was not found before may be new."""
    least, most = _at_baseline(one)
    if course is Course.UNKNOWN or one.density is Density.GROUND_GLASS:
        return least, most  # ground glass has one row for all courses
    size = mean_mm(one)
    if one.density is Density.SOLID:
        changed = _below(size, _SOLID_GROWING if course is Course.GROWING else _SOLID_NEW, VERY_SUSPICIOUS)
        place = max(most, CATEGORIES.index(changed))
        return (place if course is Course.GROWING else least), place
    if course is Course.NEW and size < _PART_SOLID_FROM:
        return least, max(most, CATEGORIES.index(PROBABLY_BENIGN))
    # the whole or its solid part grew, or it is new; of the solid part only the longest diameter is known
    changed = _below(_tenth(min(one.solid_mm, one.long_mm)), _SOLID_PART_CHANGED, VERY_SUSPICIOUS)
    return least, max(most, CATEGORIES.index(changed))


def _at_baseline(one: MeasuredNodule) -> tuple[int, int]:
    """Places in `CATEGORIES`. Of a solid part the longest diameter is known; its mean is no larger, and no less than half of it."""
    size = mean_mm(one)
    if one.density is Density.SOLID:
        return (place := CATEGORIES.index(_below(size, _SOLID, VERY_SUSPICIOUS))), place
    if one.density is Density.GROUND_GLASS:
        return (place := CATEGORIES.index(_below(size, _GLASS, PROBABLY_BENIGN))), place
    if size < _PART_SOLID_FROM:
        return CATEGORIES.index(BENIGN), CATEGORIES.index(BENIGN)
    longest = _tenth(min(one.solid_mm, one.long_mm))
    least, most = (_below(_tenth(mean), _SOLID_PART, VERY_SUSPICIOUS) for mean in (longest / 2, longest))
    return CATEGORIES.index(least), CATEGORIES.index(most)


def _below(size: Decimal, limits: Sequence[tuple[Decimal, Category]], beyond: Category) -> Category:
    return next((category for limit, category in limits if size < limit), beyond)


def _tenth(mm: float | Decimal) -> Decimal:
    # by way of text: a float of 5.95 is a little less
    return Decimal(str(mm)).quantize(Decimal("0.1"), ROUND_HALF_UP)
