"""The journal port: the node's durable memory. Every state change and its event are one transaction.

Times are aware UTC datetimes passed in by the caller (a fake clock serves the tests). A change that the transition table does not
allow raises `JournalError`; one made under a lease that is no longer held returns False and changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from node.domain.arrival import Arrival, Completeness
from node.domain.census import Census
from node.domain.header import Header
from node.domain.instance import Instance
from node.domain.job import Delivery, Job, Priority, ResultObject
from node.domain.route import Decision
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal.commitment_port import CommitmentJournal
from node.journal.console_port import ConsoleJournal
from node.journal.erasure_port import ErasureJournal
from node.journal.replay_port import ReplayJournal
from node.journal.retention_port import RetentionJournal

WAITS = "arrival.waits"
"""The event of an arrival that is open because a route waits for a series; its detail ends with `last` and when its last instance came."""


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
    pixels. With `opens` the instance joins the open arrival of its study (or series, by `scope_series`) and peer, or opens one,
    whose `due_at` becomes `due_at`; a closed arrival is never reopened: the new one names it in `supersedes` with revision + 1, and
    inherits its instances.
    """

    instance: Instance
    opens: bool
    scope_series: bool
    due_at: datetime
    replaces: int | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A received file that is no readable instance: its name where the inbox keeps such files, who sent it (as far as known), and why
    it cannot be indexed."""

    at: datetime
    entry: str
    sender: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that routing asks for. A live or finished job with the same (study, series, application) and equal `input_digest`
    gains the routes and missing sinks instead of a twin, and is queued if it was parked from the start for a reason that is gone; one
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
    """(code, reason) when the job is parked from the start (an application that refuses the series)."""
    whole_study: bool = False
    """One job for all series of the study: the one with the same (study, application) is meant, whichever series that names."""


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


class Journal(CommitmentJournal, ConsoleJournal, ErasureJournal, ReplayJournal, RetentionJournal, Protocol):
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

    def note(self, subject: str, subject_id: int, name: str, detail: str, now: datetime) -> None:
        """An event without a state change (a duplicate, a conflict, a file set aside)."""
        ...

    def own_results(self, sop_instance_uids: Collection[str]) -> set[str]:
        """Those of them that jobs of this journal made."""
        ...

    def arrival_instances(self, arrival: int, *, after: int = 0) -> list[Instance]:
        """The manifest of an arrival, purged instances included, in the order of their rows; of those behind row `after` alone."""
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

    def latest_arrival(self, study_instance_uid: str, series_instance_uid: str | None, peer: str | None) -> Arrival | None: ...
    def shorten(self, arrival: int, due_at: datetime) -> None:
        """Move an open arrival's `due_at` nearer, never further."""
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
    ) -> list[int]:
        """COMPLETE → ROUTED with every decision kept and jobs inserted, in one transaction.

        `revised` are arrivals of other studies that this one is a prior of, and why they are to be looked at again: each gets a COMPLETE
        revision that holds the same instances, unless it is open or was revised meanwhile. Nothing is revised by an arrival that was
        overtaken: the one that overtook it did.

        With `waits` (until when, and why) a route waits for a series that is missing: a revision is open from now on that holds the same
        instances and is due then, unless one is open already. What comes joins it, and then its window is theirs."""
        ...

    def decisions(self, arrival: int) -> list[Decision]: ...
    def config_digest(self, arrival: int) -> str | None:
        """The configuration under which the arrival was routed; None before."""
        ...

    # ---- jobs
    def claim_job(
        self,
        owner: str,
        now: datetime,
        lease: timedelta,
        *,
        away_engines: Collection[str] = (),
        offpeak: bool = True,
        at_once: Mapping[str, int] | None = None,
    ) -> Job | None:
        """Lease the due job in QUEUED or INFERRED whose turn it is and whose route and engine are neither paused nor away; counts an
        attempt.

        Urgent jobs come before routine ones, these before off-peak ones (which are passed over without `offpeak`); within a class the
        earliest deadline, then what has none, in the order in which they became due. `at_once` bounds how many jobs of an application
        are under a live lease at any time, whoever holds these. A claim whose answer was lost is given out again to its owner."""
        ...

    def move_up(self, now: datetime, patience: timedelta, *, offpeak_since: datetime | None, limit: int = 500) -> int:
        """A job that has waited in its class for `patience` waits in the next higher one from now on; in the first class, one without a
        deadline goes to the front. Off-peak jobs wait only since `offpeak_since`, when their window opened (None: it is shut), and never
        leave it. Returns how many moved."""
        ...

    def bring_near(self, now: datetime, *, arrivals: timedelta, retries: timedelta, lease: timedelta) -> int:
        """The clock went back: an open arrival that is due later than `arrivals` from now is due then, a job or delivery that waits for
        longer than `retries` is due now, a lease that is longer than `lease` ends then. Returns how many; nothing else moves."""
        ...

    def renew(self, job: int, lease: str, until: datetime) -> bool: ...
    def release(self, owner: str, now: datetime, *, count_attempt: bool = True) -> int:
        """Make what a dead process holds (jobs and deliveries whose lease begins with `owner`; "" means all) claimable at once.
        A lease token is `<owner>/<random>`. Its signs of life (`<stage> <owner>`) are forgotten. Attempts stay counted, so that a study
        that kills its worker ends parked; a process that was stopped on purpose gives the attempt back (`count_attempt` False)."""
        ...

    def inferred(self, job: int, lease: str, findings_blob: str, model_digest: str, now: datetime) -> bool: ...
    def encoded(self, job: int, lease: str, objects: Sequence[ResultObject], now: datetime) -> bool:
        """INFERRED → ENCODED; inserts the objects and one WAITING delivery per sink of the job; releases the lease."""
        ...

    def retry_job(self, job: int, lease: str, due_at: datetime, code: str, reason: str, now: datetime, *, count_attempt: bool) -> bool:
        """Keep the state, release the lease, set `due_at`; an engine that is away gives the attempt back (`count_attempt` False)."""
        ...

    def end_job(
        self, job: int, lease: str | None, state: JobState, code: str, reason: str, now: datetime, *, again: str | None = None
    ) -> bool:
        """To PARKED, FAILED or CANCELLED. `lease` None is the operator, who needs no lease. With `again` (why) what came is looked at anew,
        in the same transaction: the arrivals that asked for the job, whoever sent them, get COMPLETE revisions, unless these are open."""
        ...

    def revive_job(self, job: int, now: datetime, *, afresh: bool = False) -> JobState:
        """The operator's retry: PARKED, FAILED, CANCELLED → the furthest durable state (QUEUED, INFERRED); a job that has its objects
        (DONE, or ENCODED) gets its deliveries WAITING again, to send the same bytes; of one that is SUPERSEDED those alone that were parked
        half-way. Attempts restart."""
        ...

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        arrival: int | None = None,
        study: str | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> list[Job]:
        """The oldest first, or the `newest`."""
        ...

    def job(self, job: int) -> Job: ...
    def objects(self, job: int) -> list[ResultObject]: ...
    def predecessor_objects(self, job: int) -> list[ResultObject]:
        """The objects of the nearest predecessor of which some sink has accepted any; empty when nothing of earlier inputs ever left."""
        ...

    # ---- deliveries
    def claim_delivery(self, owner: str, now: datetime, lease: timedelta, *, busy_sinks: Collection[str] = ()) -> Delivery | None:
        """Lease the next due WAITING delivery whose sink is neither paused nor among `busy_sinks` (those that the caller is already
        sending to, so that a slow sink holds up nobody else); counts an attempt."""
        ...

    def undelivered(self, delivery: int) -> list[ResultObject]:
        """The objects of the delivery that its sink has not accepted yet."""
        ...

    def receipt(
        self, delivery: int, lease: str, object_id: int, accepted: bool, status: int | None, detail: str, now: datetime
    ) -> bool: ...
    def choose_form(self, delivery: int, lease: str, form: str, why: str, now: datetime) -> bool:
        """In which form masks and their reports go from now on, until everything is sent again; `why` where it is not the form that was
        asked for. False when the lease is lost."""
        ...

    def delivered(self, delivery: int, lease: str, now: datetime, *, commits: bool = False) -> bool:
        """WAITING → DELIVERED, and on to COMMITTED unless the sink `commits` and has not yet (`node.journal.commitment_port`); the job is
        DONE when all its deliveries are COMMITTED."""
        ...

    def retry_delivery(self, delivery: int, lease: str, due_at: datetime, code: str, reason: str, now: datetime) -> bool: ...
    def park_delivery(self, delivery: int, lease: str, code: str, reason: str, now: datetime) -> bool: ...
    def resend(self, job: int, sink: str | None, now: datetime) -> list[int]:
        """The operator's resend: WAITING again to one sink (inserted if new) or all; every object is sent again. Of a SUPERSEDED job only
        what was parked half-way."""
        ...

    def deliveries(self, *, job: int | None = None, states: Collection[DeliveryState] = (), limit: int = 1000) -> list[Delivery]: ...
    def receipts(self, delivery: int) -> list[tuple[ResultObject, bool, int | None, str]]: ...

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
