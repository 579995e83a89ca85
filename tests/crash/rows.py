"""A row of the crash matrix: what is done to the node, in how many ways, and what was counted afterwards."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from bench.rows import Row as Figure
from tests.crash.counting import Count
from tests.crash.node_under_test import NodeUnderTest

Round: TypeAlias = Callable[[NodeUnderTest, random.Random], bool]
"""One round: a study comes in, something happens on its way, everything is started again, and the study is done when it returns.
Whether what was to happen did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row.

    Attributes
    ----------
    name
        What happens.
    ways
        The rounds to take turns with: at which place, to which process.
    weight
        How many rounds it gets for one of a row of weight 1.
    """

    name: str
    ways: Sequence[Round]
    weight: float = 1.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came out of the rounds of one row, on one node."""

    name: str
    rounds: int = 0
    hit: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Rounds that did not end: what was said, and the seed."""
    again: int = 0
    """Rounds that were played again, because the machine stood still while they broke."""
    seconds: float = 0.0
    kept: list[str] = field(default_factory=list)
    """Folders in which what was wrong lies as it was found: store, journal, archive, events. No later round touches them."""

    def add(self, count: Count) -> None:
        """What the audit after the rounds found."""
        self.acknowledged += count.acknowledged
        self.lost += count.lost
        self.doubled += count.doubled
        self.orphaned += count.orphaned

    @property
    def wrong(self) -> int:
        """How much was lost, doubled, orphaned or left undone."""
        return len(self.lost) + len(self.doubled) + len(self.orphaned) + len(self.broken)

    @property
    def good(self) -> bool:
        return self.rounds > 0 and not self.wrong

    def figure(self) -> Figure:
        """As a figure of bench/crash.json: the value is what was lost, doubled, orphaned or left undone."""
        goal = f"0 lost, 0 doubled, 0 orphaned in {self.rounds} rounds ({self.hit} hit), {self.acknowledged} acknowledged"
        return Figure(
            name=f"crash: {self.name}", value=float(self.wrong), unit="wrong", baseline=float(self.rounds), goal=goal, met=self.good
        )


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("row", no_wrap=True)
    for column in ("rounds", "hit", "acknowledged", "lost", "doubled", "orphaned", "undone", "again", "s"):
        table.add_column(column, justify="right")
    for one in outcomes:
        counts = (one.rounds, one.hit, one.acknowledged, len(one.lost), len(one.doubled), len(one.orphaned), len(one.broken), one.again)
        table.add_row(one.name, *(str(each) for each in counts), f"{one.seconds:.0f}")
    # no figure is cut off, however long the names are
    Console(highlight=False, width=max(140, 90 + max(len(one.name) for one in outcomes))).print(table)


def total(outcomes: Sequence[Outcome]) -> Outcome:
    """All rows together."""
    whole = Outcome(name="all rounds")
    for one in outcomes:
        whole.rounds += one.rounds
        whole.hit += one.hit
        whole.acknowledged += one.acknowledged
        whole.lost += one.lost
        whole.doubled += one.doubled
        whole.orphaned += one.orphaned
        whole.broken += one.broken
        whole.again += one.again
        whole.seconds += one.seconds
        whole.kept += one.kept
    return whole
