"""Follow-up of incidental lung nodules as the Fleischner Society recommends it: its table of 2017 as data, and which row holds.

MacMahon H, Naidich DP, Goo JM and others: Guidelines for Management of Incidental Pulmonary Nodules Detected on CT Images: From the
Fleischner Society 2017. Radiology 2017;284:228-243, doi 10.1148/radiol.2017161659; table 1, and recommendation 4 for solid parts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from inference.codes import Code
from inference.translatable import Translatable, say


class Density(Enum):
    """What a nodule hides of the lung behind it."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"


SOURCE = "Fleischner Society 2017, Radiology 2017;284:228-243"
SCHEME = "99HILUM"
"""No published scheme has codes for the rows: they are this project's own."""
YOUNGEST_YEARS = 35
LARGEST_MM = 30
"""What is larger is a mass, and no nodule."""

_SMALL, _MIDDLE, _LARGE, _ANY = range(6), range(6, 9), range(9, LARGEST_MM + 1), range(LARGEST_MM + 1)
_FROM_6 = range(6, LARGEST_MM + 1)
_SUBSOLID = frozenset({Density.GROUND_GLASS, Density.PART_SOLID})

_NONE = say("no routine follow-up")
_OPTIONAL = say("optional CT at 12 months")
_YEARS_2_4 = say("CT at 3-6 months; if stable, consider CT at 2 and 4 years")


class MeasuredNodule(Protocol):
    """What of a nodule decides: `solid_mm` is the longest diameter of its solid part."""

    @property
    def density(self) -> Density: ...
    @property
    def long_mm(self) -> float: ...
    @property
    def short_mm(self) -> float: ...
    @property
    def solid_mm(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    several
        Whether it is for several nodules of these densities, or for a single one.
    sizes_mm, solid_mm
        The nodule's average diameter and the longest one of its solid part, in whole mm.
    low_risk, high_risk
        What is recommended: which risk the patient has is for the reader to say.
    """

    code: Code
    several: bool
    densities: frozenset[Density]
    sizes_mm: range
    low_risk: Translatable
    high_risk: Translatable
    solid_mm: range = _ANY

    @property
    def recommended(self) -> Translatable:
        """In words, for both risks where these differ."""
        if self.low_risk == self.high_risk:
            return self.low_risk
        return say("low risk: {low}; high risk: {high}", low=self.low_risk, high=self.high_risk)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """The row that holds, and the index of the nodule that decides it."""

    nodule: int
    row: Row


def _row(
    value: str,
    what: str,
    several: bool,
    densities: frozenset[Density],
    sizes_mm: range,
    low: Translatable,
    high: Translatable | None = None,
    solid_mm: range = _ANY,
) -> Row:
    code = Code(value, SCHEME, f"Fleischner 2017: {what}")
    return Row(code=code, several=several, densities=densities, sizes_mm=sizes_mm, low_risk=low, high_risk=high or low, solid_mm=solid_mm)


_SOLID, _GLASS, _PART = (frozenset({each}) for each in (Density.SOLID, Density.GROUND_GLASS, Density.PART_SOLID))

TABLE: tuple[Row, ...] = (
    _row("F17-S1-LT6", "single solid nodule, < 6 mm", False, _SOLID, _SMALL, _NONE, _OPTIONAL),
    _row(
        *("F17-S1-6TO8", "single solid nodule, 6-8 mm", False, _SOLID, _MIDDLE),
        say("CT at 6-12 months, then consider CT at 18-24 months"),
        say("CT at 6-12 months, then CT at 18-24 months"),
    ),
    _row("F17-S1-GT8", "single solid nodule, > 8 mm", False, _SOLID, _LARGE, say("consider CT at 3 months, PET/CT or tissue sampling")),
    _row("F17-SN-LT6", "multiple solid nodules, < 6 mm", True, _SOLID, _SMALL, _NONE, _OPTIONAL),
    _row(
        *("F17-SN-6TO8", "multiple solid nodules, 6-8 mm", True, _SOLID, _MIDDLE),
        say("CT at 3-6 months, then consider CT at 18-24 months"),
        say("CT at 3-6 months, then CT at 18-24 months"),
    ),
    _row(
        *("F17-SN-GT8", "multiple solid nodules, > 8 mm", True, _SOLID, _LARGE),
        say("CT at 3-6 months, then consider CT at 18-24 months"),
        say("CT at 3-6 months, then CT at 18-24 months"),
    ),
    _row("F17-G1-LT6", "single ground-glass nodule, < 6 mm", False, _GLASS, _SMALL, _NONE),
    _row(
        *("F17-G1-GE6", "single ground-glass nodule, ≥ 6 mm", False, _GLASS, _FROM_6),
        say("CT at 6-12 months to confirm that it persists, then CT every 2 years until 5 years"),
    ),
    _row("F17-P1-LT6", "single part-solid nodule, < 6 mm", False, _PART, _SMALL, _NONE),
    _row(
        *("F17-P1-GE6-LT6", "single part-solid, ≥ 6 mm, solid < 6 mm", False, _PART, _FROM_6),
        say("CT at 3-6 months to confirm that it persists; if unchanged and the solid part stays below 6 mm, CT every year for 5 years"),
        solid_mm=_SMALL,
    ),
    _row(
        *("F17-P1-GE6-GE6", "single part-solid, ≥ 6 mm, solid ≥ 6 mm", False, _PART, _FROM_6),
        say(
            "consider CT at 3-6 months; one that persists is highly suspicious, and where it looks so, grows, or has more than 8 mm of "
            "solid: PET/CT, biopsy or resection"
        ),
        solid_mm=_FROM_6,
    ),
    _row("F17-UN-LT6", "multiple subsolid nodules, < 6 mm", True, _SUBSOLID, _SMALL, _YEARS_2_4),
    _row(
        *("F17-UN-GE6", "multiple subsolid nodules, ≥ 6 mm", True, _SUBSOLID, _FROM_6),
        say("CT at 3-6 months, then by the most suspicious nodule"),
    ),
)


def average_mm(one: MeasuredNodule) -> int:
    """The size that the guideline goes by: the mean of long and short axis, to the nearest whole mm, a half upwards."""
    return _whole((one.long_mm + one.short_mm) / 2)


def solid_part_mm(one: MeasuredNodule) -> int:
    """The longest diameter of the solid part, in whole mm: no larger than that of what it is in.

    Source: Bankier AA and others: Recommendations for Measuring Pulmonary Nodules at CT: A Statement from the Fleischner Society. Radiology
    2017;285:584-600, which goes with the guideline: of a solid part the longest diameter, and not the average, tells of invasion.
    """
    return min(_whole(one.solid_mm), _whole(one.long_mm))


def not_for(nodules: Sequence[MeasuredNodule], years: int | None) -> Translatable | None:
    """Why the guideline says nothing here, as far as anybody here knows; None where nothing is known against it."""
    if years is not None and years < YOUNGEST_YEARS:
        return say(
            "the patient is {years} years old, and the guideline is for adults from {youngest} years on",
            years=str(years),
            youngest=str(YOUNGEST_YEARS),
        )
    largest = max((average_mm(one) for one in nodules), default=0)
    if largest <= LARGEST_MM:
        return None
    sizes = {"largest": str(largest), "most": str(LARGEST_MM)}
    return say("one measures {largest} mm on average: above {most} mm it is a mass, and no nodule", **sizes)


def follow_up(nodules: Sequence[MeasuredNodule], years: int | None = None) -> tuple[FollowUp, ...]:
    """The rows that hold: one for solid nodules, one for subsolid ones, which the table counts apart; none where `not_for` says why.

    Of several the largest chooses the row. The row is told of the most suspicious: the largest solid one; of subsolid ones that with the
    largest solid part.
    """
    if not_for(nodules, years):
        return ()
    found = []
    for densities in (_SOLID, _SUBSOLID):
        group = [(index, one) for index, one in enumerate(nodules) if one.density in densities]
        if group:
            decides, one = max(group, key=lambda each: (solid_part_mm(each[1]) if densities is _SUBSOLID else 0, average_mm(each[1])))
            size = max(average_mm(each) for _, each in group)
            found.append(FollowUp(nodule=decides, row=_holding(len(group) > 1, one, size)))
    return tuple(sorted(found, key=lambda each: each.nodule))


def _holding(several: bool, one: MeasuredNodule, size_mm: int) -> Row:
    (row,) = (
        row
        for row in TABLE
        if row.several is several
        and one.density in row.densities
        and size_mm in row.sizes_mm
        and (several or solid_part_mm(one) in row.solid_mm)
    )
    return row


def _whole(mm: float) -> int:
    # round() would take 6.5 to 6 and 7.5 to 8
    return math.floor(mm + 0.5)
