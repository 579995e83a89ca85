"""Why each route would or would not take each series of a study, received or in files, by the routes of a configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from inference.errors import HilumError
from node.domain.arrival import Arrival
from node.domain.route import Decision, Route

if TYPE_CHECKING:
    from inference.applications.port import Accepts
    from node.journal.journal import Journal
    from node.routing.decisions import SeriesView
    from node.settings.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteExplanation:
    """The decisions about one study, by the routes that `digest` names. `views` has the series that were looked at."""

    study_instance_uid: str
    views: tuple["SeriesView", ...]
    decisions: tuple[Decision, ...]
    digest: str


def explain_received(
    config: "Config", opened: "Journal", study: str, *, sender: str | None = None, called: str | None = None
) -> tuple[list[RouteExplanation], list[RouteExplanation]]:
    """What the configuration says now of a received study, and what was decided about its newest arrivals.

    Parameters
    ----------
    sender, called
        The peer and the called AE title that are taken to have been there; None: those that were.
    """
    from node.assembly.compose import engine_of, manifest, served
    from node.routing.pairing import Pairing
    from node.routing.planning import JobPlanner
    from node.routing.series import series_of

    now, then = [], []
    application_of = partial(served, config)
    pairing = Pairing(opened, config.routes, application_of)
    planner = JobPlanner(
        opened.instances,
        pairing,
        config.routes,
        partial(engine_of, config),
        application_of,
        declared_of=partial(manifest, config),
        known=opened.shortage,
        settle_of=config.settle_of,
    )
    newest: dict[tuple[str | None, str | None], Arrival] = {}
    for arrival in opened.arrivals.find(study=study):
        newest[arrival.peer, arrival.series_instance_uid] = arrival
    for arrival in newest.values():
        instances = opened.instances.of_arrival(arrival.id)
        series = series_of(opened, arrival, instances)
        views = tuple(content.view for content in series)
        sent = replace(arrival, peer=sender or arrival.peer, called_ae=called or arrival.called_ae)
        calling = instances[0].calling_ae if instances else ""
        asked = planner.of(sent, series, calling, datetime.now(UTC))
        now.append(RouteExplanation(study_instance_uid=study, views=views, decisions=tuple(asked.decisions), digest=config.digest))
        decisions = tuple(opened.routing.decisions(arrival.id))
        if decisions:
            digest = opened.routing.config_digest(arrival.id) or ""
            then.append(RouteExplanation(study_instance_uid=study, views=views, decisions=decisions, digest=digest))
    return now, then


def with_remarks(
    config: "Config", study: str, views: "Mapping[str, Sequence[SeriesView]]", decisions: Sequence[Decision]
) -> list[Decision]:
    """The decisions about `study`, with what there is to say of priors, whole studies and series that are needed, as the node says it."""
    routes = {route.name: route for route in config.routes}
    return [_with(decision, routes[decision.route], config, study, views) for decision in decisions]


def _with(decision: Decision, route: Route, config: "Config", study: str, views: "Mapping[str, Sequence[SeriesView]]") -> Decision:
    from inference.applications.port import Takes
    from node.routing.decisions import holds_images
    from node.routing.gate import exclusion_sentence, gated, unfit_reason, unfit_reasons
    from node.routing.needs import needs_outcome_now
    from node.routing.priors import EarlierStudy, choose

    (current,) = [view for view in views[study] if view.series_instance_uid == decision.series_instance_uid]
    judged = needs_outcome_now(route, views[study], datetime.now(UTC)) if decision.matched else None
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
    excluded = {name: why for name, accepts in applications.items() if decision.matched and (why := unfit_reason(accepts, current))}
    for name, accepts in applications.items():
        if accepts.whole_study and decision.matched and holds_images(current):
            chosen = True
            said.append(f"{name}: analysed as a whole, with the other series of the study that match")
        elif accepts.takes is Takes.PAIR and decision.chosen:
            others = [
                EarlierStudy(study_instance_uid=uid, series=tuple(series), unfit=unfit_reasons(accepts, series))
                for uid, series in views.items()
                if uid != study
            ]
            said.append(f"{name}: {choose(current, others, route).reason}")
    said += [exclusion_sentence(name, why) for name, why in excluded.items() if chosen]
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
