"""The contract of node.journal.journal, on every database: whose turn it is."""

import itertools
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from node.domain.job import Job, Priority
from node.domain.state import JobState
from tests.unit.journal.story import LEASE, START, Story

MINUTE = timedelta(minutes=1)
PATIENCE = 30 * MINUTE
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
CLASSES = (Priority.URGENT, Priority.ROUTINE, Priority.OFFPEAK)


def _queue(story: Story, *asked: tuple[Priority, datetime | None]) -> list[int]:
    """One job for each (priority, deadline), of one arrival; their ids in this order."""
    if story.journal.arrivals.latest("1.1", None, "ct1") is None:
        story.receive(1)
    else:
        story.receive(100 + story.arrival().revision)  # a late instance opens a revision
    first = len(story.journal.jobs.find())
    return story.route(
        *(
            story.job_asked(application=f"application {first + n}", priority=priority, deadline_at=deadline)
            for n, (priority, deadline) in enumerate(asked)
        )
    )


def _claim(
    story: Story, *, offpeak: bool = True, at_once: Mapping[str, int] | None = None, away: Collection[str] = (), owner: str = "host:1"
) -> Job | None:
    return story.journal.jobs.claim(owner, story.now, LEASE, away_engines=away, offpeak=offpeak, at_once=at_once)


def _order(story: Story, *, offpeak: bool = True) -> list[int]:
    """Every job that can be claimed, in the order of the claims."""
    found = []
    while (job := _claim(story, offpeak=offpeak)) is not None:
        found.append(job.id)
    return found


@pytest.mark.parametrize("came", list(itertools.permutations(CLASSES)), ids=lambda came: "-".join(came))
def test_urgent_before_routine_before_offpeak_however_they_came(story: Story, came: tuple[Priority, ...]) -> None:
    """Network case 15: In all six orders of coming."""
    ids = dict(zip(came, (_queue(story, (priority, None))[0] for priority in came), strict=True))
    assert _order(story) == [ids[priority] for priority in CLASSES]


@pytest.mark.parametrize("came", list(itertools.permutations(CLASSES)), ids=lambda came: "-".join(came))
def test_offpeak_waits_for_its_window_however_they_came(story: Story, came: tuple[Priority, ...]) -> None:
    """Network case 15: Outside of the window the others run and it stays; inside it comes."""
    ids = dict(zip(came, _queue(story, *((priority, None) for priority in came)), strict=True))
    assert _order(story, offpeak=False) == [ids[Priority.URGENT], ids[Priority.ROUTINE]]
    assert _order(story) == [ids[Priority.OFFPEAK]]


def test_within_a_class_the_earliest_deadline_goes_first(story: Story) -> None:
    """A deadline decides inside its class only; what has none comes after, in the order of coming."""
    routine, urgent = Priority.ROUTINE, Priority.URGENT
    asked = [(routine, None), (routine, START + 9 * MINUTE), (urgent, None), (routine, START + 3 * MINUTE), (urgent, START + 60 * MINUTE)]
    plain, nine, urgent_plain, three, urgent_late = _queue(story, *asked)
    assert _order(story) == [urgent_late, urgent_plain, three, nine, plain]


def test_a_deadline_is_kept_with_the_job(story: Story) -> None:
    """Read back as it was asked; a deadline that has passed is no reason to drop anything."""
    (late,) = _queue(story, (Priority.ROUTINE, START - MINUTE))
    assert story.journal.jobs.get(late).deadline_at == START - MINUTE
    assert _order(story) == [late]


def test_a_second_route_may_hasten_a_job(story: Story) -> None:
    """Another arrival asks for the same with a higher priority and an earlier deadline: the job takes both, and never the later ones."""
    story.receive(1)
    (job,) = story.route(story.job_asked(priority=Priority.OFFPEAK, deadline_at=START + 60 * MINUTE))
    story.receive(2)
    asked = story.job_asked(priority=Priority.URGENT, deadline_at=START + 5 * MINUTE, routes=("stroke",))
    assert story.route(asked) == [job]
    story.receive(3)
    assert story.route(story.job_asked(priority=Priority.ROUTINE, deadline_at=START + 90 * MINUTE)) == [job]
    joined = story.journal.jobs.get(job)
    assert (joined.priority, joined.deadline_at) == (Priority.URGENT, START + 5 * MINUTE)
    (other,) = _queue(story, (Priority.URGENT, START + 6 * MINUTE))
    assert _order(story, offpeak=False) == [job, other]


# ---- nobody waits for ever


def test_what_has_waited_moves_up_one_class_at_a_time(story: Story) -> None:
    """After patience a routine job stands among the urgent ones, an off-peak one among the routine ones; each move is told."""
    routine, offpeak = _queue(story, (Priority.ROUTINE, None), (Priority.OFFPEAK, None))
    story.now += PATIENCE - MINUTE
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS) == 0
    story.now += MINUTE
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS) == 2
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS) == 0, "once for each patience"
    new_urgent, new_routine = _queue(story, (Priority.URGENT, None), (Priority.ROUTINE, None))
    assert _order(story) == [routine, new_urgent, offpeak, new_routine]
    assert story.names("job", routine) == ["job.queued", "job.moved_up", "job.claimed"]
    assert story.journal.jobs.get(routine).priority is Priority.ROUTINE, "what was asked for stays"


def test_a_job_keeps_its_deadline_when_it_moves_up(story: Story) -> None:
    """Among urgent jobs it stands by its deadline."""
    (routine,) = _queue(story, (Priority.ROUTINE, START + 60 * MINUTE))
    story.now += PATIENCE
    story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS)
    sooner, later = _queue(story, (Priority.URGENT, START + 40 * MINUTE), (Priority.URGENT, START + 80 * MINUTE))
    assert _order(story) == [sooner, routine, later]


def test_in_the_first_class_what_has_no_deadline_goes_to_the_front_in_the_end(story: Story) -> None:
    """Jobs with deadlines that keep coming would pass it for ever."""
    (plain,) = _queue(story, (Priority.URGENT, None))
    story.now += PATIENCE
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS) == 1
    assert story.journal.jobs.move_up(story.now + 100 * PATIENCE, PATIENCE, offpeak_since=ALWAYS) == 0, "there is nothing above"
    (new,) = _queue(story, (Priority.URGENT, story.now + MINUTE))
    assert _order(story) == [plain, new]


def test_an_offpeak_job_that_has_moved_up_never_leaves_its_window(story: Story) -> None:
    """Its wait counts from the opening of the window; by day nothing moves it, and nothing claims it."""
    (offpeak,) = _queue(story, (Priority.OFFPEAK, None))
    evening = START + 8 * 60 * MINUTE
    story.now = evening
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=None) == 0
    assert story.journal.jobs.move_up(story.now + MINUTE, PATIENCE, offpeak_since=evening) == 0, "it has waited for a minute of this window"
    story.now += PATIENCE
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=evening) == 1
    story.now += PATIENCE
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=evening) == 1
    assert _order(story, offpeak=False) == []
    (urgent,) = _queue(story, (Priority.URGENT, None))
    assert _order(story) == [offpeak, urgent]


def test_what_is_claimed_waits_for_nobody(story: Story) -> None:
    """A job under a live lease does not move; one whose holder died does, when its peer had no turn since."""
    _queue(story, (Priority.ROUTINE, None))
    story.now += PATIENCE
    held = _claim(story)
    assert held is not None
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS) == 0
    assert story.journal.jobs.move_up(story.now + LEASE + MINUTE, PATIENCE, offpeak_since=ALWAYS) == 0
    assert story.journal.jobs.move_up(story.now + LEASE + PATIENCE, PATIENCE, offpeak_since=ALWAYS) == 1


def test_a_job_that_a_person_revives_begins_to_wait_anew(story: Story) -> None:
    """It moves up from its own class when patience has passed again."""
    (job,) = _queue(story, (Priority.ROUTINE, None))
    story.now += PATIENCE
    story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS)
    story.journal.jobs.end(job, None, JobState.CANCELLED, "", "", story.now)
    story.journal.jobs.revive(job, story.now)
    (urgent,) = _queue(story, (Priority.URGENT, None))
    assert _order(story) == [urgent, job]


# ---- bounds


def test_an_application_never_has_more_at_work_than_it_may(story: Story) -> None:
    """Network case 19: Live leases count, whoever holds them and in whatever state the job is; another application goes on; a lease
    that ran out is free."""
    story.receive(1, 2, 3, 4)
    busy = [story.job_asked(application="busy", series_instance_uid=f"1.1.{n}") for n in range(3)]
    jobs = story.route(*busy, story.job_asked(application="free"))
    bound = {"busy": 2, "other": 0}
    first, second, third = (_claim(story, at_once=bound, owner=f"host:{n}") for n in range(3))
    assert [job.id for job in (first, second, third) if job is not None] == [jobs[0], jobs[1], jobs[3]]
    assert _claim(story, at_once=bound) is None
    assert first is not None
    story.infer(first)
    assert _claim(story, at_once=bound) is None, "still at work"
    story.encode(first)
    fourth = _claim(story, at_once=bound)
    assert fourth is not None
    assert fourth.id == jobs[2]
    assert _claim(story, at_once={"busy": 1}) is None
    story.now += LEASE + MINUTE
    again = _claim(story, at_once={"busy": 1})
    assert again is not None
    assert again.application == "busy"


# ---- a commit whose answer was lost


def test_a_step_that_was_made_already_is_known_again(story: Story) -> None:
    """The caller repeats a step when it does not know whether it was made: the second time changes nothing and says the same."""
    story.queued()
    job = story.claim()
    assert job.lease is not None
    for _ in range(2):
        story.infer(job)
    objects = [story.made(job.id, kind) for kind in ("seg", "sr")]
    for _ in range(2):
        assert story.journal.jobs.encoded(job.id, job.lease, objects, story.now)
    assert len(story.journal.results.of_job(job.id)) == 2
    assert not story.journal.jobs.encoded(job.id, job.lease, objects[:1], story.now), "other objects are another's"
    delivery = story.take()
    assert delivery.lease is not None
    for _ in range(2):
        assert story.journal.deliveries.delivered(delivery.id, delivery.lease, story.now)
    assert story.names("job", job.id) == ["job.queued", "job.claimed", "job.inferred", "job.encoded", "job.done"]
    assert len(story.journal.deliveries.find(job=job.id)) == 1


def test_an_end_that_was_recorded_already_is_known_again(story: Story) -> None:
    """Parking and failing too; an end for another reason is not it."""
    story.queued()
    job = story.claim()
    assert job.lease is not None
    for _ in range(2):
        assert story.journal.jobs.end(job.id, job.lease, JobState.PARKED, "HLM-3000", "no", story.now)
    assert not story.journal.jobs.end(job.id, job.lease, JobState.FAILED, "HLM-3000", "no", story.now)
    assert story.names("job", job.id) == ["job.queued", "job.claimed", "job.parked"]


@pytest.mark.slow
def test_nobody_starves_under_a_steady_urgent_stream(story: Story) -> None:
    """Network case 15: One worker, a job every two minutes, and as often an urgent one with a deadline: by priority alone nothing else
    would ever run. A routine job is there after two patiences, an off-peak one after three, and one with a deadline when its deadline is
    the earliest."""
    others = {
        "urgent, no deadline": (Priority.URGENT, None),
        "routine": (Priority.ROUTINE, None),
        "off-peak": (Priority.OFFPEAK, None),
        "routine, two hours": (Priority.ROUTINE, START + 120 * MINUTE),
    }
    names = dict(zip(_queue(story, *others.values()), others, strict=True))
    waited: dict[str, int] = {}
    for minute in range(0, 130, 2):
        story.now = START + minute * MINUTE
        _queue(story, (Priority.URGENT, story.now + 5 * MINUTE))
        story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS)
        job = _claim(story)
        assert job is not None
        assert job.lease is not None
        story.journal.jobs.end(job.id, job.lease, JobState.FAILED, "", "", story.now)
        if job.id in names:
            waited[names[job.id]] = minute
    assert waited == {"urgent, no deadline": 30, "routine": 60, "off-peak": 90, "routine, two hours": 116 + 3 * 2}


# ---- text as senders write it


def test_text_that_a_database_cannot_keep_is_kept_as_far_as_it_can_be(story: Story) -> None:
    """NUL and half a surrogate pair, in every place that a sender can write to: replaced, never refused, and found again."""
    wild = "CT\x001\ud83d"
    story.journal.instances.record([story.new(story.instance(1, calling_ae=wild, called_ae=wild, header={"PatientName": (wild,)}))], START)
    (kept,) = story.journal.instances.by_uid("1.1.1.1")
    assert (kept.calling_ae, kept.called_ae) == ("CT\ufffd1\ufffd", "CT\ufffd1\ufffd")
    job = story.queued()
    story.journal.jobs.end(job, None, JobState.PARKED, "HLM-3000", f"SeriesDescription is {wild}", START)
    story.journal.events.note("job", job, "job.noted", wild, START)
    assert story.journal.jobs.get(job).reason == "SeriesDescription is CT\ufffd1\ufffd"
