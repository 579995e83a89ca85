"""The reference is complete and not stale: every key, command, error code and event is in it, and nothing else."""

import ast
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from docs.event_meanings import HISTORY, LOGGED
from docs.generate import FOLDER, PAGES, logged_events
from node import console
from node.assembly.configuration import schema
from node.dimse.port import Verdict, verdict
from node.domain.state import ArrivalState, DeliveryState, HistoryEvent, JobState
from node.observe import metrics
from node.observe.instruments import Metric
from tests.unit.console.test_roles import LEAST

ROOT = Path(__file__).parents[3]
ENCODED = {"objects.md", "ihe-integration-statement.md"}
"""Pages for which every kind of result is encoded."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in ENCODED else name for name in PAGES])
def test_a_page_is_what_the_source_says_now(name: str) -> None:
    """Run `make docs` when this fails, and read the difference."""
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name]()


def test_calls_stand_with_the_role_that_they_are_refused_without() -> None:
    """The page is read as a person reads it, and compared with what a console is asked as every role (tests/unit/console/test_roles.py)."""
    page = (FOLDER / "api.md").read_text(encoding="utf-8")
    told = {(method, path): role for method, path, role in re.findall(r"^### ([A-Z]+) (\S+)\n\n\*(\w+)\.\*", page, re.MULTILINE)}
    asked = {(method, path): str(role) for (method, path), role in LEAST.items() if path.startswith("/api/")}
    del asked["GET", "/api/openapi.json"]  # which says the same to machines
    assert told == {(method, re.sub(":[a-z]+}", "}", path)): role for (method, path), role in asked.items()}


def test_every_refusal_of_a_call_is_documented_and_every_documented_one_is_given() -> None:
    """The page is read as a person reads it, and compared with the statuses that the console's source names, and the one that
    its framework gives."""
    page = (FOLDER / "api.md").read_text(encoding="utf-8")
    told = [int(number) for number in re.findall(r"^\| (\d{3}) \| .+ \|$", page, re.MULTILINE)]
    assert told == sorted(set(told))
    named = {
        HTTPStatus[node.attr]
        for path in Path(console.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "HTTPStatus"
    }
    assert set(told) == {status for status in named if status >= HTTPStatus.BAD_REQUEST} | {HTTPStatus.METHOD_NOT_ALLOWED}


CONDITIONS = (".when", ".any_series", ".all_series", ".needs.series")
"""Keys under which DICOM keywords stand, or names that the operator gives series."""


def _keys(form: dict[str, object], path: str = "") -> set[str]:
    """Every key of a JSON Schema by its path; a name that the operator chooses is NAME."""
    found: set[str] = set()
    for name, inner in form.get("properties", {}).items():  # type: ignore[attr-defined]
        here = f"{path}.{name}" if path else name
        found |= {here} | _keys(inner, here)
    if isinstance(form.get("additionalProperties"), dict) and not path.endswith(CONDITIONS):
        found |= _keys(form["additionalProperties"], f"{path}.NAME")  # type: ignore[arg-type]
    if isinstance(form.get("items"), dict):
        found |= _keys(form["items"], f"{path}[]")  # type: ignore[arg-type]
    return found


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    """The page is read as a person reads it (headings and tables) and compared with the JSON Schema."""
    page = (FOLDER / "configuration.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^## (\w+)$", page, re.MULTILINE))
    block = ""
    for line in page.split("## when: conditions")[0].splitlines():
        if heading := re.match(r"\| key of `([^`]+)` ", line):
            block = heading[1]
        elif row := re.match(r"\| `(\w+)` \|", line):
            documented.add(f"{block}.{row[1]}")
    assert documented == _keys(schema())


def test_every_condition_is_documented() -> None:
    """What `when` takes beside a plain value, and beside keywords."""
    _, _, section = (FOLDER / "configuration.md").read_text(encoding="utf-8").partition("## when: conditions")
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == {
        name for one in ("condition", "conditions") for name in schema()["$defs"][one]["properties"]
    }


def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    """The page is read as a person reads it and compared with what a node would say."""
    page = (FOLDER / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", page, re.MULTILINE)
    assert {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows} == {
        (metric.name, metric.kind, metric.labels) for metric in vars(metrics).values() if isinstance(metric, Metric)
    }
    assert all(help_text for *_, help_text in rows)


def test_every_event_has_a_sentence_and_every_sentence_an_event() -> None:
    """An operator who meets an event in the log finds what it means."""
    assert set(LOGGED) == set(logged_events())


def test_the_history_has_every_state_and_every_name_that_is_written() -> None:
    """Names are searched for in the source of the journal and of the stages."""
    written = {f"arrival.{one}" for one in ArrivalState} | {f"job.{one}" for one in JobState} | {f"delivery.{one}" for one in DeliveryState}
    for path in (ROOT / "node/journal").rglob("*.py"):
        for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(found, ast.Constant) and re.fullmatch(r"(arrival|job|delivery|instance)\.[a-z_]+", str(found.value)):
                written.add(str(found.value))
    written |= set(HistoryEvent)
    columns = {f"{table}.id" for table in ("arrival", "job", "delivery", "instance")}
    assert written - columns <= set(HISTORY)


def test_every_status_that_counts_as_stored_is_documented() -> None:
    """The list of the conformance statement, and the table that it refers to, against what a sink makes of all 65,536 statuses."""
    taken = {status for status in range(0x10000) if verdict(status) is Verdict.ACCEPTED}
    statement = (FOLDER.parent / "conformance.md").read_text(encoding="utf-8")
    _, _, section = statement.partition("### 1.4 C-STORE as SCU")
    listed, _, _ = section.partition("of bytes.")
    patterns = [re.compile(status.replace("x", ".")) for status in re.findall(r"\b[0-9A-F]{1,4}x{0,3}\b", listed.partition("\n")[2])]
    assert {status for status in range(0x10000) if any(one.fullmatch(f"{status:04X}") for one in patterns)} == taken
    rows = re.findall(
        r"^\| ([0-9A-F]{4})(?:–([0-9A-F]{4}))? \| .* \| delivered \|$", (FOLDER / "contexts.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {status for first, last in rows for status in range(int(first, 16), int(last or first, 16) + 1)} == taken
