"""Processes of many hosts on one real PostgreSQL: clocks that are wrong, machines that sleep, leaders that die."""

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.domain.state import JobState
from node.journal.journal import Journal
from node.journal.wake_up import PostgresWakeUps
from tests.lab import needs
from tests.lab.other import Other
from tests.lab.postgres import Postgres
from tests.lab.program import wait_until
from tests.unit.journal.story import LEASE, Story

SECOND = timedelta(seconds=1)


# ---- leases

ZOMBIE = """
import sys
from datetime import timedelta
from node.journal.journal import Journal
from tests.unit.journal.story import Story
journal = Journal.open(sys.argv[1])
story = Story(journal)
sys.stdin.readline()
job = journal.jobs.claim(sys.argv[2], journal.now(), timedelta(seconds=2))
print(job and job.id)
sys.stdin.readline()
print(journal.jobs.inferred(job.id, job.lease, "findings/" + sys.argv[2], "model", journal.now()))
sys.stdin.readline()
print(journal.jobs.encoded(job.id, job.lease, [story.made(job.id, sys.argv[3])], journal.now()))
sys.stdin.readline()
now = journal.now()
print(journal.jobs.renew(job.id, job.lease, now), journal.jobs.retry(job.id, job.lease, now, "", "", now, count_attempt=True))
"""


@pytest.mark.slow
def test_a_machine_that_slept_through_its_lease_changes_nothing(url: str, opened: Callable[[], Journal]) -> None:
    """SIGSTOP a worker with a job in its hands; another takes the job over when the lease has run out, and finishes; after SIGCONT the
    first finds every door shut and touches no row."""
    story = Story(opened())
    (job,) = [story.queued()]
    with Other(ZOMBIE, url, "slept:1", "sr") as slept, Other(ZOMBIE, url, "heir:1", "seg") as heir:
        assert slept.ask() == str(job)
        os.kill(slept.process.pid, signal.SIGSTOP)
        (held,) = story.journal.jobs.find()
        assert held.lease_until is not None
        wait_until(lambda: story.journal.now() > held.lease_until, 10, "the lease runs out")  # type: ignore[operator]
        assert heir.ask() == str(job)
        assert [heir.ask(), heir.ask()] == ["True", "True"]
        before = story.journal.events.of("job", job)
        os.kill(slept.process.pid, signal.SIGCONT)
        assert [slept.ask(), slept.ask(), slept.ask()] == ["False", "False", "False False"]
    assert story.journal.events.of("job", job) == before
    (done,) = story.journal.jobs.find()
    assert (done.state, done.findings_blob, done.attempts) == (JobState.ENCODED, "findings/heir:1", 2)
    assert [one.kind for one in story.journal.results.of_job(job)] == ["seg"]


WRONG_CLOCK = """
import sys, time
from datetime import UTC, datetime, timedelta
from node.journal.journal import Journal
from node.observe.events import start_events
start_events("work")
journal = Journal.open(sys.argv[1])
lease = timedelta(seconds=60)
sys.stdin.readline()
print(datetime.now(UTC).isoformat(), journal.now().isoformat(), journal.ahead_s(), journal.at(time.time() - 30).isoformat())
sys.stdin.readline()
job = journal.jobs.claim("wrong:1", journal.now(), lease)
print(job and job.id)
sys.stdin.readline()
print(job is not None and journal.jobs.renew(job.id, job.lease, journal.now() + lease))
"""


def _faketime() -> str:
    needs.program("faketime", "faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return str(library)


@pytest.mark.parametrize("minutes", [5, -5])
def test_a_host_whose_clock_is_wrong_goes_by_the_databases(minutes: int, url: str, opened: Callable[[], Journal]) -> None:
    """Five minutes ahead it takes no lease that is alive and no job that is not due; five minutes behind its own leases live as long as
    anybody's, and what is due is due. It knows how far it is off."""
    story = Story(opened())
    journal = story.journal
    story.now = journal.now()
    story.receive(1)
    held, later = story.route(story.job_asked(application="a"), story.job_asked(application="b"))
    wrong = {"LD_PRELOAD": _faketime(), "FAKETIME": f"{minutes * 60:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    begun = datetime.now(UTC)
    with Other(WRONG_CLOCK, url, **wrong) as other:
        asked = datetime.now(UTC)
        own, shared, ahead, half_a_minute_ago = (word for word in other.ask().split())
        now = datetime.now(UTC)

        def is_of_then(said: str, off: timedelta) -> bool:
            """Whether a clock that is off so far showed this between the question and its answer, to a second."""
            return asked - SECOND < datetime.fromisoformat(said) - off < now + SECOND

        assert is_of_then(own, timedelta(minutes=minutes)), "its clock is wrong indeed"
        assert is_of_then(shared, timedelta())
        assert is_of_then(half_a_minute_ago, -30 * SECOND), "so a file's time is understood"
        assert abs(float(ahead) - minutes * 60) <= 0.5 + (now - begun).total_seconds(), "as near as the database's answers were quick"
        first = journal.jobs.claim("right:1", journal.now(), LEASE)
        second = journal.jobs.claim("right:1", journal.now(), LEASE)
        assert first is not None
        assert second is not None
        assert second.lease is not None
        if minutes > 0:
            journal.jobs.retry(second.id, second.lease, journal.now() + LEASE, "", "", journal.now(), count_attempt=False)
            assert other.ask() == "None", "one is held, the other is not due for a minute"
        else:
            due_at = journal.now() - timedelta(minutes=1)  # due also by a clock that was set after an answer that took its time
            journal.jobs.retry(second.id, second.lease, due_at, "", "", journal.now(), count_attempt=False)
            assert other.ask() == str(later), "what is due is due"
            assert journal.jobs.claim("right:2", journal.now(), LEASE) is None, "its lease is alive"
            asked = journal.now()
            assert other.ask() == "True"
            until = journal.jobs.get(later).lease_until
            assert until is not None
            assert asked + LEASE - 2 * SECOND < until < journal.now() + LEASE + 2 * SECOND
        assert '"event": "clock.off"' in other.said(), "people are told"
    assert held == first.id


# ---- bounds

BOUNDED = """
import sys, time
from datetime import timedelta
from node.journal.journal import Journal
from tests.unit.journal.story import Story
journal = Journal.open(sys.argv[1])
story = Story(journal)
sys.stdin.readline()
most = done = 0
while True:
    job = journal.jobs.claim(sys.argv[2], journal.now(), timedelta(minutes=5), at_once={"busy": 3})
    if job is None:
        with journal.database.reading() as connection:
            left = connection.exec_driver_sql("SELECT count(*) FROM job WHERE state <> 'encoded'").scalar()
        if left == 0:
            break
        continue
    patient = time.monotonic() + 20  # on a busy machine one would be done with its job before another has one
    while True:
        with journal.database.reading() as connection:
            held = connection.exec_driver_sql("SELECT count(*) FROM job WHERE lease IS NOT NULL").scalar()
        most = max(most, held)
        if most >= 3 or time.monotonic() > patient:
            break
        time.sleep(0.01)
    journal.jobs.inferred(job.id, job.lease, "findings", "model", journal.now())
    journal.jobs.encoded(job.id, job.lease, [story.made(job.id, "seg")], journal.now())
    done += 1
print(most, done)
"""


@pytest.mark.slow
def test_claimers_on_many_hosts_never_exceed_a_bound(url: str, opened: Callable[[], Journal]) -> None:
    """Six processes fall on 60 jobs of an application that may have three at work: never four, and nothing is left over."""
    story = Story(opened())
    story.receive(1)
    jobs = 60
    story.route(*(story.job_asked(application="busy", series_instance_uid=f"1.1.{n}") for n in range(jobs)))
    others = [Other(BOUNDED, url, f"host:{n}") for n in range(6)]
    try:
        for other in others:
            other.tell()
        counts = [tuple(int(word) for word in other.hear().split()) for other in others]
    finally:
        for other in others:
            other.close()
    assert max(most for most, _ in counts) == 3, "as many as may be, and no more"
    assert sum(done for _, done in counts) == jobs


# ---- one leader

CANDIDATE = """
import sys
from node.journal.journal import Journal
from node.observe.events import start_events
start_events("flow")
journal = Journal.open(sys.argv[1])
leader = journal.leader("sweeps")
for _ in sys.stdin:
    print(leader.leads)
"""


def _leading(candidates: list[Other]) -> list[bool]:
    return [candidate.ask() == "True" for candidate in candidates]


def _the_leader(candidates: list[Other], what: str) -> int:
    """Which one leads, by the look that found one."""
    looked: list[bool] = []

    def one_leads() -> bool:
        looked[:] = _leading(candidates)
        return sum(looked) == 1

    wait_until(one_leads, 60, what)
    return looked.index(True)


@pytest.mark.slow
def test_when_the_leader_dies_another_leads_within_seconds(url: str) -> None:
    """One of three leads; SIGKILL ends its session at once, SIGSTOP after the server's idle time-out. One that wakes leads no more."""
    candidates = [Other(CANDIDATE, url) for _ in range(3)]
    try:
        dead = candidates.pop(_the_leader(candidates, "one leads"))
        dead.process.kill()
        index = _the_leader(candidates, "another leads")
        asleep, awake = candidates[index], candidates[1 - index]
        os.kill(asleep.process.pid, signal.SIGSTOP)
        wait_until(lambda: _leading([awake]) == [True], 60, "the one that is awake leads")
        os.kill(asleep.process.pid, signal.SIGCONT)
        assert _leading([asleep]) == [False], "it knows at once, before it has asked anybody"
        _the_leader(candidates, "one leads")
    finally:
        for candidate in candidates:
            os.kill(candidate.process.pid, signal.SIGCONT)
            candidate.close()


@pytest.mark.slow
def test_a_leader_whose_connection_breaks_leads_no_more_until_it_is_back(postgres: Postgres, opened: Callable[[], Journal]) -> None:
    """The server is killed: nobody leads, which does no harm; it comes back: one leads again."""
    candidates = [opened().leader("sweeps") for _ in range(2)]
    try:
        wait_until(lambda: sum(one.leads for one in candidates) == 1, 30, "one leads")
        postgres.kill()
        wait_until(lambda: not any(one.leads for one in candidates), 10, "nobody leads")
        postgres.start()
        wait_until(lambda: sum(one.leads for one in candidates) == 1, 30, "one leads again")
    finally:
        for one in candidates:
            one.close()


# ---- wake-ups


@pytest.mark.slow
def test_a_bell_wakes_every_host_and_survives_the_server(postgres: Postgres, url: str) -> None:
    """All who wait wake within a moment; while the server is away ringing and waiting go on as if nobody rang; afterwards it rings again,
    and whoever listens anew wakes once, because something may have been rung meanwhile."""
    ringer, first, second = (PostgresWakeUps(url, "work") for _ in range(3))
    try:
        for bell in (first, second):
            bell.wait(5)  # the first wait listens, and wakes at once
        for _ in range(3):
            began = time.monotonic()
            ringer.ring()
            first.wait(200)
            second.wait(200)
            assert time.monotonic() - began < 180, "neither waited until its time was over"
        began = time.monotonic()
        first.wait(0.2)
        assert time.monotonic() - began >= 0.2, "nobody rang"
        postgres.kill()
        first.wait(0.5)
        began = time.monotonic()
        ringer.ring()
        first.wait(0.2)
        assert time.monotonic() - began < 60, "neither waits for the server"
        postgres.start()
        began = time.monotonic()
        first.wait(200)
        assert time.monotonic() - began < 180, "it listens again"
    finally:
        for bell in (ringer, first, second):
            bell.close()
