"""A series that is known to be short: what tells so, who waits for its rest, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from node.dicom.uid import derive_uid
from node.domain.arrival import Arrival
from node.domain.instance import Standing
from node.domain.job import Priority
from node.domain.route import Route, Withheld
from node.domain.shortage import Lack, RefusedInstance, Shortage, TornSeries, WhenShort
from node.domain.state import ArrivalState, JobState
from node.flow.route import RouteStage
from node.flow.settle import SettleStage, complete_now
from node.journal.journal import Journal
from node.journal.port import AcceptedInstance, CameAgain
from node.routing.shortage import missing_between
from node.settings.peers import May
from node.settings.peers import Settle as Rule
from tests.unit.flow.mini import APPLICATION, CT1, START, CountingPeer, MiniNode

ROUTINE = Route(name="all", run=("threshold",), send=("archive",))
PACS = replace(CT1, name="pacs", ae_title="PACS", may=CT1.may | {May.CORRECT})
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def refuse(node: MiniNode, *numbers: int, study: str = "1.1", series: str = "1.1.1") -> None:
    """The receiver answered 0xA700 to these, as its record says when it is taken up."""
    refused = [
        RefusedInstance(
            sop_instance_uid=derive_uid(study, series, str(number)),
            series_instance_uid=series,
            study_instance_uid=study,
            peer="ct1",
            status=0xA700,
            at=node.clock(),
        )
        for number in numbers
    ]
    node.journal.shortage.owe(refused, [])


def tear(node: MiniNode, association: str = "a1") -> None:
    """The association over which series 1.1.1 came broke off."""
    torn = TornSeries(association=association, series_instance_uid="1.1.1", study_instance_uid="1.1", peer="ct1", at=node.clock())
    node.journal.shortage.owe([], [torn])


def listed(node: MiniNode, *counts: int, series: str = "1.1.1") -> None:
    """The sender was asked so often, two seconds apart, and answered so."""
    for count in counts:
        node.clock.advance(2)
        node.journal.shortage.count("1.1", "ct1", {series: count}, node.clock())


def slices(node: MiniNode, numbers: Sequence[int], **header: Any) -> None:
    """Axial slices, 5 mm apart, of which these came."""
    for number in numbers:
        place = {"ImagePositionPatient": (0.0, 0.0, 5.0 * number), "ImageOrientationPatient": AXIAL}
        node.receive("1.1", "1.1.1", [number], **{**place, **header})


def step(node: MiniNode, seconds: float) -> None:
    """So much later settle and route have done what there was to do."""
    node.clock.advance(seconds)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    RouteStage(node.journal, node.config, node.clock, lambda _: "default", lambda name: replace(APPLICATION, name=name)).step()


def newest(node: MiniNode) -> Arrival:
    return node.arrivals()[-1]


def test_what_the_node_refused_holds_the_series_until_it_comes(node: MiniNode) -> None:
    """Four of six came, two were refused: no job after the quiet window, a hold that anybody can read; then the rest comes, and there is
    one job, on all six."""
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5, 6)
    step(node, 11)
    assert node.jobs() == []
    (hold,) = node.journal.shortage.holds()
    assert (hold.series_instance_uid, hold.route, hold.shortage) == ("1.1.1", "all", Shortage(lack=Lack.REFUSED, came=4, expected=6))
    assert (hold.since, hold.until) == (START + timedelta(seconds=11), START + timedelta(minutes=30))
    (decision,) = node.journal.routing.decisions(node.arrivals(ArrivalState.ROUTED)[-1].id)
    assert not decision.chosen
    assert decision.withheld is Withheld.WAITS
    assert decision.reason.startswith("held until 2026-03-10 12:30:00 UTC, then parked as incomplete: 4 of 6 instances came")
    node.clock.advance(600)
    node.receive("1.1", "1.1.1", [5, 6])
    assert node.journal.shortage.holds() == []  # what comes ends the hold at once: the ordinary window runs
    step(node, 11)
    (job,) = node.jobs()
    assert (job.state, job.shortage, len(node.journal.instances.of_job(job.id))) == (JobState.QUEUED, None, 6)
    step(node, 7200)
    assert [one.id for one in node.jobs()] == [job.id]


def test_half_an_hour_later_the_job_is_parked_as_incomplete_and_the_rest_still_mends_it(node: MiniNode) -> None:
    """With a code of its own; after a restart too. What comes later makes one job on the whole, which takes its place."""
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5)
    step(node, 11)
    again = replace(node, journal=Journal.open(node.config.store.journal))
    step(again, 1788)
    assert again.jobs() == []
    step(again, 2)
    (parked,) = again.jobs()
    assert (parked.state, parked.code, parked.shortage) == (
        JobState.PARKED,
        "HLM-3087",
        Shortage(lack=Lack.REFUSED, came=4, expected=5),
    )
    assert parked.reason == (
        "series 1.1.1 is incomplete: 4 of 5 instances came: the node refused the others or cannot read them, and they were not sent again"
    )
    node.receive("1.1", "1.1.1", [5])
    step(node, 11)
    before, after = node.jobs()
    assert (before.state, after.state, after.predecessor, after.shortage) == (JobState.SUPERSEDED, JobState.QUEUED, before.id, None)
    again.journal.close()


def test_the_operator_retries_what_is_parked_as_incomplete(node: MiniNode) -> None:
    """`hilum jobs retry` runs it on what came, and its results say so."""
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5)
    step(node, 11)
    step(node, 1800)
    (parked,) = node.jobs()
    node.journal.jobs.revive(parked.id, node.clock())
    (job,) = node.jobs()
    assert (job.state, job.marked, job.shortage) == (JobState.QUEUED, True, Shortage(lack=Lack.REFUSED, came=4, expected=5))


def test_an_urgent_route_waits_two_minutes_and_then_says_that_it_is_incomplete(node: MiniNode) -> None:
    """INCOMPLETE 4 of 5: the job carries it as fields."""
    node.configure(routes=(replace(ROUTINE, priority=Priority.URGENT),))
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5)
    step(node, 119)
    assert node.jobs() == []
    step(node, 1)
    (job,) = node.jobs()
    assert (job.state, job.marked) == (JobState.QUEUED, True)
    assert job.shortage is not None
    assert job.shortage.mark == "INCOMPLETE 4 of 5"
    assert node.journal.shortage.holds() == []


@pytest.mark.parametrize("short", [WhenShort.HOLD, WhenShort.REMARK, WhenShort.RUN])
def test_too_few_slices_of_a_short_series_are_no_reason_to_say_nothing(node: MiniNode, short: WhenShort) -> None:
    """Two of six came, and the application asks for three: its headers exclude nothing, the rest is missing. Somebody is told, however
    routes take what is short."""
    node.configure(routes=(replace(ROUTINE, short=short),))
    node.receive("1.1", "1.1.1", [1, 2])
    refuse(node, 3, 4, 5, 6)
    step(node, 11)
    step(node, 1800)
    (job,) = node.jobs()
    assert (job.state, job.code, job.declined) == (JobState.PARKED, "HLM-3087", True)
    assert "2 of 6 instances came" in str(job.reason)


def test_run_now_is_the_operators_word_that_nothing_more_comes(node: MiniNode) -> None:
    """The held series is analysed at once, as incomplete; the whole one takes its place when it comes after all."""
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5)
    step(node, 11)
    assert complete_now(node.journal.arrivals, newest(node), node.clock())
    step(node, 0.1)
    (job,) = node.jobs()
    assert (job.state, job.marked, job.shortage) == (JobState.QUEUED, True, Shortage(lack=Lack.REFUSED, came=4, expected=5))
    node.receive("1.1", "1.1.1", [5])
    step(node, 11)
    assert [(one.state, one.shortage) for one in node.jobs()][1:] == [(JobState.QUEUED, None)]


@pytest.mark.parametrize(
    ("peer", "route", "seconds", "state"),
    [
        (WhenShort.RUN, None, 11, JobState.QUEUED),
        (None, WhenShort.RUN, 11, JobState.QUEUED),
        (WhenShort.RUN, WhenShort.HOLD, 1800, JobState.PARKED),  # the route wins
        (WhenShort.REMARK, None, 1800, JobState.QUEUED),
    ],
)
def test_operators_say_what_is_done_with_short_series(
    node: MiniNode, peer: WhenShort | None, route: WhenShort | None, seconds: float, state: JobState
) -> None:
    """At a peer, or at a route, which wins; what `run` takes without waiting says so in a remark, and is not marked."""
    node.configure(peers={"ct1": replace(CT1, settle=Rule(short=peer))}, routes=(replace(ROUTINE, short=route),))
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5)
    step(node, min(seconds, 11))
    assert bool(node.jobs()) is (seconds == 11)
    step(node, max(0.0, seconds - 11))
    (job,) = node.jobs()
    assert (job.state, job.shortage is not None) == (state, True)
    assert job.marked is (seconds != 11)


def test_how_long_it_is_held_is_the_operators_to_say(node: MiniNode) -> None:
    """`longest` on the peer; the route's own wins."""
    node.configure(
        peers={"ct1": replace(CT1, settle=Rule(longest=timedelta(minutes=5)))},
        routes=(ROUTINE, replace(ROUTINE, name="long", longest=timedelta(hours=2), run=("second",))),
    )
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5)
    step(node, 11)
    assert {hold.route: hold.until - START for hold in node.journal.shortage.holds()} == {
        "all": timedelta(minutes=5),
        "long": timedelta(hours=2),
    }
    step(node, 300)
    assert [(job.application, job.state) for job in node.jobs()] == [("threshold", JobState.PARKED)]
    (hold,) = node.journal.shortage.holds()
    assert (hold.route, hold.since) == ("long", START + timedelta(seconds=11))


def test_another_series_of_the_study_goes_on(node: MiniNode) -> None:
    """What is whole waits for nobody; each route runs on what it takes."""
    node.configure(routes=(replace(ROUTINE, each=True),))
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    node.receive("1.1", "1.1.2", [1, 2, 3, 4])
    refuse(node, 5)
    step(node, 11)
    assert [job.series_instance_uid for job in node.jobs()] == ["1.1.2"]
    assert [hold.series_instance_uid for hold in node.journal.shortage.holds()] == ["1.1.1"]


def test_the_rest_may_come_from_another_peer(node: MiniNode) -> None:
    """The archive, which may correct, forwards what the scanner could not bring: there is one job, on all of it, and nobody is held any
    more."""
    node.configure(peers={"ct1": CT1, "pacs": PACS})
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5)
    step(node, 11)
    node.receive("1.1", "1.1.1", [5], peer="pacs")
    step(node, 11)
    (job,) = node.jobs()
    assert (job.shortage, len(node.journal.instances.of_job(job.id))) == (None, 5)
    step(node, 1)
    assert node.journal.shortage.holds() == []
    assert [one.id for one in node.jobs()] == [job.id]


@pytest.mark.parametrize(("answers", "short"), [((384, 384), True), ((384,), False), ((300, 384), False), ((384, 384, 4), False)])
def test_a_series_count_that_is_unmet_and_stands_still_says_that_it_is_short(node: MiniNode, answers: tuple[int, ...], short: bool) -> None:
    """Twice the same and more than came. One answer, or one that still grows, says nothing yet; one that is met says that it is whole."""
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    listed(node, *answers)
    step(node, 11)
    assert [hold.shortage for hold in node.journal.shortage.holds()] == [Shortage(lack=Lack.COUNT, came=4, expected=384)] * short
    assert len(node.jobs()) == (not short)


@pytest.mark.parametrize(("peer", "count", "short"), [("ct1", 6, False), ("ct1", 7, True), ("pacs", 6, True), ("pacs", 4, False)])
def test_what_the_sender_lists_may_lie_here_and_wait_for_a_person(node: MiniNode, peer: str, count: int, short: bool) -> None:
    """Two of six that it sent are held, because they name another patient: that it lists six says nothing is missing. A seventh is, and so
    are the two where another sender brought them: the four are not the six that the first one lists."""
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    node.receive("1.1", "1.1.1", [5, 6], peer=peer, standing=Standing.HELD)
    listed(node, count, count)
    step(node, 11)
    assert [hold.shortage for hold in node.journal.shortage.holds()] == [Shortage(lack=Lack.COUNT, came=4, expected=count)] * short
    assert [job.shortage for job in node.jobs()] == [None] * (not short)


def test_what_another_sender_adds_is_not_the_rest(node: MiniNode) -> None:
    """The node refused two of six, and an archive brings them: a person has to decide about these, and nothing uses them. The four are as
    short as before, and so are their results on the operator's word; all six are analysed once they count."""
    node.configure(peers={"ct1": CT1, "pacs": replace(PACS, may=CT1.may)})
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    refuse(node, 5, 6)
    step(node, 11)
    held = node.receive("1.1", "1.1.1", [5, 6], peer="pacs", standing=Standing.HELD)
    step(node, 600)
    assert (len(node.journal.shortage.holds()), node.jobs()) == (1, [])
    assert complete_now(node.journal.arrivals, newest(node), node.clock())
    step(node, 1)
    (job,) = node.jobs()
    assert (job.shortage, job.marked) == (Shortage(lack=Lack.REFUSED, came=4, expected=6), True)
    node.journal.held.accept([AcceptedInstance(instance=one, scope_series=False, due_at=node.clock()) for one in held], node.clock())
    step(node, 1)
    before, after = node.jobs()
    assert (before.state, after.shortage, len(node.journal.instances.of_job(after.id))) == (JobState.SUPERSEDED, None, 6)


def test_an_archives_copy_does_not_go_on_with_what_broke_off(node: MiniNode) -> None:
    """A slice that the scanner had brought comes from the archive, too: the rest of the series is missing all the same, whoever's window
    ends."""
    node.configure(peers={"ct1": CT1, "pacs": PACS})
    (first, *_) = node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    tear(node)
    step(node, 11)
    node.clock.advance(60)
    copy = CameAgain(instance=first, peer="pacs", called_ae="HILUM", scope_series=False, due_at=node.clock(), received_at=node.clock())
    node.journal.instances.came_again([copy], node.config.digest, node.clock())
    step(node, 11)
    assert {hold.shortage.lack for hold in node.journal.shortage.holds()} == {Lack.TORN}
    assert node.jobs() == []
    step(node, 1800)
    (parked,) = node.jobs()
    assert (parked.state, parked.code) == (JobState.PARKED, "HLM-3087")


def test_a_gap_between_slices_says_that_one_is_missing(node: MiniNode) -> None:
    """By their places, not by their numbers: slice 4 of 1 to 6 is not there."""
    slices(node, [1, 2, 3, 5, 6])
    step(node, 11)
    assert [hold.shortage for hold in node.journal.shortage.holds()] == [Shortage(lack=Lack.GAP, came=5, expected=6)]
    slices(node, [4])
    step(node, 11)
    (job,) = node.jobs()
    assert job.shortage is None


@pytest.mark.parametrize(
    "beside",
    [
        {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"},
        {
            "ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER"),
            "ImagePositionPatient": (0.0, 0.0, 0.0),
            "ImageOrientationPatient": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
        },
    ],
    ids=["a capture", "a localizer"],
)
def test_what_is_no_slice_hides_no_gap(node: MiniNode, beside: dict[str, Any]) -> None:
    """One that is not there is missed beside a screenshot as well: six instances of a stack of six, and the series is short."""
    node.receive("1.1", "1.1.1", [9], **beside)
    slices(node, [1, 2, 3, 5, 6])
    step(node, 11)
    assert [hold.shortage for hold in node.journal.shortage.holds()] == [Shortage(lack=Lack.GAP, came=6, expected=7)]
    slices(node, [4])
    step(node, 11)
    assert [job.shortage for job in node.jobs()] == [None]


@pytest.mark.parametrize(
    "header", [{"ImageOrientationPatient": ()}, {"ImagePositionPatient": ("x", "y", "z")}], ids=["without a place", "not numbers"]
)
def test_what_has_no_place_has_no_gap(node: MiniNode, header: dict[str, Any]) -> None:
    """Nothing can be said of it, and nothing is held."""
    slices(node, [1, 2, 3, 5, 6], **header)
    step(node, 11)
    assert len(node.jobs()) == 1


def test_uneven_spacing_is_no_gap() -> None:
    """Only where all distances are multiples of the usual one does a slice lack; several images at one place are one place."""
    orientation = {"ImageOrientationPatient": AXIAL}
    places = {
        (0, 5, 10, 15, 20): 0,
        (0, 5, 10, 20, 25, 35): 2,
        (0, 5, 10, 17.5, 20): 0,
        (0, 0, 5, 5, 10, 10, 15, 15): 0,
        (0, 5, 15): 0,  # two distances: neither is the usual one
    }
    for depths, missing in places.items():
        assert missing_between([{**orientation, "ImagePositionPatient": (0.0, 0.0, float(z))} for z in depths]) == missing
    tilted = [{**orientation, "ImagePositionPatient": (0.0, 0.0, 5.0 * z)} for z in (0, 1, 3, 4)]
    tilted[0] = {**tilted[0], "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 0.0, 1.0)}
    assert missing_between(tilted) == 0


def test_a_transfer_that_broke_off_holds_until_the_series_is_sent_again(node: MiniNode) -> None:
    """Nobody can say of how many; the next instance of the series says that the sender goes on."""
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    tear(node)
    step(node, 11)
    assert [hold.shortage for hold in node.journal.shortage.holds()] == [Shortage(lack=Lack.TORN, came=4, expected=None)]
    node.receive("1.1", "1.1.1", [5])
    step(node, 11)
    (job,) = node.jobs()
    assert job.shortage is None


def test_a_count_that_is_met_outweighs_a_broken_transfer(node: MiniNode) -> None:
    """Senders that never release their associations are known by it: all that they list had come."""
    node.receive("1.1", "1.1.1", [1, 2, 3, 4])
    listed(node, 4, 4)
    tear(node)
    step(node, 11)
    (job,) = node.jobs()
    assert job.shortage is None
