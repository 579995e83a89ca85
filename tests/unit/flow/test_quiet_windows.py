"""The window in force: configured, or learned where the operator says so; read anew within a minute, and by a count shortened as ever."""

from dataclasses import replace
from datetime import timedelta
from math import isnan

import pytest
from sqlalchemy import text

from node.domain.arrival import Arrival, Completeness
from node.flow.settle import QuietWindows, SettleStage
from node.journal.errors import JournalStrange
from node.journal.journal import Journal
from node.observe.instruments import counted
from node.settings.peers import May, Settle, WindowLearning
from tests.unit.flow.files import slice_of
from tests.unit.flow.mini import CT1, CountingPeer, MiniNode
from tests.unit.flow.test_index import Receiver
from tests.unit.flow.test_index import node as receiver
from tests.unit.flow.test_settle import AtOnce
from tests.unit.journal.paused import paused

__all__ = ["receiver"]
LEARNED = Settle(learned=WindowLearning(use=True))


def _configured(node: MiniNode, settle: Settle, *, find: bool = False) -> None:
    may = CT1.may | {May.FIND} if find else CT1.may
    node.configure(peers={"ct1": replace(CT1, settle=settle, may=may)})


def _windows(node: MiniNode) -> QuietWindows:
    return QuietWindows(node.journal, node.config, node.clock)


def _only(node: MiniNode, study: str) -> Arrival:
    (arrival,) = [one for one in node.arrivals() if one.study_instance_uid == study]
    return arrival


def _write_gaps(journal: Journal, gap: object) -> None:
    with journal.database.writing() as connection:
        connection.execute(text("UPDATE arrival SET largest_gap = :gap WHERE largest_gap IS NOT NULL"), {"gap": gap})


def test_the_configured_window_holds_until_it_is_told_to_learn_and_knows_enough(node: MiniNode) -> None:
    """299 studies, the largest gap 2 s: 10 s. With the 300th it is 3 s, seen within a minute; where nothing is used it stays 10 s."""
    _configured(node, LEARNED)
    windows = _windows(node)
    paused(node.journal, "ct1", [2.0] + [0.3] * 298, node.clock.now)
    assert windows.of("ct1") == timedelta(seconds=10)
    node.receive("1.1", "1.1.1")
    node.clock.advance(20)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    assert windows.of("ct1") == timedelta(seconds=10)
    node.clock.advance(60)
    assert windows.of("ct1") == timedelta(seconds=3)
    assert _windows(node).of("ct1") == timedelta(seconds=3)  # another process, or this one after a restart
    assert windows.of(None) == timedelta(seconds=10)
    _configured(node, Settle())
    windows.adopt(node.config)
    assert windows.of("ct1") == timedelta(seconds=10)


def test_a_late_instance_is_healed_by_a_revision_and_then_waited_for(node: MiniNode) -> None:
    """The sender paused for 1.5 s at most (window 2.25 s); now one comes after 5 s: the revision has all of it, and the window is 7.5 s."""
    _configured(node, LEARNED)
    paused(node.journal, "ct1", [1.5] * 300, node.clock.now)
    windows = _windows(node)
    settle = SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer())
    assert windows.of("ct1") == timedelta(seconds=2.25)
    node.receive("1.1", "1.1.1", [1])
    first = _only(node, "1.1")
    assert node.journal.arrivals.complete(first.id, Completeness.QUIET, node.clock.advance(2.25))
    node.clock.advance(2.75)
    node.receive("1.1", "1.1.1", [2])
    node.clock.advance(70)
    assert settle.step() == 1
    late = [one for one in node.arrivals() if one.study_instance_uid == "1.1"][-1]
    assert (late.revision, late.instances, late.supersedes) == (2, 2, first.id)
    assert windows.of("ct1") == timedelta(seconds=7.5)


def test_the_sender_s_count_shortens_a_learned_window(node: MiniNode) -> None:
    """Learned are 9 s; what the sender lists has come: 2 s, as beside a configured window."""
    _configured(node, LEARNED, find=True)
    paused(node.journal, "ct1", [6.0] * 300, node.clock.now)
    peer = CountingPeer()
    settle = SettleStage(node.journal, node.config, node.clock, lambda _: peer, executor=AtOnce())
    node.receive("1.1", "1.1.1")
    peer.counts = 4
    node.clock.advance(0.6)
    assert settle.step() == 0  # asks
    assert settle.step() == 0  # reads the answer
    node.clock.advance(1.5)
    assert settle.step() == 1
    assert _only(node, "1.1").completed_by is Completeness.COUNT


def test_what_is_indexed_is_due_by_the_learned_window(receiver: Receiver) -> None:
    """Slices of the same sender: configured 7 s without learning, 3 s with it."""
    paused(receiver.journal, "ct1", [2.0] * 300, receiver.now - timedelta(days=1))
    for number, use, seconds in ((1, False, 7), (2, True, 3)):
        settle = Settle(quiet=timedelta(seconds=7), learned=WindowLearning(use=use))
        peers = {"ct1": replace(receiver.config.peers["ct1"], settle=settle)}
        receiver.config = replace(receiver.config, peers=peers)
        receiver.send(slice_of(number, StudyInstanceUID=f"1.2.{number}", SeriesInstanceUID=f"1.2.{number}.1"))
        assert receiver.index() == 1
        (arrival,) = receiver.journal.arrivals.find(newest=True, limit=1)
        assert arrival.due_at - receiver.now == timedelta(seconds=seconds)


def test_a_window_that_cannot_be_read_is_no_fault_of_what_came(receiver: Receiver) -> None:
    """A row of an earlier study holds what no hilum writes: that is said, and the instance stays in the inbox until it can be indexed."""
    paused(receiver.journal, "ct1", [2.0] * 300, receiver.now - timedelta(days=1))
    _write_gaps(receiver.journal, "no number")
    receiver.config = replace(receiver.config, peers={"ct1": replace(receiver.config.peers["ct1"], settle=LEARNED)})
    receiver.send(slice_of(1))
    with pytest.raises(JournalStrange):
        receiver.index()
    assert (len(receiver.inbox.waiting(10)), receiver.journal.instances.asides()) == (1, [])
    _write_gaps(receiver.journal, 2_000_000)
    assert receiver.index() == 1
    (arrival,) = receiver.journal.arrivals.find(newest=True, limit=1)
    assert arrival.due_at - receiver.now == timedelta(seconds=3)


def test_the_window_of_a_peer_that_left_the_configuration_is_told_no_more(node: MiniNode) -> None:
    """Its gauge is gone, that of one that stays is not; one that comes back is told again."""

    def told() -> dict[str, float]:
        return {one.labels[0]: one.values[0] for one in counted() if one.name == "hilum_settle_window_seconds" and not isnan(one.values[0])}

    node.configure(peers={"leaves": replace(CT1, name="leaves"), "stays": replace(CT1, name="stays")})
    windows = _windows(node)
    assert {"leaves", "stays"} <= told().keys()
    node.configure(peers={"stays": node.config.peers["stays"]})
    windows.adopt(node.config)
    assert "leaves" not in told()
    assert told()["stays"] == 10
    node.configure(peers={"leaves": replace(CT1, name="leaves")})
    windows.adopt(node.config)
    assert told()["leaves"] == 10
