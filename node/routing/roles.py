"""Roles of several series: which series of a study fills which role of an application, and what is said of one that is missing or doubled.

Pure functions over merged headers. A series fills one role. Where a role has one series left, that is it, and no other role's; where it
has several, what the route prefers decides, and where that does not, nobody does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from difflib import get_close_matches

from inference.applications.port import Application, Role
from node.domain.instance import Header
from node.domain.patient import patient_of
from node.domain.route import RoleConditions, Route, Tried
from node.routing.conditions import together_text, try_on
from node.routing.decisions import NEWEST, SeriesView, counted_views, holds_images, named, ranks_of
from node.routing.gate import not_applicable

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesFilled:
    """What the roles of a route come to in a study.

    Attributes
    ----------
    series
        By role, in the manifest's order: the UID of the series that fills it.
    tried
        Each role as a condition.
    missing
        Why required roles have no series, for people; "" where none lacks one.
    without
        The same of optional ones.
    undecided
        Whether several fill a required role alike: nothing that comes decides that.
    """

    series: Mapping[str, str]
    tried: tuple[Tried, ...]
    missing: str
    without: str
    undecided: bool = False


def roles_filled(
    route: Route, application: Application, study: Sequence[SeriesView], now: datetime, *, arriving: Collection[str] = ()
) -> RolesFilled:
    """Give each role of the study its series; priors are looked for elsewhere.

    Parameters
    ----------
    study
        Every series that the study holds now.
    arriving
        Those of which more is expected: they fill nothing yet.
    """
    by_name = {one.name: one for one in route.roles}
    roles = [role for role in application.roles if not role.prior_of]
    views = [view for view in counted_views(study) if holds_images(view) and all(try_on(one, view.header, now).held for one in route.when)]
    held = {role.name: [view for view in views if _holds(by_name.get(role.name), view, now)] for role in roles}
    why = {role.name: _excluded(application, role, held[role.name], arriving) for role in roles}
    fitting = {role.name: [view for view in held[role.name] if view.series_instance_uid not in why[role.name]] for role in roles}
    chosen, doubled = _shared_out(route, fitting, now)
    if (reference := chosen.get(roles[0].name)) is not None:
        for role in roles[1:]:
            if (view := chosen.get(role.name)) is not None and (apart := _apart(reference, view)):
                why[role.name][view.series_instance_uid] = apart
                del chosen[role.name]
    tried: list[Tried] = []
    missing: list[str] = []
    without: list[str] = []
    for role in roles:
        view, said = chosen.get(role.name), by_name.get(role.name)
        expected = together_text(said.when) if said is not None and said.when else "no conditions"
        found = named(view) if view is not None else _why_not(doubled.get(role.name, ()), held[role.name], why[role.name], said)
        tried.append(Tried(key=f"role {role.name}", expected=expected, found=found, held=view is not None))
        if view is None:
            (without if role.optional else missing).append(f"{role.name} ({found})")
    required = {role.name for role in roles if not role.optional}
    return RolesFilled(
        series={role.name: chosen[role.name].series_instance_uid for role in roles if role.name in chosen},
        tried=tuple(tried),
        missing=f"no series for {', '.join(missing)}" if missing else "",
        without=f"no series for {', '.join(without)}" if without else "",
        undecided=bool(required & doubled.keys()),
    )


def _holds(said: RoleConditions | None, view: SeriesView, now: datetime) -> bool:
    return said is not None and all(try_on(one, view.header, now).held for one in said.when)


def _excluded(application: Application, role: Role, views: Sequence[SeriesView], arriving: Collection[str]) -> dict[str, str]:
    """The series that cannot be given to a role, and why."""
    one = application.in_role(role)
    found = {}
    for view in views:
        coming = "more of it is expected" if view.series_instance_uid in arriving else ""
        if reason := coming or not_applicable(one, view):
            found[view.series_instance_uid] = f"{named(view)}: {reason}"
    return found


def _shared_out(
    route: Route, fitting: Mapping[str, Sequence[SeriesView]], now: datetime
) -> tuple[dict[str, SeriesView], Mapping[str, Sequence[SeriesView]]]:
    """One series for each role that has any, none for two; and of those that have several alike, which."""
    left = {role: list(views) for role, views in fitting.items()}
    chosen: dict[str, SeriesView] = {}
    while open_ := {role: views for role, views in left.items() if views and role not in chosen}:
        alone = next((role for role, views in open_.items() if len(views) == 1), None)
        found = None if alone is None else (alone, open_[alone][0])
        if found is None:
            found = next(((role, best) for role, views in open_.items() if (best := _best(route, views, now)) is not None), None)
        if found is None:
            return chosen, open_
        chosen[found[0]] = found[1]
        for views in left.values():
            views[:] = [view for view in views if view is not found[1]]
    return chosen, {}


def _best(route: Route, views: Sequence[SeriesView], now: datetime) -> SeriesView | None:
    """The one that the route prefers to all others."""
    ranked = sorted(views, key=lambda view: ranks_of(route, view, now))
    return ranked[0] if ranks_of(route, ranked[0], now) != ranks_of(route, ranked[1], now) else None


def _apart(reference: SeriesView, view: SeriesView) -> str:
    """Why a series does not belong to the reference: another patient's, or of another day; "" where nothing says so."""
    if patient_of(view.header) != patient_of(reference.header):
        return f"{named(view)} is of another patient than {named(reference)}"
    then, now = _day(view.header), _day(reference.header)
    if then is not None and now is not None and abs((now - then).days) > 1:  # midnight may lie between them
        return f"{named(view)} was taken on {then}, {named(reference)} on {now}"
    return ""


def _day(header: Header) -> date | None:
    """The last day on which it was taken; None where the header says none."""
    for keyword, _ in NEWEST:
        days = [found for value in header.get(keyword, ()) if (found := _as_date(str(value))) is not None]
        if days:
            return max(days)
    return None


def _as_date(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _why_not(doubled: Sequence[SeriesView], held: Sequence[SeriesView], why: Mapping[str, str], said: RoleConditions | None) -> str:
    if doubled:
        several = ", ".join(named(view) for view in doubled[:_MOST_NAMED])
        return f"{len(doubled)} series fit alike: {several}; say with `prefer` which it is"
    if said is None:
        return "the route says no conditions for it"
    if why:
        return "; ".join(list(why.values())[:_MOST_NAMED])
    return "another role has it" if held else "none fits"


def unknown_roles(route: Route, application: Application) -> list[str]:
    """What is wrong with the roles of a route, each with its place: those that the application lacks, and those that must be named."""
    known = {role.name: role for role in application.roles}
    elsewise = {role.name for role in application.roles if of_another_modality(application, role)}
    needed = [role.name for role in application.roles if not role.optional and (not role.prior_of or role.name in elsewise)]
    if not route.roles:
        says = f'route "{route.name}": {application.name} takes series in roles; say in `roles` which fills {", ".join(needed)}'
        return [says] if needed else []
    if not known:
        return [f"{route.roles[0].place}{application.name} takes no series in roles"]
    problems = []
    for one in route.roles:
        if one.name not in known:
            near = get_close_matches(one.name.lower(), [name.lower() for name in known], n=1, cutoff=0.6)
            meant = next((name for name in known if near and name.lower() == near[0]), "")
            hint = f'did you mean "{meant}"?' if meant else f"possible: {', '.join(known)}"
            problems.append(f"{one.place}{application.name} has no such role; {hint}")
        elif known[one.name].prior_of and one.when and one.name not in elsewise:
            problems.append(
                f"{one.place}it is the prior of {known[one.name].prior_of}, whose conditions hold for it; only `within` is said"
            )
        elif not known[one.name].prior_of and one.within is not None:
            problems.append(f"{one.place}`within` is for a prior, and this is a series of the study")
        elif (not known[one.name].prior_of or one.name in elsewise) and not one.when:
            problems.append(f"{one.place}no conditions; every series would do")
    unsaid = [name for name in needed if name not in {one.name for one in route.roles}]
    if unsaid:
        problems.append(f"{route.roles[0].place}{application.name} needs {', '.join(unsaid)} too, which the route does not say")
    return problems


def asked_of_prior(route: Route, role: Role) -> Route:
    """The route as it asks for the earlier series of a role: what it says of it, or what the role's series has to be today."""
    said = {one.name: one.when for one in route.roles}
    of = said.get(role.name) or said.get(role.prior_of, ())
    return replace(route, when=(*route.when, *of), needs=None, roles=())


def of_another_modality(application: Application, role: Role) -> bool:
    """Whether the role is a prior of other modalities than what it is the prior of: the route then has to say which series it is."""
    if not role.prior_of or role.accepts is None:
        return False
    of = next(one for one in application.roles if one.name == role.prior_of)
    return not set(role.accepts.modality) & set((of.accepts or application.accepts).modality)
