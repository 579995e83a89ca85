"""The journal port of jobs: claimed under a lease, moved from state to state, ended; and what they made."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from node.domain.job import Job, ResultObject
from node.domain.measured import EarlierResult, Measured
from node.domain.state import JobState


class JobJournal(Protocol):
    """Part of node.journal.port.Journal; what is said there of leases holds."""

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

        Urgent jobs come before routine ones, these before off-peak ones (which are passed over without `offpeak`). Within a class the
        earliest deadline goes first, where a job counts as due a little later for each that its peer has waiting before it; then what
        has none, by turns of the peers that it came from, of each in the order in which they became due. `at_once` bounds how many jobs
        of an application are under a live lease at any time, whoever holds these. A claim whose answer was lost is given out again to its
        owner."""
        ...

    def move_up(self, now: datetime, patience: timedelta, *, offpeak_since: datetime | None) -> int:
        """A job that has waited in its class for `patience` waits in the next higher one from now on; in the first class, one without a
        deadline goes to the front. Of each peer and class the first moves, where none was claimed for as long: what waits behind others
        of its own peer stays, and so does a second one while the first waits. Off-peak jobs wait only since `offpeak_since`, when their
        window opened (None: it is shut), and never leave it. Returns how many moved."""
        ...

    def bring_near(self, now: datetime, *, arrivals: timedelta, held: timedelta, retries: timedelta, lease: timedelta) -> int:
        """The clock went back: an open arrival that is due later than `arrivals` (one that waits for the rest of a series: `held`) from
        now is due then, a job or delivery that waits for longer than `retries` is due now, a lease that is longer than `lease` ends then.
        Returns how many; nothing else moves."""
        ...

    def renew(self, job: int, lease: str, until: datetime) -> bool: ...
    def release(self, owner: str, now: datetime, *, count_attempt: bool = True) -> int:
        """Make what a dead process holds (jobs and deliveries whose lease begins with `owner`; "" means all) claimable at once.
        A lease token is `<owner>/<random>`. Its signs of life (`<stage> <owner>`) are forgotten. Attempts stay counted, so that a study
        that kills its worker ends parked; a process that was stopped on purpose gives the attempt back (`count_attempt` False)."""
        ...

    def inferred(
        self, job: int, lease: str, findings_blob: str, model_digest: str, now: datetime, *, measured: Sequence[Measured] = ()
    ) -> bool:
        """QUEUED → INFERRED; the lease stays held. `measured` replaces what earlier findings of the job measured."""
        ...

    def earlier_results(self, job: int) -> list[EarlierResult]:
        """What stands of this job's application in earlier studies of the same patient (PatientID with IssuerOfPatientID, by the headers
        that count now; nobody's where there is no ID), of the same modality, the newest study first.

        Left out are results of series that were known to be short, of jobs that were superseded, cancelled or never made objects, and of
        images that were corrected since. Birth dates, or sexes, that differ are two people. The journal forgets with the headers."""
        ...

    def encoded(self, job: int, lease: str, objects: Sequence[ResultObject], now: datetime) -> bool:
        """INFERRED → ENCODED; inserts the objects and one WAITING delivery per sink of the job; releases the lease. A result supersedes
        what said of its study and application that there was none."""
        ...

    def retry_job(self, job: int, lease: str, due_at: datetime, code: str, reason: str, now: datetime, *, count_attempt: bool) -> bool:
        """Keep the state, release the lease, set `due_at`; an engine that is away gives the attempt back (`count_attempt` False)."""
        ...

    def end_job(
        self,
        job: int,
        lease: str | None,
        state: JobState,
        code: str,
        reason: str,
        now: datetime,
        *,
        again: str | None = None,
        declined: bool = False,
    ) -> bool:
        """To PARKED, FAILED, NOT_APPLICABLE, CANCELLED, or, of a statement that has become needless, SUPERSEDED.

        `lease` None is the operator, who needs no lease. With `again` (why) what came is looked at anew, in the same transaction: the
        arrivals that asked for the job, whoever sent them, get COMPLETE revisions, unless these are open. `declined`: the images are the
        cause, not the machinery.
        """
        ...

    def revive_job(self, job: int, now: datetime, *, afresh: bool = False) -> JobState:
        """The operator's retry: PARKED, FAILED, NOT_APPLICABLE, CANCELLED → the furthest durable state (QUEUED, INFERRED); a job with its
        objects (DONE, or ENCODED) gets its deliveries WAITING again, to send the same bytes; of one that is SUPERSEDED those alone that
        were parked half-way. Attempts restart."""
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
