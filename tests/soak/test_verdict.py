"""The soak's own rules: what excuses a second set of results, and a delay that grew; nothing that the node alone brings about does."""

import pytest

from tests.soak.count import paused
from tests.soak.happened import Day, Disturbance
from tests.soak.studies import KINDS, Study
from tests.soak.verdict import rows_of
from tests.soak.watch import Life, Sample, Share, Watch

_CT = KINDS[0]


@pytest.mark.parametrize(
    ("answers", "stage", "still", "excused"),
    [
        ([0.0, 1.0, 20.0], None, [], False),
        ([0.0, 1.0, 20.0], "flow", [], False),
        ([0.0, 1.0, 20.0], "receive", [], True),
        ([0.0, 1.0, 20.0], None, [(4.0, 19.0)], True),
        ([0.0, 1.0, 20.0], None, [(21.0, 40.0)], False),
        ([0.0, 4.0, 8.0, 12.0], "receive", [], False),
    ],
    ids=["the node was slow", "another process was killed", "a receiver was killed", "all stood still", "stood still later", "no pause"],
)
def test_only_what_the_node_did_not_bring_about_excuses_a_second_set(
    answers: list[float], stage: str | None, still: list[tuple[float, float]], excused: bool
) -> None:
    """A quiet window of eight seconds; whatever was killed was killed at second six."""
    day = Day(quiet_s=8.0, still=still)
    if stage is not None:
        day.disturbances.append(Disturbance(name="", stage=stage, at=6.0))
    assert paused(day, Study(1, _CT, answers=answers)) is excused


@pytest.mark.parametrize(
    ("late_s", "used_s", "waited_s", "met"),
    [(2.0, 1.0, 1.0, True), (2.0, 3.0, 9.0, True), (6.0, 1.0, 1.0, False), (6.0, 3.0, 9.0, False), (6.0, 1.0, 3.0, None)],
    ids=["flat", "flat on a busier machine", "it grew", "it grew, and the node needs more", "the machine was busier"],
)
def test_a_delay_that_grew_is_a_defect_unless_the_machine_was_busier(
    late_s: float, used_s: float, waited_s: float, met: bool | None
) -> None:
    """Thirty studies a minute apart, delivered two seconds after their quiet window; in the last third `late_s` after it, while the node
    ran `used_s` seconds a second and waited for `waited_s`, in place of one and one."""
    studies, shares = [], []
    for number in range(30):
        at, late = 60.0 * number, number >= 20
        last = at + 30.0
        delivered = last + 8.0 + (late_s if late else 2.0)
        studies.append(Study(number, _CT, acknowledged={"1.2": ""}, answers=[at, last], last_answer=last, delivered=delivered))
        shares += [
            Share(at=at + 30.0 * half, lasted_s=30.0, used_s=30.0 * (used_s if late else 1.0), waited_s=30.0 * (waited_s if late else 1.0))
            for half in (0, 1)
        ]
    watch = Watch(lambda: None)
    watch.shares = shares
    day = Day(quiet_s=8.0, studies=studies, watch=watch, took_s=1800.0)
    (judged,) = [row for row in rows_of(day) if "the delay of all kinds" in row.name]
    assert judged.met is met
    assert (judged.baseline, judged.value) == pytest.approx((2.0, late_s))


@pytest.mark.parametrize(
    ("files", "grew"),
    [
        ([8] * 60, False),
        ([8] * 12 + [13] * 48, False),
        ([8] * 6 + [9 + number // 6 for number in range(54)], True),
        ([8] * 20 + [8 + number // 3 for number in range(20)] + [14] * 20, True),
        ([8, 30] * 30, False),
    ],
    ids=["flat", "opened once", "leaks", "leaked in the middle, when it was disturbed", "opened and closed"],
)
def test_what_is_opened_once_is_no_leak_and_what_goes_on_is(files: list[int], grew: bool) -> None:
    """Sixty samples of a process, two seconds apart."""
    watch = Watch(lambda: None)
    samples = [Sample(at=2.0 * number, rss_mib=50.0, files=held, journal=6, threads=9, sockets=3) for number, held in enumerate(files)]
    watch.lives[1] = Life("work", 1, samples)
    assert {trend.what: trend.grew for trend in watch.trends(lasted_s=60.0)} == {
        "rss_mib": False,
        "files": grew,
        "journal": False,
        "threads": False,
        "sockets": False,
    }


@pytest.mark.parametrize(("journal", "grew"), [([3] * 20 + [15] * 40, False), ([6 + number // 3 for number in range(60)], True)])
def test_a_pool_may_fill_and_no_further(journal: list[int], grew: bool) -> None:
    """Five connections whenever they are opened; one more that stays is a leak, and so are other files, in a process of a minute too."""
    watch = Watch(lambda: None)
    samples = [
        Sample(at=float(number), rss_mib=50.0, files=9 + number // 6, journal=held, threads=9, sockets=3)
        for number, held in enumerate(journal)
    ]
    watch.lives[1] = Life("flow", 1, samples)
    assert {trend.what: trend.grew for trend in watch.trends(lasted_s=40.0)} == {
        "rss_mib": False,
        "files": True,
        "journal": grew,
        "threads": False,
        "sockets": False,
    }
