"""What routing asks of a journal; node.journal.journal.Journal is one."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from node.domain.arrival import Arrival
from node.domain.instance import Instance
from node.domain.job import Job
from node.domain.patient import Related
from node.domain.route import Decision, Routed
from node.domain.shortage import Shortfalls
from node.domain.state import ArrivalState


class StudyInstances(Protocol):
    """What studies hold."""

    def of_study(self, study_instance_uid: str) -> Sequence[Instance]: ...


class ComparedInstances(StudyInstances, Protocol):
    """What studies and arrivals hold, and what jobs used of it."""

    def of_arrival(self, arrival: int) -> Sequence[Instance]: ...
    def of_job(self, job: int) -> Sequence[Instance]: ...
    def roles_of_job(self, job: int) -> Mapping[int, str]: ...


class StudyHeld(Protocol):
    """What of studies is held for a person."""

    def find(self, *, study: str | None = None) -> Sequence[Instance]: ...


class StudyArrivals(Protocol):
    """The arrivals of studies."""

    def find(self, *, states: Collection[ArrivalState] = (), study: str | None = None) -> Sequence[Arrival]: ...


class StudyJobs(Protocol):
    """The jobs of studies."""

    def find(self, *, study: str | None = None) -> Sequence[Job]: ...


class ArrivalDecisions(Protocol):
    """What was decided about arrivals."""

    def decisions(self, arrival: int) -> Sequence[Decision]: ...


class RelatedSeries(Protocol):
    """Which series headers call one patient's."""

    def related(self, study_instance_uid: str) -> Sequence[Related]: ...


class KnownShortfalls(Protocol):
    """What is known of what the series of a study lack."""

    def shortfalls(self, study_instance_uid: str) -> Mapping[str, Shortfalls]: ...


class RoutedArrivals(Protocol):
    """What was decided, in bulk: a page of arrivals behind one; and all that was decided of some, also that of which nothing came."""

    def find(self, since: datetime, keywords: Collection[str], *, after: int = 0, limit: int = 200) -> Sequence[Routed]: ...
    def decided(self, arrivals: Collection[int]) -> Mapping[int, Sequence[Decision]]: ...
    def since_the_last(self, count: int) -> datetime | None: ...


class SeriesReader(Protocol):
    """A journal that knows what studies hold, and which of their instances are held for a person."""

    @property
    def instances(self) -> StudyInstances: ...
    @property
    def held(self) -> StudyHeld: ...


class RoutedStudies(Protocol):
    """A journal that knows what studies hold, and what was decided about it."""

    @property
    def instances(self) -> StudyInstances: ...
    @property
    def arrivals(self) -> StudyArrivals: ...
    @property
    def routing(self) -> ArrivalDecisions: ...


class ComparedStudies(Protocol):
    """A journal that knows the studies of one patient, and what their jobs compare."""

    @property
    def instances(self) -> ComparedInstances: ...
    @property
    def arrivals(self) -> StudyArrivals: ...
    @property
    def routing(self) -> ArrivalDecisions: ...
    @property
    def patients(self) -> RelatedSeries: ...
    @property
    def jobs(self) -> StudyJobs: ...
    @property
    def held(self) -> StudyHeld: ...
    @property
    def shortage(self) -> KnownShortfalls: ...
