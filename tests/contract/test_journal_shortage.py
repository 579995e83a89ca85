"""What series are short of, in the journal: owed until it comes, torn until it goes on, counted by its sender, held while a route waits."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from node.domain.arrival import Completeness
from node.domain.instance import HeldFor, Standing
from node.domain.shortage import Hold, Lack, NewHold, RefusedInstance, SeriesCount, Shortage, Shortfalls, TornSeries
from node.domain.state import JobState
from node.journal.journal import Journal
from node.journal.port import AcceptedInstance, AssociationShare, CameAgain
from tests.unit.journal.story import DECISION, QUIET, Story

SECOND = timedelta(seconds=1)
SHORTAGE = Shortage(lack=Lack.COUNT, came=2, expected=5)


def _refused(story: Story, *numbers: int, peer: str | None = "ct1") -> list[RefusedInstance]:
    uids = {"series_instance_uid": "1.1.1", "study_instance_uid": "1.1"}
    return [RefusedInstance(sop_instance_uid=f"1.1.1.{one}", peer=peer, status=0xA700, at=story.now, **uids) for one in numbers]


def _torn(story: Story, association: str = "a1") -> TornSeries:
    return TornSeries(association=association, series_instance_uid="1.1.1", study_instance_uid="1.1", peer="ct1", at=story.now)


def _hold(story: Story, *, until_s: float = 1800) -> tuple[NewHold, ...]:
    until = story.now + timedelta(seconds=until_s)
    return (NewHold(series_instance_uid="1.1.1", route="abdomen", shortage=SHORTAGE, until=until),)


def _route_held(story: Story) -> int:
    """The latest arrival is complete and routed, and a route waits; the arrival that is open for it."""
    arrival = story.arrival()
    assert story.journal.arrivals.complete(arrival.id, Completeness.QUIET, story.now)
    holds = _hold(story)
    story.journal.routing.route(arrival.id, [DECISION], [], "config 1", story.now, waits=(holds[0].until, "short"), holds=holds)
    return story.arrival().id


def test_what_was_refused_is_owed_until_it_comes_from_anybody(story: Story) -> None:
    """Refused twice, and by two peers, it is one instance; what was there before it was refused is not owed; who is asked of another
    study gets nothing."""
    story.receive(1, 2)
    story.journal.shortage.owe(_refused(story, 2, 3, 4), [])
    story.now += SECOND
    story.journal.shortage.owe([*_refused(story, 4), *_refused(story, 4, peer=None)], [])
    assert story.journal.shortage.shortfalls("1.1") == {"1.1.1": Shortfalls(owed=2)}
    assert story.journal.shortage.shortfalls("2.2") == {}
    story.receive(4, peer="pacs")
    assert story.journal.shortage.shortfalls("1.1") == {"1.1.1": Shortfalls(owed=1)}
    story.receive(3)
    assert story.journal.shortage.shortfalls("1.1") == {}


def test_what_broke_off_is_mended_by_an_instance_that_comes_later(story: Story) -> None:
    """One that came before it broke off, and is journaled behind it, mends nothing."""
    story.receive(1)
    began = story.now
    story.now += 2 * SECOND
    story.journal.shortage.owe([], [_torn(story)])
    story.journal.shortage.owe([], [_torn(story)])
    story.receive(2, received_at=began + SECOND)
    assert story.journal.shortage.shortfalls("1.1") == {"1.1.1": Shortfalls(torn=True)}
    story.now += SECOND
    story.receive(3)
    assert story.journal.shortage.shortfalls("1.1") == {}
    broke_before = TornSeries(association="a0", series_instance_uid="1.1.1", study_instance_uid="1.1", peer="ct1", at=began)
    story.journal.shortage.owe([], [broke_before])  # its record comes late: the sender has gone on meanwhile
    assert story.journal.shortage.shortfalls("1.1") == {}


def test_the_same_instances_once_more_mend_what_broke_off_and_let_it_be_looked_at(story: Story) -> None:
    """A sender that repeats all of a series that had come already: who waits for it waits its window, and no longer."""
    ids = story.receive(1, 2)
    story.now += SECOND
    story.journal.shortage.owe([], [_torn(story)])
    waiting = _route_held(story)
    story.now += SECOND
    again = [
        CameAgain(instance=one, peer="ct1", called_ae="HILUM", scope_series=False, due_at=story.now + QUIET, received_at=story.now)
        for one in ids
    ]
    story.journal.instances.came_again(again, "config 1", story.now)
    assert story.journal.shortage.shortfalls("1.1") == {}
    assert (story.arrival().id, story.arrival().due_at) == (waiting, story.now + QUIET)


def test_what_came_is_counted_by_instance_whoever_sent_it_and_whatever_becomes_of_it(story: Story) -> None:
    """Corrected ones once, held ones too; of another study's nothing. What lies aside is none that anything is used of."""
    first, _ = story.receive(1, 2)
    story.update(first, 1)
    story.receive(3, peer="pacs")
    held = [story.instance(number, blob=f"held {number}", digest=f"held {number}", standing=Standing.HELD) for number in (2, 9)]
    story.journal.instances.record([story.new(one, opens=False) for one in held], story.now)
    story.receive(4, study_instance_uid="2.2", series_instance_uid="2.2.1")
    assert (story.journal.instances.count_by_series("1.1"), story.journal.instances.count_by_series("2.2")) == ({"1.1.1": 4}, {"2.2.1": 1})
    assert story.journal.instances.count_by_series("1.1", listed_by="ct1") == {"1.1.1": 4}
    assert story.journal.instances.count_by_series("1.1", listed_by="pacs") == {"1.1.1": 3}
    story.journal.shortage.count("1.1", "ct1", {"1.1.1": 5}, story.now)
    assert story.journal.shortage.shortfalls("1.1")["1.1.1"].aside == {"ct1": 1}


def test_what_another_sender_brings_and_a_person_has_to_decide_about_is_owed_still(story: Story) -> None:
    """It is used by nothing. What its own sender brings came, whatever becomes of it, and so did what a person lets count."""
    story.receive(1)
    story.journal.shortage.owe(_refused(story, 2, 3), [])
    story.now += SECOND
    added, another = (_held(story, number, "pacs") for number in (2, 3))
    assert story.journal.shortage.shortfalls("1.1") == {"1.1.1": Shortfalls(owed=2)}
    accepted = AcceptedInstance(instance=added, scope_series=False, due_at=story.now)
    story.journal.held.accept([accepted], story.now)
    assert story.journal.shortage.shortfalls("1.1") == {"1.1.1": Shortfalls(owed=1)}
    story.journal.held.refuse([another], story.now)
    assert story.journal.shortage.shortfalls("1.1") == {"1.1.1": Shortfalls(owed=1)}
    _held(story, 3, "ct1")
    assert story.journal.shortage.shortfalls("1.1") == {}


def test_what_broke_off_is_not_mended_by_what_another_sender_has_of_it(story: Story) -> None:
    """Neither by a copy of what came already, nor by what a person has to decide about; the record of it may come later than they."""
    (first,) = story.receive(1)
    torn = _torn(story)
    story.now += SECOND
    _held(story, 2, "pacs")
    story.journal.shortage.owe([], [torn])
    copy = CameAgain(instance=first, peer="pacs", called_ae="HILUM", scope_series=False, due_at=story.now, received_at=story.now)
    story.journal.instances.came_again([copy], "config 1", story.now)
    assert story.journal.shortage.shortfalls("1.1") == {"1.1.1": Shortfalls(torn=True)}
    story.journal.instances.came_again([replace(copy, peer="ct1")], "config 1", story.now)
    assert story.journal.shortage.shortfalls("1.1") == {}


def _held(story: Story, number: int, peer: str) -> int:
    """An instance of `peer` waits for a person."""
    kept = f"held {number} of {peer}"
    one = story.instance(number, blob=kept, digest=kept, standing=Standing.HELD, held_for=HeldFor.ADDED, peer=peer, received_at=story.now)
    (row,) = story.journal.instances.record([story.new(one, opens=False)], story.now)
    return row


def test_what_the_series_of_an_arrival_are_made_of(story: Story) -> None:
    """One instance of each SOP class of each series, with its header."""
    story.receive(1, 2)
    story.receive(3, sop_class_uid="1.2.840.10008.5.1.4.1.1.66")
    story.receive(4, series_instance_uid="1.1.2")
    found = story.journal.instances.one_of_each(story.arrival().id)
    assert [(one.series_instance_uid, one.sop_instance_uid) for one in found] == [
        ("1.1.1", "1.1.1.1"),
        ("1.1.1", "1.1.1.3"),
        ("1.1.2", "1.1.1.4"),
    ]
    assert all(one.header for one in found)


def test_how_many_of_each_series_the_manifest_of_an_arrival_holds(story: Story) -> None:
    """Of what this arrival holds alone: not what another peer sent of the study."""
    story.receive(1, 2)
    story.receive(4, series_instance_uid="1.1.2")
    story.receive(5, series_instance_uid="1.1.3", peer="second")
    arrival = next(one for one in story.journal.arrivals.find() if one.peer != "second")
    assert story.journal.instances.count_of_arrival(arrival.id) == {"1.1.1": 2, "1.1.2": 1}
    assert arrival.instances == 3


def test_what_each_association_brought_of_an_arrival(story: Story) -> None:
    """In the order in which they began: neither what came over none that is known, nor what another peer had sent before, nor, of what came
    late, what the arrival before had."""
    began = story.now
    story.receive(9, peer="second", association="theirs")
    story.receive(1, association="b")
    story.now += timedelta(seconds=2)
    story.receive(2, association="a")
    story.now += timedelta(seconds=3)
    story.receive(3, association="b")
    story.receive(4)
    first = story.arrival()
    at = [began + timedelta(seconds=seconds) for seconds in (0, 2, 5)]
    assert story.journal.instances.by_association(first) == [
        AssociationShare(instances=2, first=at[0], last=at[2]),
        AssociationShare(instances=1, first=at[1], last=at[1]),
    ]
    story.route()
    story.receive(5, association="late")
    assert story.arrival().supersedes == first.id
    assert [one.instances for one in story.journal.instances.by_association(story.arrival())] == [1]


def test_a_count_stands_once_it_is_the_same_in_two_questions(story: Story) -> None:
    """By peer; one that grows begins anew."""
    first = story.now
    story.journal.shortage.count("1.1", "ct1", {"1.1.1": 5, "1.1.2": 7}, story.now)
    story.now += SECOND
    story.journal.shortage.count("1.1", "ct1", {"1.1.1": 5, "1.1.2": 8}, story.now)
    counts = {series: known.counts for series, known in story.journal.shortage.shortfalls("1.1").items()}
    assert counts == {
        "1.1.1": (SeriesCount(series_instance_uid="1.1.1", peer="ct1", count=5, same_since=first, asked_at=story.now),),
        "1.1.2": (SeriesCount(series_instance_uid="1.1.2", peer="ct1", count=8, same_since=story.now, asked_at=story.now),),
    }
    assert [one.stands for ones in counts.values() for one in ones] == [True, False]


def test_a_hold_stands_until_something_comes_and_knows_since_when(story: Story) -> None:
    """Over revisions: what the predecessor waited for already has been held since then."""
    story.receive(1, 2)
    began = story.now
    waiting = _route_held(story)
    (hold,) = story.journal.shortage.holds()
    assert hold == Hold(
        arrival=waiting,
        study_instance_uid="1.1",
        series_instance_uid="1.1.1",
        route="abdomen",
        shortage=SHORTAGE,
        since=began,
        until=began + timedelta(minutes=30),
    )
    assert (story.journal.shortage.holds(study="2.2"), story.journal.shortage.holds(study="1.1")) == ([], [hold])
    story.now += SECOND
    story.receive(3)
    assert story.journal.shortage.holds() == []
    assert story.journal.shortage.holds_of(waiting) == [hold]
    story.now += 60 * SECOND
    _route_held(story)
    assert [one.since for one in story.journal.shortage.holds()] == [began]


def test_a_job_keeps_how_short_its_series_was(story: Story) -> None:
    """One for the same inputs that are known to be whole by now takes the place of one whose results say otherwise, and only then."""
    story.receive(1, 2)
    (first,) = story.route(story.job_asked(shortage=SHORTAGE, marked=True))
    assert (story.journal.jobs.get(first).shortage, story.journal.jobs.get(first).marked) == (SHORTAGE, True)
    job = story.claim()
    story.infer(job)
    story.encode(job)
    story.receive(100)
    (same,) = story.route(story.job_asked(shortage=SHORTAGE, marked=True))
    assert same == first
    story.receive(101)
    (second,) = story.route(story.job_asked())
    assert story.journal.jobs.get(second).predecessor == first
    assert [one.state for one in story.journal.jobs.find()] == [JobState.SUPERSEDED, JobState.QUEUED]


def test_a_clock_that_went_back_leaves_holds_their_time(story: Story) -> None:
    """They are longer than any quiet window, and no longer than anybody may hold."""
    story.receive(1, 2)
    _route_held(story)
    assert isinstance(story.journal, Journal)
    bounds = {"arrivals": QUIET, "retries": QUIET, "lease": QUIET}
    assert story.journal.processes.bring_near(story.now, held=timedelta(minutes=30), **bounds) == 0
    story.now -= timedelta(hours=1)
    assert story.journal.processes.bring_near(story.now, held=timedelta(minutes=30), **bounds) == 1
    assert story.arrival().due_at == story.now + timedelta(minutes=30)


def test_what_is_old_or_erased_is_forgotten(story: Story) -> None:
    """Nothing of a study that was erased stays, in any table; what nobody asks about any more goes by its age."""
    story.receive(1, 2)
    story.journal.shortage.owe(_refused(story, 3), [_torn(story)])
    story.journal.shortage.count("1.1", "ct1", {"1.1.1": 9}, story.now)
    _route_held(story)
    assert story.journal.shortage.forget(story.now) == 0
    assert isinstance(story.journal, Journal)
    held = story.journal.erasure.find(None, ["1.1"])
    story.journal.erasure.erase(held, (), (), story.now + timedelta(days=7), story.now)
    assert (story.journal.shortage.shortfalls("1.1"), story.journal.shortage.holds()) == ({}, [])
    with story.journal.database.engine.connect() as connection:
        for table in ("hold", "refused_instance", "torn_series", "series_count"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0
    story.receive(11, study_instance_uid="2.2", series_instance_uid="2.2.1", sop_instance_uid="2.2.1.11", blob="instances/x.dcm")
    story.journal.shortage.count("2.2", "ct1", {"2.2.1": 9}, story.now)
    assert story.journal.shortage.forget(story.now + SECOND) == 1
    assert story.journal.shortage.shortfalls("2.2") == {}
