"""`hilum demo`: the whole way on a real head, on this machine alone: receive, route, infer, encode, deliver."""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from node.dicom.part10 import received_head
from node.dimse.port import Incoming
from node.domain.errors import ConfigError
from node.domain.instance import Reception
from node.domain.job import Job
from node.domain.state import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from inference.applications.port import Application
    from node.journal.journal import Journal
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
{roles}    send: [archive]
"""


class DemoFailed(ConfigError):
    """The demo did not come to its end."""

    code = "HLM-2095"
    remedy = "See the reason, and the node's events in node/events.log of the output folder."


def demo(
    *,
    input: Annotated[Path | None, Parameter(name="--input")] = None,
    application: str = "mr-brain",
    role: list[str] | None = None,
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
        A series of your own: a file, a folder or a zip of DICOM files; several series of a study for what analyses them together
        (roles, a cine of a series a slice, a 4-D CT of a series a phase), two studies of one patient for what compares them.
    application
        The application to run.
    role
        Of an application that analyses several series: which fills a role, by its number ("T1c=4"); else the one whose description
        has the role's name in it.
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
    from node.cli import screen
    from node.cli.demo_needs import demo_engine, demo_series, ensure_models
    from node.observe.events import start_events

    start_events("demo", logging.ERROR)  # the archive's own events are nobody's business here
    console = screen.out(on_stderr=as_json, markup=True)
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
        config = _configure(out, chosen, archive_port, runs.config, role or [])
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
    from node.assembly.compose import open_listener
    from node.settings.config import Config
    from node.settings.node import Node
    from node.settings.peers import Peer
    from node.settings.store import Store

    settings = Config(
        path=out,
        digest="",
        node=Node(ae_titles=("ARCHIVE",), port=0),
        store=Store(journal="", blobs=out),
        models=out,
        peers={"node": Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=0)},
    )
    listener = open_listener(settings, ArchiveFolder(out))
    listener.start()
    try:
        yield listener.port
    finally:
        listener.stop(5.0)


def _configure(out: Path, application: "Application", archive_port: int, engines: str, given: "Sequence[str]") -> "Config":
    from node.assembly.configuration import load

    path, roles = out / "node" / "hilum.yaml", in_roles(application, given)
    text = _CONFIG.format(path=path, archive_port=archive_port, application=application.name, engines=engines, roles=roles)
    path.write_text(text, encoding="utf-8")
    return load(path)


def in_roles(application: "Application", given: "Sequence[str]") -> str:
    """The lines of the route that say which series fills each role of the application; "" where it has none.

    Raises
    ------
    DemoFailed
        What was given names no role, or no number.
    """
    numbers = dict(one.partition("=")[::2] for one in given)
    names = [role.name for role in application.roles if not role.prior_of]
    for name, number in numbers.items():
        if name not in names or not number.isdigit():
            known = f"its roles are {', '.join(names)}" if names else "it takes no series in roles"
            raise DemoFailed(f"--role {name}={number}: write ROLE=SERIES NUMBER; of {application.name} {known}")
    lines = [
        f'      "{name}": {{SeriesNumber: {numbers[name]}}}'
        if name in numbers
        else f'      "{name}": {{SeriesDescription: {{matches: "(?i)(^|[^a-z0-9]){name}([^a-z0-9]|$)"}}}}'
        for name in names
    ]
    return "\n".join(["    roles:", *lines, "    needs: {within: 1s}", ""]) if lines else ""


@contextlib.contextmanager
def _node(config: "Config", log: Path) -> Iterator[int]:
    """The real node, as `hilum serve` runs it; its events go to a file."""
    with log.open("w", encoding="utf-8") as events:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "node.cli.main", "serve", "--config", str(config.path)],
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

    from node.assembly.compose import calling
    from node.settings.peers import Peer

    began = time.monotonic()
    requestor = calling(Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=port), "DEMOSCU")
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
            jobs = [job for job in journal.jobs.find() if job.state is not JobState.SUPERSEDED]
            if jobs and all(job.state in _ENDED for job in jobs):
                job = max(jobs, key=lambda job: (_studied_at(journal, job), -job.id))
                if job.state is not JobState.DONE:
                    raise DemoFailed(f"the job ended {job.state}: {job.reason} [{job.code}]")
                return job, time.monotonic() - began
            _say(status, journal, jobs)
            time.sleep(0.1)
    raise DemoFailed(f"no result after {_PATIENCE_S:.0f} s")


def _studied_at(journal: "Journal", job: Job) -> str:
    """When the study of a job was made: of several visits the last is shown."""
    from node.domain.patient import studied_at

    return max(studied_at(one.header) for one in journal.instances.of_job(job.id) if one.study_instance_uid == job.study_instance_uid)


def _say(status: "object", journal: "Journal", jobs: list[Job]) -> None:
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
    arrivals = journal.arrivals.find()
    # a study that waits for its prior is routed again when that one is; jobs come in the same moment as the state
    if arrivals and all(arrival.state is ArrivalState.ROUTED for arrival in arrivals) and not journal.jobs.find():
        reasons = dict.fromkeys(decision.reason for arrival in arrivals for decision in journal.routing.decisions(arrival.id))
        raise DemoFailed(f"no route took the series: {'; '.join(reasons)}")


def _summarise(config: "Config", job: Job, out: Path) -> dict[str, object]:
    """Objects as they stand in the archive, measurements, seconds by stage; writes overlay.png."""
    from inference import findings_parts
    from inference.imaging.subjects import subjects
    from node.assembly.compose import application, open_blobs, open_journal
    from node.results.page.naming import certainty, interval_quantities, quantity
    from node.results.page.picture import overlay_png

    with contextlib.closing(open_journal(config)) as journal:
        blobs = open_blobs(config)
        assert job.findings_blob is not None, "a job that is done has findings"
        # of a series that was split, the first part
        _, findings = findings_parts.loads(blobs.path(job.findings_blob).read_bytes())[0]
        files = {instance.id: blobs.path(instance.blob) for instance in journal.instances.of_job(job.id)}
        given = {files[instance]: role for instance, role in journal.instances.roles_of_job(job.id).items()}
        objects = [
            {
                "path": str(out / f"{item.kind}-{item.sop_instance_uid[-12:]}.dcm"),
                "kind": item.kind,
                "form": item.form,
                "sop_class_uid": item.sop_class_uid,
                "sop_instance_uid": item.sop_instance_uid,
                "series_description": item.description,
            }
            for item in journal.results.of_job(job.id)
            if (out / "archive" / f"{item.sop_instance_uid}.dcm").is_file()  # what the archive's profile leaves out is not there
        ]
        for item in objects:
            received = out / "archive" / f"{item['sop_instance_uid']}.dcm"
            received.replace(Path(str(item["path"])))
        stages = {name: took for line in journal.events.of("job", job.id) for name, took in _stage_seconds(line.detail).items()}
    chosen = application(config, job.application)
    accepts, series, roles = chosen.accepts, job.series_instance_uid, chosen.in_roles
    analysed = subjects(accepts.takes, accepts.parts, list(files.values()), series, given, roles=roles)[0].subject
    (out / "overlay.png").write_bytes(overlay_png(analysed, findings, title=chosen.title, subtitle=f"{chosen.name} {chosen.version}"))
    return {
        "application": f"{chosen.name} {chosen.version}",
        "objects": objects,
        "measurements": [
            {
                "name": m.name.meaning,
                "derivation": m.derivation.meaning if m.derivation else None,
                "value": m.value,
                "unit": m.unit.value,
                "shown": quantity(m),
                "segment": m.segment,
                "location": m.location,
                "at_least": m.at_least,
                "interval": [m.interval.low, m.interval.high] if m.interval else None,
                "interval_shown": f"{certainty(m.interval.level)}: {' to '.join(interval_quantities(m))}" if m.interval else "",
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


class ArchiveFolder:
    """An `Intake` that writes Part 10 files into `folder`/archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "archive"
        self._folder.mkdir(parents=True, exist_ok=True)

    def crowded(self) -> str | None:
        """Never: the demo sends little."""
        return None

    def begin(self, reception: Reception) -> Incoming:
        """Open a file beside where it will lie."""
        return _File(self._folder / f"{reception.sop_instance_uid}.dcm", received_head(reception))

    def expect(self, association: str) -> None:
        """Nothing is made before it is needed."""

    def ended(self, association: str) -> bool:
        """Every instance was flushed before it was answered."""
        return True


class _File:
    """Write, flush, rename: the same promise as a real archive's."""

    def __init__(self, path: Path, head: bytes) -> None:
        self._path = path
        self._partial = path.with_suffix(".part")
        self._file = self._partial.open("wb")
        self._file.write(head)

    def write(self, *fragments: bytes | memoryview) -> None:
        """Append them."""
        self._file.writelines(fragments)

    def keep(self) -> None:
        """Flush and rename; again does nothing."""
        if self._file.closed:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)

    def abandon(self) -> None:
        """Close and delete; again, or after `keep`, does nothing."""
        if not self._file.closed:
            self._file.close()
            self._partial.unlink(missing_ok=True)


def tell(console: "Console", summary: dict[str, object], out: Path) -> None:
    """Objects, measurements, seconds and the picture, and what to do next."""
    from rich.table import Table

    objects = summary["objects"]
    measurements = summary["measurements"]
    assert isinstance(objects, list)
    assert isinstance(measurements, list)
    table = Table(title="What stands in the archive now", title_justify="left", box=None)
    for column in ("object", "series", "file"):
        table.add_column(column)
    for (kind, series), several in groupby(objects, lambda item: (str(item["kind"]).upper(), item["series_description"])):
        files = [Path(item["path"]).name for item in several]
        table.add_row(kind, series, files[0] if len(files) == 1 else f"{files[0]} … {files[-1]} ({len(files)} files)")
    console.print("[bold]4[/] Results came back by C-STORE\n")
    console.print(table)
    for measurement in measurements:
        of = measurement["segment"] or measurement["location"]
        about = (f" of {of}" if of else "") + (f" ({measurement['derivation']})" if measurement["derivation"] else "")
        bound = "at least " if measurement["at_least"] else ""
        interval = f" ({measurement['interval_shown']})" if measurement["interval_shown"] else ""
        console.print(f"\n   {measurement['name']}{about}: [bold]{bound}{measurement['shown']}[/]{interval}")
    for sentence in (*summary["cautions"], *summary["remarks"]):  # type: ignore[misc]
        console.print(f"\n   {sentence}")
    triton = summary.get("triton")
    if isinstance(triton, dict) and triton["computed"]:
        console.print("\n   Triton computed: " + ", ".join(f"{name} {count}×" for name, count in triton["computed"].items() if count))
    took = "  ".join(f"{stage} {value:.1f} s" for stage, value in summary["seconds"].items())  # type: ignore[attr-defined]
    console.print(f"\n   [dim]{took}[/]")
    console.print(f"\n   Picture: {summary['overlay']}")
    console.print("   Research, preliminary, unverified: not for diagnosis.\n")
    console.print("[bold]Next[/]")
    command = _command()
    console.print(f"   your own series     {command} demo --input PATH --out {_from_here(out)}")
    console.print(f"   a node of your own  {command} init mynode, then in there: {command} serve")
    console.print(f"   is all well?        {command} doctor")


def _command() -> str:
    """How this very command is called from here: by its name when the environment is active, else by its path."""
    own = Path(sys.executable).with_name("hilum")
    if shutil.which("hilum") == str(own):
        return "hilum"
    return _from_here(own)


def _from_here(path: Path) -> str:
    """As short as it can be typed; a path of the whole machine is not shortened by its first stroke."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) and here != Path(here.anchor) else str(path)
