"""The Fleischner Society's table of 2017, row by row as it is printed (Radiology 2017;284:228-243, table 1), and where rows meet."""

from dataclasses import dataclass

import pytest

from inference.applications.lung_nodule.follow_up import SCHEME, TABLE, Density, FollowUp, average_mm, follow_up, not_for, solid_part_mm
from inference.applications.manifest import is_label


@dataclass(frozen=True, kw_only=True)
class Nodule:
    """What decides."""

    density: Density
    long_mm: float
    short_mm: float
    solid_mm: float = 0.0


def solid(long_mm: float, short_mm: float | None = None) -> Nodule:
    """All of it is solid."""
    short_mm = long_mm if short_mm is None else short_mm
    return Nodule(density=Density.SOLID, long_mm=long_mm, short_mm=short_mm, solid_mm=(long_mm + short_mm) / 2)


def glass(mm: float) -> Nodule:
    """A round one."""
    return Nodule(density=Density.GROUND_GLASS, long_mm=mm, short_mm=mm)


def part(mm: float, solid_mm: float) -> Nodule:
    """A round one with a core."""
    return Nodule(density=Density.PART_SOLID, long_mm=mm, short_mm=mm, solid_mm=solid_mm)


@pytest.mark.parametrize(
    ("nodules", "row", "low", "high"),
    [
        ([solid(5)], "single solid nodule, < 6 mm", "no routine follow-up", "optional CT at 12 months"),
        *[
            ([solid(mm)], "single solid nodule, 6-8 mm", "CT at 6-12 months, then consider CT at 18-24", "6-12 months, then CT at 18-24")
            for mm in (6, 7, 8)
        ],
        *[([solid(mm)], "single solid nodule, > 8 mm", "consider CT at 3 months, PET/CT or", "consider CT at 3 months") for mm in (9, 30)],
        ([solid(5), solid(3)], "multiple solid nodules, < 6 mm", "no routine follow-up", "optional CT at 12 months"),
        *[
            (
                [solid(4), solid(mm)],
                "multiple solid nodules, 6-8 mm",
                "CT at 3-6 months, then consider CT at 18-24",
                "months, then CT at 18-24",
            )
            for mm in (6, 8)
        ],
        ([solid(9), solid(4)], "multiple solid nodules, > 8 mm", "3-6 months, then consider CT at 18-24", "3-6 months, then CT at 18-24"),
        ([glass(5)], "single ground-glass nodule, < 6 mm", "no routine follow-up", "no routine follow-up"),
        *[
            ([glass(mm)], "single ground-glass nodule, ≥ 6 mm", "6-12 months to confirm that it persists, then CT every 2 years", "5 years")
            for mm in (6, 30)
        ],
        ([part(5, 3)], "single part-solid nodule, < 6 mm", "no routine follow-up", "no routine follow-up"),
        *[
            ([part(mm, core)], "single part-solid, ≥ 6 mm, solid < 6 mm", "CT at 3-6 months to confirm", "CT every year for 5 years")
            for mm, core in ((6, 0), (6, 5), (30, 5))
        ],
        *[
            ([part(mm, core)], "single part-solid, ≥ 6 mm, solid ≥ 6 mm", "highly suspicious", "PET/CT, biopsy or resection")
            for mm, core in ((6, 6), (20, 12))
        ],
        (
            [glass(5), part(4, 2)],
            "multiple subsolid nodules, < 6 mm",
            "CT at 3-6 months; if stable, consider CT at 2 and 4 years",
            "2 and 4",
        ),
        *[
            (several, "multiple subsolid nodules, ≥ 6 mm", "CT at 3-6 months, then by the most suspicious nodule", "most suspicious")
            for several in ([glass(6), glass(4)], [part(10, 8), part(4, 2)], [part(5, 4), glass(12)])
        ],
    ],
)
def test_each_row_of_the_table(nodules: list[Nodule], row: str, low: str, high: str) -> None:
    """The row, and what it recommends at low and at high risk; exactly 6 and exactly 8 mm belong to 6-8."""
    (found,) = follow_up(nodules)
    assert found.row.code.meaning == f"Fleischner 2017: {row}"
    assert low in found.row.low_risk
    assert high in found.row.high_risk


@pytest.mark.parametrize(
    ("long_mm", "short_mm", "average", "row"),
    [
        (5.9, 5.0, 5, "< 6 mm"),
        (6.0, 4.98, 5, "< 6 mm"),
        (6.0, 5.0, 6, "6-8 mm"),
        (9.0, 7.98, 8, "6-8 mm"),
        (9.0, 8.0, 9, "> 8 mm"),
        (11.0, 3.9, 7, "6-8 mm"),
    ],
)
def test_the_size_is_the_average_of_both_axes_to_the_nearest_millimetre(long_mm: float, short_mm: float, average: int, row: str) -> None:
    """5.5 mm are 6, and 8.5 mm are 9: a half counts up, not to the even number as Python would have it."""
    assert average_mm(solid(long_mm, short_mm)) == average
    (found,) = follow_up([solid(long_mm, short_mm)])
    assert found.row.code.meaning.endswith(row)


@pytest.mark.parametrize(
    ("mm", "core_mm", "solid_mm", "row"),
    [(12.0, 5.49, 5, "solid < 6 mm"), (12.0, 5.5, 6, "solid ≥ 6 mm"), (6.2, 6.7, 6, "solid ≥ 6 mm"), (5.4, 6.0, 5, "nodule, < 6 mm")],
)
def test_the_solid_part_goes_by_whole_millimetres_too(mm: float, core_mm: float, solid_mm: int, row: str) -> None:
    """As reported, so decided; measured larger than what it is in, it is as large."""
    assert solid_part_mm(part(mm, core_mm)) == solid_mm
    (found,) = follow_up([part(mm, core_mm)])
    assert found.row.code.meaning.endswith(row)


def test_where_rows_differ_by_risk_both_are_said() -> None:
    """The node does not know the risk; where it makes no difference it is not mentioned."""
    (solid_one,), (glass_one,) = follow_up([solid(7)]), follow_up([glass(7)])
    assert solid_one.row.recommended == (
        "low risk: CT at 6-12 months, then consider CT at 18-24 months; high risk: CT at 6-12 months, then CT at 18-24 months"
    )
    assert "risk" not in glass_one.row.recommended


def test_solid_and_subsolid_nodules_are_counted_apart() -> None:
    """One solid and two subsolid ones: the row of a single solid one, and that of several subsolid ones, each at the one that decides."""
    found = follow_up([solid(7), glass(12), part(8, 4)])
    assert [(one.nodule, one.row.code.meaning) for one in found] == [
        (0, "Fleischner 2017: single solid nodule, 6-8 mm"),
        # a solid part is more suspicious than size
        (2, "Fleischner 2017: multiple subsolid nodules, ≥ 6 mm"),
    ]
    assert [one.nodule for one in follow_up([solid(4), solid(10), solid(9)])] == [1]


@pytest.mark.parametrize("nodules", [[solid(7)], [glass(3), solid(12)]])
def test_below_35_years_there_is_no_category(nodules: list[Nodule]) -> None:
    """Until the 35th birthday, and why it is so; without an age, or from then on, there is one."""
    assert follow_up(nodules, 34) == ()
    assert "34 years old" in (not_for(nodules, 34) or "")
    assert follow_up(nodules, 35) == follow_up(nodules, None) != ()
    assert not_for(nodules, 35) is not_for(nodules, None) is None


def test_a_mass_is_no_nodule() -> None:
    """Above 30 mm nothing is said, of the others neither: 30.4 mm are 30, 30.5 are 31."""
    assert follow_up([solid(30.4)]) != ()
    assert follow_up([solid(30.5), glass(7)]) == ()
    assert "31 mm" in (not_for([solid(30.5)], 60) or "")


def test_without_nodules_nothing_is_recommended() -> None:
    """And nothing speaks against the guideline."""
    assert follow_up([]) == ()
    assert not_for([], None) is None


def test_every_combination_has_one_row() -> None:
    """Whatever is found: no gap, and no two rows for one thing."""
    for mm in range(1, 31):
        for several in (1, 2):
            assert len(follow_up([solid(mm)] * several)) == 1
            assert len(follow_up([glass(mm)] * several)) == 1
            for core in range(mm + 2):
                found = follow_up([part(mm, core)] * several)
                assert isinstance(found[0], FollowUp)
                assert len(found) == 1


def test_the_codes_are_private_and_apart() -> None:
    """No SNOMED number is invented; each fits the elements that hold it (PS3.3 8.1, PS3.5 6.2)."""
    assert {row.code.scheme for row in TABLE} == {SCHEME}
    assert len({row.code.value for row in TABLE}) == len({row.code.meaning for row in TABLE}) == len(TABLE) == 13
    assert all(len(row.code.value) <= 16 and is_label(row.code.meaning) for row in TABLE)
