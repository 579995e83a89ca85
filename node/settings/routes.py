"""`routes:` which series get which applications, what else their study must hold, and where results go."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from node.domain.job import Priority
from node.domain.patient import age_in, days_of
from node.domain.profile import Profile
from node.domain.route import (
    Asked,
    Hours,
    NeededSeries,
    Needs,
    Otherwise,
    PinnedVersion,
    Preference,
    Preferred,
    RoleConditions,
    Route,
    Window,
)
from node.domain.shortage import WhenShort
from node.settings.blocks import Block, Items, Key, Nodes, Values, pairs
from node.settings.conditions import Conditions, Windows, conditions_schema
from node.settings.kinds import DURATION, PERCENT, SWITCH, TEXT, Choice, Reference, Scalar, Schema, Several
from node.settings.sinks import NamedProfile
from node.settings.source import (
    BadValue,
    Here,
    MissingKey,
    Refused,
    WrongType,
    child,
    entries,
    kind_of,
    scalar_text,
    snippet,
    suggestion,
)


class Needed:
    """The mapping of what the operator calls the series to the conditions on each."""

    wants = "a mapping: what you call each series, and conditions on its DICOM keywords"

    def read(self, at: Node, here: Here) -> tuple[NeededSeries, ...]:
        found, sound = pairs(at, here, known=None)
        if sound and not found:
            raise here.refuse(MissingKey, at, "names no series that could be needed")
        series = []
        for name, (key, value) in found.items():
            inner = here.about(name)
            try:
                when = Conditions().read(value, inner)
                if not when:
                    raise inner.refuse(MissingKey, key, "no conditions; every series would do")
                series.append(NeededSeries(name=name, when=when))
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return tuple(series)

    def schema(self) -> Schema:
        return {"type": "object", "minProperties": 1, "additionalProperties": Conditions().schema()}


def _span(text: str) -> timedelta:
    if not re.fullmatch("[1-9][0-9]{0,2}[ymwd]", text):
        raise ValueError(f'"{text}" is no span of time; write it as `3y`, `18m`, `6w` or `90d`')
    return timedelta(days=round(days_of(*age_in(text))))


_SPAN = Scalar(
    wants="a span of time such as `3y`, `18m`, `6w`, `90d`", parse=_span, form={"type": "string", "pattern": "^[1-9][0-9]{0,2}[ymwd]$"}
)
_WITHIN = "within"


class ApplicationAsked:
    """An application, or `NAME@VERSION`: that version of it."""

    wants = "an application"

    def read(self, at: Node, here: Here) -> PinnedVersion:
        name, pins, version = scalar_text(at, here, self.wants).partition("@")
        if pins and not _VERSION.fullmatch(version):
            raise here.refuse(BadValue, at, f'"{version}" is no version; write `{name}@1.2`, or `{name}` for any')
        _APPLICATION.read(ScalarNode(at.tag, name, at.start_mark, at.end_mark), here)
        return PinnedVersion(application=name, version=version, place=here.place(at))

    def schema(self) -> Schema:
        return {"type": "string"}


_APPLICATION = Reference(to="applications", noun="application")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+(\.[0-9]+([-+.][0-9A-Za-z.+-]+)?)?)?")


class InRoles:
    """The mapping of the application's roles to conditions on the series that fills each, and of its priors to how old they may be."""

    wants = "a mapping: the roles of the application, and conditions on the series that fills each"

    def read(self, at: Node, here: Here) -> tuple[RoleConditions, ...]:
        found, sound = pairs(at, here, known=None)
        if sound and not found:
            raise here.refuse(MissingKey, at, "names no role")
        roles = []
        for name, (key, value) in found.items():
            inner = here.about(name)
            try:
                within = next((one for one_key, one in entries(value) if one_key.value == _WITHIN), None)
                rest = value
                if within is not None:
                    assert isinstance(value, MappingNode)
                    others = [pair for pair in value.value if pair[1] is not within]
                    rest = MappingNode(value.tag, others, value.start_mark, value.end_mark, value.flow_style)
                roles.append(
                    RoleConditions(
                        name=name,
                        when=Conditions().read(rest, inner),
                        within=None if within is None else _SPAN.read(within, inner.about(_WITHIN)),
                        place=inner.place(key),
                    )
                )
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return tuple(roles)

    def schema(self) -> Schema:
        return {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/role"}}


def role_schema() -> Schema:
    """The conditions on the series that fills a role, and of a prior how old it may be."""
    form = conditions_schema()
    form["properties"] = {**form["properties"], _WITHIN: {**_SPAN.schema(), "description": "Of a prior: how old it may be at most."}}
    form["propertyNames"] = {"anyOf": [*form["propertyNames"]["anyOf"], {"const": _WITHIN}]}
    return form


class Prefer:
    """The list of what makes a series the best, first things first."""

    wants = "a list of `thinnest`, `most images`, `newest` and mappings of conditions"

    def read(self, at: Node, here: Here) -> tuple[Preference, ...]:
        if not isinstance(at, SequenceNode):
            raise here.refuse(WrongType, at, f"{kind_of(at)}, where {self.wants} belongs")
        if len(at.value) > _MOST_PREFERRED:
            raise here.refuse(BadValue, at, f"{len(at.value)} preferences, where {_MOST_PREFERRED} are the most")
        found: list[Preference] = []
        sound = True
        for one in at.value:
            try:
                if not isinstance(one, MappingNode):
                    found.append(Preferred(_PREFERRED.read(one, here)))
                elif asked := Conditions().read(one, here):
                    found.append(asked)
                else:
                    raise here.refuse(MissingKey, one, "no conditions; every series would hold them")
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return tuple(found)

    def schema(self) -> Schema:
        return {"type": "array", "items": {"anyOf": [_PREFERRED.schema(), Conditions().schema()]}}


_PREFERRED = Choice(of=Preferred)
_MOST_PREFERRED = 20


def _needs(*, series: tuple[NeededSeries, ...] | None, within: timedelta, otherwise: Otherwise) -> Needs:
    return Needs(series=series or (), within=within, otherwise=otherwise)


NEEDS = Block(
    build=_needs,
    keys=(
        Key(
            name="series",
            kind=Needed(),
            says="What you call each of them, and conditions that must all hold for some series of the study. Not beside `roles`: those "
            "are what is waited for.",
        ),
        Key(
            name="within",
            kind=DURATION,
            default="10m",
            says="How long to wait for them after the last image of the series that the route takes came.",
        ),
        Key(
            name="otherwise",
            kind=Choice(of=Otherwise),
            default="park",
            says="When one is still missing then: `ignore` (the route does not run; the decision keeps the reason), `proceed` (it runs "
            "without) or `park` (the job waits for a person, or for the series).",
        ),
    ),
)


_FOR_ROLES = NEEDS.read(snippet("{}"), Here(file="", folder=Path()))
"""How long a route waits for the series of its roles where it does not say it."""
_IGNORE, _PARK = "ignore", "park"
_REQUIRED, _ANY = "required", "any"


def _route(
    *,
    name: str,
    peers: tuple[str, ...],
    called: tuple[str, ...],
    when: tuple[Asked, ...],
    any_series: tuple[Asked, ...],
    all_series: tuple[Asked, ...],
    needs: Needs | None,
    run: tuple[PinnedVersion, ...],
    priority: Priority,
    send: tuple[str, ...],
    each: bool,
    deadline: timedelta | None,
    short: WhenShort | None,
    longest: timedelta | None,
    otherwise: str,
    expect: bool,
    prefer: tuple[Preference, ...],
    sample: float,
    disabled: bool,
    fallback: bool,
    choose: str | None,
    hours: tuple[Window, ...] | None,
    roles: tuple[RoleConditions, ...] | None,
    accepted: str,
    profile: Profile | None,
) -> Route:
    return Route(
        name=name,
        peers=peers,
        called=called,
        when=when,
        any_series=any_series,
        all_series=all_series,
        needs=needs or (_FOR_ROLES if roles else None),
        run=tuple(one.application for one in run),
        pinned=tuple(one for one in run if one.version),
        priority=priority,
        send=send,
        each=each,
        deadline=deadline,
        short=short,
        longest=longest,
        parks_excluded=otherwise == _PARK,
        expect=expect,
        prefer=prefer,
        sample=sample,
        disabled=disabled,
        fallback=fallback,
        choose=choose or "",
        hours=None if hours is None else Hours(windows=hours, zone=ZoneInfo("UTC")),
        roles=roles or (),
        accepted=accepted == _REQUIRED,
        profile=profile,
    )


def _one_of_several(values: Values, nodes: Nodes, here: Here) -> None:
    if values["each"] and values["prefer"]:
        raise here.about("prefer").refuse(BadValue, nodes["prefer"], "`each: true` runs every series; leave one of them out")
    asked = [one.application for one in values["run"]]
    if (twice := next((name for name in asked if asked.count(name) > 1), None)) is not None:
        raise here.about("run").refuse(BadValue, nodes["run"], f'"{twice}" stands twice; of one application a route asks for one version')
    roles, needs = values["roles"], values["needs"]
    if roles and values["each"]:
        raise here.about("each").refuse(BadValue, nodes["each"], "a route with `roles` runs once a study; leave `each` out")
    if roles and len(values["run"]) != 1:
        raise here.about("run").refuse(BadValue, nodes["run"], "`roles` are those of one application; write a route for each")
    if values["choose"] and (other := next((name for name in _NOT_TO_CHOOSE if values[name]), None)) is not None:
        raise here.about("choose").refuse(BadValue, nodes["choose"], f"one series is chosen here, and `{other}` {_NOT_TO_CHOOSE[other]}")
    if needs is not None and bool(needs.series) == bool(roles):
        says = "series beside `roles`: those are what is waited for" if roles else f'needs the key "series": {Needed.wants}'
        raise here.about("needs").refuse(BadValue if roles else MissingKey, nodes["needs"], says)


_NOT_TO_CHOOSE = {
    "each": "runs every series; leave one of them out",
    "roles": "gives several their roles; leave one of them out",
    "needs": "may find later that the route does not run, so that none would; leave one of them out",
    "else": "takes what all others leave, whatever they choose; leave one of them out",
}
"""What a route with `choose` cannot have, and what that does."""


def with_clock(routes: tuple[Route, ...], zone: ZoneInfo | None, listed: Node | None, here: Here) -> tuple[Route, ...]:
    """The routes with the clock by which hours go; refuses those that have some where nobody says whose clock that is."""
    found = []
    for route, item in zip(routes, listed.value if isinstance(listed, SequenceNode) else (), strict=True):
        if route.hours is not None and zone is None:
            at = child(item, "hours")
            assert at is not None, "a route with hours says so"
            needs = 'the block `schedule` needs the key "timezone": a time zone such as `Europe/Berlin`, whose clock they go by'
            here.on(f'route "{route.name}"').about("hours").refuse(MissingKey, at, needs)
        found.append(route if route.hours is None or zone is None else replace(route, hours=replace(route.hours, zone=zone)))
    return tuple(found)


def refuse_lone_choices(routes: Sequence[Route], listed: Node | None, here: Here) -> None:
    """Refuse a name under `choose` that no second route has, and preferences that differ under one name."""
    named: dict[str, list[Route]] = {}
    for route in routes:
        named.setdefault(route.choose, []).append(route)
    for route, item in zip(routes, listed.value if isinstance(listed, SequenceNode) else (), strict=True):
        if not route.choose:
            continue
        about = here.on(f'route "{route.name}"')
        said, first = child(item, "choose"), next((one for one in named[route.choose] if one.prefer), route)
        assert said is not None, "a route that chooses says so"
        if len(named[route.choose]) == 1:
            others = sorted(name for name in named if name not in ("", route.choose))
            hint = suggestion(route.choose, others) if others else ""
            about.about("choose").refuse(BadValue, said, f"no other route says `choose: {route.choose}`{hint}")
        if route.prefer and route.prefer != first.prefer:
            at = child(item, "prefer")
            assert at is not None, "a route that prefers says so"
            about.about("prefer").refuse(
                BadValue, at, f'"{first.name}" prefers otherwise; of routes with one `choose` one says it, or all say the same'
            )


ROUTES = Items(
    noun="route",
    of=Block(
        build=_route,
        check=_one_of_several,
        keys=(
            Key(name="name", kind=TEXT, required=True, says="What you call it; every decision is kept under this name."),
            Key(
                name="from",
                field="peers",
                kind=Several(of=Reference(to="peers", noun="peer"), bare=True),
                default="[]",
                says="The peers whose studies it takes; without it, all.",
            ),
            Key(
                name="to",
                field="called",
                kind=Several(of=Reference(to="called", noun="called AE title"), bare=True),
                default="[]",
                says="The called AE titles (of `node: ae_title`) for which it holds; without it, all.",
            ),
            Key(
                name="hours",
                kind=Windows(),
                says="When the last image of the study came, by the clock of `schedule: {timezone: …}`. When images were taken is asked by "
                "conditions (`StudyTime`).",
            ),
            Key(
                name="when",
                kind=Conditions(),
                default="{}",
                says="Conditions on DICOM keywords; all must hold.",
            ),
            Key(
                name="any_series",
                kind=Conditions(),
                default="{}",
                says="Conditions that must all hold for at least one series of the study, whichever it is. It does not wait: see `needs`.",
            ),
            Key(
                name="all_series",
                kind=Conditions(),
                default="{}",
                says="Conditions that must all hold for every series of images of the study.",
            ),
            Key(name="needs", kind=NEEDS, says="Series that the study must hold too before the applications run."),
            Key(
                name="run",
                kind=Several(of=ApplicationAsked(), bare=True, least=1),
                required=True,
                says="The applications to run on the series. `NAME@1.2` asks for one version, and each that begins so: where another is "
                "installed or served, its jobs are parked (HLM-4184).",
            ),
            Key(
                name="roles",
                kind=InRoles(),
                says="Which series of the study fills each role of the one application of `run`: conditions beside those of `when`. Of a "
                "role that is a prior, how old it may be at most: `{within: 3y}`; of one of another modality conditions too. Where several "
                "fill one, `prefer` decides, or none does.",
            ),
            Key(
                name="each",
                kind=SWITCH,
                default="false",
                says="Run on every series that fits. Else on the best: most images, then thinnest slices, then lowest series number.",
            ),
            Key(
                name="prefer",
                kind=Prefer(),
                default="[]",
                says="By what a series is the best, in this order, before the rule of `each`: `thinnest`, `most images`, `newest`, or "
                "conditions that it holds.",
            ),
            Key(
                name="choose",
                kind=TEXT,
                says="A name that several routes share: of all of them one runs, on one series of a study, the best by what one of them "
                "`prefer`s; where several take it, the first of the file.",
            ),
            Key(
                name="priority",
                kind=Choice(of=Priority),
                default="routine",
                says="Which jobs go first: `urgent` before `routine` before `offpeak`, which begins only in the window of `schedule: {…}`.",
            ),
            Key(
                name="deadline",
                kind=DURATION,
                says="How soon after the study was complete its results should be there; of one priority the earliest deadline goes first, "
                "and without one peers take turns.",
            ),
            Key(
                name="short", kind=Choice(of=WhenShort), says="What this route does with a series that is known to be short; as at a peer."
            ),
            Key(name="longest", kind=DURATION, says="How long it waits for the rest of such a series; as at a peer."),
            Key(
                name="otherwise",
                kind=Choice(of=(_IGNORE, _PARK)),
                default=_IGNORE,
                says="When what an application declares excludes the series by its headers: `ignore` (the job is not applicable: nobody "
                "need look) or `park` (it waits for a person, and the reader is told).",
            ),
            Key(
                name="expect",
                kind=SWITCH,
                default="false",
                says="Some series is expected of each study that its senders send and for which `any_series` and `all_series` hold: where "
                "no route of an application takes one, one note says in the archive that there is no result.",
            ),
            Key(
                name="sample",
                kind=PERCENT,
                default="100%",
                says="The share of studies that it is about, told by a hash of their StudyInstanceUIDs: of a study all series or none, "
                "again whenever it comes; those of a smaller share are among those of a larger one.",
            ),
            Key(
                name="accepted",
                kind=Choice(of=(_REQUIRED, _ANY)),
                default=_ANY,
                says="`required`: each application has to be accepted here (`hilum models accept`), in the version and with the models "
                "that are served. The jobs of one that is not are parked (HLM-4185).",
            ),
            Key(
                name="disabled",
                kind=SWITCH,
                default="false",
                says="It takes nothing, and stays in the file, checked and explained like any other.",
            ),
            Key(
                name="else",
                field="fallback",
                kind=SWITCH,
                default="false",
                says="It takes only series that no route without this key takes: of which none makes a job, not even one that waits.",
            ),
            Key(
                name="send",
                kind=Several(of=Reference(to="sinks", noun="sink"), bare=True, least=1),
                required=True,
                says="The sinks that get the results.",
            ),
            Key(
                name="profile",
                kind=NamedProfile(),
                says="What its sinks get of the results, and in which form, in place of each one's profile; of several routes that ask for "
                "one job, the first of the file that sends to a sink says it.",
            ),
        ),
    ),
)
