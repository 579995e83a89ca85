"""Untaken: routes that ask for what their applications never take, as a file is checked; and a route that expects that its application
takes some series of a study, where no route of it does. Pure functions over conditions, manifests and decisions.

When a file is checked only what is certain is told: a condition on what manifests ask of headers, whatever else a header says. A part of
the body is not: another image of the series may name the one that is taken. What the planner asks jobs for, and what explanations say of a
study, is decided here once.

A fallback (`else: true`) takes the series that no other route takes, so it is decided behind the others, when needs, roles and the gate
have answered for them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from inference.applications.accept import of_another_modality, too_thick
from inference.applications.port import Application
from inference.errors import InputError, quoted
from inference.imaging.judge.contrast import Weighting, against
from node.dicom.vr import quotes
from node.domain.job import WhenExcluded
from node.domain.route import Asked, Condition, ConditionOperator, Decision, Junction, Route, Tried, Withheld
from node.routing.conditions import try_on
from node.routing.decisions import SeriesView, about_study, holds_images, named, outchosen, preference
from node.routing.gate import Gate, asking, becomes_excluded

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


class NoSeriesTaken(InputError):
    """A route expects that the study holds a series for its application, and no route of the application takes one."""

    code = "HLM-3094"
    remedy = (
        "Nothing, where the study is none for the application. Else `hilum routes explain STUDY` says which series came nearest, and which "
        "condition kept it out: mend the route's conditions, or leave `expect` out."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Untaken:
    """An application that gets no series of the study, the route that expects one, and the series that came nearest. `parks`: the job that
    says so waits for a person, as a route asks that shares it."""

    route: Route
    application: str
    series_instance_uid: str
    why: str
    parks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedSeries:
    """Series, by their UIDs, and the gate that they pass. `counted`: whether what is there of each is all of it."""

    views: Mapping[str, SeriesView]
    counted: Mapping[str, bool]
    gate: Gate

    def exclusion(self, application: Application, series_instance_uid: str) -> str:
        """What the application declares that excludes the series; "" where nothing does."""
        counted = self.counted[series_instance_uid]
        return self.gate.answer(application, self.views[series_instance_uid], counted=counted).exclusion


def untaken(
    routes: Sequence[Route], decisions: Sequence[Decision], series: GatedSeries, applications: Mapping[str, Application]
) -> list[Untaken]:
    """What each route with `expect` expects in vain; [] of a route that waits, and of a study without images.

    Parameters
    ----------
    decisions
        Of all routes about the series.
    applications
        As they declare themselves, by name; one that is not here cannot be loaded, and its job says so.
    """
    images = [view for view in series.views.values() if holds_images(view)]
    expecting = [route for route in routes if route.expect]
    runs = {route.name: route.run for route in routes}
    lost = outchosen(routes, decisions)
    kept = [one for one in decisions if one.route not in lost]
    found = []
    for route in expecting if images else ():
        own = {one.series_instance_uid: one for one in decisions if one.route == route.name}
        if not about_study(own.values()) or any(one.withheld is Withheld.WAITS for one in own.values()):
            continue
        nearest = min(images, key=lambda view: (_unmet(own[view.series_instance_uid]), preference(view)))
        for name in route.run:
            if not any(name in runs[one.route] and _takes(name, one, series, applications) for one in kept):
                why = _why(route, nearest, own[nearest.series_instance_uid], series, applications.get(name))
                about = nearest.series_instance_uid
                found.append(Untaken(route=route, application=name, series_instance_uid=about, why=why, parks=route.parks_excluded))
    return found


def in_one_job(
    found: Sequence[Untaken], decisions: Sequence[Decision], routes: Sequence[Route], served: Callable[[str], Application]
) -> list[Untaken]:
    """Each as the job ends that says so, of a study that nobody received: as the strictest asks of the routes that share it."""

    def parks(one: Untaken) -> bool:
        beside = asking(decisions, one.series_instance_uid) | {other.route.name for other in found if other.application == one.application}
        return becomes_excluded(one.application, one.route, beside, routes, served) is WhenExcluded.PARK

    return [replace(one, parks=parks(one)) for one in found]


def with_untaken(decisions: Sequence[Decision], found: Sequence[Untaken]) -> list[Decision]:
    """The decisions, of which those about the nearest series say what becomes of it."""
    if not found:
        return list(decisions)
    about: dict[tuple[str, str], list[Untaken]] = {}
    for one in found:
        about.setdefault((one.route.name, one.series_instance_uid), []).append(one)
    return [_with(decision, about.get((decision.route, decision.series_instance_uid), ())) for decision in decisions]


def _with(decision: Decision, found: Sequence[Untaken]) -> Decision:
    if not found:
        return decision
    reason = "; ".join([decision.reason, *map(untaken_sentence, found)])
    return replace(decision, reason=reason, untaken=tuple(one.application for one in found))


def untaken_sentence(one: Untaken) -> str:
    """What becomes of it, for people."""
    becomes = "the job is parked" if one.parks else "the reader is told that there is no result"
    return f"{one.application} is expected to take a series of the study, and none is taken: {becomes}"


def makes_a_job(route: Route, decision: Decision, series: GatedSeries, applications: Mapping[str, Application]) -> bool:
    """Whether something comes of what a route decided about a series: a result, or a job that waits for more or for a person. What an
    application excludes leaves none, but where the route parks it."""
    if route.parks_excluded and decision.chosen:
        return True
    return any(_takes(name, decision, series, applications) for name in route.run)


def _takes(application: str, decision: Decision, series: GatedSeries, applications: Mapping[str, Application]) -> bool:
    """Whether the series of a decision, whose route runs the application, is given to it."""
    declared, uid = applications.get(application), decision.series_instance_uid
    whole = declared is not None and declared.accepts.whole_study and decision.matched and holds_images(series.views[uid])
    if decision.withheld is Withheld.WAITS or not (decision.chosen or whole):
        return decision.withheld is Withheld.WAITS
    return declared is None or not series.exclusion(declared, uid)


def _unmet(decision: Decision) -> int:
    return sum(one.unmet for one in decision.tried if not one.application)


def _why(route: Route, nearest: SeriesView, decision: Decision, series: GatedSeries, application: Application | None) -> str:
    """Of the series that came nearest, for people."""
    kept = [f"{one.key} is {_found(one)}, expected {one.expected}" for one in decision.tried if one.held is False and not one.application]
    excluded = ""
    if application and not kept:
        excluded = series.exclusion(application, nearest.series_instance_uid)
    came = "; ".join([*kept, *([excluded] if excluded else [])])
    return f'no series is what the route "{route.name}" asks for; nearest came {named(nearest)}: {came or decision.reason}'


def _found(tried: Tried) -> str:
    """What was found; marked where it may say who somebody is, or a vendor wrote it, so that the log and whoever may not know the patient
    are not told."""
    return quoted(tried.found) if quotes(f"{tried.key} {tried.found}") else tried.found


def in_turn(
    routes: Sequence[Route],
    decided: Callable[[Sequence[Route], Mapping[str, str]], Sequence[Decision]],
    takes: Callable[[Route, Decision], bool],
) -> list[Decision]:
    """The decisions of all routes, in the order of the routes.

    Parameters
    ----------
    decided
        Decides by some of the routes, of which fallbacks leave what others take: the names of routes by series.
    takes
        Whether something comes of what a route decided about a series, be it a job that waits.
    """
    last = [route for route in routes if route.fallback]
    first = [route for route in routes if not route.fallback]
    decisions = list(decided(first, {}))
    if not last:
        return decisions
    by_name = {route.name: route for route in first}
    taken: dict[str, str] = {}
    for one in decisions:
        if one.matched and one.series_instance_uid not in taken and takes(by_name[one.route], one):
            taken[one.series_instance_uid] = one.route
    place = {route.name: number for number, route in enumerate(routes)}
    return sorted([*decisions, *decided(last, taken)], key=lambda one: place[one.route])
