"""The contract of node.journal.journal, on every database: what came, what it means for arrivals, what becomes of jobs and deliveries."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from node.domain.arrival import Completeness
from node.domain.instance import ResultSource, Standing
from node.domain.state import ArrivalState, JobState
from node.journal.errors import JournalRace, NoSuchRow
from node.journal.instances import replace_row
from node.journal.journal import Journal
from node.journal.port import Aside, CameAgain, Pausable
from tests.unit.journal.story import LEASE, QUIET, START, Story

SECOND = timedelta(seconds=1)


# ---- instances and arrivals


def test_what_was_recorded_is_read_back_whole(story: Story) -> None:
    """Every attribute and header value survives, whether it is the first of its series or differs from it: numbers, names in any
    script, values that are empty, keywords that only one instance has."""
    first = story.instance(1, header={"PatientName": ("山田^太郎",), "PixelSpacing": (0.5, 0.5), "Rows": (512,), "StudyID": ()})
    second = story.instance(2, header={"PatientName": ("Bühler^Zoë",), "PixelSpacing": (0.5, 0.5), "SliceThickness": (1e-3,)}, peer=None)
    ids = story.journal.instances.record([story.new(first), story.new(second)], START)
    assert story.journal.instances.by_uid(first.sop_instance_uid) == [replace(first, id=ids[0])]
    assert story.journal.instances.by_uid(second.sop_instance_uid, first.sop_instance_uid) == [
        replace(first, id=ids[0]),
        replace(second, id=ids[1]),
    ]


def test_recording_again_changes_nothing(story: Story) -> None:
    """A crash after the commit makes the index record the same blobs once more: the same rows, the same arrival."""
    ids = story.receive(1, 2)
    before = story.arrival()
    story.now += SECOND
    assert story.receive(1, 2) == ids
    assert story.arrival() == before


def test_several_batches_make_one_arrival(story: Story) -> None:
    """A study may come over several associations: what comes while it is open joins it and moves its due time."""
    story.receive(1, 2)
    story.now += SECOND
    story.receive(3)
    arrival = story.arrival()
    assert (arrival.revision, arrival.instances, arrival.state) == (1, 3, ArrivalState.RECEIVED)
    assert (arrival.opened_at, arrival.last_instance_at, arrival.due_at) == (START, story.now, story.now + QUIET)
    assert len(story.journal.arrivals.find()) == 1


def test_interleaved_studies_and_peers_do_not_mix(story: Story) -> None:
    """Two studies in one batch, and one study from two peers, are arrivals of their own."""
    other = story.instance(2, study_instance_uid="1.2", series_instance_uid="1.2.1")
    stranger = story.instance(3, peer=None)
    story.journal.instances.record([story.new(story.instance(1)), story.new(other), story.new(stranger)], START)
    manifests = {
        key: [i.sop_instance_uid for i in story.journal.instances.of_arrival(story.arrival(*key).id)]
        for key in [("1.1", None, "ct1"), ("1.2", None, "ct1"), ("1.1", None, None)]
    }
    assert manifests == {("1.1", None, "ct1"): ["1.1.1.1"], ("1.2", None, "ct1"): ["1.1.1.2"], ("1.1", None, None): ["1.1.1.3"]}


def test_series_settle_one_by_one_where_the_peer_says_so(story: Story) -> None:
    """With the series as scope, two series of one study are two arrivals."""
    other = story.instance(2, series_instance_uid="1.1.2")
    story.journal.instances.record([story.new(story.instance(1), series=True), story.new(other, series=True)], START)
    assert story.arrival("1.1", "1.1.1").instances == story.arrival("1.1", "1.1.2").instances == 1
    assert story.journal.arrivals.latest("1.1", None, "ct1") is None


def test_a_late_instance_opens_a_revision_that_has_the_earlier_ones_too(story: Story) -> None:
    """A closed arrival never changes: what comes late opens a new one, which names its predecessor and inherits its instances."""
    story.receive(1, 2)
    story.route()
    first = story.arrival()
    story.receive(3)
    second = story.arrival()
    assert (second.revision, second.supersedes, second.instances) == (2, first.id, 3)
    assert len(story.journal.instances.of_arrival(first.id)) == 2


def test_an_update_takes_the_place_of_what_it_corrects(story: Story) -> None:
    """In an open arrival the corrected instance replaces the former; a manifest that is frozen keeps what it had."""
    old, _ = story.receive(1, 2)
    new = story.update(old, 1)
    assert [i.id for i in story.journal.instances.of_arrival(story.arrival().id)] == [2, new]
    assert [i.standing for i in story.journal.instances.by_uid("1.1.1.1")] == [Standing.REPLACED, Standing.CURRENT]
    story.route()
    frozen = story.arrival()
    newest = story.journal.instances.record(
        [story.new(story.instance(1, blob="third", digest="third"), replaces=new)],
        START,
    )[0]
    assert [i.id for i in story.journal.instances.of_arrival(frozen.id)] == [2, new]
    assert [i.id for i in story.journal.instances.of_arrival(story.arrival().id)] == [2, newest]


def test_of_two_that_correct_one_instance_at_once_the_second_is_told_to_look_again(story: Story) -> None:
    """Two processes judged it while the former counted; whoever comes second judges anew, and is told of no change that is refused."""
    (old,) = story.receive(1)
    assert isinstance(story.journal, Journal)
    one, other = (story.instance(1, blob=name, digest=name) for name in ("one", "other"))
    with ThreadPoolExecutor(1) as threads:
        with story.journal.database.writing() as connection:
            replace_row(connection, old, one, START)
            late = threads.submit(story.journal.instances.record, [story.new(other, replaces=old)], START)
            time.sleep(0.5)  # by then it waits for this transaction
            assert not late.done()
        with pytest.raises(JournalRace, match="replaced it first"):
            late.result(30)
    assert story.names("instance", old) == ["instance.replaced"]
    assert [event.detail for event in story.journal.events.of("instance", old)] == ["corrected by CT1: one"]


def test_a_conflict_is_kept_and_told_but_joins_nothing(story: Story) -> None:
    """Other pixels under a known UID stand beside the first, and an event says so."""
    story.receive(1)
    conflict = story.conflict(1)
    assert [i.standing for i in story.journal.instances.by_uid("1.1.1.1")] == [Standing.CURRENT, Standing.CONFLICT]
    assert story.arrival().instances == 1
    assert story.names("instance", conflict) == ["instance.conflict"]


def test_an_arrival_is_not_complete_when_something_came_meanwhile(story: Story) -> None:
    """The settle stage decides on what it saw; an instance that was journaled since then, even in the same microsecond, stops it."""
    story.receive(1)
    seen = story.arrival()
    story.receive(2)
    assert not story.journal.arrivals.complete(seen.id, Completeness.QUIET, story.now, expected_last=seen.last_instance_at)
    assert story.journal.arrivals.complete(seen.id, Completeness.COUNT, story.now, expected_last=story.arrival().last_instance_at)
    assert not story.journal.arrivals.complete(seen.id, Completeness.QUIET, story.now)
    assert (story.arrival().completed_by, story.arrival().completed_at) == (Completeness.COUNT, story.now)


def test_the_quiet_window_is_shortened_never_lengthened(story: Story) -> None:
    """`shorten` moves an open arrival's due time nearer; a later time, or a closed arrival, is left as it is."""
    story.receive(1)
    arrival = story.arrival()
    story.journal.arrivals.shorten(arrival.id, START + 2 * SECOND)
    story.journal.arrivals.shorten(arrival.id, START + 5 * SECOND)
    assert story.arrival().due_at == START + 2 * SECOND
    story.route()
    story.journal.arrivals.shorten(arrival.id, START)
    assert story.arrival().due_at == START + 2 * SECOND


def test_arrivals_are_listed_for_stages_and_for_people(story: Story) -> None:
    """By state, by due time (the longest due first), by study; the newest first when asked."""
    story.receive(1)
    story.now -= 5 * SECOND
    story.receive(2, study_instance_uid="1.2")
    ids = [story.arrival("1.1").id, story.arrival("1.2").id]
    assert [a.id for a in story.journal.arrivals.find(due_before=START + QUIET)] == ids[::-1]
    assert [a.id for a in story.journal.arrivals.find(due_before=START + QUIET - SECOND)] == ids[1:]
    assert [a.id for a in story.journal.arrivals.find(newest=True)] == ids[::-1]
    assert [a.id for a in story.journal.arrivals.find(study="1.1", states={ArrivalState.RECEIVED})] == ids[:1]
    assert story.journal.arrivals.find(states={ArrivalState.ROUTED}) == []


# ---- the same instances again


def _again(story: Story, instance: int, *, peer: str | None = "ct1", called: str = "HILUM", config: str = "config 1") -> None:
    again = CameAgain(instance=instance, peer=peer, called_ae=called, scope_series=False, due_at=story.now + QUIET)
    story.journal.instances.came_again([again], config, story.now)


def test_a_duplicate_keeps_an_open_arrival_open(story: Story) -> None:
    """A sender that repeats itself is not quiet; but nothing is added."""
    (row,) = story.receive(1)
    story.now += SECOND
    _again(story, row)
    assert (story.arrival().due_at, story.arrival().instances) == (story.now + QUIET, 1)
    assert story.names("instance", row) == ["instance.duplicate"]


def test_a_duplicate_of_a_routed_study_moves_nothing(story: Story) -> None:
    """The same study sent twice makes one arrival."""
    (row,) = story.receive(1)
    story.route()
    _again(story, row)
    assert len(story.journal.arrivals.find()) == 1


@pytest.mark.parametrize("what", [{"config": "config 2"}, {"called": "HILUM_STAT"}])
def test_a_study_sent_again_is_routed_again_when_that_may_change_something(story: Story, what: dict[str, str]) -> None:
    """Another configuration, or another called AE title on which routes may decide, opens a revision with all instances."""
    row, _ = story.receive(1, 2)
    story.route()
    _again(story, row, **what)
    assert (story.arrival().revision, story.arrival().instances) == (2, 2)
    assert story.arrival().called_ae == what.get("called", "HILUM")


def test_a_study_that_a_second_peer_sends_is_routed_for_that_peer_too(story: Story) -> None:
    """Routes may ask who sent it: known instances from another peer make an arrival of that peer, once."""
    (row,) = story.receive(1)
    story.route()
    _again(story, row, peer="pacs")
    _again(story, row, peer="pacs")
    assert (story.arrival(peer="pacs").revision, story.arrival(peer="pacs").instances) == (1, 1)


# ---- operator, history, health


def test_events_tell_the_whole_way_of_a_job(story: Story) -> None:
    """Every change of state is an event, in order, with its time."""
    job = story.done()
    assert story.names("job", job) == ["job.queued", "job.claimed", "job.inferred", "job.encoded", "job.done"]
    (delivery,) = story.journal.deliveries.find(job=job)
    assert story.names("delivery", delivery.id) == ["delivery.waiting", "delivery.claimed", "delivery.delivered"]
    story.journal.events.note("job", job, "job.looked_at", "by a test", START + SECOND)
    last = story.journal.events.of("job", job)[-1]
    assert (last.name, last.detail, last.at) == ("job.looked_at", "by a test", START + SECOND)


def test_pausing_is_remembered_until_resumed(story: Story) -> None:
    """Pausing twice keeps the first time; resuming what is not paused says so."""
    story.journal.pauses.add(Pausable.SINK, "archive", START)
    story.journal.pauses.add(Pausable.SINK, "archive", START + SECOND)
    assert story.journal.pauses.find() == [(Pausable.SINK, "archive", START)]
    assert story.journal.pauses.remove(Pausable.SINK, "archive")
    assert not story.journal.pauses.remove(Pausable.SINK, "archive")
    assert story.journal.pauses.find() == []


def test_signs_of_life_are_the_last_ones(story: Story) -> None:
    """A process overwrites its own."""
    story.journal.processes.beat("flow", "settle", START)
    story.journal.processes.beat("flow", "idle", START + SECOND)
    assert story.journal.processes.beats() == {"flow": (START + SECOND, "idle")}
    for process in ("work host:1", "work host:11", "flow host:2"):
        story.journal.processes.beat(process, "running", START)
    story.journal.processes.release("host:1", START)
    assert set(story.journal.processes.beats()) == {"flow", "work host:11", "flow host:2"}, "the dead are not missed"
    story.journal.processes.release("", START)
    assert story.journal.processes.beats() == {}


def test_files_set_aside_are_remembered_once(story: Story) -> None:
    """The same file again (a crash before it was moved) is the same row; the newest is first."""
    one = Aside(at=START, entry="a.dcm", sender="CT1@10.0.0.1", code="HLM-3001", reason="no DICM prefix")
    two = replace(one, entry="b.dcm")
    for aside in (one, one, two):
        story.journal.instances.set_aside(aside)
    assert story.journal.instances.asides() == [two, one]


def test_own_results_are_known_by_their_uid(story: Story) -> None:
    """From the moment they are encoded, whether or not they left."""
    job = story.encoded()
    made = {one.sop_instance_uid for one in story.journal.results.of_job(job)}
    assert story.journal.results.own([*made, "1.1.1.1"]) == made


def test_what_is_not_there_is_an_error_not_a_silence(story: Story) -> None:
    """Asking for, or ending, a job that does not exist names it."""
    for ask in (story.journal.jobs.get, lambda job: story.journal.jobs.end(job, None, JobState.CANCELLED, "", "", START)):
        with pytest.raises(NoSuchRow, match="job 7"):
            ask(7)
    with pytest.raises(NoSuchRow, match="arrival 7"):
        story.journal.arrivals.complete(7, Completeness.OPERATOR, START)


def test_time_that_is_not_utc_is_understood_and_naive_time_refused(story: Story) -> None:
    """Two clocks in two zones mean the same moment; a naive one means none."""
    story.queued()
    with pytest.raises(TypeError):
        story.journal.jobs.claim("host:1", START.replace(tzinfo=None), LEASE)


def test_a_study_is_what_all_of_its_senders_sent_but_what_was_replaced(story: Story) -> None:
    """Two peers, an update, a purged instance: each SOP instance once, as it stands now, and the conflict beside it; no other study's."""
    first, second, third = story.receive(1, 2, 3)
    story.receive(4, peer="pacs")
    story.receive(5, study_instance_uid="1.2")
    corrected = story.update(first, 1)
    story.conflict(2)
    story.route()
    story.now += timedelta(days=1)
    story.journal.arrivals.complete(story.arrival(peer="pacs").id, Completeness.QUIET, story.now)
    story.journal.routing.route(story.arrival(peer="pacs").id, [], [], "config 1", story.now)
    story.journal.retention.tombstone([first, second], story.now)
    assert story.journal.instances.by_uid("1.1.1.2")[0].standing is Standing.PURGED
    found = {i.id: i.standing for i in story.journal.instances.of_study("1.1")}
    (conflict,) = story.journal.instances.conflicts()
    assert found == {
        second: Standing.PURGED,
        third: Standing.CURRENT,
        4: Standing.CURRENT,
        corrected: Standing.CURRENT,
        conflict.id: Standing.CONFLICT,
    }
    assert [one.id for one in story.journal.instances.conflicts(study="1.1")] == [conflict.id]
    assert story.journal.instances.conflicts(study="1.2") == []


def test_what_another_node_made_is_known_by_its_study_and_in_no_arrival(story: Story) -> None:
    """It opens nothing and is no image of the study; once its bytes are deleted it is still told."""
    story.receive(1)
    theirs = story.instance(9, standing=Standing.RESULT)
    source = ResultSource(device_uid="1.9", series=frozenset({"1.1.1", "1.1.2"}))
    (row,) = story.journal.instances.record([replace(story.new(theirs, opens=False), result_of=source)], story.now)
    assert story.journal.instances.result_sources("1.1") == {row: source}
    assert story.journal.instances.result_sources("1.2") == {}
    assert [one.id for one in story.journal.instances.other_results("1.1")] == [row]
    assert story.journal.instances.other_results("1.2") == []
    assert row not in [one.id for one in story.journal.instances.of_study("1.1")]
    assert story.arrival().instances == 1
    assert [event.name for event in story.journal.events.of("instance", row)] == ["instance.other_result"]
    story.journal.retention.tombstone([row], story.now)
    assert [one.standing for one in story.journal.instances.other_results("1.1")] == [Standing.PURGED]
    assert story.journal.instances.result_sources("1.1") == {row: source}


def test_studies_of_results_alone_are_known_until_something_else_comes(story: Story) -> None:
    """No arrival tells of such a study; the newest instance of each does, the newest study first."""
    theirs = [
        story.instance(number, study_instance_uid=study, standing=Standing.RESULT) for number, study in ((8, "1.8"), (9, "1.8"), (7, "1.7"))
    ]
    _, second, other = story.journal.instances.record([story.new(one, opens=False) for one in theirs], story.now)
    assert [one.id for one in story.journal.instances.results_alone()] == [other, second]
    assert [one.id for one in story.journal.instances.results_alone(limit=1)] == [other]
    assert [one.id for one in story.journal.instances.results_alone(study="1.8")] == [second]
    assert story.journal.instances.results_alone(study="1.1") == []
    story.receive(1, study_instance_uid="1.8")
    assert [one.id for one in story.journal.instances.results_alone()] == [other]
