"""Untaken: a route expects that its application takes some series of a study, and no route of it does. Pure functions over decisions.

What the planner asks jobs for, and what explanations say, is decided here once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inference.applications.port import Application
from inference.errors import InputError
from node.domain.route import Decision, Route, Withheld
from node.routing.decisions import SeriesView, about_study, holds_images, named, preference
from node.routing.gate import not_applicable


class NoSeriesTaken(InputError):
    """A route expects that the study holds a series for its application, and no route of the application takes one."""

    code = "HLM-3094"
    remedy = (
        "Nothing, where the study is none for the application. Else `hilum routes explain STUDY` says which series came nearest, and which "
        "condition kept it out: mend the route's conditions, or leave `expect` out."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Untaken:
    """An application that gets no series of the study, the route that expects one, and the series that came nearest."""

    route: Route
    application: str
    series_instance_uid: str
    why: str


def untaken(
    routes: Sequence[Route],
    decisions: Sequence[Decision],
    views: Mapping[str, SeriesView],
    applications: Mapping[str, Application],
    counted: Mapping[str, bool],
) -> list[Untaken]:
    """What each route with `expect` expects in vain; [] of a route that waits, and of a study without images.

    Parameters
    ----------
    decisions
        Of all routes about the series of `views`.
    applications
        As they declare themselves, by name; one that is not here cannot be loaded, and its job says so.
    counted
        Whether what is there of a series is all of it.
    """
    images = [view for view in views.values() if holds_images(view)]
    expecting = [route for route in routes if route.expect]
    runs = {route.name: route.run for route in routes}
    found = []
    for route in expecting if images else ():
        own = {one.series_instance_uid: one for one in decisions if one.route == route.name}
        if not about_study(own.values()) or any(one.withheld is Withheld.WAITS for one in own.values()):
            continue
        nearest = min(images, key=lambda view: (_unmet(own[view.series_instance_uid]), preference(view)))
        for name in route.run:
            if not any(name in runs[one.route] and _takes(name, one, views, applications, counted) for one in decisions):
                why = _why(route, nearest, own[nearest.series_instance_uid], applications.get(name), counted)
                found.append(Untaken(route=route, application=name, series_instance_uid=nearest.series_instance_uid, why=why))
    return found


def with_untaken(decisions: Sequence[Decision], found: Sequence[Untaken]) -> list[Decision]:
    """The decisions, of which those about the nearest series say what becomes of it."""
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
    becomes = "the job is parked" if one.route.parks_excluded else "the reader is told that there is no result"
    return f"{one.application} is expected to take a series of the study, and none is taken: {becomes}"


def _takes(
    application: str,
    decision: Decision,
    views: Mapping[str, SeriesView],
    applications: Mapping[str, Application],
    counted: Mapping[str, bool],
) -> bool:
    """Whether the series of a decision, whose route runs the application, is given to it."""
    declared, view = applications.get(application), views[decision.series_instance_uid]
    whole = declared is not None and declared.accepts.whole_study and decision.matched and holds_images(view)
    if decision.withheld is Withheld.WAITS or not (decision.chosen or whole):
        return decision.withheld is Withheld.WAITS
    return declared is None or not not_applicable(declared, view, counted=counted[view.series_instance_uid])


def _unmet(decision: Decision) -> int:
    return sum(one.unmet for one in decision.tried if not one.application)


def _why(route: Route, nearest: SeriesView, decision: Decision, application: Application | None, counted: Mapping[str, bool]) -> str:
    """Of the series that came nearest, for people."""
    kept = [f"{one.key} is {one.found}, expected {one.expected}" for one in decision.tried if one.held is False and not one.application]
    excluded = not_applicable(application, nearest, counted=counted[nearest.series_instance_uid]) if application and not kept else ""
    came = "; ".join([*kept, *([excluded] if excluded else [])])
    return f'no series is what the route "{route.name}" asks for; nearest came {named(nearest)}: {came or decision.reason}'
