"""Routes that ask for what their applications never take: conditions and manifests that exclude each other, told when a file is checked.

Only what is certain is told: a condition on what manifests ask of headers, whatever else a header says. A part of the body is not: another
image of the series may name the one that is taken.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from inference.applications.accept import of_another_modality, too_thick
from inference.applications.port import Application
from inference.imaging.judge.contrast import Weighting, against
from node.domain.route import Asked, Condition, ConditionOperator, Junction, Route
from node.routing.conditions import try_on

_NOW = datetime(2000, 1, 1, tzinfo=UTC)
"""Conditions on codes do not count from a moment."""


def never_runs(route: Route, applications: Mapping[str, Application]) -> str:
    """Why no application of the route takes any series that its conditions let pass, for people; "" where one may."""
    reasons = {name: never_takes(application, _certain(route.when)) for name, application in applications.items()}
    if not reasons or not all(reasons.values()) or len(reasons) < len(route.run):
        return ""
    return "; ".join(f"{name}: {why}" for name, why in reasons.items())


def _certain(asked: Sequence[Asked]) -> list[Condition]:
    """The conditions that hold wherever all that is asked does: those beside blocks, and in blocks of which all holds."""
    certain: list[Condition] = []
    for one in asked:
        if isinstance(one, Condition):
            certain.append(one)
        elif one.junction is Junction.ALL or (one.junction is Junction.ANY and len(one.entries) == 1):
            certain += [each for entry in one.entries for each in _certain(entry)]
    return certain


def never_takes(application: Application, conditions: Sequence[Condition]) -> str:
    """Why the application takes no series for which these conditions hold; "" where it may."""
    return _other_modality(application, conditions) or _too_thick(application, conditions) or _other_contrast(application, conditions)


def _other_modality(application: Application, conditions: Sequence[Condition]) -> str:
    asked = [one for one in conditions if one.keyword == "Modality"]
    taken = application.accepts.modality
    if not asked or not taken or any(all(try_on(one, {"Modality": (each,)}, _NOW).held for one in asked) for each in taken):
        return ""
    wanted = [str(value) for one in asked if one.operator is ConditionOperator.EQUALS and not one.negated for value in one.expected]
    return "; ".join(of_another_modality(application.accepts, " or ".join(wanted) or "another one"))


def _too_thick(application: Application, conditions: Sequence[Condition]) -> str:
    least = _bound(conditions, "SliceThickness", ConditionOperator.MIN)
    return "" if least is None else too_thick(application.accepts, least)


def _other_contrast(application: Application, conditions: Sequence[Condition]) -> str:
    contrast = application.expects.contrast
    if contrast is None:
        return ""
    # an echo time that is too long is so from its least on, one that is too short up to its most
    for operator in (ConditionOperator.MIN, ConditionOperator.MAX):
        bound = _bound(conditions, "EchoTime", operator)
        other = _bound(conditions, "EchoTime", ConditionOperator.MAX if operator is ConditionOperator.MIN else ConditionOperator.MIN)
        if bound is not None and (why := against(contrast, Weighting(echo_ms=bound))):
            beyond = against(
                contrast, Weighting(echo_ms=other if other is not None else 1e6 if operator is ConditionOperator.MIN else 1e-6)
            )
            if beyond:
                return why
    said = _listed(conditions, "AcquisitionContrast")
    reasons = [against(contrast, Weighting(said=each)) for each in said]
    return reasons[0] if reasons and all(reasons) else ""


def _bound(conditions: Sequence[Condition], keyword: str, operator: ConditionOperator) -> float | None:
    return next(
        (float(one.expected[0]) for one in conditions if one.keyword == keyword and one.operator is operator and not one.negated), None
    )


def _listed(conditions: Sequence[Condition], keyword: str) -> list[str]:
    """What a keyword with one value has to equal."""
    of = [one for one in conditions if one.keyword == keyword and one.operator is ConditionOperator.EQUALS and not one.negated]
    return [str(value) for value in of[0].expected] if of else []
