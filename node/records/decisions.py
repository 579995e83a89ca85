"""Decisions as records: what a route came to on a series, and what other routes would have decided otherwise."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from node.domain.route import Decision, Tried
    from node.routing.replay import Difference, RouteOutcome

_HOLDING = {"any_of": "at least one of", "all_of": "all", "none_of": "none of"}


def decision_record(one: "Decision") -> dict[str, Any]:
    """What a route came to on a series, condition by condition."""
    return {
        "route": one.route,
        "series_uid": one.series_instance_uid,
        "matched": one.matched,
        "chosen": one.chosen,
        "reason": one.reason,
        "conditions": condition_records(one.tried),
        "applications": application_records(one),
        "untaken": list(one.untaken),
    }


def condition_records(tried: "Sequence[Tried]") -> list[dict[str, Any]]:
    """Conditions as they were tried; a block has its `junction` and its `entries` besides, each a list of such. The key of what the
    operator defined is its name."""
    return [
        {
            "key": one.key,
            "expected": one.expected,
            "found": one.found,
            "held": one.held,
            **({} if one.junction is None else {"junction": one.junction.value, "entries": list(map(condition_records, one.entries))}),
        }
        for one in tried
    ]


def condition_rows(conditions: Sequence[dict[str, Any]], indent: str = "") -> Iterator[dict[str, Any]]:
    """Records of conditions as the rows of a table: below a block its conditions, set in as in the configuration."""
    for number, one in enumerate(conditions):
        key = indent[:-2] + "- " + one["key"] if indent and not number else indent + one["key"]
        entries = one.get("entries")
        if entries is None:
            yield {**one, "key": key}
            continue
        defined = one["key"] != one["junction"]
        parts = [[each] for each in entries[0]] if defined else entries
        holding = sum(all(each["held"] for each in part) for part in parts)
        expected = f"all of its {len(parts)}" if defined else f"{_HOLDING[one['junction']]} {len(parts)}"
        yield {"key": key, "expected": expected, "found": f"{holding or 'none'}", "held": one["held"]}
        for entry in entries:
            yield from condition_rows(entry, indent + "    ")


def application_records(one: "Decision") -> list[dict[str, Any]]:
    """What the gate says of each application of the route, where the route matched: takes it | does not take it | cannot be known."""
    from node.routing.gate import Fit

    answers = {True: Fit.TAKES, False: Fit.REFUSES, None: Fit.OPEN}
    return [
        {"application": each.application, "answer": answers[each.held].value, "reason": "" if each.held else each.found}
        for each in one.tried
        if each.application
    ]


def difference_record(one: "Difference") -> dict[str, Any]:
    """For scripts and for pages: what a route would have done otherwise, and the conditions that make it so."""
    return {
        "study_uid": one.arrival.study_instance_uid,
        "series_uid": one.series_instance_uid,
        "arrival": one.arrival.id,
        "peer": one.arrival.peer,
        "route": one.route,
        "decided_by": one.config_digest,
        "before": _outcome(one.before, one.after),
        "after": _outcome(one.after, one.before),
        "conditions": [{"key": each.key, "before": _tried(each.before), "after": _tried(each.after)} for each in one.conditions],
    }


def urgency_words(one: "RouteOutcome", other: "RouteOutcome", application: str) -> str:
    """How urgent the application's job is, where it is not so on the other side: "urgent, within 30 min"; else ""."""
    from node.routing.conditions import duration_text

    mine, theirs = one.urgency.get(application), other.urgency.get(application)
    if mine is None or theirs is None or mine == theirs:
        return ""
    within = "no deadline" if mine.deadline is None else f"within {duration_text(mine.deadline.total_seconds())}"
    return ", ".join([mine.priority.value] * (mine.priority is not theirs.priority) + [within] * (mine.deadline != theirs.deadline))


def _outcome(one: "RouteOutcome", other: "RouteOutcome") -> dict[str, Any]:
    runs = [{"application": name, "sinks": list(sinks), "urgency": urgency_words(one, other, name)} for name, sinks in one.runs.items()]
    return {
        "known": one.known,
        "chosen": one.chosen,
        "runs": runs,
        "compares": sorted(one.compares),
        "parks": one.parks,
        "tells": sorted(one.tells),
        "reason": one.reason,
    }


def _tried(one: "Tried | None") -> dict[str, Any] | None:
    return None if one is None else {"expected": one.expected, "found": one.found, "held": one.held}
