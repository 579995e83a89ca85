"""The contract of node.journal.journal, on every database: peers take turns inside a class, and so at each sink and before routing."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from node.domain.arrival import Completeness
from node.domain.job import Job, Priority
from node.domain.state import ArrivalState, JobState
from node.journal.port import Pausable
from tests.unit.journal.story import DECISION, LEASE, START, Story

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
PATIENCE = 30 * MINUTE
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
CLASSES = (Priority.URGENT, Priority.ROUTINE, Priority.OFFPEAK)


class Senders:
    """Studies that peers send, each of one instance."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._sent = 0

    def complete(self, peer: str | None) -> int:
        """A study of which nothing more is expected; its arrival."""
        self._sent += 1
        study, number = f"7.{self._sent}", 10_000 + self._sent
        ids = {"study_instance_uid": study, "series_instance_uid": f"{study}.1", "sop_instance_uid": f"{study}.1.{number}"}
        self._story.receive(number, peer=peer, **ids)
        arrival = self._story.arrival(study, peer=peer).id
        assert self._story.journal.arrivals.complete(arrival, Completeness.QUIET, self._story.now)
        return arrival

    def job(
        self,
        peer: str | None,
        priority: Priority = Priority.ROUTINE,
        deadline: timedelta | None = None,
        engine: str = "default",
        sinks: tuple[str, ...] = ("archive",),
    ) -> int:
        """A study with one job; its number."""
        arrival = self.complete(peer)
        manifest = tuple(one.id for one in self._story.journal.instances.of_arrival(arrival))
        asked = self._story.job_asked(
            series_instance_uid=f"7.{self._sent}.1",
            priority=priority,
            deadline_at=None if deadline is None else self._story.now + deadline,
            engine=engine,
            sinks=sinks,
        )
        (job,) = self._story.journal.routing.route(
            arrival, [DECISION], [replace(asked, instances=manifest)], "config 1", self._story.now
        ).jobs
        return job

    def jobs(self, *peers: str | None) -> list[int]:
        """One for each, in this order."""
        return [self.job(peer) for peer in peers]


@pytest.fixture
def senders(story: Story) -> Senders:
    """Who sends to the story's journal."""
    return Senders(story)


def _claim(story: Story) -> Job | None:
    return story.journal.jobs.claim("host:1", story.now, LEASE)


def _claimed(story: Story) -> Iterator[int]:
    while (job := _claim(story)) is not None:
        yield job.id


def _end(story: Story, job: Job) -> None:
    assert job.lease is not None
    assert story.journal.jobs.end(job.id, job.lease, JobState.FAILED, "", "", story.now)


# ---- jobs


def test_one_job_waits_behind_one_of_a_neighbour_and_not_behind_all_of_them(story: Story, senders: Senders) -> None:
    """Twelve of a neighbour came first, and a stranger's as well: each peer has its turn, and each its own order."""
    many = senders.jobs(*["ct2"] * 12)
    assert next(_claimed(story)) == many[0]
    honest, stranger = senders.jobs("ct1", None)
    later = senders.job("ct1")
    assert list(_claimed(story)) == [stranger, honest, many[1], later, *many[2:]]


def test_turns_are_each_class_of_its_own(story: Story, senders: Senders) -> None:
    """A peer whose urgent job was claimed has not had its turn among the routine ones."""
    first, second = senders.jobs("ct1", "ct2")
    urgent = [senders.job(peer, Priority.URGENT) for peer in ("ct1", "ct1", "ct2")]
    assert list(_claimed(story)) == [urgent[0], urgent[2], urgent[1], first, second]


def test_the_peer_whose_turn_it_is_passes_it_on_when_nothing_of_it_may_run(story: Story, senders: Senders) -> None:
    """Its engine is paused, or its only job waits to be tried again: the next one goes, and once it may run it is first."""
    paused, other, last = senders.job("ct1", engine="gpu"), senders.job("ct2"), senders.job("ct2")
    story.journal.pauses.add(Pausable.ENGINE, "gpu", story.now)
    assert next(_claimed(story)) == other
    assert story.journal.pauses.remove(Pausable.ENGINE, "gpu")
    assert list(_claimed(story)) == [paused, last]


def test_a_backlog_that_was_paused_does_not_come_before_all_that_came_since(story: Story, senders: Senders) -> None:
    """What waited for an engine saves up no turns."""
    many = [senders.job("ct2", engine="gpu") for _ in range(5)]
    story.journal.pauses.add(Pausable.ENGINE, "gpu", story.now)
    served = senders.jobs(*["ct1"] * 5)
    assert list(_claimed(story)) == served
    story.journal.pauses.remove(Pausable.ENGINE, "gpu")
    since = senders.jobs(*["ct1"] * 3)
    assert list(_claimed(story)) == [many[0], since[0], many[1], since[1], many[2], since[2], *many[3:]]


def test_the_earliest_deadline_goes_first_whosever_it_is(story: Story, senders: Senders) -> None:
    """Deadlines come before turns, over peers too."""
    minutes = {"ct2": (9, 3, 5), "ct1": (60, 4)}
    jobs = {late: senders.job(peer, deadline=late * MINUTE) for peer, each in minutes.items() for late in each}
    plain = senders.job("ct1")
    assert list(_claimed(story)) == [jobs[3], jobs[4], jobs[5], jobs[9], jobs[60], plain]


def test_hundreds_with_one_deadline_do_not_all_go_before_one_of_another(story: Story, senders: Senders) -> None:
    """Each counts as due ten seconds later than the one before it of the same peer: a study that comes half a minute later stands behind
    four of forty, and with a nearer deadline before all."""
    many = []
    for _ in range(40):
        many.append(senders.job("ct2", deadline=30 * MINUTE))
        story.now += timedelta(milliseconds=1)
    story.now = START + 30 * SECOND + timedelta(milliseconds=500)
    honest = senders.job("ct1", deadline=30 * MINUTE)
    near = senders.job("ct1", deadline=10 * MINUTE)
    order = list(_claimed(story))
    assert order[:6] == [near, *many[:4], honest]
    assert [job for job in order if job in many] == many


def test_a_big_sender_has_its_share(story: Story, senders: Senders) -> None:
    """Two small ones send without end, and as fast as jobs are done: of the big one every third job runs."""
    many = senders.jobs(*["big"] * 8)
    for small in ("ct1", "ct2"):
        senders.jobs(*[small] * 2)
    order = []
    for _ in range(24):
        job = _claim(story)
        assert job is not None
        order.append(job.id)
        arrival = story.journal.jobs.get(job.id).arrival
        peer = story.journal.arrivals.get(arrival)
        assert peer is not None
        if peer.peer != "big":
            senders.job(peer.peer)
    assert [place for place, job in enumerate(order) if job in many] == [0, 3, 6, 9, 12, 15, 18, 21]


def test_turns_outlast_a_clock_that_goes_back(story: Story, senders: Senders) -> None:
    """Who had the last turn is known by number, not by time."""
    many = senders.jobs("ct1", "ct2", "ct1", "ct2")
    assert next(_claimed(story)) == many[0]
    story.now -= 60 * MINUTE
    story.journal.processes.bring_near(story.now, arrivals=MINUTE, held=MINUTE, retries=MINUTE, lease=LEASE)
    assert list(_claimed(story)) == [many[1], many[2], many[3]]


# ---- patience


def test_a_backlog_of_one_peer_moves_nobody_up(story: Story, senders: Senders) -> None:
    """What waits for long behind its own peer's others is no reason to pass the urgent, nor the routine of another peer."""
    many = senders.jobs(*["ct2"] * 4)
    for minute in (10, 25, 40):
        story.now = START + minute * MINUTE
        job = _claim(story)
        assert job is not None
        _end(story, job)
        assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS) == 0
    honest, urgent = senders.job("ct1"), senders.job("ct1", Priority.URGENT)
    assert list(_claimed(story)) == [urgent, honest, many[3]]


def test_of_a_backlog_that_higher_classes_hold_up_the_first_moves_up(story: Story, senders: Senders) -> None:
    """One of each peer at a time, the next when that one is claimed; a second patience later it goes on though the first still waits."""
    many, other = senders.jobs(*["ct2"] * 4), senders.job("ct1")
    story.now += PATIENCE
    assert story.journal.jobs.move_up(story.now, PATIENCE, offpeak_since=ALWAYS) == 2
    assert story.journal.jobs.move_up(story.now + MINUTE, PATIENCE, offpeak_since=ALWAYS) == 0
    urgent = senders.job("ct3", Priority.URGENT)
    assert [next(_claimed(story)) for _ in range(2)] == [other, many[0]]
    assert story.journal.jobs.move_up(story.now + MINUTE, PATIENCE, offpeak_since=ALWAYS) == 1, "the next of ct2"
    assert list(_claimed(story)) == [urgent, *many[1:]]


# ---- deliveries


def test_peers_take_turns_at_each_sink(story: Story, senders: Senders) -> None:
    """The archive was away while the jobs of a neighbour were done; the viewer has turns of its own."""
    many = senders.jobs(*["ct2"] * 3)
    honest = senders.job("ct1", sinks=("archive", "viewer"))
    for _ in range(4):
        job = story.claim()
        story.infer(job)
        story.encode(job)
    order: dict[str, list[int]] = {"archive": [], "viewer": []}
    while (delivery := story.journal.deliveries.claim("host:2", story.now, LEASE)) is not None:
        order[delivery.sink].append(delivery.job)
    assert order == {"archive": [honest, many[0], many[1], many[2]], "viewer": [honest]}


def test_a_delivery_that_is_put_off_holds_up_no_other_peer(story: Story, senders: Senders) -> None:
    """Its peer passes its turn on until then."""
    many, honest = senders.jobs("ct1", "ct1"), senders.job("ct2")
    for _ in range(3):
        job = story.claim()
        story.infer(job)
        story.encode(job)
    first = story.take()
    assert first.lease is not None
    assert first.job == many[0]
    assert story.journal.deliveries.retry(first.id, first.lease, story.now + MINUTE, "HLM-5000", "away", story.now)
    assert [story.take().job, story.take().job] == [honest, many[1]]
    assert story.journal.deliveries.claim("host:2", story.now, LEASE) is None
    story.now += MINUTE
    assert story.take().job == many[0]


def _encoded(story: Story, count: int) -> None:
    for _ in range(count):
        job = story.claim()
        story.infer(job)
        story.encode(job)


def test_urgent_results_go_before_routine_ones_that_wait_at_a_sink(story: Story, senders: Senders) -> None:
    """The one under way is not interrupted; inside a class peers take turns all the same, each class with turns of its own."""
    routine = senders.jobs("ct1", "ct1", "ct1", "ct2")
    offpeak = senders.job("ct1", Priority.OFFPEAK)
    _encoded(story, 5)
    under_way = story.take()
    assert under_way.job == routine[0]
    urgent = [senders.job(peer, Priority.URGENT) for peer in ("ct1", "ct1", "ct2")]
    _encoded(story, 3)
    assert [story.take().job for _ in range(7)] == [urgent[0], urgent[2], urgent[1], routine[3], *routine[1:3], offpeak]


def test_results_become_urgent_with_their_job(story: Story, senders: Senders) -> None:
    """An urgent route asks for what a routine one has had done, and what waits for a sink that is slow goes first."""
    senders.job("ct1")
    joined = story.queued()
    _encoded(story, 2)
    assert story.queued(priority=Priority.URGENT) == joined
    assert story.take().job == joined


# ---- routing


def test_arrivals_are_routed_by_turns(story: Story, senders: Senders) -> None:
    """A neighbour's hundred complete studies came first; of each peer its own come in their order."""
    many = [senders.complete("ct2") for _ in range(30)]
    honest = [senders.complete("ct1") for _ in range(2)]
    stranger = senders.complete(None)
    order = [arrival.id for arrival in story.journal.routing.waiting(8)]
    assert order == [many[0], honest[0], stranger, many[1], honest[1], *many[2:5]]
    assert {arrival.state for arrival in story.journal.routing.waiting(100)} == {ArrivalState.COMPLETE}
    assert len(story.journal.routing.waiting(100)) == 33


# ---- the order, against plain Python


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_order_is_that_of_plain_python(story: Story, senders: Senders, seed: int) -> None:
    """Jobs of three peers come and are claimed, in the off-peak window and outside: always the one that lists and queues would give."""
    chance, oracle = Random(seed), _Oracle()
    for _ in range(40):
        for _ in range(chance.randrange(4)):
            peer, rank = chance.choice(("ct1", "ct2", "ct3")), chance.randrange(3)
            late = timedelta(seconds=chance.randrange(100)) if chance.random() < 0.4 else None
            oracle.came(senders.job(peer, CLASSES[rank], late), peer, rank, None if late is None else story.now + late)
        story.now += SECOND
        for _ in range(chance.randrange(4)):
            offpeak = chance.random() < 0.5
            job = story.journal.jobs.claim("host:1", story.now, LEASE, offpeak=offpeak)
            assert (None if job is None else job.id) == oracle.takes(2 if offpeak else 1)
            if job is not None:
                _end(story, job)


@dataclass
class _Class:
    """One class of the oracle: (place, number, peer, deadline) of what has a deadline, a queue for each peer of what has none, and the
    peers in the order of their last turns."""

    dated: list[tuple[datetime, int, str, datetime]] = field(default_factory=list)
    plain: dict[str, deque[int]] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)


class _Oracle:
    def __init__(self) -> None:
        self._classes = [_Class(), _Class(), _Class()]

    def came(self, job: int, peer: str, rank: int, deadline: datetime | None) -> None:
        one = self._classes[rank]
        if deadline is None:
            one.plain.setdefault(peer, deque()).append(job)
            return
        before = [place for place, _, whose, due in one.dated if whose == peer and due <= deadline]
        one.dated.append((max([deadline, *(place + 10 * SECOND for place in before)]), job, peer, deadline))

    def takes(self, last: int) -> int | None:
        for one in self._classes[: last + 1]:
            if one.dated:
                first = min(one.dated)
                one.dated.remove(first)
                return first[1]
            waiting = [peer for peer, jobs in one.plain.items() if jobs]
            if waiting:
                peer = min(waiting, key=lambda peer: (one.served.index(peer) if peer in one.served else -1, peer))
                one.served = [*(other for other in one.served if other != peer), peer]
                return one.plain[peer].popleft()
        return None
