"""The small stages around the others: turns, leadership, rests, signs of life of hosts that are gone."""

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from node.assembly.work import memory_of
from node.flow.scheduling import LeaderStage, LockedStage, PacedStage, RestingStage
from node.journal.journal import Journal
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store
from node.upkeep.sweeps import ForgetStage
from tests.lab import empty_journal

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Counting:
    """Moves something so many times, then nothing once, and so on."""

    name = "counting"

    def __init__(self, *moves: int) -> None:
        self.moves = list(moves)
        self.steps = 0

    def step(self) -> int:
        """The next of what the test gave."""
        self.steps += 1
        return self.moves.pop(0) if self.moves else 0


class Candidate:
    """Leads when the test says so."""

    leads = False

    def close(self) -> None:
        """Nothing to give up."""


def test_of_two_on_one_lock_only_the_first_is_stepped(tmp_path: Path) -> None:
    """Until it is gone; then the other goes on."""
    first, second = Counting(1, 1, 1), Counting(1, 1)
    one, other = LockedStage(first, tmp_path / "lock"), LockedStage(second, tmp_path / "lock")
    assert (one.step(), other.step()) == (1, 0)
    del one
    assert other.step() == 1


def test_who_does_not_lead_moves_nothing() -> None:
    """And is not even asked; leading, it is."""
    stage, leader = Counting(1), Candidate()
    led = LeaderStage(stage, leader)
    assert (led.step(), stage.steps) == (0, 0)
    leader.leads = True
    assert led.step() == 1


def test_what_streams_in_gathers_and_what_waits_in_heaps_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """After little the next step follows soon, after much it lets more gather, after a full one it follows at once: it is behind."""
    now, slept = 1000.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(round(seconds, 3))
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", sleep)
    paced = PacedStage(Counting(1, 30, 100, 100, 0, 1), every_s=0.1, stream_every_s=0.5, stream=20, full=100)
    assert [paced.step() for _ in range(6)] == [1, 30, 100, 100, 0, 1]
    assert slept == [0.1, 0.5]


def test_a_round_is_followed_by_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the start too; within a round steps follow each other."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stage = Counting(5, 5, 0, 5)
    rounds = RestingStage(stage, rest_s=60)
    assert (rounds.step(), stage.steps) == (0, 0)
    now += 60
    assert [rounds.step() for _ in range(5)] == [5, 5, 0, 0, 0]
    assert stage.steps == 3
    now += 60
    assert rounds.step() == 5


def test_a_host_that_is_gone_for_a_day_is_forgotten(tmp_path: Path) -> None:
    """One that was heard of since is not."""
    journal = Journal.open(empty_journal.make(f"sqlite:{tmp_path}/hilum.db"))
    journal.processes.beat("work old-1a2b3c:7", "running", NOW - timedelta(hours=25))
    journal.processes.beat("spool old-1a2b3c/spool", "", NOW - timedelta(hours=25))
    journal.processes.beat("flow new-1a2b3c:7", "running", NOW - timedelta(hours=23))
    assert ForgetStage(journal, lambda: NOW).step() == 2
    assert list(journal.processes.beats()) == ["flow new-1a2b3c:7"]
    journal.close()


def test_decoded_frames_go_where_there_is_no_room_for_them_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`decode_ahead: 0` after a time with it: nothing of a study stays; with it, what is old goes when the process starts."""
    config = Config(
        path=tmp_path / "hilum.yaml",
        digest="",
        node=Node(ahead_bytes=1 << 20),
        store=Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs"),
        models=tmp_path,
    )
    memory = memory_of(config)
    assert memory is not None
    assert memory.keep("old", np.zeros(4))
    (frame,) = tmp_path.rglob("ahead/old")
    os.utime(frame, (1.0, 1.0))
    assert memory.keep("new", np.zeros(4))
    assert memory_of(config) is not None
    assert [path.name for path in frame.parent.iterdir()] == ["new"]
    assert memory_of(replace(config, node=Node(ahead_bytes=0))) is None
    assert not frame.parent.exists()
