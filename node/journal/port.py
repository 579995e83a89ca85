"""The journal port: the node's durable memory. Every state change and its event are one transaction.

Times are aware UTC datetimes passed in by the caller (a fake clock serves the tests). A change that the transition table does not
allow raises `JournalError`; one made under a lease that is no longer held returns False and changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from node.domain.arrival import Arrival, Completeness
from node.domain.census import Census
from node.domain.header import Header
from node.domain.instance import Instance
from node.domain.job import Delivery, Priority
from node.domain.route import Decision
from node.domain.shortage import NewHold, Shortage
from node.domain.state import ArrivalState
from node.journal.commitment_port import CommitmentJournal
from node.journal.console_port import ConsoleJournal
from node.journal.delivery_port import DeliveryJournal
from node.journal.erasure_port import ErasureJournal
from node.journal.held_port import HeldJournal
from node.journal.identity_port import IdentityJournal
from node.journal.job_port import JobJournal
from node.journal.replay_port import ReplayJournal
from node.journal.retention_port import RetentionJournal
from node.journal.shortage_port import ShortageJournal
from node.journal.statement_port import StatementJournal
from node.journal.withdrawal_port import WithdrawalJournal

WAITS = "arrival.waits"
"""The event of an arrival that is open because a route waits for a series, or for the rest of one; its detail says so in words."""


class Pausable(StrEnum):
    ROUTE = "route"
    SINK = "sink"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the append-only history. `subject` is "arrival", "job", "delivery" or "instance"."""

    at: datetime
    subject: str
    subject_id: int
    name: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event with its number, by which the history is followed."""

    number: int
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """An instance to be journaled, and what it means for arrivals.

    `instance.standing` is CURRENT for a new one or an update (then `replaces` is the row that becomes REPLACED), CONFLICT for other
    pixels, RESULT for what another node made, HELD (with `instance.held_for`) for what a person has to look at. With `opens` the instance
    joins the open arrival of its study (or series, by `scope_series`) and peer, or opens one, whose `due_at` becomes `due_at`; a closed
    arrival is never reopened: the new one names it in `supersedes` with revision + 1, and inherits its instances.
    """

    instance: Instance
    opens: bool
    scope_series: bool
    due_at: datetime
    replaces: int | None = None
    begins: bool = False
    """Nothing of its series was known when it was judged: recording it raises JournalRace if something is by now, from whomever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameAgain:
    """A known instance (`instance` is its row) that was received once more, with the bytes that the journal knows; `restored` when
    the blobs no longer had these."""

    instance: int
    peer: str | None
    called_ae: str
    scope_series: bool
    due_at: datetime
    restored: bool = False
    received_at: datetime | None = None
    """None: at this moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A received file that is no readable instance: its name where the inbox keeps such files, who sent it (as far as known), why it
    cannot be indexed, and what can be read of whose it is; "" where nothing can."""

    at: datetime
    entry: str
    sender: str
    code: str
    reason: str
    patient_id: str = ""
    issuer: str = ""
    accession: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that routing asks for. A live or finished job with the same (study, series, application) and equal `input_digest`
    gains the routes and missing sinks instead of a twin, and is queued if it ended from the start for a reason that is gone; one
    with another digest is superseded and named as `predecessor`."""

    series_instance_uid: str
    application: str
    application_version: str
    engine: str
    routes: tuple[str, ...]
    sinks: tuple[str, ...]
    priority: Priority
    input_digest: str
    instances: tuple[int, ...]
    deadline_at: datetime | None = None
    parked: tuple[str, str] | None = None
    """(code, reason) when the job is parked from the start (a series that no application can be given)."""
    declined: bool = False
    """Whether it is parked because of its images."""
    not_applicable: tuple[str, str] | None = None
    """(code, reason) when what the application declares excludes the series by its headers."""
    whole_study: bool = False
    """One job for all series of the study: the one with the same (study, application) is meant, whichever series that names."""
    shortage: Shortage | None = None
    """What it analyses is known to be short."""
    marked: bool = False
    """Its results begin with that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """A series of another study that some header calls the same patient's. Headers decide whether it still is; this is where to look."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    studied_at: str


class Leader(Protocol):
    """This process' candidature for what only one of many should do."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one now; answers at once. Another one may have begun to lead a moment ago: what leaders do is
        idempotent."""
        ...

    def close(self) -> None:
        """Give it up."""
        ...


class Journal(
    CommitmentJournal,
    ConsoleJournal,
    DeliveryJournal,
    ErasureJournal,
    HeldJournal,
    IdentityJournal,
    JobJournal,
    ReplayJournal,
    RetentionJournal,
    ShortageJournal,
    StatementJournal,
    WithdrawalJournal,
    Protocol,
):
    """See the module's docstring; tests/contract/test_journal.py holds every journal to it."""

    # ---- many hosts
    def now(self) -> datetime:
        """The time that all hosts share: the database's, or this host's where only one has the journal. What stages call their clock."""
        ...

    def at(self, timestamp: float) -> datetime:
        """That time when this host's clock showed `timestamp` (seconds since 1970): when a file of this host was written."""
        ...

    def ahead_s(self) -> float:
        """How many seconds this host's clock is ahead of that time."""
        ...

    def leader(self, name: str) -> Leader:
        """Stand for what is done under `name`: among all processes on this journal one leads, and another soon after its end."""
        ...

    # ---- instances
    def instances_of(self, *sop_instance_uids: str) -> list[Instance]:
        """Every row of these SOP Instance UIDs, in the order in which they came."""
        ...

    def record(self, news: Sequence[NewInstance], now: datetime) -> list[int]:
        """Insert all in one transaction; returns their row ids. Idempotent by `blob`."""
        ...

    def came_again(self, again: Sequence[CameAgain], config_digest: str, now: datetime) -> frozenset[int]:
        """Known instances came once more: an event each, in one transaction. An open arrival of theirs waits longer. They join the
        open arrival of their study and peer, or open a revision, when that peer had not sent them yet, when the arrival was routed
        under another configuration than `config_digest`, when they came for another called AE title, or were restored; else nothing
        moves. Returned are those (rows) whose bytes retention has deleted meanwhile: nothing was noted of them."""
        ...

    def restore(self, instance: int, blob: str, header: Header, now: datetime) -> None:
        """PURGED → the standing before, the bytes lying under the new name `blob`: they were received again `now`, and with them their
        header. Idempotent by `blob`."""
        ...

    def set_aside(self, aside: Aside) -> None:
        """Remember a file that cannot be indexed. Idempotent by `entry`."""
        ...

    def asides(self, *, limit: int = 1000) -> list[Aside]:
        """The newest first."""
        ...

    def asides_near(self, study: str) -> list[Aside]:
        """What was set aside and names the study, a series of a patient of it, or a patient whom it ever named; the oldest first."""
        ...

    def note(self, subject: str, subject_id: int, name: str, detail: str, now: datetime) -> None:
        """An event without a state change (a duplicate, a conflict, a file set aside)."""
        ...

    def own_results(self, sop_instance_uids: Collection[str]) -> set[str]:
        """Those of them that jobs of this journal made."""
        ...

    def other_results(self, study_instance_uid: str) -> list[Instance]:
        """What other nodes made of a study and somebody sent here, in the order in which it came; purged ones included."""
        ...

    def results_alone(self, *, study: str | None = None, limit: int = 100) -> list[Instance]:
        """Of each study of which nothing but `other_results` came, the one that came last, the newest first; of one `study` alone."""
        ...

    def arrival_instances(self, arrival: int, *, after: int = 0) -> list[Instance]:
        """The manifest of an arrival, purged instances included, in the order of their rows; of those behind row `after` alone."""
        ...

    def came(self, study_instance_uid: str) -> dict[str, int]:
        """How many instances of each series of the study came, whoever sent them, those included that a person has to decide about."""
        ...

    def one_of_each(self, arrival: int) -> list[Instance]:
        """Of each series in the manifest of an arrival one instance of each SOP class: what the series is made of."""
        ...

    def study_instances(self, study_instance_uid: str) -> list[Instance]:
        """What the arrivals of a study hold now, whoever sent it, purged instances included: each once, none that was replaced; and the
        study's conflicts, which belong to no arrival."""
        ...

    def conflicts(self, *, study: str | None = None, limit: int = 1000) -> list[Instance]:
        """Instances that came with other pixels under a known UID: kept, never analysed. The newest first."""
        ...

    def related(self, study_instance_uid: str) -> list[Related]:
        """The series of other studies that headers ever called the same patient's (PatientID with IssuerOfPatientID) as a series of this
        study, the newest study first; until their headers are forgotten."""
        ...

    def job_instances(self, job: int) -> list[Instance]: ...

    # ---- arrivals
    def arrivals(
        self,
        *,
        states: Collection[ArrivalState] = (),
        due_before: datetime | None = None,
        study: str | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> list[Arrival]:
        """The oldest first (by `due_at` with `due_before`), so that a stage that takes a few is fair; `newest` first for people."""
        ...

    def routing_failed(self, arrival: int, code: str, reason: str, config_digest: str, now: datetime, *, most: int) -> int:
        """Count one more attempt to route a complete arrival that failed, and why; at `most` of them it is parked, under the configuration
        that it was judged by. How many there were, 0 when it is not complete (any more)."""
        ...

    def put_back(self, arrival: int, now: datetime) -> None:
        """Have a parked arrival routed again, as if for the first time.

        Raises
        ------
        TransitionRefused
            It is not parked.
        """
        ...

    def to_route(self, limit: int) -> list[Arrival]:
        """Those in COMPLETE: the oldest of each peer, then the second of each, …: hundreds of one peer hold up no other. Those of
        which routing failed before stand behind the others."""
        ...

    def latest_arrival(self, study_instance_uid: str, series_instance_uid: str | None, peer: str | None) -> Arrival | None: ...
    def shorten(self, arrival: int, due_at: datetime, *, counted: bool = False) -> None:
        """Move an open arrival's `due_at` nearer, never further; `counted`: because what came meets its sender's count."""
        ...

    def complete(self, arrival: int, by: Completeness, now: datetime, *, expected_last: datetime | None = None) -> bool:
        """Freeze the manifest. False when it is not open, or an instance came after `expected_last`."""
        ...

    def route(
        self,
        arrival: int,
        decisions: Sequence[Decision],
        jobs: Sequence[NewJob],
        config_digest: str,
        now: datetime,
        *,
        revised: Mapping[int, str] | None = None,
        waits: tuple[datetime, str] | None = None,
        holds: Sequence[NewHold] = (),
    ) -> list[int]:
        """COMPLETE → ROUTED with every decision kept and jobs inserted, in one transaction.

        `revised` are arrivals of other studies that this one is a prior of, and why they are to be looked at again: each gets a COMPLETE
        revision that holds the same instances, unless it is open or was revised meanwhile. Nothing is revised by an arrival that was
        overtaken: the one that overtook it did.

        With `waits` (until when, and why) a route waits for a series that is missing, or for the rest of one (`holds`): a revision is open
        from now on that holds the same instances and is due then, unless one is open already. What comes joins it, and then its window is
        theirs, and what was held is held no more."""
        ...

    def decisions(self, arrival: int) -> list[Decision]: ...
    def config_digest(self, arrival: int) -> str | None:
        """The configuration under which the arrival was routed; None before."""
        ...

    # ---- operator and history
    def pause(self, kind: Pausable, name: str, now: datetime) -> None: ...
    def resume(self, kind: Pausable, name: str, now: datetime) -> bool: ...
    def paused(self) -> list[tuple[Pausable, str, datetime]]: ...
    def events(self, subject: str, subject_id: int) -> list[Event]: ...

    # ---- who follows the history
    def history(self, after: int, now: datetime, limit: int = 500) -> list[Told]:
        """Events behind number `after` in their order, each when nothing earlier can come any more: a follower misses none."""
        ...

    def followed(self, name: str) -> int:
        """Up to which number the follower of this name has come; one that is new begins with what happens from now on."""
        ...

    def follow(self, name: str, position: int) -> None:
        """The follower has come to `position`; it never goes back."""
        ...

    def arrival(self, arrival: int) -> Arrival | None: ...
    def delivery(self, delivery: int) -> Delivery | None: ...
    def instances(self, instances: list[int]) -> list[Instance]:
        """Those of these rows that are still there."""
        ...

    # ---- health
    def beat(self, process: str, state: str, now: datetime) -> None: ...
    def beats(self) -> dict[str, tuple[datetime, str]]: ...
    def census(self, now: datetime) -> Census:
        """How much waits, is held, or ended badly, in one moment; as quick with a long history as with a short one."""
        ...

    def close(self) -> None: ...
