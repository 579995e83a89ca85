"""Growth of one nodule between two visits: what two measurements of it and the days between them say, and when they say nothing.

What counts as a change is what exceeds measuring the same nodule twice. Solid: a quarter of its volume (Callister MEJ and others: BTS
guidelines for the investigation and management of pulmonary nodules. Thorax 2015;70 Suppl 2:ii1-ii54). Others: 2 mm of mean diameter
(MacMahon H and others, Fleischner Society 2017, Radiology 2017;284:228-243). No probability of anything follows from it here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Protocol

from inference.applications.lung_nodule.follow_up import Density, MeasuredNodule
from inference.applications.lung_nodule.lung_rads import Course, mean_mm
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

SOURCES = "BTS, Thorax 2015;70 Suppl 2:ii1-ii54; Fleischner Society 2017, Radiology 2017;284:228-243; Schwartz, Cancer 1961;14:1272-1294"
CHANGED = 0.25
CHANGED_MM = 2.0
BY_VOLUME_MM3 = 80.0
"""BTS 2015 follows nodules from 5 mm or 80 mm³ on, and by volume. Of a smaller one a quarter is a few voxels of 1.25 mm: made balls of 3 mm
that stay differ by as much in 43 of 100 pairs of visits, of 4 mm in 11, of 5.5 mm in none."""
SHORTEST_DAYS = 42
"""A nodule is measured again no sooner than after six weeks (NELSON: Xu DM and others, Lung Cancer 2006;54:177-184): until then what is
measured is breath and noise."""
GREW_MM, YEAR_DAYS = 1.5, 366
"""Lung-RADS v2022: growth is more than 1.5 mm of mean diameter within 12 months."""
ALIKE_MM = 0.25
"""By which slices of two visits may differ in thickness and distance, and count as alike."""


class Trend(Enum):
    """What became of a nodule."""

    GROWTH = "growth"
    SHRINKAGE = "shrinkage"
    NO_GROWTH = "no growth"
    NEW = "not found on the prior"
    UNDETERMINED = "undetermined"
    NOT_COVERED = "not covered by the prior"


class SizedNodule(MeasuredNodule, Protocol):
    """What of a nodule is compared; `cut`: it reaches the first or the last image."""

    @property
    def volume_mm3(self) -> float: ...
    @property
    def cut(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeChange:
    """By how much a nodule is larger than it was.

    Attributes
    ----------
    mm
        Of mean diameter.
    share
        Of volume, of what it was.
    doubling_days
        In which its volume would double as it did between the visits; None of one that is not said to grow by its volume.
    """

    mm: float
    mm3: float
    share: float
    doubling_days: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The trend of one nodule that was matched, why it is undetermined, the change where the two measurements may be compared, and its
    course as Lung-RADS has it."""

    trend: Trend
    why: Translatable | None = None
    change: SizeChange | None = None
    course: Course = Course.UNKNOWN


def judged(now: SizedNodule, then: SizedNodule, days: int) -> Judged:
    """Compare a nodule with what it was, in images that are alike, `days` before (`SHORTEST_DAYS` or more)."""
    if why := _unlike(now, then):
        return Judged(trend=Trend.UNDETERMINED, why=why)
    mm = float(mean_mm(now) - mean_mm(then))
    mm3 = now.volume_mm3 - then.volume_mm3
    change = SizeChange(mm=mm, mm3=mm3, share=mm3 / then.volume_mm3)
    solid = now.density is Density.SOLID
    up, down = (change.share >= CHANGED, change.share <= -CHANGED) if solid else (mm >= CHANGED_MM, mm <= -CHANGED_MM)
    if (mm > GREW_MM and not up) or (mm < -GREW_MM and not down) if solid else (up and mm3 < 0) or (down and mm3 > 0):
        why = say("its volume and its diameter do not tell the same")
        return Judged(trend=Trend.UNDETERMINED, why=why, change=change)
    if solid and (up or down) and abs(mm) < CHANGED_MM and min(now.volume_mm3, then.volume_mm3) < BY_VOLUME_MM3:
        why = say("at one of the visits it has less than {least} mm³, of which a quarter is a few voxels", least=f"{BY_VOLUME_MM3:g}")
        return Judged(trend=Trend.UNDETERMINED, why=why, change=change)
    more_mm = float(_solid_part_mm(now) - _solid_part_mm(then))
    if now.density is Density.PART_SOLID and not up and (more_mm >= CHANGED_MM or (more_mm <= -CHANGED_MM and not down)):
        why = say(
            "its solid part is {now} mm long and was {then} mm, and the whole did not change likewise",
            now=str(_solid_part_mm(now)),
            then=str(_solid_part_mm(then)),
        )
        return Judged(trend=Trend.UNDETERMINED, why=why, change=change, course=_course(more_mm, days))
    if not up:
        return Judged(trend=Trend.SHRINKAGE if down else Trend.NO_GROWTH, change=change)
    if solid:
        change = SizeChange(mm=mm, mm3=mm3, share=change.share, doubling_days=doubling_days(then.volume_mm3, now.volume_mm3, days))
    return Judged(trend=Trend.GROWTH, change=change, course=_course(mm, days))


def _course(mm: float, days: int) -> Course:
    """As Lung-RADS has growth by so many mm in so many days."""
    return Course.GROWING if mm > GREW_MM and (days <= YEAR_DAYS or mm * YEAR_DAYS / days > GREW_MM) else Course.UNKNOWN


def _solid_part_mm(one: SizedNodule) -> Decimal:
    """No longer than the nodule, to a tenth of a mm."""
    return Decimal(f"{min(one.solid_mm, one.long_mm):.1f}")


def doubling_days(then_mm3: float, now_mm3: float, days: int) -> float:
    """Days in which a volume doubles that grows as it did: days × ln 2 / ln (now / then).

    Source: Schwartz M: A biomathematical approach to clinical tumor growth. Cancer 1961;14:1272-1294.
    """
    return days * math.log(2) / math.log(now_mm3 / then_mm3)


def not_comparable(current: Volume, prior: Volume) -> tuple[Translatable, ...]:
    """Why sizes on a volume and on an earlier one are not compared, each reason a part of a sentence; none where they are."""
    return tuple(_reasons(current, prior))


def days_between(current: Volume, prior: Volume) -> int | None:
    """From the day of the prior to that of the current images; None where one of both is not known."""
    return None if current.acquired_on is None or prior.acquired_on is None else (current.acquired_on - prior.acquired_on).days


def _reasons(current: Volume, prior: Volume) -> Iterator[Translatable]:
    days = days_between(current, prior)
    if days is None:
        yield say("when {which} was acquired is not said, or not alike", which=_unsaid(current.acquired_on, prior.acquired_on))
    elif days < SHORTEST_DAYS:
        yield say("{days} days lie between the visits, fewer than {least}", days=str(days), least=str(SHORTEST_DAYS))
    thick = current.thickness_mm, prior.thickness_mm
    if thick[0] is None or thick[1] is None:
        yield say("how thick the slices are is not said of both visits")
    elif abs(thick[0] - thick[1]) > ALIKE_MM:
        yield say("slices are {now} mm thick, and were {then} mm", now=f"{thick[0]:g}", then=f"{thick[1]:g}")
    apart = current.spacing_mm[0], prior.spacing_mm[0]
    if abs(apart[0] - apart[1]) > ALIKE_MM:
        yield say("slices are {now} mm apart, and were {then} mm", now=f"{apart[0]:.3g}", then=f"{apart[1]:.3g}")
    if not current.kernel and not prior.kernel:
        yield say("with which kernel it was reconstructed is said of neither visit, or not alike")
    elif current.kernel != prior.kernel:
        yield say("the kernel is {now}, and was {then}", now=_named(current.kernel), then=_named(prior.kernel))


def _unsaid(now: date | None, then: date | None) -> Translatable:
    if now is None and then is None:
        return say("either")
    return say("the prior") if then is None else say("the current CT")


def _named(kernel: str) -> str | Translatable:
    return kernel or say("not said")


def _unlike(now: SizedNodule, then: SizedNodule) -> Translatable | None:
    if now.cut or then.cut:
        return say("it reaches the first or the last image of a visit")
    if now.density is not then.density:
        return say("its density class was another")
    return None
