"""Decisions as records: what a route came to on a series, received or in files, why each route would or would not take it by the routes of
a configuration, and what edited routes come to on what was received: one study explained, or years of them replayed.

Here is how it is told; `node.routing.decisions` decides, and whoever asks hands in the applications.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from inference.errors import HilumError
from node.domain.arrival import Arrival
from node.domain.job import WhenExcluded
from node.domain.route import Decision, Route, Withheld
from node.records.words import since as moment

if TYPE_CHECKING:
    from inference.applications.port import Application
    from node.domain.route import Tried
    from node.journal.journal import Journal
    from node.routing.decisions import SeriesView
    from node.routing.gate import Gate
    from node.routing.port import RoutedArrivals
    from node.routing.replay import Difference, Replay, RouteOutcome
    from node.settings.config import Config


_HOLDING = {"any_of": "at least one of", "all_of": "all", "none_of": "none of"}


def decision_record(one: "Decision") -> dict[str, Any]:
    """What a route came to on a series, condition by condition."""
    return {
        "route": one.route,
        "series_uid": one.series_instance_uid,
        "matched": one.matched,
        "chosen": one.chosen,
        "withheld": "" if one.withheld is None else one.withheld.value,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteExplanation:
    """The decisions about one study, by the routes that `digest` names. `views` has the series that were looked at.

    What fits stands first, then what missed by the fewest conditions, and within each the lower series number.
    """

    study_instance_uid: str
    views: tuple["SeriesView", ...]
    decisions: tuple[Decision, ...]
    digest: str

    @staticmethod
    def ordered(study: str, views: "Sequence[SeriesView]", decisions: Sequence[Decision], digest: str) -> "RouteExplanation":
        """The decisions about the series of one study, in the order in which people look for one."""
        from node.routing.decisions import series_number
        from node.routing.gate import refusal_reason

        # a job that is certain to be refused is nothing that runs
        decisions = [
            replace(one, chosen=False, reason=refusal_reason(one)) if one.refused and one.chosen and one.withheld is None else one
            for one in decisions
        ]
        number = {view.series_instance_uid: series_number(view) for view in views}
        nearest: dict[str, tuple[bool, int]] = {}
        for one in decisions:
            nearest[one.series_instance_uid] = min(nearest.get(one.series_instance_uid, nearness(one)), nearness(one))

        def place(uid: str) -> tuple[float, str]:
            return number.get(uid, float("inf")), uid

        def of_series(view: "SeriesView") -> tuple[tuple[bool, int], tuple[float, str]]:
            return nearest.get(view.series_instance_uid, (True, 0)), place(view.series_instance_uid)

        return RouteExplanation(
            study_instance_uid=study,
            views=tuple(sorted(views, key=of_series)),
            decisions=tuple(sorted(decisions, key=lambda one: (nearness(one), place(one.series_instance_uid)))),
            digest=digest,
        )


def nearness(decision: Decision) -> tuple[bool, int]:
    """Smallest first: what runs, then what the fewest conditions, of the route and of its applications, keep from running."""
    return not decision.chosen, sum(one.unmet for one in decision.tried)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteExplainer:
    """Explains by the routes of one configuration, and tells what the node would tell.

    Attributes
    ----------
    manifest, served
        An application as it declares itself, and with the models' versions that the repository serves now.
    engine_of
        The engine that runs an application.
    """

    config: "Config"
    manifest: "Callable[[str], Application]"
    served: "Callable[[str], Application]"
    engine_of: Callable[[str], str]

    def received(
        self, journal: "Journal", study: str, *, sender: str | None = None, called: str | None = None
    ) -> tuple[list[RouteExplanation], list[RouteExplanation]]:
        """What the configuration says now of a received study, and what was decided about its newest arrivals.

        Parameters
        ----------
        sender, called
            The peer and the called AE title that are taken to have been there; None: those that were.
        """
        from node.routing.pairing import Pairing
        from node.routing.planning import JobPlanner
        from node.routing.series import series_of

        now, then = [], []
        pairing = Pairing(journal, self.config.routes, self.served)
        planner = JobPlanner(
            journal.instances,
            pairing,
            self.config.routes,
            self.engine_of,
            self.served,
            declared_of=self.manifest,
            known=journal.shortage,
            standing=journal.routing.standing,
            settle_of=self.config.settle_of,
        )
        newest: dict[tuple[str | None, str | None], Arrival] = {}
        for arrival in journal.arrivals.find(study=study):
            newest[arrival.peer, arrival.series_instance_uid] = arrival
        for arrival in newest.values():
            instances = journal.instances.of_arrival(arrival.id)
            series = series_of(journal, arrival, instances)
            views = tuple(content.view for content in series)
            sent = replace(arrival, peer=sender or arrival.peer, called_ae=called or arrival.called_ae)
            calling = instances[0].calling_ae if instances else ""
            asked = planner.of(sent, series, calling, datetime.now(UTC))
            now.append(RouteExplanation.ordered(study, views, asked.decisions, self.config.digest))
            decisions = tuple(journal.routing.decisions(arrival.id))
            if decisions:
                digest = journal.routing.config_digest(arrival.id) or ""
                then.append(RouteExplanation.ordered(study, views, decisions, digest))
        return now, then

    def made(
        self,
        study: str,
        views: "Mapping[str, Sequence[SeriesView]]",
        routes: Sequence[Route],
        *,
        sender: str | None,
        called: str | None,
        came: datetime | None,
    ) -> list[Decision]:
        """The decisions about `study`, which nobody received: with what there is to say of priors, whole studies and needed series.

        Parameters
        ----------
        views
            The series of each study that is there.
        routes
            Those of the configuration, without what nobody said of who sends the study.
        came
            When it is taken to come; None: in the hours of each route.
        """
        from node.routing.decisions import decide, outchosen
        from node.routing.gate import Gate
        from node.routing.over_time import Slices, chosen_together
        from node.routing.untaken import GatedSeries, in_one_job, in_turn, makes_a_job, untaken, with_untaken

        now = datetime.now(UTC)
        whole = {route.name: route for route in self.config.routes}
        own = {view.series_instance_uid: view for view in views[study]}
        gate = Gate(Slices(lambda: views[study]))
        series = GatedSeries(views=own, counted=dict.fromkeys(own, True), gate=gate)

        def decided(of: Sequence[Route], taken: Mapping[str, str]) -> list[Decision]:
            found = decide(
                of,
                views[study],
                peer=sender,
                calling="",
                called=called or "",
                now=now,
                excluded=partial(self.excluded, gate),
                taken=taken,
                came=came,
            )
            lost = outchosen(of, found)
            found = chosen_together(found, lambda name: self.declared(whole[name]), gate.slices)
            kept = [one for one in found if one.route not in lost]
            return [self._with_remarks(one, whole[one.route], study, views, gate, kept, lost=one.route in lost) for one in found]

        decisions = in_turn(routes, decided, lambda route, one: makes_a_job(route, one, series, self.declared(route)))
        applications = {name: one for route in self.config.routes if route.expect for name, one in self.declared(route).items()}
        found = untaken(self.config.routes, decisions, series, applications)
        return with_untaken(decisions, in_one_job(found, decisions, self.config.routes, self.served))

    def _with_remarks(
        self,
        decision: Decision,
        route: Route,
        study: str,
        views: "Mapping[str, Sequence[SeriesView]]",
        gate: "Gate",
        kept: Sequence[Decision],
        *,
        lost: bool,
    ) -> Decision:
        from inference.applications.port import Takes
        from node.routing.decisions import holds_images
        from node.routing.gate import asking, becomes_excluded, exclusion_sentence, exclusions, gated, unserved
        from node.routing.needs import needs_outcome_now
        from node.routing.priors import EarlierStudy, choose

        (current,) = [view for view in views[study] if view.series_instance_uid == decision.series_instance_uid]
        remarks: list[str] = []
        applications = self.declared(route)
        against = unserved(route, self.served)
        asked = partial(gated, applications=applications, view=current, gate=gate, against=against)
        alone = applications.get(route.run[0]) if route.roles else None
        judged = needs_outcome_now(route, views[study], datetime.now(UTC), alone) if decision.matched else None
        role = ""
        if judged is not None and judged.filled is not None:
            role = next((name for name, uid in judged.filled.items() if uid == decision.series_instance_uid), "")
            reason = f"fills the role {role}" if role else "it fills no role of the application"
            decision = replace(decision, chosen=bool(role), reason=f"all conditions hold; {reason}" if role else reason)
            said, lacking = self._priors(alone, route, judged.filled, study, views) if alone is not None else ({}, "")
            remarks += said.get(role, [])
            if role and lacking and not judged.missing:
                return asked(replace(decision, chosen=False, reason="; ".join(remarks) or lacking))
        if judged is not None:
            decision = replace(decision, tried=(*decision.tried, *judged.tried))
            if judged.missing and decision.chosen and (judged.withheld or judged.parks):
                waits = Withheld.WAITS if judged.parks else None  # whether its series comes in time nobody knows
                return asked(replace(decision, chosen=False, reason=judged.reason, withheld=waits))
            if judged.withheld or judged.parks:
                return asked(decision)
            if judged.missing and decision.chosen:
                remarks.append(judged.reason)
        chosen, excluded = decision.chosen, dict[str, WhenExcluded]()
        decision = asked(decision)
        for name, application in applications.items():
            if application.accepts.whole_study and decision.matched and holds_images(current) and not lost:
                chosen = True
                remarks.append(f"{name}: analysed as a whole, with the other series of the study that match")
            elif application.accepts.takes is Takes.PAIR and decision.chosen:
                others = [
                    EarlierStudy(study_instance_uid=uid, series=tuple(series), unfit=exclusions(application, series))
                    for uid, series in views.items()
                    if uid != study
                ]
                remarks.append(f"{name}: {choose(current, others, route).reason}")
            if chosen and not application.roles and (why := gate.answer(application, current).exclusion):
                about = None if application.accepts.whole_study else current.series_instance_uid
                excluded[name] = becomes_excluded(name, route, asking(kept, about), self.config.routes, self.served)
                remarks.append(exclusion_sentence(name, why, excluded[name]))
            elif chosen and name in against:
                remarks.append(f"{name} is parked: {against[name]}")
        parked = {name for name, when in excluded.items() if when is WhenExcluded.PARK}
        if chosen and parked | (against.keys() - excluded.keys()) >= set(route.run):
            decision = replace(decision, withheld=Withheld.PARKED)
        if not remarks:
            return decision
        first = decision.reason if decision.chosen else "all conditions hold"
        return replace(decision, chosen=chosen, reason="; ".join([first, *remarks]))

    def _priors(
        self, application: "Application", route: Route, filled: Mapping[str, str], study: str, views: "Mapping[str, Sequence[SeriesView]]"
    ) -> tuple[dict[str, list[str]], str]:
        """What the series of each role is compared with among the other studies that are looked at; and why the application gets none that
        it must have, "" where it has them or no other study is looked at: what the node has received nobody knows here."""
        from node.routing.gate import exclusions
        from node.routing.priors import EarlierStudy, choose
        from node.routing.roles import asked_of_prior, of_another_modality

        own = {view.series_instance_uid: view for view in views[study]}
        others = {uid: tuple(series) for uid, series in views.items() if uid != study}
        said: dict[str, list[str]] = {}
        lacking = []
        for prior in [one for one in application.roles if one.prior_of in filled]:
            within = next((one.within for one in route.roles if one.name == prior.name), None)
            one = application.in_role(prior)
            earlier = [EarlierStudy(study_instance_uid=uid, series=series, unfit=exclusions(one, series)) for uid, series in others.items()]
            alike = not of_another_modality(application, prior)
            choice = choose(own[filled[prior.prior_of]], earlier, asked_of_prior(route, prior), within, alike=alike)
            said.setdefault(prior.prior_of, []).append(f"{application.name}: {prior.name}: {choice.reason}")
            lacking += [said[prior.prior_of][-1]] if choice.series_instance_uid is None and others and not prior.optional else []
        return said, "; ".join(lacking)

    def declared(self, route: Route) -> "dict[str, Application]":
        """The applications of a route as they declare themselves; `hilum doctor` says what is wrong with one that cannot be loaded."""
        found = {}
        for name in route.run:
            with suppress(HilumError):
                found[name] = self.manifest(name)
        return found

    def excluded(self, gate: "Gate", route: Route, view: "SeriesView") -> bool:
        """Whether no application of a route is for a series, as the node asks before it chooses one."""
        applications = self.declared(route)
        whole = len(applications) == len(route.run)
        return whole and all(gate.not_applicable(application, view) for application in applications.values())


_MOST_TOLD = 500
"""Of the differences of one replay, how many are told in full; all are counted."""
_TELL_EVERY_S = 0.5
_TITLE = {"number": "SeriesNumber", "modality": "Modality", "description": "SeriesDescription"}


class Tells(Protocol):
    """What takes one answer after the other; of a replay from two threads, one at a time."""

    def __call__(self, **told: Any) -> None: ...


def trial_explanation(explainer: "RouteExplainer", journal: "Journal", study: str) -> dict[str, Any]:
    """What the routes would decide about a received study, series by series, and what was decided when it came."""
    now, then = explainer.received(journal, study)
    goes = {route.name: {"run": list(route.run), "send": list(route.send)} for route in explainer.config.routes}
    series: list[dict[str, Any]] = []
    for one in now:
        for view in one.views:
            decisions = [
                {**decision_record(each), **goes[each.route]}
                for each in one.decisions
                if each.series_instance_uid == view.series_instance_uid
            ]
            title = {name: _first(view.header, word) for name, word in _TITLE.items()}
            series.append({"series_uid": view.series_instance_uid, **title, "images": view.slices, "decisions": decisions})
    return {
        "study_uid": study,
        "revision": explainer.config.digest,
        "series": series,
        "recorded": [decision_record(each) for one in then for each in one.decisions],
        "recorded_by": sorted({one.digest for one in then}),
    }


def _first(header: Mapping[str, Sequence[Any]], keyword: str) -> str:
    values = header.get(keyword, ())
    return str(values[0]) if values else ""


def replayed_from(history: "RoutedArrivals", since: str, now: datetime) -> datetime:
    """From when on arrivals are decided anew: `30d`, `12h` or a date; where nobody says, from the oldest of the last LAST.

    Raises
    ------
    ValueError
        It says no such thing.
    """
    from node.routing.replay import LAST

    return moment(since, now) if since else history.since_the_last(LAST) or now


def tell_replay(replay: "Replay", since: datetime, tell: Tells) -> None:
    """Tell each difference as it is found, and twice a second how far the replay is; at its end that it is done."""
    found = 0
    studies: set[str] = set()
    routes: dict[str, int] = {}
    over, telling = threading.Event(), threading.Lock()

    def tell_count() -> None:
        counted = replay.counted
        tell(
            arrivals=counted.arrivals,
            decided=counted.decided,
            forgotten=counted.forgotten,
            priors=counted.priors,
            urgencies=counted.urgencies,
            found=found,
            studies=len(studies),
            routes=dict(routes),
        )

    def tell_counts() -> None:
        while not over.wait(_TELL_EVERY_S):
            with telling:
                tell_count()

    threading.Thread(target=tell_counts, daemon=True).start()
    try:
        for one in replay.differences(since):
            with telling:
                found += 1
                studies.add(one.arrival.study_instance_uid)
                routes[one.route] = routes.get(one.route, 0) + 1
                if found <= _MOST_TOLD:
                    tell(difference=difference_record(one))
    finally:
        over.set()
    with telling:
        tell_count()
    tell(done=True)
