"""What the journal knows of whose a series is, and what it holds back: the part of the journal port for intake and for the operator."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from node.domain.instance import Instance, Sender, Standing
from node.domain.patient import Patient


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesKnown:
    """A series of which something counts, or counted.

    Attributes
    ----------
    first
        Who sent the first instance of it that counted.
    marks
        `node.domain.erased.mark_of` its instances that count now, those of which only the header is left included; empty where they came
        before the journal kept marks.
    """

    first: Sender
    marks: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An instance that is held (`instance` is its row), and that counts from now on: in place of the current one of its SOP Instance UID.

    Attributes
    ----------
    standing
        CURRENT, or CONFLICT where its pixels are others than those of the current one.
    sender, called_ae
        Who sent it now; None: nobody did, a person accepts it. It joins the arrivals of the first sender of its series then.
    """

    instance: int
    scope_series: bool
    due_at: datetime
    standing: Standing = Standing.CURRENT
    sender: Sender | None = None
    called_ae: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSeries:
    """How many instances of one series one sender has waiting for a person."""

    study_instance_uid: str
    series_instance_uid: str
    sender: Sender
    instances: int


class HeldJournal(Protocol):
    """Whose series are, and what is held."""

    def series_known(self, series: Collection[str]) -> dict[str, SeriesKnown]:
        """Those of these Series Instance UIDs of which something counts or counted, in whichever study."""
        ...

    def patients_of(self, studies: Collection[str]) -> dict[str, frozenset[Patient]]:
        """The patients whom instances of these studies name that count now."""
        ...

    def held_instances(self, *, study: str | None = None, limit: int = 10_000) -> list[Instance]:
        """What waits for a person, the oldest first; of one study: what names it, and what names a series that it has."""
        ...

    def held_series(self) -> list[HeldSeries]:
        """The same, counted by series and sender."""
        ...

    def accept(self, accepted: Sequence[Accepted], now: datetime, *, by: str = "a person") -> list[int]:
        """What is held, or was refused, counts from now on, and opens revisions. Returned are the rows that do; the others are neither any
        more. The history says `by` whom, where nobody sent it now."""
        ...

    def refuse(self, instances: Collection[int], now: datetime, *, by: str = "a person") -> list[int]:
        """HELD → REFUSED. Returned are the rows that were held. The history says `by` whom."""
        ...
