"""Series that are known to be short: what tells so, how much is missing, and what is done about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from inference.translatable import Translatable, say


class Lack(StrEnum):
    """What tells that a series is short; the first that holds is named."""

    REFUSED = "refused"  # the node itself refused instances of it, or cannot read them, and they have not come since
    COUNT = "count"  # its sender lists more instances of the series, and no more of them from one question to the next
    GAP = "gap"  # slices are missing between others
    TORN = "torn"  # the association that brought it ended without release


class WhenShort(StrEnum):
    """What is done with a series that is known to be short."""

    HOLD = "hold"  # it waits for the rest, then its jobs are parked
    REMARK = "remark"  # it waits for the rest, then it is analysed, and every result says that it is incomplete
    RUN = "run"  # it is analysed at once, as if it were whole; the results have a remark


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """How short a series is: `came` instances of `expected`; None where nobody can say how many there are."""

    lack: Lack
    came: int
    expected: int | None

    @property
    def mark(self) -> Translatable:
        """A few words: "INCOMPLETE 154 of 384"."""
        if self.expected is None:
            return say("INCOMPLETE")
        return say("INCOMPLETE {came} of {expected}", came=str(self.came), expected=str(self.expected))

    @property
    def sentence(self) -> Translatable:
        """What a person is told, a clause without a full stop."""
        if self.expected is None:
            return say("{came} instances came: {why}", came=str(self.came), why=self.why)
        return say("{came} of {expected} instances came: {why}", came=str(self.came), expected=str(self.expected), why=self.why)

    @property
    def why(self) -> Translatable:
        """What tells so, a clause without a full stop."""
        return _WHY[self.lack]


_WHY = {
    Lack.REFUSED: say("the node refused the others or cannot read them, and they were not sent again"),
    Lack.COUNT: say("the sender lists more"),
    Lack.GAP: say("slices are missing between others"),
    Lack.TORN: say("the transfer broke off"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedInstance:
    """An instance that the node answered with a failure, or took (0x0000) and could not read: it is owed until it comes. `peer` None is a
    stranger's."""

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    peer: str | None
    status: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TornSeries:
    """A series that was under way over an association that ended without release, or that stood when its receiver died."""

    association: str
    series_instance_uid: str
    study_instance_uid: str
    peer: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCount:
    """How many instances of a series its sender lists: `same_since` the question that was first answered so, `asked_at` the last one."""

    series_instance_uid: str
    peer: str
    count: int
    same_since: datetime
    asked_at: datetime

    @property
    def stands(self) -> bool:
        """Whether it was the same in two questions: it does not grow any more."""
        return self.asked_at > self.same_since


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfalls:
    """What the journal knows of one series that may be missing instances.

    Attributes
    ----------
    owed
        How many instances the node refused, or cannot read, that have not come since: from anybody, or, to be decided about by a person,
        from their sender.
    torn
        Whether the transfer broke off, and the series was not sent again since.
    counts
        What senders list.
    aside
        By peer, how many of its instances that this peer sent are used by nothing, because a person has to decide about them, or said no:
        what the peer lists of them came.
    """

    owed: int = 0
    torn: bool = False
    counts: tuple[SeriesCount, ...] = ()
    aside: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHold:
    """A series that is withheld from a route's applications, for the journal."""

    series_instance_uid: str
    route: str
    shortage: Shortage
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A series that waits because it is known to be short; `since` is when it was first held, over all revisions of its arrival."""

    arrival: int
    study_instance_uid: str
    series_instance_uid: str
    route: str
    shortage: Shortage
    since: datetime
    until: datetime
