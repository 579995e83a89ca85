"""`hilum demo`: the whole way on a real head, on this machine alone: receive, route, infer, encode, deliver."""

import contextlib
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from node.domain.errors import ConfigError
from node.domain.job import Job
from node.domain.state import JobState

if TYPE_CHECKING:
    from rich.console import Console

    from node.journal.sql import SqlJournal
    from node.settings.config import Config

_ENDED = (JobState.DONE, JobState.PARKED, JobState.FAILED, JobState.NOT_APPLICABLE)
_PATIENCE_S = 900.0
_CONFIG = """\
# Written by `hilum demo`; `hilum serve --config {path}` runs the same node again.
node: {{ae_title: HILUM, listen: "127.0.0.1:0"}}
peers:
  modality: {{ae_title: DEMOSCU, address: "127.0.0.1:0", may: [store, echo], settle: {{scope: study, quiet: 1s}}}}
  archive: {{ae_title: ARCHIVE, address: "127.0.0.1:{archive_port}", may: [store, echo]}}
store: {{journal: "sqlite:hilum.db", blobs: "file:blobs", min_free: 200MB}}
models: {{repository: models}}
{engines}sinks: {{archive: {{kind: dimse, peer: archive}}}}
routes:
  - name: demo
    from: [modality]
    run: [{application}]
    send: [archive]
"""


class DemoFailed(ConfigError):
    """The demo did not come to its end."""

    code = "HLM-2095"
    remedy = "See the reason, and the node's events in node/events.log of the output folder."


def demo(
    *,
    input: Annotated[Path | None, Parameter(name="--input")] = None,
    application: str = "mr-brain",
    engine: Literal["embedded", "triton"] = "embedded",
    triton_url: str | None = None,
    models: Path | None = None,
    out: Path = Path("hilum-demo"),
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Send a real head MR through a node on this machine and show what comes back.

    Starts a small archive and a node on loopback, sends the series as a PACS would, waits until the results stand in the
    archive, and writes overlay.png. Without --input it fetches a whole-head T1 volume (Apache-2.0) from the Python package registry,
    once, and sends it, or the part of it that the application takes (hippocampus).

    Parameters
    ----------
    input
        A series of your own: a file, a folder or a zip of DICOM files; two studies of one patient for what compares them.
    application
        The application to run.
    engine
        What runs the models: the node itself, or a Triton server that is started on this machine for the demo.
    triton_url
        A Triton server that is running, "grpc://host:8001", instead of one of the demo's own; it has to serve the application's models.
    models
        A model repository that holds what the application needs, such as an imported bundle (docs/howto/bring-a-model.md); it is copied.
    out
        The folder for results, picture, and the node's own files. Emptied of an earlier demo's results first.
    as_json
        One JSON object on stdout: objects, measurements, seconds by stage.
    """
    from rich.console import Console

    from node.cli.demo_engine import demo_engine
    from node.cli.demo_input import demo_series, ensure_models
    from node.cli.demo_page import tell
    from node.observe.events import start_events

    start_events("demo", logging.ERROR)  # the archive's own events are nobody's business here
    console = Console(stderr=as_json, highlight=False)
    out = out.resolve()
    _clear(out)
    began = time.monotonic()
    with console.status("Preparing the series and the model…"):
        chosen = ensure_models(application, out / "node" / "models", models)
        files = demo_series(input, out / "input", chosen.sample)
    prepared_s = time.monotonic() - began
    console.print(f"[bold]1[/] Series: {len(files)} instances in {files[0].parent}")
    with demo_engine(engine, triton_url, application, out / "node" / "models") as runs, _archive(out) as archive_port:
        if runs.url:
            console.print(f"  The models run on {runs.detail}")
        config = _configure(out, application, archive_port, runs.config)
        with _node(config, out / "node" / "events.log") as port:
            console.print(f"[bold]2[/] Node HILUM listens on 127.0.0.1:{port}, archive ARCHIVE on 127.0.0.1:{archive_port}")
            sent_s = _send(console, files, port)
            job, waited_s = _wait(console, config)
            summary = _summarise(config, job, out)
    seconds = {"prepare": prepared_s, "send": sent_s, "until_delivered": waited_s, **summary.pop("stages")}  # type: ignore[dict-item]
    summary["seconds"] = {stage: round(value, 3) for stage, value in seconds.items()}
    summary |= runs.summary()
    if as_json:
        print(json.dumps(summary, indent=1))
    else:
        tell(console, summary, out)
    return 0


def _clear(out: Path) -> None:
    for part in ("archive", "input", "node/blobs", "node/blobs.run"):
        shutil.rmtree(out / part, ignore_errors=True)
    for old in [*out.glob("*.dcm"), *out.glob("overlay.png"), *(out / "node").glob("hilum.db*")]:
        old.unlink()
    (out / "node").mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _archive(out: Path) -> Iterator[int]:
    """A small archive: a storage SCP that writes what it gets into the output folder."""
    from node.cli.demo_archive import ArchiveFolder
    from node.dimse.listener import Listener
    from node.settings.config import Config, Node, Peer, Store

    settings = Config(
        path=out,
        digest="",
        node=Node(ae_titles=("ARCHIVE",), port=0),
        store=Store(journal="", blobs=out),
        models=out,
        peers={"node": Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=0)},
    )
    listener = Listener(settings, ArchiveFolder(out))
    listener.start()
    try:
        yield listener.port
    finally:
        listener.stop(5.0)


def _configure(out: Path, application: str, archive_port: int, engines: str) -> "Config":
    from node.settings.load import load

    path = out / "node" / "hilum.yaml"
    path.write_text(_CONFIG.format(path=path, archive_port=archive_port, application=application, engines=engines), encoding="utf-8")
    return load(path)


@contextlib.contextmanager
def _node(config: "Config", log: Path) -> Iterator[int]:
    """The real node, as `hilum serve` runs it; its events go to a file."""
    with log.open("w", encoding="utf-8") as events:
        process = subprocess.Popen(
            [sys.executable, "-m", "node.cli.main", "serve", "--config", str(config.path)],
            stdout=subprocess.PIPE,
            stderr=events,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise DemoFailed(f"the node did not start; its events are in {log}")
            yield int(json.loads(line)["port"])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _send(console: "Console", files: list[Path], port: int) -> float:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from node.dimse.requestor import PeerRequestor
    from node.settings.config import Peer

    began = time.monotonic()
    requestor = PeerRequestor(Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=port), calling_ae="DEMOSCU")
    columns = (TextColumn("[bold]3[/] Sending as a PACS would"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("send", total=len(files))
        statuses = requestor.store([str(path) for path in files], on_status=lambda _: bar.advance(task))
    refused = [status for status in statuses if not status.accepted]
    if refused:
        raise DemoFailed(f"{len(refused)} of {len(files)} instances were not accepted; the first: {refused[0]}")
    return time.monotonic() - began


def _wait(console: "Console", config: "Config") -> tuple[Job, float]:
    from node.assembly.compose import open_journal

    began = time.monotonic()
    with contextlib.closing(open_journal(config)) as journal, console.status("Waiting for the study to settle…") as status:
        while time.monotonic() - began < _PATIENCE_S:
            jobs = [job for job in journal.jobs() if job.state is not JobState.SUPERSEDED]
            if jobs and all(job.state in _ENDED for job in jobs):
                job = max(jobs, key=lambda job: (_studied_at(journal, job), -job.id))
                if job.state is not JobState.DONE:
                    raise DemoFailed(f"the job ended {job.state}: {job.reason} [{job.code}]")
                return job, time.monotonic() - began
            _say(status, journal, jobs)
            time.sleep(0.1)
    raise DemoFailed(f"no result after {_PATIENCE_S:.0f} s")


def _studied_at(journal: "SqlJournal", job: Job) -> str:
    """When the study of a job was made: of several visits the last is shown."""
    from node.domain.patient import studied_at

    return max(studied_at(one.header) for one in journal.job_instances(job.id) if one.study_instance_uid == job.study_instance_uid)


def _say(status: "object", journal: "SqlJournal", jobs: list[Job]) -> None:
    """Tell which state the study is in, and refuse to wait for a study that no route takes."""
    from node.domain.state import ArrivalState

    sentences = {
        JobState.QUEUED: "The model is at work…",
        JobState.INFERRED: "Encoding the findings…",
        JobState.ENCODED: "Delivering to the archive…",
    }
    if jobs:
        status.update(sentences.get(jobs[0].state, str(jobs[0].state)))  # type: ignore[attr-defined]
        return
    arrivals = journal.arrivals()
    # a study that waits for its prior is routed again when that one is; jobs come in the same moment as the state
    if arrivals and all(arrival.state is ArrivalState.ROUTED for arrival in arrivals) and not journal.jobs():
        reasons = dict.fromkeys(decision.reason for arrival in arrivals for decision in journal.decisions(arrival.id))
        raise DemoFailed(f"no route took the series: {'; '.join(reasons)}")


def _summarise(config: "Config", job: Job, out: Path) -> dict[str, object]:
    """Objects as they stand in the archive, measurements, seconds by stage; writes overlay.png."""
    from inference import findings_parts
    from inference.imaging.subjects import subjects
    from node.assembly.compose import application, open_blobs, open_journal
    from node.results.page.picture import overlay_png

    with contextlib.closing(open_journal(config)) as journal:
        blobs = open_blobs(config)
        assert job.findings_blob is not None, "a job that is done has findings"
        # of a series that was split, the first part
        _, findings = findings_parts.loads(blobs.path(job.findings_blob).read_bytes())[0]
        files = [blobs.path(instance.blob) for instance in journal.job_instances(job.id)]
        objects = [
            {
                "path": str(out / f"{item.kind}-{item.sop_instance_uid[-12:]}.dcm"),
                "kind": item.kind,
                "form": item.form,
                "sop_class_uid": item.sop_class_uid,
                "sop_instance_uid": item.sop_instance_uid,
                "series_description": item.description,
            }
            for item in journal.objects(job.id)
            if (out / "archive" / f"{item.sop_instance_uid}.dcm").is_file()  # what the archive's profile leaves out is not there
        ]
        for item in objects:
            received = out / "archive" / f"{item['sop_instance_uid']}.dcm"
            received.replace(Path(str(item["path"])))
        stages = {name: took for line in journal.events("job", job.id) for name, took in _stage_seconds(line.detail).items()}
    chosen = application(config, job.application)
    analysed = subjects(chosen.accepts.takes, chosen.accepts.parts, files, job.series_instance_uid)[0].subject
    (out / "overlay.png").write_bytes(overlay_png(analysed, findings, title=chosen.title, subtitle=f"{chosen.name} {chosen.version}"))
    return {
        "application": f"{chosen.name} {chosen.version}",
        "objects": objects,
        "measurements": [
            {
                "name": m.name.meaning,
                "value": m.value,
                "unit": m.unit.value,
                "segment": m.segment,
                "location": m.location,
                "at_least": m.at_least,
            }
            for m in findings.measurements
        ],
        "cautions": [one.sentence for one in findings.cautions],
        "remarks": list(findings.remarks),
        "overlay": str(out / "overlay.png"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "stages": stages,
    }


def _stage_seconds(detail: str) -> dict[str, float]:
    """The `took_s` by stage that the runner leaves in an event's detail; nothing when the event is another one."""
    with contextlib.suppress(ValueError, AttributeError):
        said = json.loads(detail).get("took_s", {})
        return {str(stage): float(took) for stage, took in said.items()}
    return {}
