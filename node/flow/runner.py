"""The runner claims a job, has it analysed and encoded, and turns whatever goes wrong into a state, a code and a sentence."""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from inference import findings_file, findings_parts
from inference.applications.errors import NotAccepted
from inference.applications.port import Application
from inference.engines.errors import EngineAway, EngineBusy, EngineLost
from inference.errors import EngineError, HilumError, InputError, ModelError
from inference.findings import Caution
from inference.imaging.errors import UnfitPrior
from inference.stages import collected
from inference.translatable import Translatable
from node.blobs.port import Blobs
from node.domain.errors import JournalError, PixelsGone
from node.domain.instance import Standing
from node.domain.job import Job, JobKind, WhenExcluded
from node.domain.notes import Withdrawal, statement_bytes, statement_of, withdrawal_bytes, withdrawal_of
from node.domain.shortage import numbering_remarks
from node.domain.stage import Clock, back_off
from node.domain.state import JobState
from node.flow.deliver import delivered_before
from node.flow.encode import Encode, encoding_of, freeze, measured_in, predecessors_of, replacing, with_earlier
from node.flow.held_instances import said_of_held
from node.flow.infer import Analysed, Assemble, Inferred, RoutesRefused, settings_of
from node.flow.lease import LENGTH, JobLease, LeaseLost
from node.flow.notes import analysis_under_way, digest_for_model, loadable, stated, statement_due, withdrawing
from node.flow.time_limits import BETWEEN_S, size_of, to_decode_s, to_encode_s, to_fetch_s
from node.journal.journal import Journal
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.observe.pulse import at_most
from node.results.port import Encoded, Encoding
from node.results.statement.port import Stated
from node.routing.decisions import is_image
from node.settings import config as settings


class DeliveredBefore(InputError):
    """Every sink has these results already; only the journal does not know, because it was replaced by an older copy of itself."""

    code = "HLM-3083"
    remedy = (
        "Nothing need be done: the results are where they belong. `hilum jobs retry JOB` makes them once more all the same: a second set "
        "beside the first, with other times and therefore under UIDs of its own."
    )


class WorkerDied(EngineError):
    """The work process ended in the middle of the job as often as a job may be tried; it ran out of memory, mostly, or hung."""

    code = "HLM-4081"
    remedy = "Look for `process.died` in the event log and at the memory of the host; `hilum jobs retry JOB` tries again."
    retry = False


class ApplicationChanged(ModelError):
    """The findings were made by another version of the application than the one installed."""

    code = "HLM-4180"
    remedy = "Put the version back that the reason names and `hilum jobs retry JOB`; or `hilum jobs retry JOB --afresh` with the new one."


class FindingsOfOtherParts(ModelError):
    """The findings are of other parts of the series than its files are split into now: another version of hilum analysed it."""

    code = "HLM-4182"
    remedy = "`hilum jobs retry JOB --afresh` analyses the series again."


class ServedMeanwhile(EngineError):
    """Another version of the model was served between the beginning of a job and its analysis."""

    code = "HLM-4181"
    remedy = "Nothing: the job is analysed again by itself, with the version that is served."


_RETRY_FIRST = timedelta(seconds=5)
_RETRY_MOST = timedelta(minutes=5)
_OPENS_S = 300.0
"""What engines may take to be opened and asked, before a job is claimed."""
_LONGEST_REASON = 1000
_LOOK_AGAIN = timedelta(seconds=30)
"""Somebody had a job tried again before it was said that there is no result."""
_END_STATES: Mapping[type[HilumError], JobState] = {
    WorkerDied: JobState.FAILED,
    DeliveredBefore: JobState.CANCELLED,
    UnfitPrior: JobState.CANCELLED,
    NotAccepted: JobState.NOT_APPLICABLE,  # what manifests ask for stands in headers, whoever reads them
}
_LOST_BEFORE_BLAME = 5
"""How often an engine may end in the middle of one job before its attempts count: a study can bring a server down, as a power cut can."""
_ANALYSED = "job.analysed"
_MADE = "job.made"


@dataclass(frozen=True, slots=True)
class _Unrecorded:
    """How the work on a job ended, which the journal does not know yet."""

    job: Job
    error: HilumError
    retry: bool
    told: str = ""


class Runner:
    """The stage of the work process: QUEUED → INFERRED → ENCODED, one job a step.

    Inference and encoding happen in one claim, so that the files are read once; a job that was interrupted in between goes on from its
    findings, with the files read again.

    Parameters
    ----------
    owner
        What leases of this process begin with.
    analyse
        `node.flow.infer.Analyst`: a job, its files, and those of them that are a prior's, to findings.
    encode
        `node.results.encode.encode`: findings to checked objects.
    encode_statement
        `node.results.statement.make.encode_statement`: that there is no result, to checked objects.
    encode_withdrawal
        `node.results.withdrawal.make.encode_withdrawal`: what is withdrawn, to a checked object.
    assemble
        `inference.imaging.subjects.subjects`: files to what was analysed.
    away
        The engines that do not answer (`now`: look again); their jobs wait.
    at_once
        How many jobs of an application may be at work at the same time, on all nodes; one that is not named is not bounded.
    """

    name = "run"

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        config: settings.Config,
        clock: Clock,
        owner: str,
        analyse: Callable[[Job, Sequence[Path], Mapping[Path, str]], Inferred],
        encode: Encode,
        *,
        encode_statement: Callable[[Stated], list[Encoded]],
        encode_withdrawal: Callable[[Encoding, Withdrawal], list[Encoded]],
        assemble: Assemble,
        application_of: Callable[[str], Application],
        away: Callable[[bool], Collection[str]],
        at_once: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._config = config
        self._clock = clock
        self._owner = owner
        self._analyse = analyse
        self._encode = encode
        self._encode_statement = encode_statement
        self._encode_withdrawal = encode_withdrawal
        self._assemble = assemble
        self._application_of = application_of
        self._away = away
        self._at_once = at_once
        self._unrecorded: _Unrecorded | None = None

    def adopt(self, config: settings.Config) -> None:
        """Work by this configuration from the next job on; called between steps, so that a job ends under the one it was claimed with."""
        self._config = config

    def step(self) -> int:
        """Work on the job whose turn it is; 0 when there is none."""
        if self._unrecorded is not None:
            self._record(self._unrecorded)
        with at_most(_OPENS_S):
            job = self._claim()
        if job is None:
            return 0
        assert job.lease is not None, "a claimed job has a lease"
        if job.attempts == 1 and job.code is None:
            metrics.QUEUE_WAIT.observe((self._clock() - job.created_at).total_seconds(), priority=job.priority.value)
        event("job.claimed", job=job.id, application=job.application, state=job.state.value, attempt=job.attempts)
        lease_of = JobLease(self._journal.jobs, self._clock, job.id, job.lease)
        with at_most(BETWEEN_S), lease_of as lease, self._blobs.hold():
            try:
                self._work(job, lease)
            except LeaseLost:
                event("job.lease_lost", job=job.id, application=job.application)
            except HilumError as error:
                self._record(_Unrecorded(job, error, retry=error.retry))
            except Exception as defect:  # noqa: BLE001  (one of the two places: whatever an application does, the node goes on)
                words = "" if self._config.node.patient_data_in_logs else type(defect).__name__
                self._record(_Unrecorded(job, self._defect(job, defect), retry=True, told=words))
        return 1

    def _claim(self) -> Job | None:
        now = self._clock()
        window = self._config.schedule.offpeak
        open_now = window is None or window.opened_at(now) is not None
        away = self._away(False)
        return self._journal.jobs.claim(self._owner, now, LENGTH, away_engines=away, offpeak=open_now, at_once=self._at_once())

    def _work(self, job: Job, lease: JobLease) -> None:
        attempts = settings_of(self._config, job.application).attempts
        if job.attempts > attempts:
            raise WorkerDied(_last_words(job))
        if delivered_before(self._journal.jobs, self._blobs, job):
            raise DeliveredBefore("every sink has these results; the journal had forgotten it")
        if job.kind is JobKind.STATEMENT:
            self._state(job, loadable(job, self._application_of), lease)
            return
        if job.kind is JobKind.WITHDRAWAL:
            self._withdraw(job, loadable(job, self._application_of), lease)
            return
        application = self._application_of(job.application)
        files, given = self._files(job)
        size = size_of(files)
        if job.state is JobState.QUEUED:
            try:
                parts = self._infer(job, application, lease, files, given)
            except RoutesRefused as some:
                self._part(job, some)
                return
        else:
            self._refuse_another_version(job, application)
            with at_most(to_decode_s(size)):
                parts = self._read_back(job, application, files, given)
        lease.check()
        with at_most(to_encode_s(size)):
            self._freeze(job, application, lease, parts)

    def _part(self, job: Job, some: RoutesRefused) -> None:
        """Let the routes go on whose demands are answered, with their sinks; each demand that is not has a parked job of its own."""
        for parted in self._journal.jobs.part(job, *some.apart(job, self._config), self._clock()):
            one = parted.refused
            event("job.parted", job=job.id, application=job.application, code=one.code, reason=one.reason, routes=list(one.demands))
            if parted.new:  # else it was told when it was parked
                metrics.JOBS_ENDED.add(application=job.application, state=JobState.PARKED.value, code=one.code)
                alarm("job.parked", job=parted.job, application=job.application, code=one.code, reason=one.reason)

    def _state(self, job: Job, application: Application, lease: JobLease) -> None:
        """Say of a study that it has no result: what there is to say is journaled as findings are, and then made into objects."""
        if job.state is JobState.QUEUED:
            said = statement_due(self._journal.jobs, self._journal.results, job, self._clock)
            if said is None:
                now = self._clock()
                if analysis_under_way(self._journal.jobs, job):
                    again = now + _LOOK_AGAIN
                    self._journal.jobs.retry(job.id, lease.token, again, "", "an analysis is under way", now, count_attempt=False)
                else:  # cancelled, or not applicable after all; what ends without a result later is stated anew
                    self._journal.jobs.end(job.id, lease.token, JobState.SUPERSEDED, "", "no analysis lacks a result any more", now)
                return
            self._keep(job, application, lease, statement_bytes(said))
        journaled = self._journal.jobs.get(job.id)
        assert journaled.findings_blob is not None, "what there is to say is durable"
        said = statement_of(self._blobs.path(journaled.findings_blob).read_bytes())
        instances = self._journal.instances.of_job(job.id)
        wanted = self._config.profiles_of(journaled)
        each = stated(journaled, application, said, instances, self._blobs, wanted)
        made = [one for whose in each for one in self._encode_statement(whose)]
        lease.check()
        if not self._journal.jobs.encoded(job.id, lease.token, freeze(self._blobs, job.id, made), self._clock()):
            raise LeaseLost
        metrics.STATEMENTS.add(application=job.application, status=said.status.name.lower())
        event("job.stated", job=job.id, application=job.application, status=said.status.name.lower(), objects=len(made))

    def _withdraw(self, job: Job, application: Application, lease: JobLease) -> None:
        """Withdraw superseded objects from an archive: which ones stands in the journal since the job was made."""
        if job.state is JobState.QUEUED:
            self._keep(job, application, lease, withdrawal_bytes(self._journal.withdrawals.get(job.id)))
        journaled = self._journal.jobs.get(job.id)
        assert journaled.findings_blob is not None, "what is withdrawn is durable"
        withdrawn = withdrawal_of(self._blobs.path(journaled.findings_blob).read_bytes())
        instances = self._journal.instances.of_job(job.id)
        wanted = self._config.profiles_of(journaled)
        each = withdrawing(journaled, application, withdrawn, instances, self._blobs, wanted)
        made = [one for encoding, own in each for one in self._encode_withdrawal(encoding, own)]
        lease.check()
        if not self._journal.jobs.encoded(job.id, lease.token, freeze(self._blobs, job.id, made), self._clock()):
            raise LeaseLost
        metrics.WITHDRAWALS.add(application=job.application, reason=withdrawn.rejection.value)
        event("job.withdrawn", job=job.id, application=job.application, reason=withdrawn.rejection.value, objects=len(withdrawn.objects))

    def _keep(self, job: Job, application: Application, lease: JobLease, data: bytes) -> None:
        """Journal what a note is made of, as findings are."""
        blob = f"findings/{job.id}-{hashlib.sha256(data).hexdigest()}.bin"
        self._blobs.put(blob, data)
        if not self._journal.jobs.inferred(job.id, lease.token, blob, digest_for_model(application), self._clock()):
            raise LeaseLost

    def _infer(
        self, job: Job, application: Application, lease: JobLease, files: Sequence[Path], given: Mapping[Path, str]
    ) -> list[Analysed]:
        """The parts of the job with their findings, which are durable."""
        inferred = self._analyse(job, files, given)
        made_by = f"{application.name} {application.version}"
        if inferred.made_by != made_by:
            raise ServedMeanwhile(f"{inferred.made_by} analysed, {made_by} was served when the job began")
        lease.check()
        inferred = self._numbered(job, self._beside_held(job, self._compared(job, application, inferred)))
        # as their file gives them back: the objects are the same with or without a crash before the encoder
        found = [findings_file.as_stored(part.findings) for part in inferred.parts]
        kept = findings_parts.written([(part.assembled.part, findings) for part, findings in zip(inferred.parts, found, strict=True)])
        blob = f"findings/{job.id}-{kept.digest}.bin"
        self._blobs.put(blob, kept.data)
        # before the state, so that whoever waits for it finds the figures
        stages_s = _rounded(inferred.stages_s)
        self._note(job, _ANALYSED, took_s=inferred.took_s, application=made_by, stages_s=stages_s, runtimes=dict(inferred.runtimes))
        kept_values = [
            one
            for part, findings in zip(inferred.parts, found, strict=True)
            for one in measured_in(findings, part.assembled.part, application.version)
        ]
        facts = (job.id, lease.token, blob, inferred.model_digest, self._clock())
        if not self._journal.jobs.inferred(*facts, version=application.version, demands=inferred.demands, measured=kept_values):
            raise LeaseLost
        metrics.ASSEMBLE.observe(inferred.took_s["assemble"], application=job.application)
        metrics.INFER.observe(inferred.took_s["infer"], application=job.application)
        event("job.inferred", job=job.id, application=job.application, took_s=_rounded(inferred.took_s))
        parts = zip(inferred.parts, found, kept.of_parts, strict=True)
        return [replace(part, findings=findings, digest=digest) for part, findings, digest in parts]

    def _compared(self, job: Job, application: Application, inferred: Inferred) -> Inferred:
        """With the journal's earlier values beside today's: found once, and durable with the findings, so that a retry says the same. Of a
        series that is known to be short nothing is compared."""
        results = [] if job.shortage is not None else self._journal.results.earlier(job.id)
        told = (application.version, inferred.model_digest, results)
        parts = [replace(one, findings=with_earlier(one.findings, one.assembled.part, *told)) for one in inferred.parts]
        return replace(inferred, parts=tuple(parts))

    def _beside_held(self, job: Job, inferred: Inferred) -> Inferred:
        """With a caution where instances of the job's series are held now, behind INCOMPLETE and before all else.

        It is durable with the findings, so that a retry says the same.
        """
        held = [Caution(sentence=said) for said in self._held_of(job)]
        if not held:
            return inferred

        def beside(cautions: Sequence[Caution]) -> tuple[Caution, ...]:
            marked = [one for one in cautions if one.mark]
            return (*marked, *held, *(one for one in cautions if not one.mark))

        parts = (replace(one, findings=replace(one.findings, cautions=beside(one.findings.cautions))) for one in inferred.parts)
        return replace(inferred, parts=tuple(parts))

    def _numbered(self, job: Job, inferred: Inferred) -> Inferred:
        """With remarks on what numbers in the headers lead to expect; not of a series that is known to be short, of which more is said."""
        of_series = [one for one in self._journal.instances.of_job(job.id) if one.series_instance_uid == job.series_instance_uid]
        headers = [one.header for one in of_series if is_image(one.sop_class_uid, one.header)]
        said = numbering_remarks(headers) if job.shortage is None else ()
        parts = (replace(one, findings=replace(one.findings, remarks=(*one.findings.remarks, *said))) for one in inferred.parts)
        return replace(inferred, parts=tuple(parts)) if said else inferred

    def _held_of(self, job: Job) -> tuple[Translatable, ...]:
        series = {one.series_instance_uid for one in self._journal.instances.of_job(job.id)}
        return said_of_held(self._journal.held, job.study_instance_uid, series)

    def _read_back(self, job: Job, application: Application, files: Sequence[Path], given: Mapping[Path, str]) -> list[Analysed]:
        """The parts of a job that was analysed in an earlier claim."""
        assert job.findings_blob is not None, "an inferred job has findings"
        found = findings_parts.loads(self._blobs.path(job.findings_blob).read_bytes())
        accepts = application.accepts
        made = self._assemble(accepts.takes, accepts.parts, files, job.series_instance_uid, given, roles=application.in_roles)
        if [part for part, _ in found] != [assembled.part for assembled in made]:
            raise FindingsOfOtherParts(f"findings of {len(found)} parts, the files make {len(made)}, or others")
        return [Analysed(assembled=assembled, findings=findings) for assembled, (_, findings) in zip(made, found, strict=True)]

    def _freeze(self, job: Job, application: Application, lease: JobLease, parts: Sequence[Analysed]) -> None:
        began = time.monotonic()
        journaled = self._journal.jobs.get(job.id)  # with the time at which the findings were journaled: it goes into the objects
        wanted = self._config.profiles_of(journaled)
        encoded: list[Encoded] = []
        with collected() as stages_s:
            replaces = replacing(self._journal, journaled)
            for part in parts:
                part = replace(part, findings=replace(part.findings, cautions=(*part.findings.cautions, *replaces)))
                before = predecessors_of(self._journal.results, journaled, part.assembled.part)
                encoded += self._encode(encoding_of(journaled, application, part, before, wanted))
                lease.check()
        took = {"encode": time.monotonic() - began}
        objects = freeze(self._blobs, job.id, encoded)
        took["keep"] = time.monotonic() - began - took["encode"]
        self._note(job, _MADE, took_s=took, stages_s=_rounded(stages_s))
        if not self._journal.jobs.encoded(job.id, lease.token, objects, self._clock()):
            raise LeaseLost
        metrics.ENCODE.observe(sum(took.values()), application=job.application)
        if not job.sinks:
            metrics.JOBS_ENDED.add(application=job.application, state=JobState.DONE.value, code="")
        event("job.encoded", job=job.id, application=job.application, objects=len(objects), took_s=_rounded(took))

    def _files(self, job: Job) -> tuple[list[Path], dict[Path, str]]:
        """All that the job uses, and the role of each file that has one."""
        instances = self._journal.instances.of_job(job.id)
        with at_most(to_fetch_s(sum(instance.size for instance in instances))):
            paths = self._blobs.paths([instance.blob for instance in instances])
        gone = [
            instance for instance, path in zip(instances, paths, strict=True) if instance.standing is Standing.PURGED or not path.is_file()
        ]
        if gone:
            raise PixelsGone(f"the pixels of {len(gone)} instances are gone, the first is {gone[0].sop_instance_uid}")
        roles = self._journal.instances.roles_of_job(job.id)
        return paths, {path: roles[one.id] for one, path in zip(instances, paths, strict=True) if one.id in roles}

    def _refuse_another_version(self, job: Job, application: Application) -> None:
        """Findings are encoded under the version that made them, or not at all."""
        if job.findings_version != application.version:
            name = application.name
            raise ApplicationChanged(f"the findings were made by {name} {job.findings_version}, installed is {name} {application.version}")

    def _note(self, job: Job, name: str, *, took_s: Mapping[str, float], **facts: object) -> None:
        self._journal.events.note("job", job.id, name, json.dumps({"took_s": _rounded(took_s), **facts}), self._clock())

    # ---- what goes wrong

    def _record(self, ended: "_Unrecorded") -> None:
        """Record how the work on a job ended; while the journal is away it is kept for the next step, because a lease that runs out instead
        would count as an attempt that killed its worker."""
        self._unrecorded = ended
        assert ended.job.lease is not None, "a claimed job has a lease"
        self._ended(ended.job, ended.job.lease, ended.error, retry=ended.retry, told=ended.told)
        self._unrecorded = None

    def _ended(self, job: Job, lease: str, error: HilumError, *, retry: bool, told: str = "") -> None:
        """Try again later, or end the job with the reason; events say `told` in its place where that may hold patient data."""
        reason = str(error)[:_LONGEST_REASON]
        now = self._clock()
        if not retry:
            state = _END_STATES.get(type(error), JobState.PARKED)
            parks = job.when_excluded is WhenExcluded.PARK
            if state is JobState.NOT_APPLICABLE and (parks or job.shortage is not None or self._held_of(job)):
                # of a series that is short, or held in part, nobody knows whether a header is the cause or what is missing
                state = JobState.PARKED
            # it is routed again, and whoever looks for a prior then passes this one over
            again = f"job {job.id} of {job.application}: {reason}" if isinstance(error, UnfitPrior) else None
            before = isinstance(error, DeliveredBefore)
            self._end(job, lease, state, error.code, reason, again=again, declined=isinstance(error, InputError), delivered_before=before)
            return
        counts = not self._blameless(job, error)
        attempts = settings_of(self._config, job.application).attempts
        if counts and job.attempts >= attempts:
            self._end(job, lease, JobState.FAILED, error.code, f"{reason} (attempt {job.attempts} of {attempts})", told=told)
            return
        pause = back_off(job.attempts, _RETRY_FIRST, _RETRY_MOST, salt=f"job {job.id}") if counts else _RETRY_FIRST
        lost = isinstance(error, EngineLost)
        if self._journal.jobs.retry(job.id, lease, now + pause, error.code, reason, now, count_attempt=counts, engine_lost=lost):
            metrics.JOB_RETRIES.add(application=job.application, code=error.code, counted="yes" if counts else "no")
            again_in_s = round(pause.total_seconds(), 1)
            event("job.retry", job=job.id, code=error.code, reason=told or reason, counted=counts, again_in_s=again_in_s)

    def _blameless(self, job: Job, error: HilumError) -> bool:
        """Neither an engine that is away or busy nor a full disk is the study's fault; an engine that was lost under it may be, the sixth
        time."""
        if not isinstance(error, EngineError):
            return isinstance(error, JournalError)
        away = job.engine in self._away(True)  # looked at whatever the error is: the next claim passes over the jobs of an engine that is
        if isinstance(error, EngineLost):
            return job.engines_lost < _LOST_BEFORE_BLAME
        return away or isinstance(error, EngineAway | EngineBusy)

    def _end(
        self,
        job: Job,
        lease: str,
        state: JobState,
        code: str,
        reason: str,
        *,
        told: str = "",
        again: str | None = None,
        declined: bool = False,
        delivered_before: bool = False,
    ) -> None:
        said = (job.id, lease, state, code, reason, self._clock())
        if self._journal.jobs.end(*said, again=again, declined=declined, delivered_before=delivered_before):
            metrics.JOBS_ENDED.add(application=job.application, state=state.value, code=code)
            tell = event if state is JobState.NOT_APPLICABLE else alarm  # nobody need do anything about it
            tell(f"job.{state.value}", job=job.id, application=job.application, code=code, reason=told or reason)

    def _defect(self, job: Job, defect: Exception) -> HilumError:
        """A defect of hilum or of an application: the event has the place, and the words only if patient data may stand in events."""
        words = {"words": str(defect)} if self._config.node.patient_data_in_logs else {}
        alarm("job.defect", job=job.id, application=job.application, error=type(defect).__name__, trace=trace(defect), **words)
        return HilumError(f"{type(defect).__name__}: {defect}")


def _last_words(job: Job) -> str:
    if job.reason is None:
        return f"the work process ended {job.attempts - 1} times while it held this job"
    return f"the work process ended while it held this job, in the last of {job.attempts - 1} attempts; before that: {job.reason}"


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(took, 4) for stage, took in seconds.items()}
