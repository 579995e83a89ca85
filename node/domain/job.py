"""Jobs, their result objects, and the deliveries that bring these to sinks."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.domain.shortage import Shortage
from node.domain.state import DeliveryState, JobState


class Priority(StrEnum):
    """The route's priority; claimed in this order."""

    URGENT = "urgent"
    ROUTINE = "routine"
    OFFPEAK = "offpeak"


class JobKind(StrEnum):
    """What a job is for."""

    ANALYSIS = "analysis"
    STATEMENT = "statement"  # to say of a study that an application gave no result
    WITHDRAWAL = "withdrawal"  # to withdraw superseded objects from an archive that has their successor


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One application on one series; several routes that ask for the same share one job, and its sinks are the union.

    `attempts` counts claims. `lease` is the fence: a finish under another lease touches nothing.
    `input_digest` is SHA-256 over the sorted (SOP Instance UID, digest) pairs of the images it uses. `deadline_at` is when the results
    should be there; within a class of priority the earliest goes first. `shortage`: its series was known to be short when it was made;
    `marked` says whether its results begin with that, or have a remark. `declined` says of a parked one that the images are the cause,
    not the machinery.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One encoded DICOM object of a job; its bytes never change once journaled.

    `kind` is one of `node.domain.profile.Kind`. `form` tells apart what exists in several forms, of which a sink gets one: of masks, and of
    the reports that refer to them, "binary", "labelmap", "labelmap+jpeg-ls" …; of narratives the language, with the form
    of the masks that they refer to where it is not binary ("en+labelmap"); "" for everything else. `part` is the part of the series that
    it is about ("echo 1"); "" for all of it.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The objects of one job to one sink. The sink's give-up counts from `waiting_since`: when it was made, or last sent again, or, where
    it is asked to commit to them, when it had accepted everything.

    `form` is the one in which masks and their reports go since then; "" until it was chosen.
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
