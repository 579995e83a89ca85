"""`hilum doctor`: is everything there that the configuration relies on? Each finding says what to do."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.doctor_disk import look_at_disk
from node.cli.doctor_jail import look_at_jail, look_at_user
from node.cli.doctor_sealing import look_at_encryption
from node.cli.doctor_senders import look_at_senders
from node.cli.doctor_sinks import look_at_sinks
from node.cli.doctor_tls import look_at_certificates
from node.cli.finding import Finding
from node.settings.config import Config, EngineKind

if TYPE_CHECKING:
    from inference.engines.port import ModelRef
    from inference.engines.repository import Repository
    from node.journal.sql import SqlJournal

_SILENT = timedelta(seconds=60)
_CLOCK_OFF_S = 1.0


def doctor(
    *,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    deep: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Look at disk, journal, node, peers, sinks, engines and models; say what is wrong and what to do.

    Exit code 1 when something is bad, 0 otherwise (warnings included).

    Parameters
    ----------
    config
        The configuration (default: ./hilum.yaml, else ./config/hilum.yaml).
    deep
        Read the whole store as well: the journal's database and every row, every blob against the digest that its row says (from a bucket
        each is fetched), what lies there without a row, and whether journal and blobs are of one store. Beside a running node too.
    as_json
        One JSON object with the list of findings instead of a table.
    """
    from node.settings.find import find_config
    from node.settings.load import load

    loaded = load(find_config(config))
    findings = list(_look(loaded))
    if deep and not any(finding.subject == "store" for finding in findings):  # what is not this store is not read
        from node.cli.doctor_deep import look_deep

        findings += look_deep(loaded)
    bad = any(finding.level == "bad" for finding in findings)
    if as_json:
        print(json.dumps({"good": not bad, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        _show(findings)
    return 1 if bad else 0


def _look(config: Config) -> Iterator[Finding]:
    yield Finding(subject="configuration", level="good", detail=f"{config.path} ({config.digest[:12]})")
    looks: list[Callable[[Config], Iterator[Finding]]] = [
        look_at_disk,
        look_at_encryption,
        _bucket,
        _journal,
        look_at_certificates,
        look_at_senders,
        _peers,
        look_at_sinks,
        _models,
    ]
    for look in looks:
        yield from look(config)


def _bucket(config: Config) -> Iterator[Finding]:
    from inference.errors import HilumError
    from node.assembly.compose import ask_bucket

    if config.store.bucket is not None:
        try:
            detail = ask_bucket(config.store.bucket)
        except HilumError as broken:
            yield Finding(subject="bucket", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        else:
            yield Finding(subject="bucket", level="good", detail=detail)


def _journal(config: Config) -> Iterator[Finding]:
    from inference.errors import HilumError
    from node.assembly.compose import open_journal
    from node.assembly.identity import refuse_other_places

    try:
        refuse_other_places(config)
    except HilumError as broken:
        yield Finding(subject="store", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        return  # a journal that is opened where a disk is not mounted would be made there
    try:
        with contextlib.closing(open_journal(config)) as journal:
            yield from _of_journal(config, journal)
    except HilumError as broken:
        yield Finding(subject="journal", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)


def _of_journal(config: Config, journal: "SqlJournal") -> Iterator[Finding]:
    """What the journal itself says of its node."""
    from node.assembly.roles import node_runs
    from node.domain.state import ArrivalState, DeliveryState, JobState

    yield Finding(subject="journal", level="good", detail=journal.name)
    if abs(ahead_s := journal.ahead_s()) > _CLOCK_OFF_S:
        detail = f"this host's clock is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the database's"
        yield Finding(
            subject="clock", level="warning", detail=detail, fix="Work goes by the database's; let NTP set this host's, for its logs."
        )
    if node_runs(config):
        silent = [name for name, (at, _) in journal.beats().items() if journal.now() - at > _SILENT]
        fix = "Look at its events; the supervisor starts it again when it dies." if silent else ""
        detail = f"running; no sign of life from {', '.join(silent)}" if silent else "running"
        yield Finding(subject="node", level="warning" if silent else "good", detail=detail, fix=fix)
    else:
        yield Finding(subject="node", level="warning", detail="not running on this store", fix="Start it with `hilum serve`.")
    for kind, name, since in journal.paused():
        fix = f"`hilum resume {kind} {name}` when it may go on."
        yield Finding(subject=f"{kind} {name}", level="warning", detail=f"paused since {since:%Y-%m-%d %H:%M} UTC", fix=fix)
    stuck = journal.jobs(states=(JobState.PARKED, JobState.FAILED))
    if stuck:
        fix = "`hilum jobs list --state parked`, then `hilum jobs show JOB` says what each needs."
        yield Finding(subject="jobs", level="warning", detail=f"{len(stuck)} parked or failed", fix=fix)
    unrouted = list(dict.fromkeys(one.study_instance_uid for one in journal.arrivals(states=(ArrivalState.PARKED,), newest=True)))
    if unrouted:
        fix = "`hilum studies show STUDY` says why; `hilum studies retry STUDY` routes it again. `hilum studies list` has their states."
        detail = f"{len(unrouted)} parked: they could not be routed, such as {unrouted[0]}"
        yield Finding(subject="studies", level="warning", detail=detail, fix=fix)
    conflicts = journal.conflicts()
    if conflicts:
        studies = len({one.study_instance_uid for one in conflicts})
        fix = "`hilum studies show STUDY` names them and their sender: two different images bear one UID. The first is used."
        yield Finding(subject="conflicts", level="warning", detail=f"{len(conflicts)} kept, studies concerned: {studies}", fix=fix)
    held = journal.held_series()
    if held:
        studies = len({one.study_instance_uid for one in held})
        fix = (
            "`hilum studies list`, then `hilum studies show STUDY` says why; `hilum studies accept-held STUDY` lets them "
            "count, `hilum studies refuse-held STUDY` does not. What the first sender sent was analysed without them."
        )
        detail = f"{sum(one.instances for one in held)} instances wait for a person, studies concerned: {studies}"
        yield Finding(subject="held instances", level="warning", detail=detail, fix=fix)
    refused = journal.deliveries(states=(DeliveryState.PARKED,))
    if refused:
        fix = "`hilum jobs show JOB` names the sink and its status; then `hilum jobs resend JOB`."
        yield Finding(subject="deliveries", level="warning", detail=f"{len(refused)} refused by their sink", fix=fix)


def _peers(config: Config) -> Iterator[Finding]:
    from node.assembly.reach import ask_peer

    for peer in config.peers.values():
        subject = f"peer {peer.name}"
        if not peer.port:
            yield Finding(subject=subject, level="good", detail=f"{peer.ae_title} only calls; nothing to ask")
            continue
        answer = ask_peer(config, peer)
        if answer.ready:
            yield Finding(subject=subject, level="good", detail=f"{peer.ae_title} {answer.detail}")
        else:
            fix = f"Is {peer.ae_title} running at {peer.host}:{peer.port}, and does it know the node's AE title?"
            yield Finding(subject=subject, level="bad", detail=answer.detail, fix=fix)


def _brought_by(config: Config, name: str) -> str:
    """What brings the weights of an application into the repository."""
    from inference.errors import HilumError
    from node.assembly.compose import manifest

    try:
        declared = manifest(config, name)
    except HilumError:
        return f"`hilum models import {name}`"
    if declared.sources or not declared.models:
        return f"`hilum models import {name}`"
    trained = " and ".join(f"`hilum models import --file FILE --name {model.name}`" for model in declared.models)
    return f"No weights of {name} are published. Train them (`hilum train`, `hilum export`), or get them from whoever did: {trained}"


def _models(config: Config) -> Iterator[Finding]:
    from inference.engines.repository import Repository
    from inference.errors import HilumError
    from node.assembly.compose import application, engine_kind, engine_of
    from node.cli.doctor_engines import look_at_engines

    wanted = sorted({name for route in config.routes for name in route.run})
    yield from look_at_user()
    yield from look_at_engines(config, wanted)
    yield from look_at_jail(config, wanted)
    repository = Repository(config.models)
    for name in wanted:
        try:
            models = application(config, name).models
            for model in models:
                repository.verify(model)
        except HilumError as missing:
            fix = f"{_brought_by(config, name)}, then `hilum jobs retry` what was parked."
            yield Finding(subject=f"application {name}", level="bad", detail=f"{missing} [{missing.code}]", fix=fix)
        else:
            held = "its models are in the repository, digests verified" if models else "it calls no model"
            yield Finding(subject=f"application {name}", level="good", detail=held)
            if engine_kind(config, engine_of(config, name)) is EngineKind.EMBEDDED:
                yield from _speed(name, repository, models)


def _speed(name: str, repository: "Repository", models: "Sequence[ModelRef]") -> Iterator[Finding]:
    """Whether the embedded engine knows how this machine computes the models best."""
    unknown = []
    for model in models:
        entry = repository.entry(model)
        if entry is None or entry.golden is None or repository.config(model).steps:
            continue  # nothing to judge a way of computing it by: it is not measured
        reason = "never measured" if entry.embedded is None else entry.embedded.elsewhere()
        if reason:
            unknown.append(f"{model.name}: {reason}")
    if unknown:
        fix = f"`hilum models tune {' '.join(model.name for model in models)}` finds out how this machine computes them best."
        yield Finding(subject=f"application {name}", level="warning", detail="; ".join(unknown), fix=fix)


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    marks = {"good": "[green]✓[/]", "warning": "[yellow]![/]", "bad": "[red]✗[/]"}
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(width=1)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(marks[finding.level], finding.subject, finding.detail + (f"\n[dim]→ {finding.fix}[/]" if finding.fix else ""))
    Console(highlight=False).print(table)
