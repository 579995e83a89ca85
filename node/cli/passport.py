"""A study's passport for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from node.cli import screen
from node.cli.job_page import print_objects, print_trouble, timeline
from node.domain.arrival import Completeness
from node.records.jobs import other_series
from node.records.studies import short_in_words, waits_in_words

if TYPE_CHECKING:
    from rich.console import Console


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
