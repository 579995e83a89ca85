"""What the pipeline adds to the model: mr-brain on a head of 384 slices, from the files to the results in an archive, by stage.

The baseline is the models called directly on their ready tensors, right after the pipeline called them. One process, nothing waits for
anything else: what a running node adds to this (quiet window, queue, journal) is measured by `overhead`.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from numpy.typing import NDArray

from bench.heads import head, repository
from bench.overhead import archive
from bench.rows import Row, say
from bench.running import ARCHIVE, CALLING
from inference.applications.port import Application
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Call, ModelRef, Tensors
from inference.stages import ANALYSE, ASSEMBLE, BACK, DECODE, INFER, RESAMPLE, collected, stage

ROUNDS = 5
SHARE, MOST_S = 0.10, 2.0
STAGES = {
    DECODE: "pixels from the files into the volume",
    ASSEMBLE: "headers and geometry",
    RESAMPLE: "to the networks' grids and values",
    "transfer": "into the engine and out of it: checks and copies",
    BACK: "from the network's grid to the source's; largest part, cavities",
    ANALYSE: "volume and remarks",
    "findings": "findings durable",
    "encode": "SEG, SR and summary page, each read back and checked",
    "keep": "objects durable",
    "send": "to the archive, over DIMSE",
}


class _Recorded:
    """The engine as an application calls it; keeps the inputs."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self.calls: list[tuple[ModelRef, Tensors]] = []

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        self.calls.append((model, tensors))
        with stage(INFER):
            return self._engine.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return self._engine.load(model).at_once

    def call_of(self, model: ModelRef) -> Call | None:
        return None


@contextlib.contextmanager
def _timed(took: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    took[name] = time.perf_counter() - began


def _round(files: list[Path], application: Application, engine: EmbeddedEngine, folder: Path, port: int) -> dict[str, float]:
    """Seconds by stage of one study, and of the models alone."""
    from inference import findings_file
    from inference.imaging.subject import Takes
    from inference.imaging.subjects import subjects
    from node.blobs.folder import FolderBlobs
    from node.dimse.requestor.peer import PeerRequestor
    from node.results.encode import encode
    from node.results.port import Encoding
    from node.settings.peers import Peer

    blobs = FolderBlobs(folder)
    infer = _Recorded(engine)
    with collected() as took:
        (made,) = subjects(Takes.VOLUME, "refuse", files)
        with stage(ANALYSE):
            findings = application.analyse(made.subject, infer)
    took["models"] = _alone(engine, infer.calls)
    took["transfer"] = max(0.0, took.pop(INFER) - took["models"])
    with _timed(took, "findings"):
        digest = findings_file.digest(findings)
        blobs.put(f"findings/{digest}.bin", findings_file.dumps(findings))
    with _timed(took, "encode"):
        objects = encode(
            Encoding(
                application=application,
                findings=findings,
                sources=made.headers,
                subject=made.subject,
                at=datetime(2024, 1, 2, tzinfo=UTC),
                input_digest="0" * 64,
                model_digest="1" * 64,
                findings_digest=digest,
                parameters="{}",
                device_uid="2.25.1",
            )
        )
    with _timed(took, "keep"):
        for one in objects:
            blobs.put(f"results/{one.sop_instance_uid}.dcm", one.data)
    with _timed(took, "send"):
        peer = Peer(name="archive", ae_title=ARCHIVE, host="127.0.0.1", port=port)
        paths = [str(blobs.path(f"results/{one.sop_instance_uid}.dcm")) for one in objects]
        statuses = PeerRequestor(peer, calling_ae=CALLING).store(paths, on_status=lambda _: None)
    assert all(status.accepted for status in statuses), statuses
    return took


def _alone(engine: EmbeddedEngine, calls: list[tuple[ModelRef, Tensors]]) -> float:
    """Seconds in the models for the same tensors, called past the engine's checks."""
    total = 0.0
    for model, tensors in calls:
        compute = engine.computation(model)
        began = time.perf_counter()
        compute(tensors)
        total += time.perf_counter() - began
    return total


def measure() -> list[Row]:
    """Medians of the rounds; the one before them, which loads the models and imports the libraries, is not counted."""
    from inference.applications import catalog
    from inference.engines.errors import RegistryAway

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hilum-bench-")))
        try:
            models = repository(folder / "models", tuned=True)
            files, what = head(folder / "in")
        except RegistryAway as away:
            say(f"SKIPPED: {away}")
            return []
        engine = stack.enter_context(contextlib.closing(EmbeddedEngine(models)))
        _, port = stack.enter_context(archive(folder / "archive"))
        application = catalog.load("mr-brain")
        rounds = []
        for number in range(ROUNDS + 1):
            say(f"{what}, round {number} of {ROUNDS}")
            rounds.append(_round(files, application, engine, folder / f"blobs-{number}", port))
        runtimes = ", ".join(f"{model.name}: {engine.runtime(model)}" for model in application.models)
    say(runtimes)
    model_s = median(took["models"] for took in rounds[1:])
    overhead_s = median(sum(took[name] for name in STAGES) for took in rounds[1:])
    named = f"pipeline, {what}"
    rows = [Row(name=f"{named}: the models alone", value=model_s, unit="s")]
    rows += [Row(name=f"{named}: {name}", value=median(took[name] for took in rounds[1:]), unit="s", baseline=model_s) for name in STAGES]
    goal = f"below {SHARE:.0%} of the models' time"
    rows.append(
        Row(name=f"{named}: all but the models", value=overhead_s, unit="s", baseline=model_s, goal=goal, met=overhead_s < SHARE * model_s)
    )
    goal = f"below {MOST_S:.0f} s"
    rows.append(Row(name=f"{named}: all but the models, absolute", value=overhead_s, unit="s", goal=goal, met=overhead_s < MOST_S))
    return rows
