"""A study's passport: instances, decisions, jobs with model digests, objects, and what every sink said of each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from node.cli import screen
from node.cli.delivery_page import print_objects, print_trouble
from node.cli.job_page import event_record, page, timeline
from node.cli.job_series import other_series
from node.cli.waiting import in_words, waits
from node.domain.arrival import Arrival, Completeness
from node.domain.header import Header
from node.domain.instance import Instance, Standing

if TYPE_CHECKING:
    from rich.console import Console

    from node.journal.port import Journal


_COMPLETE = {None: ", more may come", Completeness.PRIOR.value: ", looked at again for a prior, or a series that a route needs"}


def passport(journal: "Journal", study: str) -> dict[str, Any]:
    """Everything that the journal knows of a study, for scripts and for `print_passport`. No patient name and no patient identifier."""
    arrivals = journal.arrivals(study=study)
    jobs = [page(journal, job) for job in journal.jobs(study=study)]
    members = {one.id: one for arrival in arrivals for one in journal.arrival_instances(arrival.id)}
    lines = [
        {**event_record(event), "subject": f"{subject} {number}"}
        for subject, number in [("arrival", one.id) for one in arrivals] + [("job", job["id"]) for job in jobs]
        for event in journal.events(subject, number)
    ]
    for job in jobs:
        for delivery in journal.deliveries(job=job["id"]):
            about = f"to {delivery.sink}"
            lines += [{**event_record(event), "subject": about} for event in journal.events("delivery", delivery.id)]
    return {
        "study_uid": study,
        "arrivals": [_arrival(journal, one) for one in arrivals],
        "series": _series(list(members.values())),
        "conflicts": [_conflict(one) for one in journal.conflicts(study=study)],
        "jobs": jobs,
        "events": sorted(lines, key=lambda line: str(line["at"])),
    }


def _arrival(journal: "Journal", one: Arrival) -> dict[str, Any]:
    decisions = [
        {
            "route": decision.route,
            "series_uid": decision.series_instance_uid,
            "matched": decision.matched,
            "chosen": decision.chosen,
            "reason": decision.reason,
            "conditions": [{"key": t.key, "expected": t.expected, "found": t.found, "held": t.held} for t in decision.tried],
        }
        for decision in journal.decisions(one.id)
    ]
    return {
        "id": one.id,
        "peer": one.peer,
        "called": one.called_ae,
        "series_uid": one.series_instance_uid,
        "state": one.state.value,
        "revision": one.revision,
        "supersedes": one.supersedes,
        "instances": one.instances,
        "opened_at": screen.stamp(one.opened_at),
        "last_instance_at": screen.stamp(one.last_instance_at),
        "completed_at": screen.stamp(one.completed_at),
        "completed_by": None if one.completed_by is None else one.completed_by.value,
        "waits": waits(journal, one),
        "config_digest": journal.config_digest(one.id),
        "decisions": decisions,
    }


def _conflict(one: Instance) -> dict[str, Any]:
    return {
        "sop_instance_uid": one.sop_instance_uid,
        "series_uid": one.series_instance_uid,
        "sender": f"{one.calling_ae}@{one.address}",
        "received_at": screen.stamp(one.received_at),
        "blob": one.blob,
    }


def _series(instances: Sequence[Instance]) -> list[dict[str, Any]]:
    by_series: dict[str, list[Instance]] = {}
    for one in instances:
        by_series.setdefault(one.series_instance_uid, []).append(one)
    return [
        {
            "series_uid": uid,
            "modality": _first(members[0].header, "Modality"),
            "number": _first(members[0].header, "SeriesNumber"),
            "description": _first(members[0].header, "SeriesDescription"),
            "instances": sum(one.standing is Standing.CURRENT for one in members),
            "standings": {word.value: count for word in Standing if (count := sum(one.standing is word for one in members))},
            "bytes": sum(one.size for one in members),
            "transfer_syntaxes": sorted({one.transfer_syntax_uid for one in members}),
            "senders": sorted({f"{one.calling_ae}@{one.address}" for one in members}),
        }
        for uid, members in by_series.items()
    ]


def _first(header: Header, keyword: str) -> str | None:
    values = header.get(keyword, ())
    return f"{values[0]}" if values else None


def print_passport(console: "Console", content: dict[str, Any]) -> None:
    """The passport for people."""
    console.print(f"study {content['study_uid']}", style="bold")
    _print_series(console, content["series"])
    _print_conflicts(console, content["conflicts"])
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


def _print_conflicts(console: "Console", conflicts: Sequence[dict[str, Any]]) -> None:
    if not conflicts:
        return
    console.print("\nin conflict: other pixels under a UID that was known; kept, never analysed", style="bold")
    for one in conflicts:
        console.print(screen.hanging(f"{one['sop_instance_uid']} from {one['sender']} at {one['received_at']}"))
        console.print(f"  {one['blob']}", style="dim")


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
        if arrival["waits"] is not None:
            console.print(screen.hanging(in_words(arrival["waits"])))
        for decision in arrival["decisions"]:
            about = f"series {numbers.get(decision['series_uid']) or decision['series_uid']}"
            said = Text.assemble((decision["route"], "bold"), f" on {about}: {decision['reason']}")
            console.print(screen.hanging(said, head=screen.mark(decision["chosen"])))


def _print_job(console: "Console", job: dict[str, Any]) -> None:
    from rich.text import Text

    name = f"{job['application']} {job['application_version']}"
    console.print(Text.assemble((f"\njob {job['id']}: {name}", "bold"), "  ", screen.state(job["state"])))
    print_trouble(console, job, indent=2)
    for words, series in other_series(job):
        console.print(screen.hanging(f"{words} {series}"))
    if job["model_digest"]:
        console.print(f"  model sha256 {job['model_digest']}", style="dim")
    if job["predecessor"]:
        console.print(f"  revises job {job['predecessor']}")
    print_objects(console, job)
