"""The stages of storage commitment on the real journal, blobs and slips, with a peer in memory and a clock that the tests turn."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from node.blobs.folder import FolderBlobs
from node.commitment.inbox import CommitmentInboxStage
from node.commitment.peers import PeerThreads
from node.commitment.scp import CommitmentScp
from node.commitment.scu import CommitmentScu
from node.dimse.commitment_data import CommitmentFailed, NoCommitment, ReportNotTaken
from node.domain.commitment import AskedCommitment, Commitment, InstanceReference, Report, Request
from node.domain.errors import DeliveryError
from node.domain.instance import HeldFor, Standing
from node.domain.job import Delivery
from node.domain.state import DeliveryState
from node.journal.journal import Journal
from node.settings.config import Config, SinkSettings
from node.settings.node import Node
from node.settings.peers import May, Peer
from node.settings.store import Durability, Store
from node.sinks.dimse import Dimse
from node.spool.commitment_inbox import FolderCommitmentInbox
from tests.lab import empty_journal
from tests.lab.program import wait_until
from tests.unit.journal.story import START, Story

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
CT = "1.2.840.10008.5.1.4.1.1.2"


class Archive:
    """A peer that answers what the test says and remembers what it was asked and told."""

    def __init__(self) -> None:
        self.asked: list[AskedCommitment] = []
        self.told: list[tuple[str, tuple[int, ...]]] = []
        self.answers: DeliveryError | None = None
        self.at_once: Callable[[AskedCommitment], Report | None] = lambda _: None
        self.before_it_is_told: Callable[[Request], object] = lambda _: None

    def ask(self, asked: AskedCommitment, on_report: Callable[[Report], None]) -> None:
        self.asked.append(asked)
        if (report := self.at_once(asked)) is not None:
            on_report(report)
        if self.answers is not None:
            raise self.answers

    def report(self, request: Request, verdicts: Sequence[tuple[InstanceReference, int]]) -> None:
        self.before_it_is_told(request)
        if self.answers is not None:
            raise self.answers
        self.told.append((request.transaction_uid, tuple(reason for _, reason in verdicts)))


class Line:
    """The stages of a flow process."""

    def __init__(self, folder: Path, commitment: Commitment = Commitment.REQUIRED, durability: Durability = Durability.EACH) -> None:
        self.story = Story(Journal.open(empty_journal.make(f"sqlite:{folder}/hilum.db")))
        self.journal = self.story.journal
        self.blobs, self.slips = FolderBlobs(folder / "blobs"), FolderCommitmentInbox(folder / "blobs")
        self.archive = Archive()
        self.horizon: datetime | None = None
        peers = {name: Peer(name=name, ae_title=name, host="127.0.0.1", port=104, may=frozenset({May.COMMIT})) for name in ("ct1", "pacs")}
        sinks = {"archive": SinkSettings(name="archive", destination=Dimse(peer="pacs"), commitment=commitment)}
        store = Store(journal="", blobs=folder / "blobs", durability=durability)
        config = Config(path=folder, digest="", node=Node(), store=store, models=folder, peers=peers, sinks=sinks)

        def clock() -> datetime:
            return self.story.now

        self.commit = CommitmentScu(self.journal.commitments, config, clock, lambda _: self.archive, self.slips)
        self.take = CommitmentInboxStage(self.journal, self.slips, config, clock)
        self.promise = CommitmentScp(
            self.journal.commitment_requests,
            self.journal.instances,
            self.blobs,
            config,
            clock,
            lambda _: self.archive,
            horizon=lambda: self.horizon,
        )

    def turn(self) -> None:
        """Until nothing moves any more; threads are waited for."""
        idle = 0
        while idle < 2:
            moved = self.take.step() + self.commit.step() + self.promise.step()
            wait_until(
                lambda: all(one.done() for lanes in self.lanes for one in lanes._busy.values()), 30, "the lanes are free", every_s=0.005
            )
            idle = 0 if moved else idle + 1

    @property
    def lanes(self) -> tuple[PeerThreads, ...]:
        return (self.commit._lanes, self.promise._lanes)

    def delivered(self) -> None:
        """Results that the archive has accepted."""
        self.story.encoded()
        self.accepted()

    def accepted(self) -> None:
        """The archive accepts them."""
        delivery = self.story.take()
        assert delivery.lease is not None
        for one in self.journal.deliveries.undelivered(delivery.id):
            self.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", self.story.now)
        self.journal.deliveries.delivered(delivery.id, delivery.lease, self.story.now, commits=True)

    @property
    def delivery(self) -> Delivery:
        return self.journal.deliveries.find()[0]

    def says(self, asked: AskedCommitment, reason: int = 0) -> Report:
        uids = tuple(one.sop_instance_uid for one in asked.references)
        failed = tuple((uid, reason) for uid in uids) if reason else ()
        return Report(
            peer="pacs", transaction_uid=asked.transaction_uid, committed=() if reason else uids, failed=failed, received_at=START
        )

    def request(self, *uids: str, transaction: str = "1.3.1", sop_class: str = CT, peer: str = "ct1") -> None:
        """A peer asks; the slip was written now."""
        references = tuple(InstanceReference(sop_class_uid=sop_class, sop_instance_uid=uid) for uid in uids)
        self.slips.keep(Request(peer=peer, transaction_uid=transaction, references=references, received_at=self.story.now))
        self.date_slips()

    def date_slips(self) -> None:
        for entry in self.slips.waiting(10):
            os.utime(entry, (self.story.now.timestamp(), self.story.now.timestamp()))

    def receive(self, *numbers: int, blobs: bool = True) -> None:
        """Instances that ct1 sent, with their bytes."""
        self.story.receive(*numbers)
        for number in numbers if blobs else ():
            self.blobs.put(f"instances/{number}.dcm", b"bytes of %d" % number)


Lines = Callable[..., Line]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Lines]:
    """A line, required to be committed unless it says otherwise."""
    made: list[Line] = []

    def make(**options: object) -> Line:
        made.append(Line(tmp_path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.commit.close()
        one.promise.close()
        one.journal.close()


# ---- asking


def test_it_asks_once_and_the_report_ends_it(line: Lines) -> None:
    """However often the stages turn; the report comes by way of a slip, and the slip goes."""
    one = line()
    one.delivered()
    one.turn()
    (asked,) = one.archive.asked
    assert one.delivery.state == "delivered"
    one.slips.keep(one.says(asked))
    one.turn()
    assert one.delivery.state is DeliveryState.COMMITTED
    assert one.slips.waiting(10) == []


def test_a_report_on_the_association_of_its_request(line: Lines) -> None:
    """It is durable before the answer to the request is noted, and counts after it."""
    one = line()
    one.archive.at_once = one.says
    one.delivered()
    one.turn()
    assert one.delivery.state is DeliveryState.COMMITTED
    assert len(one.archive.asked) == 1


def test_without_a_report_it_asks_again_later_each_time_and_gives_up(line: Lines) -> None:
    """30 minutes, an hour, two …; after a week a person decides, who is told that the archive has the objects."""
    one = line()
    one.delivered()
    at = []
    while one.delivery.state is DeliveryState.DELIVERED:
        before = len(one.archive.asked)
        one.turn()
        if len(one.archive.asked) > before:
            at.append(one.story.now)
        one.story.now = max(one.delivery.due_at, one.story.now + timedelta(seconds=1))
    waits = [(b - a) / MINUTE for a, b in pairwise(at)]
    assert 24 <= waits[0] <= 30
    assert 48 <= waits[1] <= 60
    assert max(waits) <= 24 * 60
    assert (one.delivery.state, one.delivery.code) == (DeliveryState.PARKED, "HLM-6185")
    assert at[-1] - START < timedelta(days=7) <= one.story.now - START
    assert len({asked.transaction_uid for asked in one.archive.asked}) == len(at)


def test_a_peer_that_is_away_is_asked_again_soon(line: Lines) -> None:
    """As a delivery is tried again: five seconds, ten …; what it missed does not lengthen the wait for a report afterwards."""
    one = line()
    one.archive.answers = CommitmentFailed("away")
    one.delivered()
    for _ in range(6):
        one.turn()
        assert (one.delivery.state, one.delivery.code) == (DeliveryState.DELIVERED, "HLM-6051")
        one.story.now = one.delivery.due_at
    assert len(one.archive.asked) == 6
    one.archive.answers = None
    one.turn()
    assert one.delivery.code is None
    assert one.delivery.due_at - one.story.now <= timedelta(minutes=30)


@pytest.mark.parametrize(("commitment", "state"), [(Commitment.REQUIRED, "parked"), (Commitment.WANTED, "delivered")])
def test_a_peer_that_never_commits(line: Lines, commitment: Commitment, state: str) -> None:
    """Parked where it is required; where it is wanted, the job is done without."""
    one = line(commitment=commitment)
    one.archive.answers = NoCommitment("it has no such service")
    one.delivered()
    one.turn()
    assert one.delivery.state == state
    assert len(one.archive.asked) == 1


def test_a_sink_that_is_to_commit_no_more(line: Lines) -> None:
    """The configuration was edited while a delivery waited: it is over."""
    one = line(commitment=Commitment.NO)
    one.delivered()
    one.turn()
    assert (one.delivery.state, one.delivery.awaits_commitment) == (DeliveryState.DELIVERED, False)
    assert one.archive.asked == []


def test_patience_for_a_report_begins_when_the_sink_has_everything(line: Lines) -> None:
    """An archive that was away for all but a minute of a week, and took it then, is asked, and has a week to say."""
    one = line()
    one.story.encoded()
    one.story.now += timedelta(days=7) - MINUTE
    one.accepted()
    one.story.now += 2 * MINUTE
    one.turn()
    assert len(one.archive.asked) == 1
    assert one.delivery.state is DeliveryState.DELIVERED


# ---- being asked


def test_what_is_here_is_committed_to(line: Lines) -> None:
    """Journal and bytes; the promise is kept for what was promised alone."""
    one = line()
    one.receive(1, 2, 3)
    one.request("1.1.1.1", "1.1.1.2")
    one.turn()
    assert one.archive.told == [("1.3.1", (0, 0))]
    rows = {row.id: row.sop_instance_uid for row in one.journal.instances.by_uid("1.1.1.1", "1.1.1.2", "1.1.1.3")}
    assert {rows[number] for number in one.journal.commitment_requests.committed(list(rows))} == {"1.1.1.1", "1.1.1.2"}


def test_no_is_said_only_when_all_that_came_before_is_indexed(line: Lines) -> None:
    """One of two is still in some inbox: nothing is said; when it is indexed, yes."""
    one = line()
    one.receive(1)
    one.horizon = START - MINUTE
    one.request("1.1.1.1", "1.1.1.2")
    for _ in range(5):
        one.turn()
        one.story.now += timedelta(seconds=2)
    assert one.archive.told == []
    one.receive(2)
    one.turn()
    assert one.archive.told == [("1.3.1", (0, 0))]
    one.story.now += MINUTE
    one.horizon = one.story.now + MINUTE  # the oldest entry came after the next request
    one.request("1.1.1.3", transaction="1.3.2")
    one.turn()
    assert one.archive.told[1:] == [("1.3.2", (0x0112,))]


def test_with_flushes_that_are_owed_no_waits_for_them(line: Lines) -> None:
    """`durability: association`: what came over another association may become an entry of the inbox a moment later."""
    one = line(durability=Durability.ASSOCIATION)
    one.request("1.1.1.1")
    one.turn()
    assert one.archive.told == []
    one.story.now += MINUTE
    one.turn()
    assert one.archive.told == [("1.3.1", (0x0112,))]


@pytest.mark.parametrize("case", ["purged", "no bytes", "another class", "in conflict", "held"])
def test_what_is_not_here_is_not_committed_to(line: Lines, case: str) -> None:
    """Deleted by retention; a row whose bytes are gone; named as another class; what this peer sent was other pixels under that UID; and
    what waits for a person, who may refuse it."""
    one = line()
    one.receive(1, blobs=case != "no bytes")
    reason = 0x0112
    if case == "purged":
        one.story.route()
        one.journal.retention.tombstone([row.id for row in one.journal.instances.by_uid("1.1.1.1")], START)
    elif case == "another class":
        reason = 0x0119
    elif case == "in conflict":
        other = one.story.instance(5, sop_instance_uid="1.1.1.5", peer="ct2")
        mine = one.story.instance(5, sop_instance_uid="1.1.1.5", blob="instances/mine.dcm", digest="mine", standing=Standing.CONFLICT)
        one.journal.instances.record([one.story.new(other), one.story.new(mine, opens=False)], START)
        one.blobs.put(other.blob, b"theirs")
        reason = 0x0110
    elif case == "held":
        waiting = one.story.instance(5, sop_instance_uid="1.1.1.5", standing=Standing.HELD, held_for=HeldFor.IDENTITY)
        one.journal.instances.record([one.story.new(waiting, opens=False)], START)
        one.blobs.put(waiting.blob, b"held")
        reason = 0x0110
    asked = "1.1.1.5" if case in ("in conflict", "held") else "1.1.1.1"
    one.request(asked, sop_class="1.2.840.10008.5.1.4.1.1.4" if case == "another class" else CT)
    one.turn()
    assert one.archive.told == [("1.3.1", (reason,))]
    assert one.journal.commitment_requests.committed([row.id for row in one.journal.instances.by_uid(asked)]) == {}


def test_a_report_is_offered_for_a_day(line: Lines) -> None:
    """Later each time; what it says does not change meanwhile; then the peer has to ask again."""
    one = line()
    one.receive(1)
    one.archive.answers = ReportNotTaken("nobody listens")
    one.request("1.1.1.1")
    one.turn()
    tries = 0
    while (pending := one.journal.commitment_requests.due(one.story.now + DAY)) and one.story.now < START + 3 * DAY:
        tries = max(tries, pending[0].attempts)
        one.story.now += timedelta(minutes=10)
        one.turn()
    assert tries > 10
    assert DAY < one.story.now - START < DAY + 2 * timedelta(hours=1)
    one.archive.answers = None
    one.turn()
    assert one.archive.told == []
    one.request("1.1.1.1")
    one.turn()
    assert one.archive.told == [("1.3.1", (0,))]


def test_a_request_of_a_peer_that_is_configured_no_more(line: Lines) -> None:
    """Received, and not judged yet: it is over, and the stages rest."""
    one = line()
    one.horizon = START - MINUTE
    one.request("1.1.1.9", peer="gone")
    one.turn()
    assert one.journal.commitment_requests.due(one.story.now + DAY) == []


def test_a_peer_that_is_away_holds_up_no_other(line: Lines) -> None:
    """More of its requests are due than are looked at in one go; while its thread waits, another one's is judged and reported."""
    one = line()
    one.receive(1)
    for number in range(150):
        references = (InstanceReference(sop_class_uid=CT, sop_instance_uid="1.1.1.1"),)
        asked = Request(peer="pacs", transaction_uid=f"1.4.{number}", references=references, received_at=START)
        one.journal.commitment_requests.receive(asked, START)
    one.request("1.1.1.1")
    one.take.step()
    free = threading.Event()
    one.archive.before_it_is_told = lambda request: request.peer == "ct1" or free.wait(30)
    try:

        def told() -> bool:
            one.promise.step()
            return ("1.3.1", (0,)) in one.archive.told

        wait_until(told, 30, "the other peer has its report", every_s=0.005)
        assert len(one.archive.told) == 1
    finally:
        free.set()


def test_what_the_disk_does_not_flush_is_not_committed_to(line: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system reports a failed write-back once and says yes the next time: the peer is told no, so that it keeps its own."""
    one = line()
    one.receive(1)
    calls = []

    def broken(fd: int) -> None:
        calls.append(fd)
        raise OSError(5, "Input/output error")

    one.request("1.1.1.1", "1.1.1.9")
    one.take.step()
    monkeypatch.setattr(os, "fdatasync", broken)
    one.turn()
    assert one.archive.told == [("1.3.1", (0x0110, 0x0112))]
    assert len(calls) == 1
    assert one.journal.commitment_requests.committed([row.id for row in one.journal.instances.by_uid("1.1.1.1")]) == {}
