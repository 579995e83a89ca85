"""The runner with a real journal, real blobs, real images and a threshold for a model: what it makes, and what it makes of failures."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from structlog.testing import capture_logs

from inference import codes, findings_file
from inference.applications.acceptance import accept, keep_evaluation
from inference.applications.entropy import ENTROPY
from inference.applications.port import Application, ExplanationOutput, Infer, UncertaintyOutput
from inference.engines.errors import EngineAway, EngineBusy, EngineLost, WrongTensors
from inference.engines.jail.errors import MemoryBound, ModelDied
from inference.engines.kinds import DEFAULT
from inference.engines.port import ModelRef, Tensors
from inference.errors import EngineError, ModelError
from inference.findings import Explanation, Findings, Segment, Uncertainty
from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.domain.errors import JournalError, ResultError
from node.domain.job import Job
from node.domain.profile import VIEWER, Kind
from node.domain.route import PinnedVersion
from node.domain.shortage import RefusedInstance, WhenShort
from node.domain.state import DeliveryState, JobState
from node.flow.besides import JobTooLate
from node.flow.engines import Engines
from node.flow.infer import digest_with
from node.flow.lease import LENGTH
from node.flow.route import RouteStage
from node.flow.runner import Runner
from node.flow.settle import SettleStage
from node.records.passport import passport
from node.results.port import Encoded, Encoding
from node.settings.config import ApplicationSettings, EngineSettings
from tests.unit.flow.line import PowerCut, runner
from tests.unit.flow.mini import APPLICATION, THRESHOLD_MODEL, CountingPeer, MiniNode, ThresholdEngine, encode


class Work:
    """The work process of a node in miniature; every test may exchange a part of it."""

    def __init__(self, node: MiniNode) -> None:
        self.node = node
        self.engine = ThresholdEngine()
        self.application = APPLICATION
        self.encode: Callable[[Encoding], list[Encoded]] = encode
        self.seconds = 0.0

    def runner(self, owner: str = "work") -> Runner:
        """As the assembly puts it together."""
        config = self.node.config
        engines = Engines(config, lambda _: self.engine, self.application_of, seconds=lambda: self.seconds)
        return runner(self.node, engines, self.application_of, lambda encoding: self.encode(encoding), owner=owner)

    def application_of(self, name: str) -> Application:
        assert name == self.application.name
        return self.application

    def step(self) -> int:
        """One step, some time after whatever was put off."""
        self.node.clock.advance(600)
        return self.runner().step()

    @property
    def job(self) -> Job:
        """The newest job."""
        return self.node.jobs()[-1]

    def objects(self) -> dict[str, bytes]:
        """The frozen bytes of the newest job by kind."""
        return {one.kind: self.node.blobs.path(one.blob).read_bytes() for one in self.node.journal.results.of_job(self.job.id)}

    def took(self) -> dict[str, float]:
        """The seconds by stage, as the demo and the bench read them."""
        lines = [line.detail for line in self.node.journal.events.of("job", self.job.id) if line.detail.startswith("{")]
        return {stage: took for line in lines for stage, took in json.loads(line)["took_s"].items()}


def settle_and_route(node: MiniNode) -> None:
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    RouteStage(node.journal, node.config, node.clock, lambda _: "default", lambda name: replace(APPLICATION, name=name)).step()


@pytest.fixture
def work(node: MiniNode) -> Work:
    """One job waits: a series with a block of 2 x 4 x 4 bright voxels."""
    node.receive_images("study", "t1")
    settle_and_route(node)
    return Work(node)


def test_a_job_becomes_findings_and_objects_in_one_claim(work: Work) -> None:
    """QUEUED → INFERRED → ENCODED; the volume in the findings is the block's, counted by hand: 32 voxels of 2 mm³."""
    assert work.step() == 1
    job = work.job
    assert (job.state, job.attempts, job.lease, job.code) == (JobState.ENCODED, 1, None, None)
    assert job.findings_blob is not None
    findings = findings_file.loads(work.node.blobs.path(job.findings_blob).read_bytes())
    assert findings.measurements[0].value == pytest.approx(32 * 2 / 1000)
    assert [one.kind for one in work.node.journal.results.of_job(job.id)] == ["seg", "sr", "sc"]
    assert [(d.sink, d.state) for d in work.node.deliveries()] == [("archive", DeliveryState.WAITING)]
    assert set(work.took()) == {"assemble", "infer", "encode", "keep"}
    assert work.step() == 0


@pytest.mark.parametrize("asked", [frozenset(), frozenset({Kind.EXPLANATION}), frozenset({Kind.EXPLANATION_MAP})])
def test_what_moved_an_answer_is_computed_only_where_a_sink_asks(work: Work, asked: frozenset[Kind]) -> None:
    """One of the sinks of the job, by a kind that no shipped profile has; without it the application is not even called."""
    called = []
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)

    def explain(volume: Volume, infer: Infer) -> tuple[Explanation, ...]:
        called.append(volume)
        return (Explanation(label="why", values=values, image=2, finding=codes.BRAIN, quantity=codes.SALIENCY),)

    outputs = (*APPLICATION.outputs, ExplanationOutput(label="why", finding=codes.BRAIN))
    work.application = replace(APPLICATION, outputs=outputs, explain=explain)
    sink = work.node.config.sinks["archive"]
    work.node.configure(sinks={**work.node.config.sinks, "archive": replace(sink, profile=replace(VIEWER, kinds=VIEWER.kinds | asked))})
    assert work.step() == 1
    assert len(called) == len(asked)
    assert work.job.findings_blob is not None
    found = findings_file.loads(work.node.blobs.path(work.job.findings_blob).read_bytes()).explanations
    assert [one.values.tolist() for one in found] == [values.tolist()] * len(asked)


@pytest.mark.parametrize("asked", [frozenset(), frozenset({Kind.UNCERTAINTY_MAP})])
def test_how_unsure_a_network_is_is_computed_only_where_a_sink_asks(work: Work, asked: frozenset[Kind]) -> None:
    """By a kind that no shipped profile has; without it the application is not even called."""
    called = []

    def unsure(volume: Volume, infer: Infer) -> tuple[Uncertainty, ...]:
        called.append(volume)
        values = np.linspace(0, 1, volume.voxels.size, dtype=np.float32).reshape(volume.voxels.shape)
        return (Uncertainty(label=ENTROPY, values=values, quantity=codes.NORMALISED_ENTROPY),)

    work.application = replace(APPLICATION, outputs=(*APPLICATION.outputs, UncertaintyOutput(label=ENTROPY)), unsure=unsure)
    sink = work.node.config.sinks["archive"]
    work.node.configure(sinks={**work.node.config.sinks, "archive": replace(sink, profile=replace(VIEWER, kinds=VIEWER.kinds | asked))})
    assert work.step() == 1
    assert len(called) == len(asked)
    assert work.job.findings_blob is not None
    found = findings_file.loads(work.node.blobs.path(work.job.findings_blob).read_bytes()).uncertainties
    assert [float(one.values.max()) for one in found] == [1.0] * len(asked)


def test_masks_do_not_wait_for_how_unsure_the_network_is(work: Work) -> None:
    """Values beyond 0 to 1: the masks go out without the map, and that is told."""
    beyond = Uncertainty(label=ENTROPY, values=np.full((1, 1, 1), 2, np.float32), quantity=codes.NORMALISED_ENTROPY)
    _asked_for_a_map(work, lambda volume, infer: (beyond,))
    with capture_logs() as events:
        assert work.step() == 1
    assert [one.kind for one in work.node.journal.results.of_job(work.job.id)] == ["seg", "sr", "sc"]
    assert [one["event"] for one in events if one["log_level"] == "warning"] == ["job.unexplained"]


@pytest.mark.parametrize(
    ("failure", "goes"),
    [
        (MemoryBound("took 9 GiB"), True),
        (ModelDied("ended by signal 9"), True),
        (MemoryError(), True),
        (EngineAway("does not answer"), False),
        (EngineBusy("the queue is full"), False),
    ],
)
def test_an_answer_leaves_without_the_map_for_which_memory_did_not_suffice(work: Work, failure: Exception, goes: bool) -> None:
    """The network has answered; what is asked besides is more to compute, and would end alike the next time: the findings say what they
    lack, and why. A server that is away or busy is asked again, for both."""

    def unsure(volume: Volume, infer: Infer) -> tuple[Uncertainty, ...]:
        raise failure

    _asked_for_a_map(work, unsure)
    assert work.step() == 1
    if not goes:
        assert work.job.state is JobState.QUEUED
        return
    assert work.job.state is JobState.ENCODED
    code = getattr(failure, "code", "MemoryError")
    assert _remarks(work)[-1] == (
        f"How unsure the network is of each voxel was asked for and is not in these results: it could not be computed ({code})."
    )


def test_the_last_attempt_computes_the_answer_alone(work: Work) -> None:
    """Two processes died while they held the job, of what nobody knows: what is asked besides is left out, and the findings say so."""
    called = []

    def unsure(volume: Volume, infer: Infer) -> tuple[Uncertainty, ...]:
        called.append(volume)
        return ()

    _asked_for_a_map(work, unsure)
    for _ in range(2):
        work.node.clock.advance(600)
        assert work.node.journal.jobs.claim("another", work.node.clock(), timedelta(seconds=1)) is not None
    assert work.step() == 1
    assert (work.job.state, work.job.attempts, called) == (JobState.ENCODED, 3, [])
    assert _remarks(work)[-1].endswith("it could not be computed (the attempts before did not end).")


def _asked_for_a_map(work: Work, unsure: Callable[[Volume, Infer], tuple[Uncertainty, ...]]) -> None:
    work.application = replace(APPLICATION, outputs=(*APPLICATION.outputs, UncertaintyOutput(label=ENTROPY)), unsure=unsure)
    sink = work.node.config.sinks["archive"]
    asked = replace(VIEWER, kinds=VIEWER.kinds | {Kind.UNCERTAINTY_MAP})
    work.node.configure(sinks={**work.node.config.sinks, "archive": replace(sink, profile=asked)})


def _remarks(work: Work) -> tuple[str, ...]:
    assert work.job.findings_blob is not None
    return tuple(findings_file.loads(work.node.blobs.path(work.job.findings_blob).read_bytes()).remarks)


@pytest.mark.parametrize("failure", [ValueError("of no shape"), JobTooLate("did not end"), None])
def test_an_answer_does_not_wait_for_what_moved_it(work: Work, failure: Exception | None) -> None:
    """A defect, too little time, and an explanation of another image than there is: the answer goes out without it, and that is told."""

    def explain(volume: Volume, infer: Infer) -> tuple[Explanation, ...]:
        if failure is not None:
            raise failure
        beyond = Explanation(label="why", values=np.zeros((8, 8), np.float32), image=99, finding=codes.BRAIN, quantity=codes.SALIENCY)
        return (beyond,)

    outputs = (*APPLICATION.outputs, ExplanationOutput(label="why", finding=codes.BRAIN))
    work.application = replace(APPLICATION, outputs=outputs, explain=explain)
    sink = work.node.config.sinks["archive"]
    asked = replace(VIEWER, kinds=VIEWER.kinds | {Kind.EXPLANATION})
    work.node.configure(sinks={**work.node.config.sinks, "archive": replace(sink, profile=asked)})
    with capture_logs() as events:
        assert work.step() == 1
    assert work.job.state is JobState.ENCODED
    assert [one.kind for one in work.node.journal.results.of_job(work.job.id)] == ["seg", "sr", "sc"]
    assert [one["event"] for one in events if one["log_level"] == "warning"] == ["job.unexplained"]


def test_the_times_in_the_objects_are_the_journals(work: Work) -> None:
    """Encoding.at is when the findings were journaled, not when the encoder ran."""
    seen: list[Encoding] = []

    def later(encoding: Encoding) -> list[Encoded]:
        work.node.clock.advance(3600)
        seen.append(encoding)
        return encode(encoding)

    work.encode = later
    began = work.node.clock()
    work.step()
    assert seen[0].at == work.job.inferred_at == began + timedelta(seconds=600)


def test_sources_are_the_headers_of_what_was_analysed(work: Work) -> None:
    """One header for each slice, without its pixels."""
    seen: list[Encoding] = []
    work.encode = lambda encoding: seen.append(encoding) or encode(encoding)  # type: ignore[func-returns-value]
    work.step()
    assert {header.SOPInstanceUID for header in seen[0].sources} == {source.sop_instance_uid for source in seen[0].volume.sources}
    assert len(seen[0].sources) == 4
    assert not any("PixelData" in header for header in seen[0].sources)


@pytest.mark.parametrize("where", ["analyse", "encode"])
def test_a_process_that_dies_anywhere_is_followed_by_the_same_objects(
    tmp_path: Path, make_node: Callable[[Path], MiniNode], work: Work, where: str
) -> None:
    """Killed while it inferred or while it encoded: the next process makes what an undisturbed node makes, byte for byte."""

    def cut(*_: Any) -> Any:
        raise PowerCut

    dying = Work(work.node)
    if where == "analyse":
        dying.application = replace(APPLICATION, analyse=cut)
    else:
        dying.encode = cut
    with pytest.raises(PowerCut):
        dying.step()
    assert work.job.state is (JobState.QUEUED if where == "analyse" else JobState.INFERRED)
    assert work.node.journal.processes.release("work", work.node.clock()) == 1
    work.step()
    assert work.job.attempts == 2

    undisturbed = Work(make_node(tmp_path / "undisturbed"))
    undisturbed.node.receive_images("study", "t1")
    settle_and_route(undisturbed.node)
    if where == "analyse":
        undisturbed.node.clock.advance(600)  # so that the findings are journaled at the same time
    undisturbed.step()
    assert undisturbed.job.inferred_at == work.job.inferred_at
    assert work.objects() == undisturbed.objects()


def test_findings_are_not_computed_twice(work: Work) -> None:
    """The encoder fails; the next attempt begins at the findings and never asks the engine."""
    work.encode = lambda encoding: (_ for _ in ()).throw(JournalError("the disk is full"))
    work.step()
    assert (work.job.state, work.job.code) == (JobState.INFERRED, "HLM-7000")
    asked = work.engine.asked
    work.encode = encode
    work.step()
    assert work.job.state is JobState.ENCODED
    assert work.engine.asked == asked == 1


def test_a_second_encoding_gives_the_same_bytes(work: Work) -> None:
    """Encoded in the claim that inferred, or in a later one from the findings file: no byte differs."""
    made: list[list[Encoded]] = []

    def twice(encoding: Encoding) -> list[Encoded]:
        made.append(encode(encoding))
        if len(made) == 1:
            raise JournalError("not now")
        return made[-1]

    work.encode = twice
    work.step()
    work.step()
    assert len(made) == 2
    assert [one.data for one in made[0]] == [one.data for one in made[1]]
    assert work.objects() == {one.kind: one.data for one in made[0]}


def test_an_engine_that_is_away_costs_no_attempt(work: Work) -> None:
    """The engine is down for ten minutes: the job waits unclaimed, and completes when it is back."""
    work.engine.ready = False
    for _ in range(10):
        assert work.step() == 0
    assert (work.job.state, work.job.attempts) == (JobState.QUEUED, 0)
    work.engine.ready = True
    assert work.step() == 1
    assert (work.job.state, work.job.attempts) == (JobState.ENCODED, 1)


def test_an_engine_that_goes_away_in_the_middle_gives_the_attempt_back(work: Work) -> None:
    """It was ready at the claim and is gone at the call: not the study's fault."""
    fine = work.engine

    def gone(volume: Volume, infer: Infer) -> Findings:
        fine.ready = False
        raise EngineError("connection refused")

    work.application = replace(APPLICATION, analyse=gone)
    work.step()
    assert (work.job.state, work.job.attempts, work.job.code) == (JobState.QUEUED, 0, "HLM-4000")
    fine.ready = True
    work.application = APPLICATION
    work.step()
    assert (work.job.state, work.job.attempts) == (JobState.ENCODED, 1)


def test_a_server_that_dies_under_a_job_gives_the_attempt_back_but_not_for_ever(work: Work) -> None:
    """It is back before anybody looks, so health says nothing; after five times the study is suspected, and ends after its attempts."""
    work.engine.fails = EngineLost("the connection was reset")
    for _ in range(5):
        work.step()
        assert (work.job.state, work.job.attempts, work.job.code) == (JobState.QUEUED, 0, "HLM-4005")
    for _ in range(3):
        work.step()
    assert (work.job.state, work.job.attempts, work.job.code) == (JobState.FAILED, 3, "HLM-4005")


@pytest.mark.parametrize("passes", [EngineAway("connection refused"), EngineBusy("exceeds maximum queue size")])
def test_a_server_that_was_not_reached_or_is_busy_never_costs_an_attempt(work: Work, passes: EngineError) -> None:
    """Nothing of the study has been computed: others keep the server busy, or it is not there."""
    work.engine.fails = passes
    for _ in range(12):
        work.step()
    assert (work.job.state, work.job.attempts, work.job.code) == (JobState.QUEUED, 0, passes.code)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_gives_no_numbers_parks_the_job(work: Work, value: float) -> None:
    """Of NaN no comparison holds: a network that cannot compute an image would find nothing there, and nobody would know why."""

    class Broken(ThresholdEngine):
        def infer(self, model: ModelRef, inputs: Tensors, **said: Any) -> dict[str, NDArray[Any]]:
            mask = super().infer(model, inputs, **said)["mask"].astype(np.float32)
            unread, mask[0, 0, 0] = np.full_like(mask, -np.inf), value
            return {"unread": unread, "mask": mask}

    def above(volume: Volume, infer: Infer) -> Findings:
        mask = infer(THRESHOLD_MODEL, {"image": volume.voxels})["mask"] > 0
        brain = Segment(label="brain", mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=codes.BRAIN, rgb=(200, 100, 50))
        return Findings(segments=(brain,))

    work.engine, work.application = Broken(), replace(APPLICATION, analyse=above)
    work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-4112")
    assert 'gives values that are no numbers, or are infinite, in its output "mask"' in str(work.job.reason)
    assert work.objects() == {}


def test_an_output_that_nobody_reads_may_hold_what_is_no_number(work: Work) -> None:
    """A mask with minus infinity beside what the application goes by."""

    class Masking(ThresholdEngine):
        def infer(self, model: ModelRef, inputs: Tensors, **said: Any) -> dict[str, NDArray[Any]]:
            answer = super().infer(model, inputs, **said)
            return {"unread": np.full(answer["mask"].shape, -np.inf, np.float32), **answer}

    work.engine = Masking()
    work.step()
    assert (work.job.state, work.job.code) == (JobState.ENCODED, None)


def test_a_model_that_is_refused_parks_the_job_before_a_pixel_is_read_and_revives(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the engine's own code and sentence; mended, `hilum jobs retry` takes it up again."""
    checks: list[ModelError] = [WrongTensors("input X is float32 on the server, int16 here")]

    def check(self: ThresholdEngine, model: ModelRef) -> None:
        for refused in checks:
            raise refused

    def read(files: Sequence[Path]) -> Volume:
        raise AssertionError("a pixel was read")

    monkeypatch.setattr(ThresholdEngine, "check", check)
    with monkeypatch.context() as unread:
        unread.setattr("node.flow.infer.subjects", read)
        work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-4104")
    assert "float32 on the server" in str(work.job.reason)
    checks.clear()
    work.node.journal.jobs.revive(work.job.id, work.node.clock())
    work.step()
    assert work.job.state is JobState.ENCODED


def test_a_job_whose_engine_left_the_configuration_is_parked_and_runs_on_no_other(node: MiniNode) -> None:
    """It was routed to an engine that an edit then struck out; with the engine back, a retry finishes it."""
    named = {"gpu": EngineSettings(name="gpu", options=DEFAULT.options())}
    node.receive_images("study", "t1")
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    RouteStage(node.journal, node.config, node.clock, lambda _: "gpu", lambda name: replace(APPLICATION, name=name)).step()
    work = Work(node)
    work.step()
    assert (work.job.state, work.job.code, work.engine.asked) == (JobState.PARKED, "HLM-4183", 0)
    assert work.job.reason == 'the configuration has no engine "gpu" any more'
    node.configure(engines=named)
    node.journal.jobs.revive(work.job.id, node.clock())
    work.step()
    assert (work.job.state, work.engine.asked) == (JobState.ENCODED, 1)


def test_a_job_of_what_is_not_accepted_is_parked_where_its_route_asks_for_that(work: Work, tmp_path: Path) -> None:
    """Before a pixel is read; tested and accepted, by the digest of what its engine holds, a retry finishes it."""
    (route,) = (one for one in work.node.config.routes if one.name in work.job.routes)
    models = tmp_path / "accepted"
    models.mkdir()
    work.node.configure(routes=(replace(route, accepted=True),), models=models)
    work.step()
    assert (work.job.state, work.job.code, work.engine.asked) == (JobState.PARKED, "HLM-4185", 0)
    digest = digest_with(work.engine, APPLICATION, dict.fromkeys(APPLICATION.models))
    told = f"threshold 1.0.0 with models of SHA-256 {digest[:12]}… was not tested on studies of this hospital"
    assert work.job.reason == f'route "{route.name}": {told}, and the route asks for an accepted one'
    keep_evaluation(models, {"application": "threshold", "version": "1.0.0", "sha256": digest, "at": "2026-01-02T03:04:05+00:00"})
    work.node.journal.jobs.revive(work.job.id, work.node.clock())
    work.step()
    assert (work.job.state, "nobody has accepted it" in str(work.job.reason)) == (JobState.PARKED, True)
    accept(models, "threshold", "1.0.0", digest, by="Dr Ada", reason="good")
    work.node.journal.jobs.revive(work.job.id, work.node.clock())
    work.step()
    assert work.job.state is JobState.ENCODED


@pytest.mark.parametrize(("asked", "code"), [("1", None), ("1.0.0", None), ("1.1", "HLM-4184"), ("1.0.00", "HLM-4184")])
def test_a_job_of_another_version_than_its_route_asks_for_is_parked(work: Work, asked: str, code: str | None) -> None:
    """It is found before a pixel is read; of the application in the version that is asked for, or without a version, the job is done."""
    (route,) = (one for one in work.node.config.routes if one.name in work.job.routes)
    pinned = replace(route, pinned=(PinnedVersion(application=APPLICATION.name, version=asked),))
    work.node.configure(routes=(pinned,))
    work.step()
    assert work.job.code == code
    if code is not None:
        assert (work.job.state, work.engine.asked) == (JobState.PARKED, 0)
        assert work.job.reason == f'route "{route.name}": threshold is version 1.0.0 here, and the route asks for {asked}'
        work.node.configure(routes=(route,))
        work.node.journal.jobs.revive(work.job.id, work.node.clock())
        work.step()
    assert work.job.state is JobState.ENCODED


def test_an_engine_that_fails_is_tried_again_and_then_failed_with_the_reason(work: Work) -> None:
    """Network case 18: Three attempts, growing pauses, nothing exported."""
    work.engine.fails = EngineError("out of memory on device 0")
    runner = work.runner()
    pauses = []
    for _ in range(2):
        assert runner.step() == 1
        pauses.append((work.job.due_at - work.node.clock()).total_seconds())
        assert runner.step() == 0  # not before it is due
        work.node.clock.now = work.job.due_at
    assert 4 <= pauses[0] <= 5 < 8 <= pauses[1] <= 10
    assert runner.step() == 1
    assert (work.job.state, work.job.code) == (JobState.FAILED, "HLM-4000")
    assert work.job.reason == "out of memory on device 0 (attempt 3 of 3)"
    assert work.node.deliveries() == []


def test_a_study_that_kills_its_worker_is_failed(work: Work) -> None:
    """Three processes end without a word; the fourth does not touch the study any more."""
    for n in range(3):
        assert work.node.journal.jobs.claim(f"victim-{n}", work.node.clock(), LENGTH) is not None
        assert work.node.journal.processes.release(f"victim-{n}", work.node.clock()) == 1
    assert work.step() == 1
    assert (work.job.state, work.job.code) == (JobState.FAILED, "HLM-4081")
    assert work.job.reason == "the work process ended 3 times while it held this job"
    assert work.engine.asked == 0


@pytest.mark.parametrize(
    ("error", "code"), [(ModelError("no model called threshold"), "HLM-4100"), (ResultError("a segment is empty"), "HLM-5000")]
)
def test_what_a_person_must_decide_is_parked_at_once(work: Work, error: Exception, code: str) -> None:
    """No retry can help: the first attempt parks the job, nothing is exported."""

    def refuse(_: Encoding) -> list[Encoded]:
        raise error

    work.encode = refuse
    work.step()
    assert (work.job.state, work.job.code, work.job.reason) == (JobState.PARKED, code, str(error))
    assert work.node.journal.results.of_job(work.job.id) == []


def test_a_series_that_the_application_does_not_take_is_not_applicable(node: MiniNode) -> None:
    """Two slices where three are needed: the reason says so, the engine was not asked, and nobody is alarmed."""
    node.receive_images("study", "t1", slices=2)
    settle_and_route(node)
    work = Work(node)
    work.step()
    assert (work.job.state, work.job.code) == (JobState.NOT_APPLICABLE, "HLM-3101")
    assert work.job.reason is not None
    assert "2 slices, at least 3 are needed" in work.job.reason
    assert work.engine.asked == 0


def test_a_short_series_that_the_application_does_not_take_is_parked(node: MiniNode) -> None:
    """Nobody knows whether what is missing is the cause: a person hears of it, and nobody takes silence for nothing found."""
    node.configure(routes=tuple(replace(route, short=WhenShort.RUN) for route in node.config.routes))
    node.receive_images("study", "t1", slices=4)
    one = node.journal.instances.of_arrival(node.arrivals()[-1].id)[0]
    owed = RefusedInstance(
        sop_instance_uid="1.2.3",
        series_instance_uid=one.series_instance_uid,
        study_instance_uid=one.study_instance_uid,
        peer=one.peer,
        status=0xA700,
        at=node.clock(),
    )
    node.journal.shortage.owe([owed], [])
    settle_and_route(node)
    work = Work(node)
    work.application = replace(APPLICATION, accepts=replace(APPLICATION.accepts, min_slices=5))
    work.step()
    assert (work.job.state, work.job.code, work.job.declined) == (JobState.PARKED, "HLM-3101", True)


def test_a_gap_between_instance_numbers_is_remarked_and_holds_nothing(node: MiniNode) -> None:
    """The result says so, and so does the passport; the job runs at once, for scanners number as they like."""
    voxels = np.zeros((4, 8, 8), dtype=np.int16)
    voxels[1:3, 2:6, 2:6] = 1000
    affine = np.eye(4)[[2, 1, 0, 3]]
    study, series, folder = derive_uid("study"), derive_uid("study", "t1"), node.folder / "sent"
    files = write_series(voxels, affine, folder, modality="MR", study_uid=study, series_uid=series)
    for path, number in zip(files, (1, 2, 4, 5), strict=True):
        one = dcmread(path)
        one.InstanceNumber = number
        one.save_as(path)
    node.receive_files(study, series, files)
    settle_and_route(node)
    work = Work(node)
    assert work.step() == 1
    said = "Instance numbers run from 1 to 5, and 1 of them did not come: images may be missing."
    assert (work.job.state, work.job.shortage) == (JobState.ENCODED, None)
    assert work.job.findings_blob is not None
    findings = findings_file.loads(node.blobs.path(work.job.findings_blob).read_bytes())
    assert (said in findings.remarks, findings.cut, findings.cautions) == (True, False, ())
    (listed,) = passport(node.journal, study)["series"]
    assert listed["remarks"] == [said]


def test_a_defect_of_an_application_is_counted_then_failed_and_the_runner_lives(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    """Any exception: the place goes into the event, the words into the journal alone (they may hold patient data)."""

    def defect(volume: Volume, infer: Infer) -> Findings:
        raise KeyError("Doe^Jane")

    work.application = replace(APPLICATION, analyse=defect)
    for _ in range(3):
        assert work.step() == 1
    assert (work.job.state, work.job.code) == (JobState.FAILED, "HLM-0000")
    assert work.job.reason == "KeyError: 'Doe^Jane' (attempt 3 of 3)"
    told = capsys.readouterr()
    assert "test_runner.py" in told.out + told.err
    assert told.out.count("job.defect") + told.err.count("job.defect") == 3
    assert "Doe" not in told.out + told.err
    assert work.step() == 0


def test_an_undeclared_finding_is_not_reported(work: Work) -> None:
    """Network case 18: The manifest promises a brain; a measurement in another unit parks the job."""
    work.application = replace(APPLICATION, outputs=APPLICATION.outputs[:1])
    work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-4201")


def test_an_application_may_call_only_its_own_models(work: Work) -> None:
    """A model that the manifest does not name would not be in the digest either."""
    other = replace(APPLICATION.models[0], name="another")

    def sneak(volume: Volume, infer: Infer) -> Findings:
        infer(other, {"image": volume.voxels})
        return Findings()

    work.application = replace(APPLICATION, analyse=sneak)
    work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-4100")
    assert work.engine.asked == 0


def test_the_engine_is_told_how_long_the_job_may_take(work: Work, node: MiniNode) -> None:
    """`timeout` of the application, less what assembling took."""
    node.configure(applications={"threshold": ApplicationSettings(name="threshold", timeout=timedelta(seconds=30))})
    work.step()
    (deadline_s,) = work.engine.deadlines
    assert deadline_s is not None
    assert 20 < deadline_s < 30


def test_no_call_is_made_after_the_time_is_up(work: Work, node: MiniNode) -> None:
    """Network case 18: An application that calls its model again and again ends at the deadline, as an error that is retried."""
    node.configure(applications={"threshold": ApplicationSettings(name="threshold", timeout=timedelta(0), attempts=1)})
    work.step()
    assert (work.job.state, work.job.code) == (JobState.FAILED, JobTooLate.code)
    assert work.engine.asked == 0


def test_a_job_that_was_superseded_meanwhile_is_discarded(work: Work, node: MiniNode) -> None:
    """A late slice opens a revision while the job runs: its result is not kept, the successor makes its own."""

    def late(volume: Volume, infer: Infer) -> Findings:
        node.receive_images("study", "t1", slices=5)
        settle_and_route(node)
        work.application = APPLICATION
        return APPLICATION.analyse(volume, infer)

    work.application = replace(APPLICATION, analyse=late)
    work.step()
    old, new = node.jobs()
    assert (old.state, old.findings_blob, new.state, new.predecessor) == (JobState.SUPERSEDED, None, JobState.QUEUED, old.id)
    assert node.journal.results.of_job(old.id) == []
    work.step()
    assert work.job.state is JobState.ENCODED


def test_a_cancelled_job_makes_nothing(work: Work, node: MiniNode) -> None:
    """The operator cancels while it encodes: no objects, no deliveries."""

    def cancelled(encoding: Encoding) -> list[Encoded]:
        node.journal.jobs.end(work.job.id, None, JobState.CANCELLED, "HLM-0000", "by the operator", node.clock())
        return encode(encoding)

    work.encode = cancelled
    work.step()
    assert work.job.state is JobState.CANCELLED
    assert node.journal.results.of_job(work.job.id) == []


def test_a_revision_names_the_report_that_reached_the_archive(work: Work, node: MiniNode) -> None:
    """The successor's report refers to the predecessor's, which a sink has accepted."""
    work.step()
    report = next(one for one in node.journal.results.of_job(work.job.id) if one.kind == "sr")
    delivery = node.journal.deliveries.claim("flow", node.clock(), timedelta(minutes=1))
    assert delivery is not None
    assert delivery.lease is not None
    for one in node.journal.deliveries.undelivered(delivery.id):
        node.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", node.clock())
    assert node.journal.deliveries.delivered(delivery.id, delivery.lease, node.clock())
    node.receive_images("study", "t1", slices=5)
    settle_and_route(node)
    seen: list[Encoding] = []
    work.encode = lambda encoding: seen.append(encoding) or encode(encoding)  # type: ignore[func-returns-value]
    work.step()
    (predecessor,) = seen[0].predecessors
    assert (predecessor.sop_instance_uid, predecessor.series_instance_uid, predecessor.sop_class_uid) == (
        report.sop_instance_uid,
        report.series_instance_uid,
        report.sop_class_uid,
    )


def test_findings_are_not_encoded_under_another_version(work: Work) -> None:
    """The application was upgraded between findings and objects: a person decides, nothing is mislabelled."""
    work.encode = lambda encoding: (_ for _ in ()).throw(JournalError("not now"))
    work.step()
    work.encode = encode
    work.application = replace(APPLICATION, version="2.0.0")
    work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-4180")
    assert work.job.reason == "the findings were made by threshold 1.0.0, installed is threshold 2.0.0"


def test_pixels_that_are_gone_park_the_job(work: Work, node: MiniNode) -> None:
    """A file is missing in the blobs: the reason names the instance."""
    first = node.journal.instances.of_job(work.job.id)[0]
    node.blobs.delete(first.blob)
    work.step()
    assert (work.job.state, work.job.code) == (JobState.PARKED, "HLM-3081")
    assert work.job.reason == f"the pixels of 1 instances are gone, the first is {first.sop_instance_uid}"


def test_the_device_is_new_for_new_weights(work: Work, node: MiniNode) -> None:
    """DeviceUID (IHE AIR): the same for every result of one model file, another after a retraining."""
    seen: list[Encoding] = []
    work.encode = lambda encoding: seen.append(encoding) or encode(encoding)  # type: ignore[func-returns-value]
    work.step()
    for study, weights in (("second", "weights-1"), ("third", "weights-2")):
        node.receive_images(study, "t1")
        settle_and_route(node)
        work.engine.weights = weights
        work.step()
    devices = [encoding.device_uid for encoding in seen]
    assert devices[0] == devices[1] != devices[2]


def test_several_workers_share_the_jobs(node: MiniNode) -> None:
    """Network case 19: Five studies, two workers: each job is done once."""
    for n in range(5):
        node.receive_images(f"study-{n}", "t1")
    settle_and_route(node)
    work = Work(node)
    runners: Sequence[Runner] = [work.runner("one"), work.runner("two")]
    assert [runner.step() for _ in range(3) for runner in runners] == [1, 1, 1, 1, 1, 0]
    assert [(job.state, job.attempts) for job in node.jobs()] == [(JobState.ENCODED, 1)] * 5
