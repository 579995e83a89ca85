"""A short way to tell what happened to a journal: instances that come, arrivals that complete, jobs that run. Times stand still
unless a test moves `now`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from node.domain.arrival import Arrival, Completeness
from node.domain.instance import Instance, Standing
from node.domain.job import Delivery, Job, NewJob, Priority, ResultObject
from node.domain.route import Decision, Junction, Tried, Withheld
from node.journal.journal import Journal
from node.journal.port import NewInstance

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
QUIET = timedelta(seconds=10)
DECISION = Decision(
    route="abdomen",
    series_instance_uid="1.1.1",
    matched=True,
    chosen=True,
    tried=(
        Tried(key="Modality", expected="CT", found="CT", held=True),
        Tried(
            key="any_of",
            expected="BodyPartExamined ABDOMEN or SliceThickness at most 5",
            found="SliceThickness 5",
            held=True,
            junction=Junction.ANY,
            entries=(
                (Tried(key="BodyPartExamined", expected="ABDOMEN", found="absent", held=False),),
                (Tried(key="SliceThickness", expected="at most 5", found="5", held=True),),
            ),
        ),
    ),
    reason="every condition held",
    compares=("follow-up", "second"),
    withheld=Withheld.PARKED,
)


@dataclass
class Story:
    """What happens to one journal."""

    journal: Journal
    now: datetime = START
    _objects: int = field(default=0)

    def instance(self, number: int, **changes: Any) -> Instance:
        """Instance `number` of series 1.1.1 of study 1.1, from peer ct1."""
        plain = Instance(
            sop_instance_uid=f"1.1.1.{number}",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            study_instance_uid="1.1",
            series_instance_uid="1.1.1",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            blob=f"instances/{number}.dcm",
            size=1000 + number,
            digest=f"digest {number}",
            calling_ae="CT1",
            called_ae="HILUM",
            address="10.0.0.1",
            peer="ct1",
            received_at=self.now,
            header={"Modality": ("CT",), "InstanceNumber": (number,)},
        )
        return replace(plain, **changes)

    def new(self, instance: Instance, *, opens: bool = True, series: bool = False, replaces: int | None = None) -> NewInstance:
        """The instance as the index stage hands it in."""
        return NewInstance(instance=instance, opens=opens, scope_series=series, due_at=self.now + QUIET, replaces=replaces)

    def receive(self, *numbers: int, **changes: Any) -> list[int]:
        """New instances come; their row ids."""
        return self.journal.instances.record([self.new(self.instance(number, **changes)) for number in numbers], self.now)

    def update(self, old: int, number: int) -> int:
        """Corrected bytes of instance `number` come; the row id."""
        corrected = self.instance(number, blob=f"instances/{number}-corrected.dcm", digest=f"corrected {number}")
        return self.journal.instances.record([self.new(corrected, replaces=old)], self.now)[0]

    def conflict(self, number: int) -> int:
        """Other pixels under the UID of instance `number` come; the row id."""
        other = self.instance(number, blob=f"instances/{number}-other.dcm", digest=f"other {number}", standing=Standing.CONFLICT)
        return self.journal.instances.record([self.new(other, opens=False)], self.now)[0]

    def arrival(self, study: str = "1.1", series: str | None = None, peer: str | None = "ct1") -> Arrival:
        """The latest revision; there is one."""
        found = self.journal.arrivals.latest(study, series, peer)
        assert found is not None
        return found

    def job_asked(self, **changes: Any) -> NewJob:
        """What routing asks for by default: ct-liver on everything that the latest arrival has, for the archive."""
        plain = NewJob(
            series_instance_uid="1.1.1",
            application="ct-liver",
            application_version="1.0.0",
            engine="default",
            routes=("abdomen",),
            sinks=("archive",),
            priority=Priority.ROUTINE,
            input_digest="inputs 1",
            instances=(),
        )
        return replace(plain, **changes)

    def route(self, *jobs: NewJob, study: str = "1.1", config: str = "config 1") -> list[int]:
        """Complete the study's arrival and route it to `jobs`, each on the whole manifest unless it says otherwise; the job ids."""
        arrival = self.arrival(study)
        assert self.journal.arrivals.complete(arrival.id, Completeness.QUIET, self.now)
        manifest = tuple(instance.id for instance in self.journal.instances.of_arrival(arrival.id))
        asked = [replace(job, instances=job.instances or manifest) for job in jobs]
        return list(self.journal.routing.route(arrival.id, [DECISION], asked, config, self.now).jobs)

    def queued(self, **changes: Any) -> int:
        """A job that waits to be claimed."""
        if self.journal.arrivals.latest("1.1", None, "ct1") is None:
            self.receive(1, 2, 3)
        elif self.arrival().state != "received":
            self.receive(100 + self.arrival().revision)  # a late instance opens a revision
        return self.route(self.job_asked(**changes))[0]

    def claim(self, owner: str = "host:1") -> Job:
        """The next job, claimed; there is one."""
        job = self.journal.jobs.claim(owner, self.now, LEASE)
        assert job is not None
        return job

    def infer(self, job: Job) -> None:
        """The holder of the lease has findings."""
        assert job.lease is not None
        assert self.journal.jobs.inferred(job.id, job.lease, f"findings/{job.id}", "model 1", self.now)

    def encode(self, job: Job, kinds: Sequence[str] = ("seg", "sr")) -> None:
        """The holder of the lease has objects."""
        assert job.lease is not None
        assert self.journal.jobs.encoded(job.id, job.lease, [self.made(job.id, kind) for kind in kinds], self.now)

    def made(self, job: int, kind: str) -> ResultObject:
        """An object of a job."""
        return ResultObject(
            job=job,
            kind=kind,
            sop_instance_uid=f"2.25.{job}.{kind == 'sr':d}",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
            series_instance_uid=f"2.25.{job}",
            description=f"{kind} of job {job}",
            blob=f"results/{job}/{kind}.dcm",
            size=10,
            digest=f"digest of {kind}",
        )

    def encoded(self, **changes: Any) -> int:
        """A job whose objects wait for their deliveries."""
        wanted = self.queued(**changes)
        job = self.claim()
        assert job.id == wanted
        self.infer(job)
        self.encode(job)
        return wanted

    def take(self) -> Delivery:
        """The next delivery, claimed; there is one."""
        delivery = self.journal.deliveries.claim("host:2", self.now, LEASE)
        assert delivery is not None
        return delivery

    def deliver(self) -> Delivery:
        """The next delivery arrives, every object accepted."""
        delivery = self.take()
        assert delivery.lease is not None
        for one in self.journal.deliveries.undelivered(delivery.id):
            assert self.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", self.now)
        assert self.journal.deliveries.delivered(delivery.id, delivery.lease, self.now)
        return delivery

    def done(self, **changes: Any) -> int:
        """A job whose objects arrived."""
        job = self.encoded(**changes)
        for _ in self.journal.jobs.get(job).sinks:
            self.deliver()
        return job

    def names(self, subject: str, row: int) -> list[str]:
        """The names of a subject's events."""
        return [event.name for event in self.journal.events.of(subject, row)]
