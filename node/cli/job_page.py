"""One job as a page: what `hilum jobs show` prints, and a part of the study's passport."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from node.cli import screen
from node.cli.delivery_page import print_objects, print_trouble
from node.records.job_series import other_series, own_instances
from node.records.words import work_of

if TYPE_CHECKING:
    from rich.console import Console


def print_page(console: "Console", content: dict[str, Any]) -> None:
    """The page for people."""
    from rich.text import Text

    title = Text.assemble(
        (f"job {content['id']}", "bold"),
        "  ",
        screen.state(content["state"]),
        f"  {work_of(content)} {content['application_version']}".rstrip(),
    )
    console.print(title)
    print_trouble(console, content, indent=2)
    facts = screen.table("", "")
    facts.show_header = False
    for name, value in _facts(content):
        facts.add_row(Text(f"  {name}", style="dim"), value)
    console.print(facts)
    print_objects(console, content)
    if content["events"]:
        console.print("\n  history", style="bold")
        console.print(timeline(content["events"], indent="  "))


def _facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("study", content["study_uid"]),
        ("series", f"{content['series_uid']} ({screen.plural(own_instances(content), 'instance')})"),
        *other_series(content),
        ("routes", screen.joined(content["routes"])),
        ("priority", f"{content['priority']}, engine {content['engine']}, {screen.plural(content['attempts'], 'attempt')}"),
    ]
    if content["deadline_at"]:
        facts.append(("deadline", content["deadline_at"]))
    if content["model_digest"]:
        facts.append(("model", f"sha256 {content['model_digest']}"))
    if content["predecessor"]:
        facts.append(("revises", f"job {content['predecessor']}"))
    return facts


def timeline(events: Sequence[dict[str, Any]], indent: str = "") -> Any:
    """Events under each other, in this machine's time zone. `subject` stands where the lines have one."""
    several = any("subject" in one for one in events)
    table = screen.table("", *([""] if several else []), "", "")
    table.show_header = False
    for one in events:
        at = indent + screen.when(datetime.fromisoformat(one["at"]))
        subject = [one["subject"]] if several else []
        table.add_row(at, *subject, one["name"].rpartition(".")[2].replace("_", " "), _in_words(one["detail"]))
    return table


def _in_words(detail: str) -> str:
    """A detail that the stages wrote for programs (seconds by stage, as JSON), in words; any other as it is."""
    try:
        said = json.loads(detail)
    except ValueError:
        return detail
    if not isinstance(said, dict):
        return detail
    took = said.pop("took_s", {})
    words = [f"{stage} {seconds:.2f} s" for stage, seconds in took.items()] if isinstance(took, dict) else [f"{took} s"]
    return ", ".join(words + [f"{key.removesuffix('_s').replace('_', ' ')} {_value(value)}" for key, value in said.items() if value != {}])


def _value(value: object) -> str:
    """A value of a detail; of several by name, seconds among them, each with its name."""
    if not isinstance(value, dict):
        return str(value)
    return "(" + ", ".join(f"{name} {each:.2f} s" if isinstance(each, float) else f"{name}: {each}" for name, each in value.items()) + ")"
