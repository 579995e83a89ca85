"""What happened in a day of the soak: records, which tests.soak.day writes, tests.soak.count counts and tests.soak.verdict judges."""

from dataclasses import dataclass, field

from tests.soak.studies import Study
from tests.soak.watch import Watch

Span = tuple[float, float]
"""From when to when, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """Something that was killed or restarted: what, and when, in seconds since 1970. `stage` is the node's, None: the archive."""

    name: str
    stage: str | None
    at: float


@dataclass(slots=True)
class Day:
    """What happened.

    Attributes
    ----------
    still
        When the senders themselves did not come to run, each for `STILL_S` at least: the machine stood still, or was that busy.
    objects
        Study Instance UID → SOP Instance UIDs of results in the archive.
    revised
        Studies that have a second set of results, rightly.
    doubled
        Studies whose results are not the one set that there should be, with what is wrong.
    left
        What is half-written, or waits to be journaled, when the node has ended.
    """

    quiet_s: float
    studies: list[Study] = field(default_factory=list)
    disturbances: list[Disturbance] = field(default_factory=list)
    still: list[Span] = field(default_factory=list)
    idle_lost: int = 0
    aborted: int = 0
    refused: int = 0
    objects: dict[str, set[str]] = field(default_factory=dict)
    copies: int = 0
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    revised: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    watch: Watch | None = None
    took_s: float = 0.0

    def stood_still(self, span: Span) -> bool:
        """Whether the senders did not come to run at some time within a span."""
        return any(since < span[1] and span[0] < until for since, until in self.still)
