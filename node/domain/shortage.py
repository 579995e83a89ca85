"""Series that are known to be short: what tells so, how much is missing, and what is done about it.

Numbers in headers that say how many images there are may be remarked, and decide nothing: scanners number as they like, and count what they
never send (ADR-0032).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from inference.translatable import Translatable, say
from node.domain.instance import Header


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


def numbering_remarks(headers: Sequence[Header]) -> tuple[Translatable, ...]:
    """What numbers of the images of one series lead to expect and did not come; a sentence each.

    InstanceNumber (PS3.3 C.7.6.1.1.1): numbers missing between others, where fewer are missing than came. ImagesInAcquisition
    (C.7.6.1.1): of each AcquisitionNumber. NumberOfTemporalPositions (C.7.6.16.2.3.1), against TemporalPositionIdentifier.
    """
    return (*_gaps(headers), *_acquisitions(headers), *_positions(headers))


def _gaps(headers: Sequence[Header]) -> list[Translatable]:
    numbers = {number for one in headers if (number := _whole(one, "InstanceNumber")) is not None}
    missing = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    if not 0 < missing < len(numbers):
        return []
    return [
        say(
            "Instance numbers run from {first} to {last}, and {missing} of them did not come: images may be missing.",
            first=str(min(numbers)),
            last=str(max(numbers)),
            missing=str(missing),
        )
    ]


def _acquisitions(headers: Sequence[Header]) -> list[Translatable]:
    counted: dict[int | None, tuple[int, int]] = {}
    for one in headers:
        acquisition = _whole(one, "AcquisitionNumber")
        came, listed = counted.get(acquisition, (0, 0))
        counted[acquisition] = came + 1, max(listed, _whole(one, "ImagesInAcquisition") or 0)
    short = [(came, listed) for came, listed in counted.values() if came < listed]
    return [
        say(
            "The images say that their acquisition has {listed}, and {came} came: images may be missing.",
            listed=str(listed),
            came=str(came),
        )
        for came, listed in dict.fromkeys(short)
    ]


def _positions(headers: Sequence[Header]) -> list[Translatable]:
    listed = max((_whole(one, "NumberOfTemporalPositions") or 0 for one in headers), default=0)
    came = len({position for one in headers if (position := _whole(one, "TemporalPositionIdentifier")) is not None})
    if not 0 < came < listed:
        return []
    return [
        say(
            "The images name {listed} temporal positions, and those of {came} came: images may be missing.",
            listed=str(listed),
            came=str(came),
        )
    ]


def _whole(header: Header, keyword: str) -> int | None:
    """A number without a fraction; None where there is none, or several."""
    values = header.get(keyword, ())
    (value,) = values if len(values) == 1 else (None,)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None  # which an infinite one is not
    return value if isinstance(value, int) else None
