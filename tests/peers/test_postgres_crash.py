"""The journal on a real PostgreSQL that is restarted, killed and cut off in the middle of everything: nothing is lost, nothing twice."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from node.domain.arrival import Completeness
from node.domain.state import DeliveryState, JobState
from node.journal import database
from node.journal.errors import JournalAway, JournalBusy
from node.journal.journal import Journal
from node.journal.place import server
from tests.lab.postgres import PASSWORD, Postgres
from tests.lab.program import wait_until
from tests.unit.journal.story import LEASE, START, Story

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)

# a node's whole way through the journal, as stages go it: whatever the journal says, look again a moment later
WORKER = """
import sys, time
from datetime import timedelta
from node.domain.errors import JournalError
from node.domain.state import DeliveryState
from node.journal.journal import Journal
from tests.unit.journal.story import Story
url, me, jobs = sys.argv[1:]
lease = timedelta(minutes=5)
def patiently(step):
    while True:
        try:
            return step()
        except JournalError as error:
            assert error.retry, error
            print("away", type(error).__name__, flush=True)
            time.sleep(0.05)
journal = patiently(lambda: Journal.open(url))
story = Story(journal)
def work():
    job = patiently(lambda: journal.jobs.claim(me, journal.now(), lease, at_once={"none": 1}))
    if job is None:
        return False
    assert patiently(lambda: journal.jobs.inferred(job.id, job.lease, f"findings/{job.id}", "model", journal.now()))
    made = [story.made(job.id, kind) for kind in ("seg", "sr")]
    assert patiently(lambda: journal.jobs.encoded(job.id, job.lease, made, journal.now()))
    print("job", job.id, flush=True)
    return True
def send():
    delivery = patiently(lambda: journal.deliveries.claim(me, journal.now(), lease))
    if delivery is None:
        return False
    for one in patiently(lambda: journal.deliveries.undelivered(delivery.id)):
        assert patiently(lambda: journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", journal.now()))
    assert patiently(lambda: journal.deliveries.delivered(delivery.id, delivery.lease, journal.now()))
    return True
while work() | send() or patiently(lambda: journal.deliveries.find(states=[DeliveryState.WAITING])):
    pass
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server for this file."""
    with Postgres() as running:
        yield running


@pytest.fixture
def url(postgres: Postgres) -> str:
    """A new database."""
    return postgres.database()


@pytest.fixture
def story(url: str) -> Iterator[Story]:
    """A journal of its own."""
    journal = Journal.open(url)
    yield Story(journal)
    journal.close()


def _python(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


@pytest.mark.slow
def test_the_server_goes_away_in_the_middle_of_everything(postgres: Postgres, url: str, story: Story) -> None:
    """Two workers on 60 jobs; the server is restarted in order, stopped as in a crash, and killed with every session. In the end each job
    was claimed once, moved once through every state, and its objects were made and delivered once."""
    jobs = 60
    story.receive(1)
    ids = story.route(*(story.job_asked(application=f"application {n}") for n in range(jobs)))
    workers = [_python(WORKER, url, f"host:{n}", str(jobs)) for n in range(2)]
    try:
        for round_, how in enumerate([signal.SIGINT, signal.SIGQUIT, None, signal.SIGINT, None]):
            done = 5 + round_ * 10
            wait_until(lambda done=done: _count(postgres, url, "SELECT count(*) FROM result_object") >= 2 * done, 60, f"{done} jobs")  # type: ignore[misc]
            if how is None:
                postgres.kill()
                postgres.start()
            else:
                postgres.restart(how)
        outcomes = [worker.communicate(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], [errors[-2000:] for _, errors in outcomes]
    assert sorted(int(line.split()[1]) for said, _ in outcomes for line in said.splitlines() if line.startswith("job")) == sorted(ids)
    ended = story.journal.jobs.find()
    assert {job.state for job in ended} == {JobState.DONE}
    assert {job.attempts for job in ended} == {1}, "a claim whose answer was lost was given out again, not counted again"
    assert {len(story.journal.results.of_job(job.id)) for job in ended} == {2}
    assert {(one.state, one.attempts) for one in story.journal.deliveries.find()} == {(DeliveryState.DELIVERED, 1)}
    for job in ids:
        assert story.names("job", job) == ["job.queued", "job.claimed", "job.inferred", "job.encoded", "job.done"]


def _count(postgres: Postgres, url: str, statement: str) -> int:
    ((found,),) = postgres.ask(url, statement)
    assert isinstance(found, int)
    return found


class Cutting:
    """A way to the server that can lose the answer to the next COMMIT: the server does it, and the client never hears."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lose = False
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self._to))
            dropping = threading.Event()
            threading.Thread(target=self._pump, args=(client, upstream, dropping, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(upstream, client, dropping, False), daemon=True).start()

    def _pump(self, source: socket.socket, to: socket.socket, dropping: threading.Event, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                if asks and self.lose and b"COMMIT\0" in content:  # not READ COMMITTED
                    self.lose = False
                    dropping.set()
                if not asks and dropping.is_set():
                    self.lost += 1  # the server has answered: it is committed
                    break
                to.sendall(content)
        for end in (source, to):
            with contextlib.suppress(OSError):  # the other thread may have closed it
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def cutting(postgres: Postgres, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Cutting, Story]]:
    """A journal whose connection goes through the way above."""
    monkeypatch.setattr(database, "LOOK_AGAIN_S", 0.01)
    way = Cutting(postgres.port)
    journal = Journal.open(url.replace(f":{postgres.port}/", f":{way.port}/"))
    yield way, Story(journal)
    journal.close()
    way.close()


def test_every_commit_whose_answer_is_lost_is_known_again(cutting: tuple[Cutting, Story]) -> None:
    """The server commits and the connection breaks before it can say so, at every step of a job: no step is made twice or forgotten."""
    way, story = cutting
    journal = story.journal

    def unheard(step: Callable[[], object]) -> object:
        """The step with its answer lost, made again by whoever is responsible for that."""
        lost, way.lose = way.lost, True
        try:
            return step()
        except JournalAway:
            return step()
        finally:
            assert way.lost == lost + 1, "an answer was lost"

    unheard(lambda: story.receive(1, 2))
    assert (story.arrival().instances, len(journal.arrivals.find())) == (2, 1)
    arrival = story.arrival()
    assert unheard(lambda: journal.arrivals.complete(arrival.id, Completeness.QUIET, START)) is False, (
        "it is complete already: nothing to do"
    )
    manifest = tuple(one.id for one in journal.instances.of_arrival(arrival.id))
    way.lose = True
    with pytest.raises(JournalAway):
        journal.routing.route(arrival.id, [], [story.job_asked(instances=manifest)], "config 1", START)
    assert [one.state for one in journal.jobs.find()] == [JobState.QUEUED], "the next round finds nothing to route"

    job = unheard(lambda: journal.jobs.claim("host:1", START, LEASE))
    assert job is not None
    assert journal.jobs.claim("host:1", START, LEASE) is None
    (claimed,) = journal.jobs.find()
    assert (claimed.attempts, claimed.lease) == (1, job.lease)  # type: ignore[attr-defined]
    assert claimed.lease is not None
    lease = claimed.lease
    assert unheard(lambda: journal.jobs.renew(claimed.id, lease, START + 2 * LEASE)) is True
    assert unheard(lambda: journal.jobs.inferred(claimed.id, lease, "findings/1", "model 1", START)) is True
    objects = [story.made(claimed.id, kind) for kind in ("seg", "sr")]
    assert unheard(lambda: journal.jobs.encoded(claimed.id, lease, objects, START)) is True
    delivery = unheard(lambda: journal.deliveries.claim("host:2", START, LEASE))
    assert delivery is not None
    (sent,) = journal.deliveries.find()
    assert sent.attempts == 1
    assert sent.lease is not None
    token = sent.lease
    for one in journal.deliveries.undelivered(sent.id):
        assert unheard(lambda one=one: journal.deliveries.receipt(sent.id, token, one.id, True, 0, "", START)) is True  # type: ignore[misc]
    assert unheard(lambda: journal.deliveries.delivered(sent.id, token, START)) is True
    assert story.names("job", claimed.id) == ["job.queued", "job.claimed", "job.inferred", "job.encoded", "job.done"]
    assert story.names("delivery", sent.id) == ["delivery.waiting", "delivery.claimed", "delivery.delivered"]
    assert len(journal.deliveries.receipts(sent.id)) == 2


def test_sessions_that_the_administrator_ends_are_replaced(postgres: Postgres, url: str, story: Story) -> None:
    """pg_terminate_backend on every session of the pool: the next call asks first whether its connection lives."""
    story.receive(1)
    assert postgres.ask(url, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'hilum'") != [(0,)]
    story.receive(2)
    assert story.arrival().instances == 2


def test_a_server_that_is_away_is_named_soon_and_without_the_password(postgres: Postgres, url: str) -> None:
    """No server at the port, a wrong password, no such database: JournalAway, retried, within the connect time-out."""
    for wrong in (
        url.replace(f":{postgres.port}/", ":1/"),
        postgres.address(url.rpartition("/")[2], password="wrong horse"),
        postgres.address("nowhere"),
    ):
        began = time.monotonic()
        with pytest.raises(JournalAway) as told:
            Journal.open(wrong)
        assert time.monotonic() - began < 60
        assert told.value.retry
        said = f"{told.value} {told.value.__cause__}"
        assert "wrong horse" not in said
        assert PASSWORD not in said
        assert re.search(r"PostgreSQL database \w+ at 127\.0\.0\.1", str(told.value))


def test_the_password_may_come_from_a_file_or_the_environment(
    postgres: Postgres, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with the password and nothing else (a container's secret), read again for each connection; or PGPASSWORD."""
    plain = postgres.address(url.rpartition("/")[2], password=None)
    secret = tmp_path / "secret"
    secret.write_text("not yet\n")
    with pytest.raises(JournalAway):
        Journal.open(f"{plain}?password_file={secret}")
    secret.write_text(f"{PASSWORD}\n", encoding="utf-8")
    Journal.open(f"{plain}?password_file={secret}").close()
    secret.unlink()
    with pytest.raises(JournalAway, match=r"the password file .*/secret cannot be read"):
        Journal.open(f"{plain}?password_file={secret}")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    Journal.open(plain).close()


@pytest.mark.slow
def test_a_process_that_stops_inside_a_transaction_is_ended(url: str, story: Story) -> None:
    """A machine that was suspended with the claim's lock in its hands: the others say so and try again, and in the end the server takes
    the lock from it."""
    story.queued()
    with server(url).connect() as zombie:
        zombie.execute("SELECT pg_advisory_xact_lock(4711204)")
        with pytest.raises(JournalBusy):
            story.journal.jobs.claim("host:1", START, LEASE, at_once={"ct-liver": 1})
        job = story.journal.jobs.claim("host:1", START, LEASE, at_once={"ct-liver": 1})
        assert job is not None
        with pytest.raises(psycopg.Error):
            zombie.execute("SELECT 1")
