"""Decisions as records: what a route came to on a series, and what other routes would have decided otherwise."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from node.domain.route import Decision, Tried
    from node.routing.replay import Difference, RouteOutcome


def decision_record(one: "Decision") -> dict[str, Any]:
    """What a route came to on a series, condition by condition."""
    return {
        "route": one.route,
        "series_uid": one.series_instance_uid,
        "matched": one.matched,
        "chosen": one.chosen,
        "reason": one.reason,
        "conditions": [{"key": each.key, "expected": each.expected, "found": each.found, "held": each.held} for each in one.tried],
        "applications": application_records(one),
        "untaken": list(one.untaken),
    }


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
