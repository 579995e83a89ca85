"""`hilum doctor`: is everything there that the configuration relies on? Each finding says what to do."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from node.assembly.doctor.peers import look_at_callers, look_at_certificates, look_at_peers, look_at_senders, look_at_sinks
from node.assembly.doctor.store import look_at_bucket, look_at_disk, look_at_journal
from node.cli.doctor.encryption import look_at_encryption
from node.cli.doctor.models import look_at_models
from node.cli.doctor.routes import look_at_definitions, look_at_terms
from node.cli.opened import ConfigOption, JsonOption
from node.domain.health import Area, DoctorFinding
from node.settings.config import Config


def doctor(
    *,
    config: ConfigOption = None,
    deep: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: JsonOption = False,
) -> int:
    """Look at disk, journal, node, peers, sinks, engines and models; say what is wrong and what to do.

    Exit code 1 when something is bad, 0 otherwise (warnings included).

    Parameters
    ----------
    deep
        Read the whole store as well: the journal's database and every row, every blob against the digest that its row says (from a bucket
        each is fetched), what lies there without a row, and whether journal and blobs are of one store. Beside a running node too.
    as_json
        One JSON object with the list of findings instead of a table.
    """
    from node.assembly.configuration import load
    from node.settings.load import find_config

    loaded = load(find_config(config))
    findings = list(_look(loaded))
    if deep and not any(finding.subject == "store" for finding in findings):  # what is not this store is not read
        from node.cli.doctor.deep import look_deep

        findings += look_deep(loaded)
    bad = any(finding.level == "bad" for finding in findings)
    if as_json:
        print(json.dumps({"good": not bad, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        show(findings)
    return 1 if bad else 0


def _look(config: Config) -> Iterator[DoctorFinding]:
    yield DoctorFinding(area=Area.CONFIGURATION, subject="configuration", level="good", detail=f"{config.path} ({config.digest[:12]})")
    looks: list[Callable[[Config], Iterator[DoctorFinding]]] = [
        look_at_disk,
        look_at_encryption,
        look_at_bucket,
        look_at_journal,
        look_at_certificates,
        look_at_senders,
        look_at_callers,
        look_at_terms,
        look_at_definitions,
        look_at_peers,
        look_at_sinks,
        look_at_models,
    ]
    for look in looks:
        yield from look(config)


def show(findings: list[DoctorFinding]) -> None:
    """Print them as a table, each with what to do."""
    from rich.table import Table
    from rich.text import Text

    from node.cli import screen

    marks = {"good": Text("✓", style="green"), "warning": Text("!", style="yellow"), "bad": Text("✗", style="red")}
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(width=1)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        fix = f"\n→ {finding.fix}" if finding.fix else ""
        table.add_row(marks[finding.level], finding.subject, Text.assemble(finding.detail, (fix, "dim")))
    screen.out().print(table)
