"""Lung-RADS v2022, baseline, row by row as it is printed (J Am Coll Radiol 2024;21:473-488), at each limit and a tenth of a mm below it."""

import pytest

from inference.applications.lung_nodule.lung_rads import mean_mm, screened
from tests.unit.applications.test_lung_nodule_follow_up import Nodule, glass, part, solid


@pytest.mark.parametrize(
    ("nodule", "category", "managed"),
    [
        (solid(5.9), "2", "low-dose CT at 12 months"),
        (solid(6.0), "3", "low-dose CT at 6 months"),
        (solid(7.9), "3", "low-dose CT at 6 months"),
        (solid(8.0), "4A", "low-dose CT at 3 months"),
        (solid(14.9), "4A", "low-dose CT at 3 months"),
        (solid(15.0), "4B", "tissue sampling or referral"),
        (glass(29.9), "2", "low-dose CT at 12 months"),
        (glass(30.0), "3", "low-dose CT at 6 months"),
        (part(5.9, 5.9), "2", "low-dose CT at 12 months"),
        (part(6.0, 5.9), "3", "low-dose CT at 6 months"),
        (part(20.0, 0.0), "3", "low-dose CT at 6 months"),
    ],
)
def test_a_row_of_the_table(nodule: Nodule, category: str, managed: str) -> None:
    """By mean diameter, and of part-solid ones by the solid part."""
    found = screened([nodule])
    assert found is not None
    assert found.named == category
    assert managed in str(found.most.managed)


@pytest.mark.parametrize(
    ("solid_mm", "between"),
    [(6.0, "3 - 4A"), (7.9, "3 - 4A"), (8.0, "3 - 4B"), (11.8, "3 - 4B"), (12.0, "4A - 4B"), (15.8, "4A - 4B"), (16.0, "4B"), (25.0, "4B")],
)
def test_a_solid_part_of_which_only_the_longest_diameter_is_known_leaves_the_category_open(solid_mm: float, between: str) -> None:
    """Its mean diameter, which the table asks for, is no larger; and no less than half of it, however thin it is."""
    found = screened([part(26.0, solid_mm)])
    assert found is not None
    assert found.named == between


def test_the_most_suspicious_decides_and_of_equals_the_larger() -> None:
    """A large ground-glass one is less suspicious than a small solid one; nothing found has no category."""
    assert screened([]) is None
    several = screened([glass(25), solid(6.5), solid(7.5), part(9, 3)])
    assert several is not None
    assert (several.nodule, several.named) == (3, "3")
    solids = screened([solid(9), solid(12), glass(29)])
    assert solids is not None
    assert (solids.nodule, solids.named) == (1, "4A")


def test_both_diameters_are_rounded_to_a_tenth_before_their_mean() -> None:
    """5.95 and 5.85 are 6.0 and 5.9, their mean of 5.95 is 6.0, a half upwards."""
    assert str(mean_mm(Nodule(density=solid(1).density, long_mm=5.95, short_mm=5.85))) == "6.0"
    assert str(mean_mm(Nodule(density=solid(1).density, long_mm=7.94, short_mm=7.94))) == "7.9"
