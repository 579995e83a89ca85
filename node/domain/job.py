"""Jobs, their result objects and measured values, the deliveries that bring objects to sinks, and the census of all of them."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from node.domain.shortage import Shortage
from node.domain.state import ArrivalState, DeliveryState, JobState


class Priority(StrEnum):
    """The route's priority; claimed in this order."""

    URGENT = "urgent"
    ROUTINE = "routine"
    OFFPEAK = "offpeak"


RANKS = {Priority.URGENT: 0, Priority.ROUTINE: 1, Priority.OFFPEAK: 2}
"""What goes first has the lower rank."""


def method_digest(application: str, version: str) -> str:
    """What stands for the models of an application that calls none: its own version, on which its results depend alone.

    A device of its own for every version, as a retraining gives a model (IHE AIR).
    """
    return hashlib.sha256(f"{application} {version}, no model".encode()).hexdigest()


class WhenExcluded(StrEnum):
    """What becomes of a job whose application excludes the series by its headers; the later of two that ask for the same counts."""

    IGNORE = "ignore"  # it ends as not applicable: nobody need look
    TELL = "tell"  # it ends so too, and where the study has no result of the application, the reader is told
    PARK = "park"  # a person decides


def strictest(several: Iterable[WhenExcluded]) -> WhenExcluded:
    """What counts where several routes ask for the same."""
    return max(several, key=list(WhenExcluded).index, default=WhenExcluded.IGNORE)


class JobKind(StrEnum):
    """What a job is for."""

    ANALYSIS = "analysis"
    STATEMENT = "statement"  # to say of a study that an application gave no result
    WITHDRAWAL = "withdrawal"  # to withdraw superseded objects from an archive that has their successor


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a route asks of an application besides its name: its `version`, "1.2" is each that begins so and "" any; and that it be
    `accepted` here, in this version and with these models."""

    version: str = ""
    accepted: bool = False

    @property
    def none(self) -> bool:
        """Whether any version will do, accepted or not."""
        return not (self.version or self.accepted)

    def against_version(self, application: str, version: str) -> str:
        """What is against this version of the application; "" where it is one of those that are asked for."""
        if not self.version or version == self.version or version.startswith((f"{self.version}.", f"{self.version}+")):
            return ""
        return f"{application} is version {version} here, and the route asks for {self.version}"

    def against_unaccepted(self, unaccepted: str) -> str:
        """What is against an application that is not accepted here, for the reason given; "" where it will do."""
        return f"{unaccepted}, and the route asks for an accepted one" if self.accepted and unaccepted else ""

    def also(self, other: "Demand") -> "Demand":
        """This one, with what the other asks besides. Of two versions this one's counts."""
        return Demand(version=self.version or other.version, accepted=self.accepted or other.accepted)

    @property
    def text(self) -> str:
        """For people: "version 1.2, one accepted here"; "" where it asks nothing."""
        return ", ".join([f"version {self.version}"] * bool(self.version) + ["one accepted here"] * self.accepted)


_ASKS_NOTHING = Demand()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One application on one series; several routes that ask for the same share one job, and its sinks are the union.

    `attempts` counts claims. `lease` is the fence: a finish under another lease touches nothing.
    `input_digest` is SHA-256 over the sorted (SOP Instance UID, digest) pairs of the images it uses. `deadline_at` is when the results
    should be there; within a class of priority the earliest goes first. `shortage`: its series was known to be short when it was made;
    `marked` says whether its results begin with that, or have a remark. `declined` says of a parked one that the images are the cause,
    not the machinery. `findings_version` is of the application that made its findings; `engines_lost` counts how often an engine ended in
    the middle of it. `delivered_before`: it was cancelled once because every sink had its results. `done_at` is when it was first done.
    `when_excluded` is what its routes want where the application excludes the series. `demands` are those of its routes that ask for a
    version or an accepted one, as they asked when they were routed: with what does not answer them it is not analysed.
    """

    id: int
    arrival: int
    study_instance_uid: str
    series_instance_uid: str
    application: str
    application_version: str
    engine: str
    routes: tuple[str, ...]
    sinks: tuple[str, ...]
    priority: Priority
    state: JobState
    attempts: int
    lease: str | None
    lease_until: datetime | None
    due_at: datetime
    created_at: datetime
    input_digest: str
    predecessor: int | None
    findings_blob: str | None
    inferred_at: datetime | None
    model_digest: str | None
    code: str | None
    reason: str | None
    deadline_at: datetime | None = None
    shortage: Shortage | None = None
    marked: bool = False
    kind: JobKind = JobKind.ANALYSIS
    declined: bool = False
    findings_version: str | None = None
    engines_lost: int = 0
    delivered_before: bool = False
    when_excluded: WhenExcluded = WhenExcluded.IGNORE
    done_at: datetime | None = None
    demands: Mapping[str, Demand] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One encoded DICOM object of a job; its bytes never change once journaled.

    `kind` is one of `node.domain.profile.Kind`. `form` tells apart what exists in several forms, of which a sink gets one: of masks, and of
    the reports that refer to them, "binary", "labelmap", "labelmap+jpeg-ls" …; of narratives the language, with the form
    of the masks that they refer to where it is not binary ("en+labelmap"); "" for everything else. `part` is the part of the series that
    it is about ("echo 1"); "" for all of it. `one_cine`: it is a segmentation of several phases of a cine that came as single images of one
    series, or as a series each, over which viewers lay the mask of another phase; or it lies on a single image, at which they may fail.
    """

    id: int = 0
    job: int
    kind: str
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    description: str
    blob: str
    size: int
    digest: str
    form: str = ""
    part: str = ""
    one_cine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The objects of one job to one sink. The sink's give-up counts from `waiting_since`: when it was made, or last sent again, or, where
    it is asked to commit to them, when it had accepted everything.

    `form` is the one in which masks and their reports go since then; "" until it was chosen. `delivered_at` is when the sink had accepted
    everything for the first time. `awaits_commitment`: it is DELIVERED, and over only when the sink has committed to it.
    """

    id: int
    job: int
    sink: str
    state: DeliveryState
    attempts: int
    lease: str | None
    due_at: datetime
    code: str | None
    reason: str | None
    waiting_since: datetime | None = None
    form: str = ""
    delivered_at: datetime | None = None
    awaits_commitment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteShare:
    """What of a job that routes share is one route's: its sinks, and what it wants of the job alone."""

    sinks: tuple[str, ...]
    priority: Priority
    deadline_at: datetime | None
    when_excluded: WhenExcluded


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that routing asks for. A live or finished job with the same (study, series, application) and equal `input_digest`
    gains the routes and missing sinks instead of a twin, and is queued if it ended from the start for a reason that is gone; one
    with another digest is superseded and named as `predecessor`. Routes whose demands that job does not answer get one of their own
    (node.journal.placing)."""

    series_instance_uid: str
    application: str
    application_version: str
    engine: str
    routes: tuple[str, ...]
    sinks: tuple[str, ...]
    priority: Priority
    input_digest: str
    instances: tuple[int, ...]
    roles: Mapping[int, str] = field(default_factory=dict)
    """Of instances that are analysed in a role, by their rows: the role of their series."""
    deadline_at: datetime | None = None
    parked: tuple[str, str] | None = None
    """(code, reason) when the job is parked from the start (a series that no application can be given)."""
    declined: bool = False
    """Whether it is parked because of its images."""
    not_applicable: tuple[str, str] | None = None
    """(code, reason) when what the application declares excludes the series by its headers, or when it is there to say that no series of
    the study was taken."""
    when_excluded: WhenExcluded = WhenExcluded.IGNORE
    """What the routes want where the application excludes the series, now or when its files are read."""
    untaken: bool = False
    """It is not applicable because no route of the application takes any series of the study: it is there to be told of, and touches no job
    that somebody asked for."""
    whole_study: bool = False
    """One job for all series of the study: the one with the same (study, application) is meant, whichever series that names."""
    slices: tuple[str, ...] = ()
    """The series that are slices of one subject over time: a job of any of them is meant, whichever it names."""
    shortage: Shortage | None = None
    """What it analyses is known to be short."""
    marked: bool = False
    """Its results begin with that."""
    demands: Mapping[str, Demand] = field(default_factory=dict)
    """What those of its routes ask of the application that ask anything."""
    shares: Mapping[str, RouteShare] = field(default_factory=dict)
    """What of it is each route's, where routes may have to part."""
    models_digest: str = ""
    """Digest of the application's models where the application is accepted here in this version with these; "": it is not, or no route
    asks."""
    refused: bool = False
    """It is parked because what is here does not answer the demands of its routes, all of which ask the same."""

    def of(self, routes: Collection[str]) -> "NewJob":
        """The job for some of its routes alone."""
        kept = tuple(route for route in self.routes if route in routes)
        shares = [self.shares[route] for route in kept]
        return replace(
            self,
            routes=kept,
            sinks=tuple(dict.fromkeys(sink for share in shares for sink in share.sinks)),
            priority=min((share.priority for share in shares), key=RANKS.__getitem__),
            deadline_at=min((share.deadline_at for share in shares if share.deadline_at is not None), default=None),
            when_excluded=strictest(share.when_excluded for share in shares),
            demands={name: demand for name, demand in self.demands.items() if name in kept},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteWishes:
    """What routes want of a job that they share, besides the analysis: the most urgent, the strictest and the shortest of each."""

    priority: Priority
    when_excluded: WhenExcluded
    deadline: timedelta | None
    """Behind the completion of the arrival."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartedRoutes:
    """Routes of a job that was parted: the sinks that are theirs, and what they want of it (None: nobody knows it of all of them)."""

    sinks: tuple[str, ...]
    wishes: RouteWishes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRoutes(PartedRoutes):
    """Routes that ask of the application what the one that is here does not answer, all the same: they wait by a job of their own, with
    this code and reason."""

    demands: Mapping[str, Demand]
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartedJob:
    """The job by which routes wait that were parted from another. `new`: it was made for them now; else they had it already."""

    job: int
    refused: RefusedRoutes
    new: bool


class MeasuredOf(StrEnum):
    """What a number is about."""

    SEGMENT = "segment"
    TOTAL = "total"  # of several segments together
    SERIES = "series"  # of all that was analysed


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """What was measured: two values may stand side by side where all of this is equal.

    Attributes
    ----------
    part
        The part of a series that was split; "" for all of it.
    structure, laterality, site
        Codes of the segment, or of what the segments are together; "" where there is none.
    label
        The segment's, or those of the parts of a total, a line each.
    name, unit, derivation
        Codes of the measurement. A code is its value and its scheme with a blank between: equal or not, and never taken apart.
    """

    part: str
    of: MeasuredOf
    structure: str
    laterality: str
    site: str
    label: str
    name: str
    unit: str
    derivation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One value, exact as it was found: never a bound. `version` is the application's that measured it."""

    concept: Concept
    version: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierResult:
    """What one job measured in an earlier study of the same patient. `studied_at` is as `node.domain.patient.studied_at` has it. Those with
    equal `input_digest` measured the same images."""

    job: int
    study_instance_uid: str
    input_digest: str
    studied_at: str
    model_digest: str
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsIn:
    """Jobs of one application and priority in one state; `since` is when the oldest of them came into it."""

    state: JobState
    priority: Priority
    application: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalsIn:
    """Arrivals in one state; `since` is when the oldest of them was opened."""

    state: ArrivalState
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveriesIn:
    """Deliveries to one sink in one state; `since` is when the oldest of them began to wait."""

    sink: str
    state: DeliveryState
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What has not ended, and what ended badly; `held` counts live leases of jobs and of deliveries,
    and instances that wait for a person. `uncommitted` says by sink how many deliveries await its commitment. What went well is not
    counted."""

    jobs: tuple[JobsIn, ...]
    arrivals: tuple[ArrivalsIn, ...]
    deliveries: tuple[DeliveriesIn, ...]
    jobs_held: int
    deliveries_held: int
    size_bytes: int
    instances_held: int = 0
    uncommitted: Mapping[str, int] = field(default_factory=dict)


DELIVERY_MARKS = "marks/"
"""Where marks of what was delivered are, beside the blobs: they outlive a database that is lost, or replaced by an older copy of itself.

A database that was restored from yesterday's backup has jobs waiting that were done since, and does not know studies that came since. The
marks say of a job's inputs, application and sink that this very result has been delivered, and what routes had asked of the application
that made it, so that nothing is analysed and sent twice: the same findings once more, with other times in them and under other UIDs. A mark
is empty; its name is a digest: it tells nothing about a patient.
"""


def delivery_marks(job: Job, sink: str) -> list[str]:
    """The blobs that say that the results of this job are at this sink: one for who asks nothing of the application, and one for each
    demand of its routes, and for each part of it, which they answer: a route may have asked for less when they were delivered."""
    demands = [one for demand in job.demands.values() for one in (replace(demand, accepted=False), replace(demand, version=""), demand)]
    return [_mark(job, sink, demand) for demand in dict.fromkeys([_ASKS_NOTHING, *demands])]


def awaited_marks(job: Job) -> list[str]:
    """The blobs that together say that each sink of a job has what each of its routes asks for, by whatever job of whatever routes it was
    made."""
    return [_mark(job, sink, demand) for sink in job.sinks for demand in dict.fromkeys(job.demands.values()) or [_ASKS_NOTHING]]


def _mark(job: Job, sink: str, demand: Demand) -> str:
    facts = [job.study_instance_uid, job.series_instance_uid, job.application, job.application_version, job.input_digest, sink]
    facts += [] if demand.none else [demand.version, "accepted" if demand.accepted else ""]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return f"{DELIVERY_MARKS}{digest[:2]}/{digest[2:]}"
