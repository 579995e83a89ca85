"""A study's passport for people; and one job as a page, which `hilum jobs show` prints, and which is a part of the passport."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from node.cli import screen
from node.domain.arrival import Completeness
from node.records.jobs import other_series, own_instances, routes_asking
from node.records.studies import short_in_words, waits_in_words
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
        ("routes", screen.joined(routes_asking(content))),
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


def print_objects(console: "Console", content: dict[str, Any]) -> None:
    """The objects of a job, and what each sink said of each."""
    from rich.text import Text

    if content["objects"]:
        console.print("\n  objects", style="bold")
    for (name, description), several in _alike(content["objects"], "description"):
        size = screen.size(sum(one["size"] for one in several))
        console.print(screen.hanging(f"{description}, {size}", 3, Text(_counted(name, several), style="bold")))
        if len(several) == 1:
            console.print(screen.hanging(Text(several[0]["sop_uid"], style="dim"), 8))
    for delivery in content["deliveries"]:
        tries = screen.plural(delivery["attempts"], "attempt")
        form = f"  masks as {delivery['form']}" if delivery["form"] else ""
        awaits = ", awaits its commitment" if delivery["awaits_commitment"] else ""
        console.print(
            Text.assemble(("\n  to " + delivery["sink"], "bold"), "  ", screen.state(delivery["state"]), f"{awaits}  {tries}{form}")
        )
        print_trouble(console, delivery, indent=4)
        _print_commitment(console, delivery)
        for note in delivery["notes"]:
            console.print(screen.hanging(Text(note, style="yellow"), 4, Text("!", style="yellow")))
        sent = [one for one in delivery["objects"] if not one["left_out"]]
        for (name, accepted, status, detail), several in _alike(sent, "accepted", "status", "detail"):
            answered = "" if status is None and accepted else " no answer" if status is None else f" 0x{status:04X}"
            line = Text(f"{_counted(name, several)}{answered}  {detail}".rstrip(), style="" if accepted else "red")
            console.print(screen.hanging(line, 4, screen.mark(accepted)))
        stayed: dict[str, list[str]] = {}
        for (name, detail), several in _alike([one for one in delivery["objects"] if one["left_out"]], "detail"):
            stayed.setdefault(detail, []).append(_counted(name, several))
        for detail, names in stayed.items():
            console.print(screen.hanging(Text(f"{', '.join(names)}  {detail}", style="dim"), 4, Text("–", style="dim")))


def _print_commitment(console: "Console", delivery: dict[str, Any]) -> None:
    """What the sink said last of the commitment that it was asked for."""
    from rich.text import Text

    if not delivery["commitment"]:
        return
    newest = next((one for one in reversed(delivery["commitment"]) if one["answered_at"]), delivery["commitment"][-1])
    at = screen.when(datetime.fromisoformat(newest["asked_at"]))
    asked = f"commitment asked {at} for {screen.plural(newest['asked'], 'object')}"
    waits = newest["detail"] or ("waits for the report" if newest["state"] == "accepted" else "waits for an answer")
    times = f" (asked {len(delivery['commitment'])} times)" if len(delivery["commitment"]) > 1 else ""
    console.print(screen.hanging(Text(f"{asked}: {waits}{times}"), 4, screen.mark(bool(newest["answered_at"]) and not newest["failed"])))


def _counted(name: str, several: Sequence[object]) -> str:
    return f"{name} ×{len(several)}" if len(several) > 1 else name


def _alike(objects: Sequence[dict[str, Any]], *keys: str) -> Iterator[tuple[tuple[Any, ...], list[dict[str, Any]]]]:
    """Neighbours with the same name and `keys`: the hundreds of images of one derived series are one line."""

    def key(one: dict[str, Any]) -> tuple[Any, ...]:
        return (f"{one['kind'].upper()} {one['form']}".strip(), *(one[word] for word in keys))

    return ((found, list(several)) for found, several in groupby(objects, key))


def print_trouble(console: "Console", content: dict[str, Any], indent: int) -> None:
    """Code, reason and what to do, of a job or a delivery that has them."""
    from rich.text import Text

    if content["code"] or content["reason"]:
        said = Text.assemble((f"{content['code']} " if content["code"] else "", "bold red"), content["reason"] or "")
        console.print(screen.hanging(said, indent))
    if content["remedy"]:
        console.print(screen.hanging(Text.assemble(("what to do: ", "bold"), content["remedy"]), indent))


_COMPLETE = {None: ", more may come", Completeness.PRIOR.value: ", looked at again for a prior, or a series that a route needs"}


def print_passport(console: "Console", content: dict[str, Any]) -> None:
    """The passport for people."""
    console.print(f"study {content['study_uid']}", style="bold")
    _print_series(console, content["series"])
    _print_conflicts(console, content["conflicts"])
    _print_held(console, content["held"])
    _print_astray(console, content["astray"])
    _print_other_results(console, content["other_results"])
    _print_incomplete(console, content["incomplete"])
    _print_arrivals(console, content)
    for job in content["jobs"]:
        _print_job(console, job)
    console.print("\nwhat happened", style="bold")
    console.print(timeline(content["events"], indent="  "))


def _print_series(console: "Console", series: Sequence[dict[str, Any]]) -> None:
    console.print("\nwhat came", style="bold")
    for one in series:
        counts = [screen.plural(one["instances"], "instance")]
        counts += [f"{count} {word}" for word, count in one["standings"].items() if word != "current"]
        said = [one["modality"], one["description"], ", ".join(counts), screen.size(one["bytes"]), f"from {', '.join(one['senders'])}"]
        console.print(screen.hanging(f"series {one['number'] or '–'} · " + " · ".join(word for word in said if word)))
        console.print(f"  {one['series_uid']}", style="dim")
        for remark in one["remarks"]:
            console.print(screen.hanging(remark, 2))


def _print_conflicts(console: "Console", conflicts: Sequence[dict[str, Any]]) -> None:
    if not conflicts:
        return
    console.print("\nin conflict: other pixels under a UID that was known; kept, never analysed", style="bold")
    for one in conflicts:
        console.print(screen.hanging(f"{one['sop_instance_uid']} from {one['sender']} at {one['received_at']}"))
        console.print(f"  {one['blob']}", style="dim")


def _print_held(console: "Console", held: Sequence[dict[str, Any]]) -> None:
    if not held:
        return
    console.print("\nheld: kept, used by nothing until a person decides (`hilum studies accept-held`, `refuse-held`)", style="bold")
    for one in held:
        counted = screen.plural(one["instances"], "instance")
        console.print(screen.hanging(f"{counted} from {one['sender']}: {one['reason']}"))
        console.print(f"  series {one['series_uid']}", style="dim")


def _print_astray(console: "Console", astray: Sequence[dict[str, Any]]) -> None:
    if not astray:
        return
    console.print("\nwithout a place: it came, most likely belongs to this study, and is not analysed with it", style="bold")
    for one in astray:
        counted = (
            f"{screen.plural(one['instances'], 'instance' if one['study_uid'] else 'file')} from {one['sender']} at {one['received_at']}"
        )
        console.print(screen.hanging(f"{counted}: {one['reason']}{_coded(one['code'])}"))
        console.print(f"  {one['study_uid'] or one['entry']}", style="dim")


def _coded(code: str | None) -> str:
    return f" [{code}]" if code else ""


_ALIKE = {
    (True, True): "the same series of this study with the same model",
    (True, False): "other series of this study with the same model",
    (True, None): "this study with the same model",
    (False, False): "this study with another application or model",
    (False, None): "this study with another application or model",
}
"""`same_model` and `same_inputs` of another node's result → what it has analysed, and with what."""


def _print_other_results(console: "Console", results: Sequence[dict[str, Any]]) -> None:
    for words in dict.fromkeys(_ALIKE.values()):
        those = [one for one in results if _ALIKE[one["same_model"], one["same_inputs"]] == words]
        if not those:
            continue
        console.print(f"\nanother node has analysed {words}; its results are kept, and nothing is done with them", style="bold")
        for one in those:
            said = [one["modality"], one["description"], ", ".join(one["software"]), f"from {one['sender']} at {one['received_at']}"]
            console.print(screen.hanging(" · ".join(word for word in said if word)))
            console.print(f"  {one['sop_instance_uid']}", style="dim")


def _print_incomplete(console: "Console", incomplete: Sequence[dict[str, Any]]) -> None:
    if not incomplete:
        return
    console.print("\nincomplete: routes wait for the rest (`hilum studies complete` analyses what came, and says so)", style="bold")
    for one in incomplete:
        console.print(screen.hanging(short_in_words(one)))


def _print_arrivals(console: "Console", content: dict[str, Any]) -> None:
    from rich.text import Text

    numbers = {one["series_uid"]: one["number"] for one in content["series"]}
    for arrival in content["arrivals"]:
        scope = "study" if arrival["series_uid"] is None else f"series {numbers.get(arrival['series_uid']) or arrival['series_uid']}"
        revised = f", revision {arrival['revision']}" if arrival["revision"] > 1 else ""
        done = _COMPLETE.get(arrival["completed_by"], f", complete by {arrival['completed_by']}")
        sender = f"{arrival['peer'] or 'a stranger'} to {arrival['called']}"
        counted = screen.plural(arrival["instances"], "instance")
        console.print(f"\narrival {arrival['id']}: {scope} from {sender}{revised}: {counted}{done}", style="bold")
        if arrival["waits"] is not None and not content["incomplete"]:
            console.print(screen.hanging(waits_in_words(arrival["waits"])))
        if arrival["code"] is not None:
            tried = f"{arrival['state']}, {screen.plural(arrival['attempts'], 'attempt')}"
            console.print(screen.hanging(f"{tried}: {arrival['code']} {arrival['reason']}"))
            console.print(screen.hanging(f"what to do: {arrival['remedy']}"))
        if arrival["config_digest"] is not None:
            console.print(f"  decided by the routes {arrival['config_digest'][:12]}", style="dim")
        for decision in arrival["decisions"]:
            about = f"series {numbers.get(decision['series_uid']) or decision['series_uid']}"
            said = Text.assemble((decision["route"], "bold"), f" on {about}: {decision['reason']}")
            console.print(screen.hanging(said, head=screen.mark(decision["chosen"])))


def _print_job(console: "Console", job: dict[str, Any]) -> None:
    from rich.text import Text

    from node.records.words import work_of

    name = f"{work_of(job)} {job['application_version']}".strip()
    console.print(Text.assemble((f"\njob {job['id']}: {name}", "bold"), "  ", screen.state(job["state"])))
    print_trouble(console, job, indent=2)
    for words, series in other_series(job):
        console.print(screen.hanging(f"{words} {series}"))
    if job["model_digest"]:
        console.print(f"  model sha256 {job['model_digest']}", style="dim")
    if job["predecessor"]:
        console.print(f"  revises job {job['predecessor']}")
    print_objects(console, job)
