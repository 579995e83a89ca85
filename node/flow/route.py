"""Route: every route is tried on every series of a complete arrival; jobs and reasons go into the journal in one transaction."""

import time
from collections.abc import Callable
from datetime import datetime

from inference.applications.port import Application
from node.domain.arrival import Arrival
from node.domain.job import Job
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.flow.asking import Asking
from node.flow.errors import PriorMistaken
from node.flow.needs import Concerned
from node.flow.pairing import Pairing
from node.flow.port import Clock
from node.flow.series import series_of
from node.journal.errors import TransitionRefused
from node.journal.port import Journal, NewJob
from node.observe import metrics
from node.observe.events import alarm, event
from node.settings import config as settings

_BATCH = 20


class RouteStage:
    """The stage that turns COMPLETE into ROUTED.

    Parameters
    ----------
    engine_of
        The name of the engine that runs an application here.
    application_of
        The application of a name; one that cannot be loaded parks its jobs with the reason.
    """

    name = "route"

    def __init__(
        self,
        journal: Journal,
        config: settings.Config,
        clock: Clock,
        engine_of: Callable[[str], str],
        application_of: Callable[[str], Application],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._engine_of = engine_of
        self._application_of = application_of
        self.adopt(config)

    def adopt(self, config: settings.Config) -> None:
        """Route by these routes from the next step on; called between steps, so that no arrival is judged by two sets of them."""
        self._config = config
        self._pairing = Pairing(self._journal, config.routes, self._application_of)
        self._concerned = Concerned(self._journal, config.routes)
        self._asking = Asking(self._journal, self._pairing, config.routes, self._engine_of, self._application_of)

    def step(self) -> int:
        """Route the oldest complete arrivals."""
        complete = self._journal.arrivals(states=(ArrivalState.COMPLETE,), limit=_BATCH)
        for arrival in complete:
            self._route(arrival)
        return len(complete)

    def _route(self, arrival: Arrival) -> None:
        began = time.monotonic()
        manifest = self._journal.arrival_instances(arrival.id)
        series = series_of(self._journal, arrival, manifest)
        now = self._clock()
        asked = self._asking.of(arrival, series, manifest[0].calling_ae if manifest else "", now)
        revised = self._pairing.awaiting(arrival)
        # first, and again after a crash: once it is routed, nobody looks at this arrival any more
        for job in asked.mistaken:
            self._withdraw(job, now)
        needed = self._concerned.by(arrival, now)
        for other in needed:
            self._journal.shorten(other.id, now)
        came = f"arrival {arrival.id} of the study came, with a series that a route needs"
        again = revised | {other.id: came for other in needed if other.state is ArrivalState.ROUTED}
        try:
            jobs = self._journal.route(arrival.id, asked.decisions, asked.jobs, self._config.digest, now, revised=again, waits=asked.waits)
        except TransitionRefused:
            return  # another process routed it at the same time
        metrics.ROUTE.observe(time.monotonic() - began)
        event(
            "arrival.routed",
            arrival=arrival.id,
            peer=arrival.peer,
            series=len(series),
            instances=arrival.instances,
            jobs=jobs,
            config_digest=self._config.digest,
        )
        if revised:
            event("arrival.awaited", arrival=arrival.id, revised=sorted(revised))
        if needed:
            event("arrival.needed", arrival=arrival.id, by=[other.id for other in needed])
        self._tell(asked.jobs, jobs)
        for prior in asked.left_out:
            words = f"{prior.application} is not given series {prior.series_instance_uid}: {prior.why}"
            self._journal.note("arrival", arrival.id, "arrival.prior_left_out", words, now)
            event(
                "arrival.prior_left_out",
                arrival=arrival.id,
                application=prior.application,
                series=prior.series_instance_uid,
                reason=prior.why,
            )
        if asked.waits is not None:
            until, missing = asked.waits
            event("arrival.waits", arrival=arrival.id, peer=arrival.peer, until=until.isoformat(), missing=missing)
        elif not any(decision.chosen for decision in asked.decisions):
            metrics.UNMATCHED.add(peer=arrival.peer or metrics.STRANGER)
            event("arrival.unmatched", arrival=arrival.id, peer=arrival.peer, routes=len(self._config.routes))

    def _withdraw(self, job: Job, now: datetime) -> None:
        """End a job that compares two people; what has left already a person has to find."""
        reason = "the prior that it compares with is another patient's: the patient ID was corrected"
        done = job.state is JobState.DONE
        if not done:
            try:
                self._journal.end_job(job.id, None, JobState.CANCELLED, PriorMistaken.code, reason, now)
            except TransitionRefused:
                done = True  # delivered in this moment
        left = (DeliveryState.DELIVERED, DeliveryState.COMMITTED)
        standing = job.sinks if done else tuple(one.sink for one in self._journal.deliveries(job=job.id) if one.state in left)
        if standing:
            detail = f"{PriorMistaken.code} {reason}; its results stand in {', '.join(standing)}"
            self._journal.note("job", job.id, "job.prior_mistaken", detail, now)
        alarm(
            "job.prior_mistaken", job=job.id, application=job.application, code=PriorMistaken.code, sinks=standing, delivered=bool(standing)
        )

    def _tell(self, asked: list[NewJob], jobs: list[int]) -> None:
        for job, wanted in zip(jobs, asked, strict=False):  # none when a later revision was routed first
            if wanted.parked is not None and self._journal.job(job).state is JobState.PARKED:
                code, reason = wanted.parked
                metrics.JOBS_ENDED.add(application=wanted.application, state=JobState.PARKED.value, code=code)
                alarm("job.parked", job=job, application=wanted.application, code=code, reason=reason)
