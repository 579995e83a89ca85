"""Route: every route is tried on every series of a complete arrival; jobs and reasons go into the journal in one transaction.

What one arrival brings ends no other's way: deciding is bounded, and an arrival over which it failed, or the process died, is parked.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from inference.applications.port import Application
from inference.errors import HilumError, InputError
from node.domain.arrival import Arrival
from node.domain.job import Job
from node.domain.shortage import Hold
from node.domain.stage import Clock
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.flow.time_limits import of_instances, within
from node.journal.errors import JournalStrange, TransitionRefused
from node.journal.journal import Journal
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.observe.pulse import InHand, turned
from node.routing.decisions import holds_images
from node.routing.needs import Concerned
from node.routing.pairing import Pairing
from node.routing.planning import JobPlan, JobPlanner
from node.routing.series import SeriesContent, series_of
from node.settings import config as settings

_BATCH = 20
_MOST_ATTEMPTS = 3
"""As many as a job has by default."""
_TOLD = (JobState.PARKED, JobState.NOT_APPLICABLE)
"""How a job may end in being routed."""


_Decided: TypeAlias = tuple[list[SeriesContent], JobPlan, dict[int, str], list[Arrival]]
"""Its series, what the routes ask of it, whom it revises, and who needs one of its series."""


class PriorMistaken(InputError):
    """What a job compared with turned out to be another patient's: somebody corrected a patient ID."""

    code = "HLM-3084"
    remedy = (
        "Look at the results of the job in the sinks that the event names, and have them removed: they compare two people. The study is "
        "compared anew by itself as soon as there is a prior that is its own."
    )


class RoutingDied(InputError):
    """The process that routes ended in the middle of an arrival as often as one may be tried."""

    code = "HLM-3089"
    remedy = (
        "Look for `process.died` and `process.silent` in the event log, and at the memory of the host; other studies go on. `hilum studies "
        "retry STUDY` routes the study again."
    )


class RoutingBroke(InputError):
    """hilum stumbled over an arrival while it routed it, as often as one may be tried."""

    code = "HLM-3093"
    remedy = (
        "Report this as a defect, with the event `arrival.defect`; other studies go on. `hilum studies retry STUDY` routes the study again."
    )


class RouteStage:
    """The stage that turns COMPLETE into ROUTED.

    Parameters
    ----------
    engine_of
        The name of the engine that runs an application here.
    application_of
        The application of a name; one that cannot be loaded parks its jobs with the reason.
    declared_of
        The same as it declares itself, whatever models the repository has.
    in_hand
        Where the arrival that is being routed stands, for the process that comes after this one.
    """

    name = "route"

    def __init__(
        self,
        journal: Journal,
        config: settings.Config,
        clock: Clock,
        engine_of: Callable[[str], str],
        application_of: Callable[[str], Application],
        declared_of: Callable[[str], Application] | None = None,
        *,
        in_hand: InHand | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._engine_of = engine_of
        self._application_of = application_of
        self._declared_of = declared_of or application_of
        self._in_hand = in_hand or InHand("arrival")
        self.adopt(config)

    def adopt(self, config: settings.Config) -> None:
        """Route by these routes from the next step on; called between steps, so that no arrival is judged by two sets of them."""
        self._config = config
        self._pairing = Pairing(self._journal, config.routes, self._application_of)
        self._concerned = Concerned(self._journal, config.routes, self._declared)
        self._planner = JobPlanner(
            self._journal.instances,
            self._pairing,
            config.routes,
            self._engine_of,
            self._application_of,
            declared_of=self._declared_of,
            known=self._journal.shortage,
            standing=self._journal.routing.standing,
            settle_of=config.settle_of,
        )

    def _declared(self, name: str) -> Application | None:
        try:
            return self._declared_of(name)
        except HilumError:
            return None

    def step(self) -> int:
        """Route complete arrivals, of each peer its oldest, by turns; behind the others those of which it has failed before."""
        complete = self._journal.routing.waiting(_BATCH)
        for arrival in complete:
            self._in_hand.take(arrival.id)
            try:
                self._route(arrival)
            except (InputError, JournalStrange) as unfit:  # it took too long, or cannot be read: others are routed all the same
                self._failed(arrival, unfit)
            except HilumError:
                self._in_hand.put_down()  # the journal's: should the process end now, it is not to blame
                raise
            except MemoryError:
                raise
            except Exception as defect:  # noqa: BLE001  (what one arrival brings, others need not wait for)
                alarm("arrival.defect", arrival=arrival.id, error=type(defect).__name__, trace=trace(defect))
                self._failed(arrival, RoutingBroke(f"routing it met a defect: {type(defect).__name__}"))
            self._in_hand.put_down()
            turned()
        return len(complete)

    def blame(self) -> None:
        """At the start of a process: count the death of the one before over the arrival that it had in hand."""
        arrival = self._journal.arrivals.get(self._in_hand.number) if self._in_hand.number else None
        if arrival is not None:
            self._failed(arrival, RoutingDied("the process that routed it ended in the middle of it"))
        self._in_hand.put_down()

    def _failed(self, arrival: Arrival, why: InputError | JournalStrange) -> None:
        """Try it again behind the others, or park it."""
        reason, digest = str(why), self._config.digest
        attempts = self._journal.routing.failed(arrival.id, why.code, reason, digest, self._clock(), most=_MOST_ATTEMPTS)
        if attempts >= _MOST_ATTEMPTS:
            alarm("arrival.parked", arrival=arrival.id, peer=arrival.peer, code=why.code, reason=reason, attempts=attempts)
        elif attempts:
            alarm("arrival.retry", arrival=arrival.id, peer=arrival.peer, code=why.code, reason=reason, attempts=attempts)
        if attempts:
            metrics.ROUTING_FAILED.add(peer=arrival.peer or metrics.STRANGER, code=why.code)

    def _route(self, arrival: Arrival) -> None:
        began = time.monotonic()
        now = self._clock()
        series, asked, revised, needed = within(
            of_instances(arrival.instances), "matching and deciding", lambda: self._decided(arrival, now)
        )
        # first, and again after a crash: once it is routed, nobody looks at this arrival any more
        for job in asked.mistaken:
            self._withdraw(job, now)
        for other in needed:
            self._journal.arrivals.shorten(other.id, now)
        held_before = self._journal.shortage.holds_of(arrival.id)
        self._release_others(arrival, series, asked, now)
        came = f"arrival {arrival.id} of the study came, with a series that a route needs"
        again = revised | {other.id: came for other in needed if other.state is ArrivalState.ROUTED}
        try:
            routed = self._journal.routing.route(
                arrival.id,
                asked.decisions,
                asked.jobs,
                self._config.digest,
                now,
                revised=again,
                waits=asked.waits,
                holds=asked.holds,
            )
        except TransitionRefused:
            return  # another process routed it at the same time
        metrics.ROUTE.observe(time.monotonic() - began)
        event(
            "arrival.routed",
            arrival=arrival.id,
            peer=arrival.peer,
            series=len(series),
            instances=arrival.instances,
            jobs=list(routed.jobs),
            config_digest=self._config.digest,
        )
        if revised:
            event("arrival.awaited", arrival=arrival.id, revised=sorted(revised))
        if needed:
            event("arrival.needed", arrival=arrival.id, by=[other.id for other in needed])
        self._tell(routed.ended)
        self._tell_held(arrival, held_before, asked, now)
        for prior in asked.left_out:
            words = f"{prior.application} is not given series {prior.series_instance_uid}: {prior.why}"
            self._journal.events.note("arrival", arrival.id, "arrival.prior_left_out", words, now)
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
        elif not any(decision.chosen for decision in asked.decisions) and any(holds_images(content.view) for content in series):
            metrics.UNMATCHED.add(peer=arrival.peer or metrics.STRANGER)
            event("arrival.unmatched", arrival=arrival.id, peer=arrival.peer, routes=len(self._config.routes))

    def _decided(self, arrival: Arrival, now: datetime) -> _Decided:
        """What becomes of it, without a word to the journal yet."""
        manifest = self._journal.instances.of_arrival(arrival.id)
        series = series_of(self._journal, arrival, manifest)
        asked = self._planner.of(arrival, series, manifest[0].calling_ae if manifest else "", now)
        return series, asked, self._pairing.awaiting(arrival), self._concerned.by(arrival, now)

    def _release_others(self, arrival: Arrival, series: Sequence[SeriesContent], asked: JobPlan, now: datetime) -> None:
        """What another sender's arrival waits for may have come with this one: that one looks again, at once."""
        short = {one.series_instance_uid for one in asked.holds} | {
            job.series_instance_uid for job in asked.jobs if job.shortage is not None
        }
        whole = {content.series_instance_uid for content in series} - short
        for hold in self._journal.shortage.holds(study=arrival.study_instance_uid):
            if hold.arrival != arrival.id and hold.series_instance_uid in whole:
                self._journal.arrivals.shorten(hold.arrival, now)

    def _tell_held(self, arrival: Arrival, before: Sequence[Hold], asked: JobPlan, now: datetime) -> None:
        """Say of each series once that it is held, and once that it is no more."""
        peer = arrival.peer or metrics.STRANGER
        known, held = {one.series_instance_uid for one in before}, {one.series_instance_uid: one for one in reversed(asked.holds)}
        for uid, new in held.items():
            if uid not in known:
                metrics.HELD.add(peer=peer, lack=new.shortage.lack.value)
                alarm(
                    "series.held",
                    arrival=arrival.id,
                    peer=arrival.peer,
                    series=uid,
                    lack=new.shortage.lack.value,
                    came=new.shortage.came,
                    expected=new.shortage.expected,
                    until=new.until.isoformat(),
                )
        short = {job.series_instance_uid: job for job in asked.jobs if job.shortage is not None}
        since = {one.series_instance_uid: one.since for one in sorted(before, key=lambda one: one.since, reverse=True)}
        for uid in known - held.keys():
            job = short.get(uid)
            how = "whole" if job is None else "parked" if job.parked is not None else "incomplete"
            held_s = (now - since[uid]).total_seconds()
            event("series.released", arrival=arrival.id, peer=arrival.peer, series=uid, how=how, held_s=held_s)

    def _withdraw(self, job: Job, now: datetime) -> None:
        """End a job that compares two people; what has left already a person has to find."""
        reason = "the prior that it compares with is another patient's: the patient ID was corrected"
        done = job.state is JobState.DONE
        if not done:
            try:
                self._journal.jobs.end(job.id, None, JobState.CANCELLED, PriorMistaken.code, reason, now)
            except TransitionRefused:
                done = True  # delivered in this moment
        left = (DeliveryState.DELIVERED, DeliveryState.COMMITTED)
        standing = job.sinks if done else tuple(one.sink for one in self._journal.deliveries.find(job=job.id) if one.state in left)
        if standing:
            detail = f"{PriorMistaken.code} {reason}; its results stand in {', '.join(standing)}"
            self._journal.events.note("job", job.id, "job.prior_mistaken", detail, now)
        alarm(
            "job.prior_mistaken", job=job.id, application=job.application, code=PriorMistaken.code, sinks=standing, delivered=bool(standing)
        )

    def _tell(self, ended: Sequence[int]) -> None:
        """Tell of the jobs that ended in being routed."""
        for job in map(self._journal.jobs.get, ended):
            if job.state not in _TOLD:
                continue  # somebody had it tried again, or cancelled it, in this moment
            code, reason = job.code or "", job.reason or ""
            metrics.JOBS_ENDED.add(application=job.application, state=job.state.value, code=code)
            if job.state is JobState.PARKED:
                alarm("job.parked", job=job.id, application=job.application, code=code, reason=reason)
            else:  # nobody need do anything about it
                event("job.not_applicable", job=job.id, application=job.application, code=code, reason=reason)
