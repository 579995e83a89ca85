"""What counts as growth of a nodule, at each bound; its doubling time by hand; and the pairs of visits of which nothing is said."""

from dataclasses import dataclass, replace
from datetime import date
from math import pi

import numpy as np
import pytest

from inference.applications.lung_nodule.follow_up import Density
from inference.applications.lung_nodule.growth import Trend, days_between, doubling_days, judged, not_comparable
from inference.applications.lung_nodule.lung_rads import Course, screened
from inference.imaging.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A nodule as it was measured."""

    density: Density = Density.SOLID
    long_mm: float = 10.0
    short_mm: float = 10.0
    solid_mm: float = 10.0
    volume_mm3: float = 500.0
    cut: bool = False


def ball(mm: float, density: Density = Density.SOLID) -> Sized:
    return Sized(density=density, long_mm=mm, short_mm=mm, solid_mm=mm, volume_mm3=pi / 6 * mm**3)


@pytest.mark.parametrize(
    ("share", "trend"),
    [
        (1.25, Trend.GROWTH),
        (1.24, Trend.NO_GROWTH),
        (1.0, Trend.NO_GROWTH),
        (0.76, Trend.NO_GROWTH),
        (0.75, Trend.SHRINKAGE),
    ],
)
def test_a_solid_nodule_grows_from_a_quarter_of_its_volume_on(share: float, trend: Trend) -> None:
    """BTS 2015. What is told of it beside that: millimetres, cubic ones, the share."""
    found = judged(Sized(volume_mm3=400 * share, long_mm=11.0), Sized(volume_mm3=400), 100)
    assert (found.trend, found.why) == (trend, None)
    assert found.change is not None
    assert (found.change.mm, found.change.mm3, found.change.share) == pytest.approx((0.5, 400 * (share - 1), share - 1))
    assert (found.change.doubling_days is None) is (trend is not Trend.GROWTH)


@pytest.mark.parametrize(("more_mm", "trend"), [(2.0, Trend.GROWTH), (1.9, Trend.NO_GROWTH), (-2.0, Trend.SHRINKAGE)])
def test_a_subsolid_nodule_grows_from_2_mm_on(more_mm: float, trend: Trend) -> None:
    """Fleischner Society 2017; a third more of its volume alone is none, and no doubling time is told of a volume that nobody goes by."""
    found = judged(ball(12 + more_mm, Density.GROUND_GLASS), ball(12, Density.GROUND_GLASS), 100)
    assert found.trend is trend
    assert found.change is not None
    assert found.change.doubling_days is None


@pytest.mark.parametrize(
    ("now", "then", "trend"),
    [
        (ball(4.4), ball(4.0), Trend.UNDETERMINED),
        (ball(4.0), ball(4.5), Trend.UNDETERMINED),
        (ball(4.2), ball(4.0), Trend.NO_GROWTH),
        (ball(6.0), ball(4.0), Trend.GROWTH),
        (ball(4.0), ball(6.0), Trend.SHRINKAGE),
        (Sized(volume_mm3=104, long_mm=11.0), Sized(volume_mm3=80), Trend.GROWTH),
        (Sized(volume_mm3=103, long_mm=11.0), Sized(volume_mm3=79.9), Trend.UNDETERMINED),
    ],
)
def test_of_a_solid_nodule_of_few_voxels_a_quarter_of_the_volume_is_not_enough(now: Sized, then: Sized, trend: Trend) -> None:
    """4 mm are 17 voxels of 1.25 mm: a third more may be the grid. Where the mean diameter changed by 2 mm too, it is told; no days in
    which it doubles are told of what is undetermined."""
    found = judged(now, then, 100)
    assert found.trend is trend
    assert ("less than 80 mm³" in str(found.why)) is (trend is Trend.UNDETERMINED)
    assert found.change is not None
    assert (found.change.doubling_days is None) is (trend is not Trend.GROWTH)


def part_solid(mm: float, solid_mm: float) -> Sized:
    return replace(ball(mm, Density.PART_SOLID), solid_mm=solid_mm)


@pytest.mark.parametrize(
    ("now", "then", "trend", "course"),
    [
        (part_solid(15, 11), part_solid(15, 6), Trend.UNDETERMINED, Course.GROWING),
        (part_solid(15, 8), part_solid(15, 6), Trend.UNDETERMINED, Course.GROWING),
        (part_solid(15, 7.1), part_solid(15, 5.1), Trend.UNDETERMINED, Course.GROWING),
        (part_solid(15, 7.9), part_solid(15, 6), Trend.NO_GROWTH, Course.UNKNOWN),
        (part_solid(12, 9), part_solid(15, 6), Trend.UNDETERMINED, Course.GROWING),
        (part_solid(15, 6), part_solid(15, 11), Trend.UNDETERMINED, Course.UNKNOWN),
        (part_solid(12, 6), part_solid(15, 11), Trend.SHRINKAGE, Course.UNKNOWN),
        (part_solid(18, 11), part_solid(15, 6), Trend.GROWTH, Course.GROWING),
    ],
)
def test_of_a_part_solid_nodule_the_solid_part_is_looked_at_too(now: Sized, then: Sized, trend: Trend, course: Course) -> None:
    """Fleischner Society 2017, Lung-RADS v2022: it is what is followed. One whose solid part became longer in a whole that stayed, or that
    drew together, is neither unchanged nor smaller; and a screening category counts it as growing."""
    found = judged(now, then, 100)
    assert (found.trend, found.course) == (trend, course)
    assert (found.why is not None) is (trend is Trend.UNDETERMINED)
    if found.why is not None:
        assert f"solid part is {now.solid_mm:.1f} mm long and was {then.solid_mm:.1f} mm" in str(found.why)


def test_a_volume_that_became_twice_as_large_doubled_in_the_days_between() -> None:
    """And one of 8 times in a third of them; a ball that grows from 10 to 11 mm in 90 days by Schwartz: 90 ln 2 / (3 ln 1.1) = 218.2."""
    assert doubling_days(100, 200, 150) == pytest.approx(150)
    assert doubling_days(100, 800, 150) == pytest.approx(50)
    assert doubling_days(ball(10).volume_mm3, ball(11).volume_mm3, 90) == pytest.approx(218.2, abs=0.05)


@pytest.mark.parametrize(
    ("now", "then", "why"),
    [
        (Sized(cut=True), Sized(), "first or the last image"),
        (Sized(), Sized(cut=True), "first or the last image"),
        (Sized(), Sized(density=Density.PART_SOLID), "density class was another"),
        (Sized(long_mm=14.0), Sized(), "do not tell the same"),
        (Sized(volume_mm3=700, long_mm=6.0), Sized(), "do not tell the same"),
        (ball(12, Density.GROUND_GLASS), replace(ball(9, Density.GROUND_GLASS), volume_mm3=2000), "do not tell the same"),
    ],
)
def test_what_nobody_can_tell_is_undetermined(now: Sized, then: Sized, why: str) -> None:
    """Cut by the images, of another class, or larger by one measure alone."""
    found = judged(now, then, 100)
    assert found.trend is Trend.UNDETERMINED
    assert why in str(found.why)
    assert found.course is Course.UNKNOWN


@pytest.mark.parametrize(
    ("mm", "days", "course"),
    [
        (11.6, 366, Course.GROWING),
        (11.5, 366, Course.UNKNOWN),  # 1.5 mm are not more
        (12.0, 400, Course.GROWING),
        (12.0, 500, Course.UNKNOWN),  # 1.46 mm in a year
    ],
)
def test_lung_rads_has_growth_of_its_own(mm: float, days: int, course: Course) -> None:
    """More than 1.5 mm of mean diameter within 12 months; over a longer time only where it must have been so in one of them."""
    found = judged(ball(mm), ball(10), days)
    assert (found.trend, found.course) == (Trend.GROWTH, course)


def volume(**about: object) -> Volume:
    one = Volume(
        voxels=np.zeros((3, 4, 4), dtype=np.int16),
        affine=np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1.25, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64),
        sources=(),
        modality="CT",
        study_instance_uid="1.1",
        series_instance_uid="1.2",
        frame_of_reference_uid="1.3",
        thickness_mm=1.25,
        acquired_on=date(2026, 3, 1),
        kernel="B31f",
    )
    return replace(one, **about)  # type: ignore[arg-type]


THEN = volume(acquired_on=date(2025, 12, 1))


@pytest.mark.parametrize(
    ("prior", "why"),
    [
        (THEN, []),
        (replace(THEN, thickness_mm=1.5), []),
        (replace(THEN, acquired_on=date(2026, 1, 18)), []),
        (replace(THEN, acquired_on=date(2026, 1, 19)), ["41 days lie between the visits, fewer than 42"]),
        (replace(THEN, acquired_on=None), ["when the prior was acquired is not said, or not alike"]),
        (replace(THEN, thickness_mm=2.5), ["slices are 1.25 mm thick, and were 2.5 mm"]),
        (replace(THEN, thickness_mm=None), ["how thick the slices are is not said of both visits"]),
        (replace(THEN, kernel="B70f"), ["the kernel is B31f, and was B70f"]),
        (replace(THEN, kernel=""), ["the kernel is B31f, and was not said"]),
        (replace(THEN, affine=THEN.affine * np.array([2.0, 1, 1, 1])), ["slices are 1.25 mm apart, and were 2.5 mm"]),
    ],
)
def test_visits_that_differ_are_not_compared(prior: Volume, why: list[str]) -> None:
    """In thickness, distance or kernel, too soon or of unknown days; what differs by rounding or a little is compared."""
    assert list(not_comparable(volume(), prior)) == why


def test_visits_of_which_neither_says_its_kernel_are_not_compared() -> None:
    """A sharp kernel and a soft one draw other outlines: of two that nobody names nobody knows that they are one."""
    assert list(not_comparable(volume(kernel=""), replace(THEN, kernel=""))) == [
        "with which kernel it was reconstructed is said of neither visit, or not alike"
    ]


def test_days_are_those_of_the_calendar() -> None:
    """From the first of December to the first of March of a year without a leap day: 31 + 31 + 28."""
    assert days_between(volume(), THEN) == 90
    assert days_between(volume(acquired_on=None), THEN) is None


@pytest.mark.parametrize(
    ("nodule", "course", "named"),
    [
        (ball(5.0), Course.UNKNOWN, "2"),
        (ball(5.0), Course.GROWING, "4A"),
        (ball(7.9), Course.GROWING, "4A"),
        (ball(8.0), Course.GROWING, "4B"),
        (ball(3.9), Course.NEW, "2"),
        (ball(4.0), Course.NEW, "2 - 3"),
        (ball(6.0), Course.NEW, "3 - 4A"),
        (ball(8.0), Course.NEW, "4A - 4B"),
        (ball(15.0), Course.NEW, "4B"),
        (ball(29.0, Density.GROUND_GLASS), Course.GROWING, "2"),
        (ball(30.0, Density.GROUND_GLASS), Course.NEW, "3"),
        (replace(ball(5.0, Density.PART_SOLID), solid_mm=2.0), Course.NEW, "2 - 3"),
        (replace(ball(9.0, Density.PART_SOLID), solid_mm=3.9), Course.NEW, "3 - 4A"),
        (replace(ball(9.0, Density.PART_SOLID), solid_mm=4.0), Course.GROWING, "3 - 4B"),
    ],
)
def test_a_row_of_lung_rads_for_what_grows_or_is_new(nodule: Sized, course: Course, named: str) -> None:
    """As printed; of what is new by this program alone, and of a solid part of which nobody knows whether it grew, both ends are said."""
    found = screened([nodule], [course])
    assert found is not None
    assert found.named == named
