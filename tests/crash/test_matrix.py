"""The short form of the crash matrix: one round each of some rows, and what the matrix is made of. `make crash` plays all of it."""

import functools
from pathlib import Path

import pytest

from node.domain.state import (
    ARRIVAL_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    JOB_TRANSITIONS,
    ArrivalState,
    DeliveryState,
    JobState,
)
from tests.crash import faults, kills
from tests.crash.house import CALLS, House
from tests.crash.matrix import play
from tests.crash.rows import Round, Row

_OBSTACLES = {
    JobState.PARKED, JobState.FAILED, JobState.CANCELLED, JobState.SUPERSEDED, DeliveryState.PARKED, DeliveryState.CANCELLED,
}  # fmt: skip
"""States that a person, a refusal or a revision leads to: the simulation goes through them."""


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


def test_every_transition_without_an_obstacle_has_a_row() -> None:
    """A state that is added to the table needs its row."""
    walked = {
        (before, after)
        for table in (ARRIVAL_TRANSITIONS, JOB_TRANSITIONS, DELIVERY_TRANSITIONS)
        for before, targets in table.items()
        for after in targets
        if not {before, after} & _OBSTACLES
    }
    assert walked <= set(kills.TRANSITIONS)
    assert {(None, ArrivalState.RECEIVED), (None, JobState.QUEUED)} <= set(kills.TRANSITIONS)
    assert {call for call, _ in kills.TRANSITIONS.values()} <= set(CALLS)
    planned = {way.args[0] for row in kills.rows() for way in row.ways if isinstance(way, functools.partial) and way.func is kills._journal}
    assert {call for call, stage in kills.TRANSITIONS.values() if stage != "operator"} <= planned


def test_names_of_rows_are_unique() -> None:
    """`--row` and the figures tell rows by their names."""
    names = [row.name for row in [*kills.rows(), *faults.rows()]]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.timeout(600)
def test_the_count_finds_what_is_wrong(tmp_path: Path) -> None:
    """An instance that is deleted behind the node's back is lost; a file that nobody refers to is an orphan; a second set is a double."""
    with House(tmp_path) as house:
        study = house.study()
        house.send_until_acknowledged(study)
        house.until_done(study)
        house.kill()
        house.counting.sweep(house.node.config)
        assert house.counting.count(house.studies.values()).good
        victim, *_ = sorted((house.store / "blobs" / "instances").rglob("*.dcm"))
        victim.unlink()
        (house.store / "blobs" / "partial" / "x").write_bytes(b"half")
        (house.store / "blobs" / "strange.bin").write_bytes(b"what is this")
        double = next(path for path in house.sink.received())
        changed = double.read_bytes()
        (house.sink.folder / "double").write_bytes(changed[:-2] + b"\1\1")
        house.counting.forget()
        count = house.counting.count(house.studies.values())
        assert (len(count.lost), len(count.doubled)) == (1, 1)
        assert "strange.bin" in count.orphaned
