"""The short form of the crash matrix: one round each of some rows, and what the matrix is made of. `make crash` plays all of it."""

import functools
import random
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from node.domain.state import (
    ARRIVAL_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    JOB_TRANSITIONS,
    ArrivalState,
    JobState,
)
from tests.crash import commitment, faults, kills, transitions
from tests.crash.matrix import Task, keep, kept, play, tasks
from tests.crash.node_under_test import CALLS, NodeUnderTest
from tests.crash.rows import Outcome, Round, Row


def _way(name: str, number: int) -> Round:
    row = next(row for row in [*kills.rows(), *faults.rows()] if row.name.startswith(name))
    return row.ways[number % len(row.ways)]


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.timeout(900)
def test_a_round_of_some_rows(tmp_path: Path) -> None:
    """Killed over a flush, over an answer, inside the transactions of three transitions (itself, its supervisor, all at once), and a disk
    that is full for a while: 0 lost, 0 doubled, 0 orphaned, and what was to happen happened."""
    chosen = [
        _way("receive: an instance half written", 9),
        _way("receive: 0x0000 about to leave", 3),
        _way("route: ", 3 * 1 + 2),
        _way("work: inferred → encoded", 3 * 1),
        _way("deliver: waiting", 3 * 1 + 1),
        _way("ENOSPC for what comes in", 0),
    ]
    outcome = play("", Row(name="short", ways=chosen), len(chosen), 0, tmp_path)
    assert outcome.good, outcome
    assert outcome.rounds == outcome.hit == len(chosen)


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.timeout(600)
def test_what_is_wrong_stays_as_it_was_found(tmp_path: Path) -> None:
    """A round on one node loses an instance, one on another breaks off: both folders are left, and the outcome says where."""

    def loses(under_test: NodeUnderTest, _draw: random.Random) -> bool:
        study = under_test.study()
        under_test.send_until_acknowledged(study)
        under_test.until_done(study)
        next((under_test.store / "blobs" / "instances").rglob("*.dcm")).unlink()
        return True

    def breaks(under_test: NodeUnderTest, _draw: random.Random) -> bool:
        raise AssertionError("it is not done")

    lost = play("", Row(name="loses", ways=[loses]), 1, 0, tmp_path / "first")
    broken = play("", Row(name="breaks", ways=[breaks]), 1, 0, tmp_path / "second")
    assert (len(lost.lost), len(broken.broken)) == (1, 1)
    (first,), (second,) = lost.kept, broken.kept
    assert len(list((Path(first) / "archive").iterdir())) == 3
    assert (Path(first) / "store" / "hilum.db").exists()
    assert (Path(second) / "store" / "hilum.db").exists()


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.timeout(600)
def test_a_run_that_goes_on_does_not_take_what_was_cut_off_for_its_own(tmp_path: Path) -> None:
    """A node that was killed with its run has left a store, and a line that says it is ready at another port."""
    left = tmp_path / "node-0"
    (left / "node").mkdir(parents=True)
    (left / "node" / "stdout-1.jsonl").write_text('{"event": "node.ready", "port": 1, "ae_title": "HILUM"}\n')
    (left / "store" / "blobs" / "instances").mkdir(parents=True)
    (left / "store" / "blobs" / "instances" / "1.dcm").write_bytes(b"of another round")

    def takes(under_test: NodeUnderTest, _draw: random.Random) -> bool:
        study = under_test.study()
        under_test.send_until_acknowledged(study)
        under_test.until_done(study)
        return under_test.node.port != 1

    outcome = play("", Row(name="goes on", ways=[takes]), 1, 0, tmp_path)
    assert outcome.good, outcome
    assert outcome.hit == 1


def _table() -> set[tuple[str, object, object]]:
    """Every transition of the state table, and how an arrival and a job begin. States of two tables may be equal strings."""
    tables: dict[str, Mapping[Any, Collection[Any]]] = {
        "arrival": ARRIVAL_TRANSITIONS, "job": JOB_TRANSITIONS, "delivery": DELIVERY_TRANSITIONS,
    }  # fmt: skip
    walked = {(name, before, after) for name, table in tables.items() for before, targets in table.items() for after in targets}
    return walked | {("arrival", None, ArrivalState.RECEIVED), ("job", None, JobState.QUEUED)}


def _killed_at() -> set[object]:
    """The calls of the journal at which a row of kills or of commitment has somebody killed."""
    found: set[object] = set()
    for row in [*kills.rows(), *commitment.rows()]:
        for way in row.ways:
            assert isinstance(way, functools.partial)
            found |= {word for word in way.args if isinstance(word, str)}
            found |= {word for nested in way.args if isinstance(nested, functools.partial) for word in nested.args if isinstance(word, str)}
            found |= {"routing.route"} if way.func in (kills.late, kills.part) else set()
    return found


def test_every_transition_of_the_state_table_has_a_row_or_a_reason() -> None:
    """A state that is added to the table needs its row, or a sentence; and no sentence stands for what a row meets."""
    met = transitions.TRANSITIONS | transitions.OBSTACLES
    assert not set(met) & set(transitions.REASONS)
    assert {*met, *transitions.REASONS} == _table()
    calls = {call for call, _ in met.values()}
    assert calls <= set(CALLS)
    assert calls <= _killed_at()
    assert all(transitions.REASONS.values())


def test_every_fault_begins_at_every_transition_without_an_obstacle() -> None:
    """SIGKILL, ENOSPC, EIO, short write, fsync failure, clock jump, database locked, read-only disk: no transition is left out of any."""
    named = {"ENOSPC", "EIO", "short write", "fsync failure", "clock jump", "database locked", "read-only disk"}
    assert named <= {fault.name for fault in transitions.FAULTS}
    for fault in transitions.FAULTS:
        begun = {way.args[:2] for way in transitions.ways(fault) if isinstance(way, functools.partial)}
        assert set(transitions.TRANSITIONS.values()) <= begun, fault.name


def test_the_rows_of_a_whole_run_are_played_often_enough() -> None:
    """`make crash` plays 500 rounds and more with a real node, each row twice at least, and each row of each kind of node has its name."""
    shared, losses = tasks("", 540)
    whole = [*shared, *(task for task, _ in losses)]
    assert sum(task.rounds for task in whole) >= 500
    assert min(task.rounds for task in whole) >= 2
    assert len({task.title for task in whole}) == len(whole)


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    """What was played is read again, and not played again; with other arguments it is no continuation."""
    task = Task(place=3, kind="", row="a row", rounds=2)
    assert kept(tmp_path, task, 1) is None
    keep(tmp_path, task, 1, [Outcome(name="a row", rounds=2, hit=1, lost=["1.2.3"])], 2)
    assert kept(tmp_path, task, 1) == [Outcome(name="a row", rounds=2, hit=1, lost=["1.2.3"])]
    with pytest.raises(AssertionError, match="of another run"):
        kept(tmp_path, task, 2)


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.timeout(600)
def test_the_count_finds_what_is_wrong(tmp_path: Path) -> None:
    """An instance that is deleted behind the node's back is lost; a file that nobody refers to is an orphan; a second set is a double."""
    with NodeUnderTest(tmp_path) as under_test:
        study = under_test.study()
        under_test.send_until_acknowledged(study)
        under_test.until_done(study)
        under_test.kill()
        under_test.counting.sweep(under_test.node.config)
        assert under_test.counting.count(under_test.studies.values()).good
        victim, *_ = sorted((under_test.store / "blobs" / "instances").rglob("*.dcm"))
        victim.unlink()
        (under_test.store / "blobs" / "partial" / "x").write_bytes(b"half")
        (under_test.store / "blobs" / "strange.bin").write_bytes(b"what is this")
        double = next(path for path in under_test.sink.received())
        changed = double.read_bytes()
        (under_test.sink.folder / "double").write_bytes(changed[:-2] + b"\1\1")
        under_test.counting.forget()
        count = under_test.counting.count(under_test.studies.values())
        assert (len(count.lost), len(count.doubled)) == (1, 1)
        assert "strange.bin" in count.orphaned
