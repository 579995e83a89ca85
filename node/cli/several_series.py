"""`hilum routes explain PATH` of what compares a series with its prior, takes a whole study, or needs others: those under the path."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from inference.errors import HilumError
from node.domain.route import Decision, Route

if TYPE_CHECKING:
    from inference.applications.port import Accepts
    from node.flow.routing import SeriesView
    from node.settings.config import Config


def with_others(config: "Config", study: str, views: "Mapping[str, Sequence[SeriesView]]", decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions about `study`, with what there is to say of priors, whole studies and series that are needed, as the node says it."""
    routes = {route.name: route for route in config.routes}
    return [_with(decision, routes[decision.route], config, study, views) for decision in decisions]


def _with(decision: Decision, route: Route, config: "Config", study: str, views: "Mapping[str, Sequence[SeriesView]]") -> Decision:
    from inference.applications.port import Takes
    from node.flow.gates import excludes, gated, unfit, unfits
    from node.flow.needs import would
    from node.flow.priors import EarlierStudy, choose
    from node.flow.routing import holds_images

    (current,) = [view for view in views[study] if view.series_instance_uid == decision.series_instance_uid]
    judged = would(route, views[study], datetime.now(UTC)) if decision.matched else None
    said: list[str] = []
    if judged is not None:
        decision = replace(decision, tried=(*decision.tried, *judged.tried))
        if judged.missing and decision.chosen and (judged.withheld or judged.parks):
            return replace(decision, chosen=False, reason=judged.reason)
        if judged.withheld or judged.parks:
            return decision
        if judged.missing and decision.chosen:
            said.append(judged.reason)
    chosen = decision.chosen
    applications = {name: accepts for name in route.run if (accepts := _accepts(config, name)) is not None}
    decision = gated(decision, applications, current)
    excluded = {name: why for name, accepts in applications.items() if decision.matched and (why := unfit(accepts, current))}
    for name, accepts in applications.items():
        if accepts.whole_study and decision.matched and holds_images(current):
            chosen = True
            said.append(f"{name}: analysed as a whole, with the other series of the study that match")
        elif accepts.takes is Takes.PAIR and decision.chosen:
            others = [
                EarlierStudy(study_instance_uid=uid, series=tuple(series), unfit=unfits(accepts, series))
                for uid, series in views.items()
                if uid != study
            ]
            said.append(f"{name}: {choose(current, others, route).reason}")
    said += [excludes(name, why) for name, why in excluded.items() if chosen]
    if not said:
        return decision
    if excluded.keys() == set(route.run):
        return replace(decision, chosen=False, reason="; ".join(said))
    first = decision.reason if decision.chosen else "all conditions hold"
    return replace(decision, chosen=chosen, reason="; ".join([first, *said]))


def _accepts(config: "Config", application: str) -> "Accepts | None":
    from node.assembly import compose

    try:
        return compose.manifest(config, application).accepts
    except HilumError:
        return None  # `hilum doctor` says what is wrong with it
