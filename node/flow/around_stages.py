"""Stages around a stage: they wake the next process, let work gather, and hold a stage back while another process has its turn."""

import fcntl
import time
from pathlib import Path

from node.domain.stage import Stage
from node.journal.port import Leader
from node.journal.wake_up import WakeUps


class WakingStage:
    """A stage that wakes the next process whenever it has moved something."""

    def __init__(self, stage: Stage, following: WakeUps) -> None:
        self.name = stage.name
        self._stage = stage
        self._next = following

    def step(self) -> int:
        """Step the stage; wake the next process when it moved."""
        moved = self._stage.step()
        if moved:
            self._next.ring()
        return moved


class PacedStage:
    """A stage that lets work gather while it streams in: a step that follows a busy one waits a while since that began.

    A step costs a commit, which is a flush, however little it moves, and the receiver wants the disk and the processor too. Where little
    comes it follows soon; a step that moved `full` is behind, and the next one follows at once.

    Parameters
    ----------
    every_s, stream_every_s
        The pace behind a step that moved little, and behind one that moved `stream` or more.
    """

    def __init__(self, stage: Stage, *, every_s: float, stream_every_s: float, stream: int, full: int) -> None:
        self.name = stage.name
        self._stage = stage
        self._every_s = every_s
        self._stream_every_s = stream_every_s
        self._stream = stream
        self._full = full
        self._next = float("-inf")

    def step(self) -> int:
        """Step the stage, not sooner than its pace allows."""
        early_s = self._next - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)
        began = time.monotonic()
        moved = self._stage.step()
        if 0 < moved < self._full:
            self._next = began + (self._stream_every_s if moved >= self._stream else self._every_s)
        return moved


class LockedStage:
    """A stage that only one process of a host steps: the one that holds `lock`, until it ends."""

    def __init__(self, stage: Stage, lock: Path) -> None:
        self.name = stage.name
        self._stage = stage
        self._lock = lock.open("w", encoding="ascii")
        self._mine = False

    def step(self) -> int:
        """Step the stage if it is this process's turn; 0 otherwise."""
        if not self._mine:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            self._mine = True
        return self._stage.step()


class LeaderStage:
    """A stage that only the leader of all hosts steps."""

    def __init__(self, stage: Stage, leader: Leader) -> None:
        self.name = stage.name
        self._stage = stage
        self._leader = leader

    def step(self) -> int:
        """Step the stage if this process leads; 0 otherwise."""
        return self._stage.step() if self._leader.leads else 0


class RestingStage:
    """A stage that rests after each round: once a step has moved nothing, and after the start too, it is left alone for `rest_s`."""

    def __init__(self, stage: Stage, *, rest_s: float) -> None:
        self.name = stage.name
        self._stage = stage
        self._rest_s = rest_s
        self._rests_until = time.monotonic() + rest_s

    def step(self) -> int:
        """Step the stage unless it rests."""
        if time.monotonic() < self._rests_until:
            return 0
        moved = self._stage.step()
        if moved == 0:
            self._rests_until = time.monotonic() + self._rest_s
        return moved
