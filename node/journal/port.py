"""What is handed into the journal and what it hands out, beside the nouns of `node.domain`; and the protocols of leaders."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from node.domain.instance import Header, Instance, ResultSource, Sender, Standing
from node.domain.job import ResultObject
from node.domain.patient import Patient
from node.domain.state import JobState

WAITS = "arrival.waits"
"""The event of an arrival that is open because a route waits for a series, or for the rest of one; its detail says so in words."""


class Pausable(StrEnum):
    ROUTE = "route"
    SINK = "sink"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are asked for; what is None or empty asks for all. `peer` sent the study; `route` asked for the job; `code` is the job's
    own or one of its deliveries'; made from `since` on and before `until`; `before` is the number below which they are. With `parked` among
    the states, jobs of which a delivery is parked are meant too."""

    states: tuple[JobState, ...] = ()
    study: str | None = None
    peer: str | None = None
    route: str | None = None
    application: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the history. `subject` is "arrival", "job", "delivery", "instance", "commitment" (that this node asks for) or
    "request" (of a peer, for one); `detail` is for people, `code` says of what went wrong what it was."""

    at: datetime
    subject: str
    subject_id: int
    name: str
    detail: str
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationShare:
    """What one association brought of an arrival: so many instances, from the first that was kept to the last."""

    instances: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedEvent:
    """An event with its number, by which the history is followed."""

    number: int
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are asked for; what is None or empty asks for all. `peer` sent the study or instance, asked for commitment, or is asked
    for it; `sinks` are those whose deliveries are meant beside it."""

    study: str | None = None
    job: int | None = None
    peer: str | None = None
    sinks: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedEvent:
    """An event, and where in the hospital's day it belongs: the study, the job and its application, the peer, the sink; None: of none, or
    what it is about is not there any more."""

    number: int
    event: Event
    study_instance_uid: str | None
    job: int | None
    application: str | None
    peer: str | None
    sink: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedPage:
    """How a page of the history was pruned: how many lines went, up to which number all were looked at, and whether what is behind that is
    to stay for now."""

    lines: int
    reached: int
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedJobs:
    """What became of the jobs that routing asked for: their numbers, in their order, more where routes had to part; and those of them that
    `ended` in being routed, for what routing found."""

    jobs: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()


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
    result_of: ResultSource | None = None
    """How another node made it, of RESULT; None for all else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameAgain:
    """A known instance (`instance` is its row) that was received once more, with the bytes that the journal knows; `restored` when
    the blobs no longer had these. `private` are elements that routes began to ask for since it came."""

    instance: int
    peer: str | None
    called_ae: str
    scope_series: bool
    due_at: datetime
    restored: bool = False
    received_at: datetime | None = None
    """None: at this moment."""
    private: Header = field(default_factory=dict)


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
class FoundStudy:
    """A study and its newest arrival, by which lists are ordered and paged."""

    study_instance_uid: str
    arrival: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneJob:
    """A job that is done: when the last instance of its arrival was received, when it was first claimable, and when every sink had it."""

    application: str
    last_instance_at: datetime
    queued_at: datetime
    done_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestReceipt:
    """The newest that is known of one object at one sink: it has it (`accepted`), does not get it (`left_out`), or neither. `status` is the
    sink's, None where none came; `detail` is for people."""

    one: ResultObject
    accepted: bool
    left_out: bool
    status: int | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRows:
    """What the journal holds of one patient, or of one study: row ids, and the names of what lies in the blobs.

    `shared` are studies of which something else stays, because other headers in them name somebody else. `sinks` have results that were
    delivered: they stay there.
    """

    patient: Patient | None
    instances: tuple[int, ...]
    arrivals: tuple[int, ...]
    jobs: tuple[int, ...]
    studies: tuple[str, ...]
    shared: tuple[str, ...]
    series: tuple[str, ...]
    blobs: tuple[str, ...]
    sinks: tuple[str, ...]
    marks: tuple[str, ...]
    """What of it is known again for a while (`mark_of`): it names neither study nor patient."""
    patients: int
    """How many patients the headers of these instances name."""
    size: int

    @property
    def empty(self) -> bool:
        """Whether there is nothing."""
        return not (self.instances or self.jobs or self.arrivals)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesKnown:
    """A series of which something counts, or counted.

    Attributes
    ----------
    first
        Who sent the first instance of it that counted.
    marks
        `node.domain.patient.mark_of` its instances that count now, those of which only the header is left included; empty where they came
        before the journal kept marks.
    """

    first: Sender
    marks: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedInstance:
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
