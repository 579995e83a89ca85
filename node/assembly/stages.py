"""Small stages that belong to processes rather than to a study's way: ringing the next process's bell, pace, signs of life."""

import time

from node.assembly.bell import Bell
from node.flow.port import Clock, Stage
from node.journal.port import Journal


class Ringing:
    """A stage that rings a bell whenever it has moved something: the next process has work."""

    def __init__(self, stage: Stage, bell: Bell) -> None:
        self.name = stage.name
        self._stage = stage
        self._bell = bell

    def step(self) -> int:
        """Step the stage; ring when it moved."""
        moved = self._stage.step()
        if moved:
            self._bell.ring()
        return moved


class Paced:
    """A stage that lets work gather: a step that follows a busy one waits until `every_s` have passed since that began.

    A journal commit costs a flush however many instances it holds, and the receiver wants the disk too.
    """

    def __init__(self, stage: Stage, *, every_s: float) -> None:
        self.name = stage.name
        self._stage = stage
        self._every_s = every_s
        self._busy_since = float("-inf")

    def step(self) -> int:
        """Step the stage, not sooner than its pace allows."""
        early_s = self._busy_since + self._every_s - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)
        began = time.monotonic()
        moved = self._stage.step()
        if moved:
            self._busy_since = began
        return moved


class Beat:
    """A sign of life in the journal, so that `hilum doctor` can tell a busy process from a stuck one."""

    name = "beat"

    def __init__(self, journal: Journal, process: str, clock: Clock) -> None:
        self._journal = journal
        self._process = process
        self._clock = clock

    def step(self) -> int:
        """Leave a sign of life; never counts as work."""
        self._journal.beat(self._process, "running", self._clock())
        return 0
