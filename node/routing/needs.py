"""Needs are series that a route asks for beside its own: does the study hold them, for how long to wait, whom does a late one concern?"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from inference.applications.port import Application
from node.domain.arrival import Arrival
from node.domain.route import Otherwise, Route, Tried
from node.domain.state import ArrivalState
from node.routing.conditions import duration_text, together_text
from node.routing.decisions import SeriesView, try_any
from node.routing.port import RoutedStudies
from node.routing.roles import roles_filled
from node.routing.series import contents

_THEN = {Otherwise.IGNORE: "is not run", Otherwise.PROCEED: "is run without", Otherwise.PARK: "is parked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsOutcome:
    """What the needs of a route come to in a study.

    Attributes
    ----------
    tried
        Each needed series as a condition.
    missing
        The sentence for people; empty when nothing is missing.
    until
        The route waits until then; None: it does not.
    otherwise
        What holds when it waits no longer.
    wait
        For how long it waits, for people; empty when it does not.
    filled
        Of a route with roles, the series that fills each; None of any other.
    undecided
        Several fill a role alike.
    """

    tried: tuple[Tried, ...]
    missing: str
    until: datetime | None
    otherwise: Otherwise
    wait: str = ""
    filled: Mapping[str, str] | None = None
    undecided: bool = False

    @property
    def withheld(self) -> bool:
        """Whether the route does not run, for now or at all."""
        return bool(self.missing) and (self.until is not None or self.otherwise is Otherwise.IGNORE)

    @property
    def parks(self) -> bool:
        """Whether what the route asks for is for a person to decide."""
        return bool(self.missing) and self.until is None and self.otherwise is Otherwise.PARK

    @property
    def reason(self) -> str:
        """For the decision."""
        if self.wait:
            return f"waits {self.wait}, then {_THEN[self.otherwise]}: {self.missing}"
        return self.missing if self.otherwise is Otherwise.IGNORE else f"{_THEN[self.otherwise]}: {self.missing}"


def needs_outcome(
    route: Route,
    study: Sequence[SeriesView],
    *,
    last: datetime | None,
    now: datetime,
    over: bool = False,
    application: Application | None = None,
    arriving: Collection[str] = (),
) -> NeedsOutcome | None:
    """What the needs of `route` come to; None where it has none.

    Parameters
    ----------
    study
        Every series that the study holds now.
    last
        When the last instance came of the series that the route takes; None: at this moment.
    over
        Nothing more is expected, whatever the time.
    application
        The one of a route with roles, as it declares itself.
    arriving
        The series of which more is expected: they fill no role yet.
    """
    if route.needs is None:
        return None
    until = min(last or now, now) + route.needs.within  # when the clock went back, from now on
    in_time = not over and now < until
    if route.roles:
        return None if application is None or not application.roles else _in_roles(route, application, study, now, arriving, until, in_time)
    tried, missing = [], []
    for one in route.needs.series:
        answer = try_any(f"needs {one.name}", one.when, study, now)
        tried.append(answer)
        if not answer.held:
            missing.append(f'"{one.name}" ({together_text(one.when)})')
    waits = bool(missing) and in_time
    return NeedsOutcome(
        tried=tuple(tried),
        missing=f"the study has no series {', '.join(missing)}" if missing else "",
        until=until if waits else None,
        otherwise=route.needs.otherwise,
        wait=f"until {until:%Y-%m-%d %H:%M:%S} UTC" if waits else "",
    )


def _in_roles(
    route: Route,
    application: Application,
    study: Sequence[SeriesView],
    now: datetime,
    arriving: Collection[str],
    until: datetime,
    in_time: bool,
) -> NeedsOutcome:
    """What roles come to: one that must be filled is a series that is needed; without one that need not be the route runs in the end."""
    assert route.needs is not None, "a route with roles waits for them"
    filled = roles_filled(route, application, study, now, arriving=arriving)
    said = {one.name for one in route.roles}
    hopes = any(role.optional and not role.prior_of and role.name in said and role.name not in filled.series for role in application.roles)
    waits = in_time and not filled.undecided and bool(filled.missing or hopes)
    return NeedsOutcome(
        tried=filled.tried,
        missing="; ".join(filter(None, (filled.missing, filled.without if hopes else ""))),
        until=until if waits else None,
        otherwise=route.needs.otherwise if filled.missing else Otherwise.PROCEED,
        wait=f"until {until:%Y-%m-%d %H:%M:%S} UTC" if waits else "",
        filled=filled.series,
        undecided=filled.undecided,
    )


def needs_outcome_now(
    route: Route, study: Sequence[SeriesView], now: datetime, application: Application | None = None
) -> NeedsOutcome | None:
    """As `needs_outcome`, of a study that has not come: the sentence says for how long it would wait."""
    judged = needs_outcome(route, study, last=None, now=now, over=True, application=application)
    if judged is None or judged.undecided or route.needs is None or not judged.missing:
        return judged
    return replace(judged, wait=duration_text(route.needs.within.total_seconds()))


class Concerned:
    """Finds the other arrivals of a study that lacked a series which the study holds now."""

    def __init__(
        self, journal: RoutedStudies, routes: Sequence[Route], declared_of: Callable[[str], Application | None] = lambda _: None
    ) -> None:
        self._journal = journal
        self._declared_of = declared_of
        self._needy = {route.name: route for route in routes if route.needs is not None}

    def by(self, arrival: Arrival, now: datetime) -> list[Arrival]:
        """Those that `arrival` may have brought it to; open ones wait for it, routed ones did without."""
        if not self._needy:
            return []
        newest: dict[tuple[str | None, str | None], Arrival] = {}
        for one in self._journal.arrivals.find(study=arrival.study_instance_uid):
            newest[one.peer, one.series_instance_uid] = one
        others = [one for key, one in newest.items() if key != (arrival.peer, arrival.series_instance_uid)]
        if not others:
            return []
        study = [content.view for content in contents(self._journal.instances.of_study(arrival.study_instance_uid))]
        return [one for one in others if self._lacked(one, study, now)]

    def _lacked(self, other: Arrival, study: Sequence[SeriesView], now: datetime) -> bool:
        if other.state is ArrivalState.ROUTED:
            routed = other.id
        elif other.state is ArrivalState.RECEIVED and other.supersedes is not None and other.waits:
            routed = other.supersedes
        else:
            return False  # it looks for itself when it is routed
        lacking = {decision.route for decision in self._journal.routing.decisions(routed) if decision.lacks}
        needy = [self._needy[name] for name in lacking & self._needy.keys()]
        judged = [needs_outcome(one, study, last=None, now=now, application=self._declared_of(one.run[0])) for one in needy]
        return any(one is not None and not one.missing for one in judged)
