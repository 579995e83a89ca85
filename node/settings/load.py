"""hilum.yaml is found and becomes one frozen Config with its digest. All that is wrong with a file is told at once. Of two configurations
it says which keys wait for a restart: those that bind sockets, are the store, or found processes. A reload takes up all others."""

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.nodes import ScalarNode, SequenceNode

from node.domain.errors import ConfigError
from node.domain.profile import VIEWER, Kind, Profile
from node.domain.route import Asked, ConditionBlock, Needs, Preference, Preferred, RoleConditions, Route, Window
from node.settings.audit import AUDIT
from node.settings.blocks import Block, Key, differing_keys
from node.settings.conditions import WINDOW
from node.settings.config import APPLICATIONS, DEFAULT_ENGINE, MODELS, REPOSITORY, Config, SinkSettings
from node.settings.console import CONSOLE
from node.settings.definitions import DEFINITIONS, definitions_of
from node.settings.engines import ENGINES
from node.settings.node import NODE
from node.settings.notify import NOTIFY
from node.settings.observe import OBSERVE
from node.settings.peers import PEERS, May, Peer
from node.settings.routes import ROUTES, refuse_lone_choices, role_schema, with_clock
from node.settings.schedule import SCHEDULE
from node.settings.sinks import DeclaredResults, DeclaredSink, profile_block, profiles_block, profiles_of, sinks_of
from node.settings.source import (
    BadValue,
    ConfigMissing,
    ConfigRefused,
    DuplicateName,
    Here,
    MissingKey,
    Refused,
    child,
    entries,
    parse,
    read,
)
from node.settings.store import STORE
from node.settings.tls import ClientCertificate, listener_of

_REFERRED = ("peers", "engines", "sinks")
VARIABLE = "HILUM_CONFIG"
PLACES = (Path("hilum.yaml"), Path("/etc/hilum/hilum.yaml"))
"""Looked at in this order, from the working directory, where the variable of the environment names none."""
_MODELS = {"repository": "models", "applications": "application_folders"}
"""Keys of `models:` that a running node goes by, and the fields of a configuration that hold them."""
_FIELDS = {"define": "definitions"}
"""Blocks whose field of a configuration has another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HilumFile:
    """All that may stand in the file: the one declaration that decoding, JSON Schema and the reference page are made from.

    `profile` has the keys of a profile, which sinks refer to by name or bear themselves.
    """

    whole: Block[dict[str, Any]]
    profile: Block[Profile]


def hilum(sinks: Sequence[DeclaredSink], results: Sequence[DeclaredResults]) -> HilumFile:
    """The file with these kinds of sinks and of results."""
    profile = profile_block(results)
    whole: Block[dict[str, Any]] = Block(
        build=dict,
        keys=(
            Key(name="node", kind=NODE, default="{}", restart=True, says="The listener and the processes behind it."),
            Key(name="peers", kind=PEERS, default="{}", says="The DICOM application entities that the node knows, by a name of yours."),
            Key(name="store", kind=STORE, default="{}", restart=True, says="Where the node remembers, and for how long."),
            Key(name="engines", kind=ENGINES, default="{}", says="What runs models, by a name of yours; `default` need not be named."),
            Key(
                name="models",
                kind=MODELS,
                default="{}",
                restart=True,
                says="The model repository, and further folders of applications.",
            ),
            Key(
                name="profiles",
                kind=profiles_block(profile),
                default="{}",
                says="What a sink gets of the results, and in which form, by a name of yours. Four come with hilum: `viewer`, `pacs`, "
                "`archive` and `triage`. A key that is not there is as in the profile that it is `like`.",
            ),
            Key(name="sinks", kind=sinks_of(sinks, profile), default="{}", says="Where results go, by a name of yours."),
            Key(
                name="applications",
                kind=APPLICATIONS,
                default="{}",
                says="How an application runs here; one without an entry has the defaults.",
            ),
            Key(
                name="define",
                kind=DEFINITIONS,
                default="{}",
                says="Conditions by a name of yours, which routes ask by `is`. Each is what may stand under `when`, other definitions too.",
            ),
            Key(name="routes", kind=ROUTES, default="[]", says="Which series get which applications, and where results go."),
            Key(name="schedule", kind=SCHEDULE, default="{}", says="When off-peak jobs run, and how long any job is passed over."),
            Key(
                name="audit",
                kind=AUDIT,
                default="{}",
                restart=True,
                says="Who is told what was done with whose images (DICOM audit messages).",
            ),
            Key(name="console", kind=CONSOLE, default="{}", restart=True, says="The operator's web pages."),
            Key(name="notify", kind=NOTIFY, default="{}", says="Whom to tell, by mail or a webhook, when something waits for a person."),
            Key(name="observe", kind=OBSERVE, default="{}", says="What is told to programs that watch: traces."),
        ),
    )
    return HilumFile(whole=whole, profile=profile)


def load(
    path: Path, file: HilumFile, *, applications: Collection[str] | None = None, coming: Sequence[Path] = (), text: bytes | None = None
) -> Config:
    """Decode a configuration file.

    Parameters
    ----------
    file
        What may stand in it, as `hilum` declares it.
    applications
        The names that `run` and `applications` may use; None asks the catalog (built in, installed, and the file's own folders).
    coming
        Folders whose applications count as if they lay in the file's own: a restore brings them there.
    text
        What is taken to stand in the file; None reads it.

    Raises
    ------
    ConfigError
        What is wrong; `ConfigRefused` when there are several things, with all of them in `problems`.
    """
    text = read(path) if text is None else text
    tree = parse(text, path)
    here = Here(file=str(path), folder=path.absolute().parent)
    known = applications if applications is not None else _catalog(tree, here, coming)
    profiles = profiles_of(child(tree, "profiles"), here, file.profile)
    names = {**_names(tree, known), "profiles": profiles}
    listener = listener_of(child(tree, "node", "tls"), here)
    definitions = definitions_of(child(tree, "define"), here)
    here = Here(file=here.file, folder=here.folder, names=names, profiles=profiles, definitions=definitions, listener=listener)
    try:
        values = file.whole.read(tree, here)
    except Refused:
        values = {}
    if values:
        _check_together(values, tree, here)
    if here.problems:
        raise as_one(here)
    config = Config(
        path=path.absolute(),
        digest="",
        node=values["node"],
        store=values["store"],
        models=values["models"].repository,
        peers=values["peers"],
        engines=values["engines"],
        sinks=values["sinks"],
        applications=values["applications"],
        definitions=values["define"],
        routes=values["routes"],
        application_folders=values["models"].folders,
        fetched=values["models"].fetched,
        catalogue=values["models"].catalogue,
        schedule=values["schedule"],
        audit=values["audit"],
        console=values["console"],
        notify=values["notify"],
        observe=values["observe"],
        text=text,
    )
    return digest(config)


def schema(file: HilumFile) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, for editors."""
    from node.settings.conditions import condition_schema, conditions_schema

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hilum.yaml",
        **file.whole.schema(),
        "$defs": {"condition": condition_schema(), "conditions": conditions_schema(), "role": role_schema(), "window": WINDOW.schema()},
    }


def _catalog(tree: YamlNode, here: Here, coming: Sequence[Path]) -> Collection[str]:
    from inference.applications.catalog import names

    at = child(tree, "models")
    quiet = Here(file=here.file, folder=here.folder)  # what is wrong with `models:` is told when the whole file is read
    try:
        folders = MODELS.read(at, quiet).folders if at is not None else (here.folder / REPOSITORY,)
    except Refused:
        folders = ()
    return names((*folders, *coming))


def _names(tree: YamlNode, applications: Collection[str]) -> dict[str, Collection[str]]:
    """What other entries may refer to; an entry that is itself wrong still counts, so that one mistake gives one message."""
    declared = {block: {str(key.value) for key, _ in entries(at)} if (at := child(tree, block)) else set() for block in _REFERRED}
    called = child(tree, "node", "ae_title")
    titles = called.value if isinstance(called, SequenceNode) else [called]
    return {
        **declared,
        "engines": declared["engines"] | {DEFAULT_ENGINE},
        "applications": set(applications),
        "called": {str(title.value).strip(" ") for title in titles if isinstance(title, ScalarNode)} or {"HILUM"},
    }


def _told_apart(one: Peer, other: Peer) -> bool:
    """Whether two peers of one title and address are never taken for each other: both prove the same kind of thing, and never the same.

    Alternative names do not tell: one certificate may bear both.
    """
    if one.user is not None and other.user is not None and one.user.name != other.user.name:
        return True
    if one.certificate is None or other.certificate is None:
        return False
    kinds = ((rule.fingerprints, rule.subjects) for rule in (one.certificate, other.certificate))
    return any(asked and wanted and set(asked).isdisjoint(wanted) for asked, wanted in zip(*kinds, strict=True))


def _check_together(values: dict[str, Any], tree: YamlNode, here: Here) -> None:
    """What only the whole file shows."""
    bearers: dict[tuple[str, str], list[Peer]] = {}
    for peer in values["peers"].values():
        others = bearers.setdefault((peer.ae_title, peer.host), [])
        alike = next((one for one in others if not _told_apart(one, peer)), None)
        if alike is not None:
            at = child(tree, "peers", peer.name, "ae_title")
            assert at is not None, "a peer has an AE title"
            about = here.on(f'peer "{peer.name}"')
            bears = f'AE title "{peer.ae_title}" at {peer.host} is peer "{alike.name}" already'
            unlike = "no fingerprint or subject of a certificate, nor user, that each must show tells them apart"
            about.refuse(DuplicateName, at, f"{bears}, and {unlike}")
        others.append(peer)
    for sink in values["sinks"].values():
        if sink.peer is not None and values["peers"][sink.peer].port == 0:
            at = child(tree, "sinks", sink.name, "peer")
            assert at is not None, "a sink with a peer names it"
            here.on(f'sink "{sink.name}"').refuse(BadValue, at, f'peer "{sink.peer}" has port 0: it does not listen')
    for peer in values["peers"].values():
        asked = peer.settle.count_at
        if asked is not None and not values["peers"][asked].counts:
            at = child(tree, "peers", peer.name, "settle", "count_at")
            assert at is not None, "nobody is asked unless it says so"
            lacks = "has port 0: it does not listen" if values["peers"][asked].port == 0 else "may not be asked: it needs `find` in `may`"
            here.on(f'peer "{peer.name}"').refuse(BadValue, at, f'peer "{asked}" {lacks}')
    for peer in values["peers"].values():
        if May.COMMIT in peer.may and peer.port == 0:
            at = child(tree, "peers", peer.name, "may")
            assert at is not None, "nobody may commit unless it says so"
            what = "may commit, but has port 0: the report of a commitment could not be sent to it"
            here.on(f'peer "{peer.name}"').refuse(BadValue, at, what)
    _proved(values, tree, here)
    seen: set[str] = set()
    listed = child(tree, "routes")
    for route, item in zip(values["routes"], listed.value if isinstance(listed, SequenceNode) else (), strict=True):
        if route.name in seen:
            at = child(item, "name")
            assert at is not None, "a route has a name"
            here.on(f'route "{route.name}"').refuse(DuplicateName, at, "a second route with this name")
        seen.add(route.name)
    refuse_lone_choices(values["routes"], listed, here)
    values["routes"] = with_clock(values["routes"], values["schedule"].timezone, listed, here)


def _proved(values: dict[str, Any], tree: YamlNode, here: Here) -> None:
    """Where nobody is spoken to without a certificate, each peer that may call says which is its own, or names a user: otherwise whoever
    has any that the authorities signed passes for it."""
    node = values["node"]
    if node.plain or node.tls is None or node.tls.client_certificate is not ClientCertificate.REQUIRED:
        return
    for peer in values["peers"].values():
        if peer.certificate is None and peer.user is None and peer.may - {May.FIND}:
            at = child(tree, "peers", peer.name)
            assert at is not None, "a peer stands in the file"
            what = (
                'needs the key "certificate" (a fingerprint, a name or a subject): certificates are required here, and any that the '
                "authorities signed would pass for its own; `may: [find]` for a peer that never calls"
            )
            here.on(f'peer "{peer.name}"').refuse(MissingKey, at, what)


def as_one(here: Here) -> ConfigError:
    problems = [problem for _, _, problem in sorted(here.problems, key=lambda found: found[:2])]
    return problems[0] if len(problems) == 1 else ConfigRefused(problems)


def digest(config: Config) -> Config:
    """The same configuration with its digest. Comments, the order of keys, and settings that do not route (time-outs) leave it as it is."""
    canonical = json.dumps(_meaning(config), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return replace(config, digest=hashlib.sha256(canonical.encode()).hexdigest())


def _meaning(config: Config) -> dict[str, Any]:
    return {
        "called": sorted(config.node.ae_titles),
        "peers": {name: [peer.ae_title, peer.host, peer.settle.scope.value] for name, peer in config.peers.items()},
        "sinks": {name: _sink(sink) for name, sink in config.sinks.items()},
        "routes": [_route(route) for route in config.routes],
        # as for routes: a file without any means what it meant before
        **({"parts": parts} if (parts := parts_of(config)) else {}),
    }


def parts_of(config: Config) -> dict[str, str]:
    """The parts of series that applications are asked to take here."""
    return {name: each.parts for name, each in config.applications.items() if each.parts is not None}


def _sink(sink: SinkSettings) -> list[Any]:
    return [sink.destination.kind, *sink.destination.identity, Kind.SC in sink.profile.kinds, *_wants(sink.profile)]


def _wants(profile: Profile) -> list[Any]:
    # a sink that differs in the page alone means what it meant before there were profiles
    same = replace(profile, name=VIEWER.name, kinds=profile.kinds | {Kind.SC}) == VIEWER
    if same:
        return []
    masks = [profile.masks, profile.compression, profile.empty_masks, profile.cine_masks, profile.mask_reports]
    return [*masks, sorted(profile.kinds), profile.languages, profile.not_taken]


def _route(route: Route) -> dict[str, Any]:
    return {
        "name": route.name,
        "from": sorted(route.peers),
        "to": sorted(route.called),
        "when": sorted((_condition(condition) for condition in route.when), key=repr),
        "run": sorted(route.run),
        "priority": route.priority.value,
        "send": sorted(route.send),
        "each": route.each,
        # a route without any means what it meant before there were such
        **({"any": sorted((_condition(one) for one in route.any_series), key=repr)} if route.any_series else {}),
        **({"all": sorted((_condition(one) for one in route.all_series), key=repr)} if route.all_series else {}),
        **({} if route.needs is None else {"needs": _needs(route.needs)}),
        **({} if route.deadline is None else {"deadline_s": route.deadline.total_seconds()}),
        **({} if route.short is None else {"short": route.short.value}),
        **({} if route.longest is None else {"longest_s": route.longest.total_seconds()}),
        **({"expect": True} if route.expect else {}),
        **({"prefer": [_preference(one) for one in route.prefer]} if route.prefer else {}),
        **({"sample": route.sample} if route.sample < 1 else {}),
        **({"disabled": True} if route.disabled else {}),
        **({"else": True} if route.fallback else {}),
        **({"choose": route.choose} if route.choose else {}),
        **({} if route.hours is None else {"hours": [route.hours.zone.key, *map(_window, route.hours.windows)]}),
        **({"roles": [_role(one) for one in route.roles]} if route.roles else {}),
        **({"parks_excluded": True} if route.parks_excluded else {}),
        **({"pinned": sorted([one.application, one.version] for one in route.pinned)} if route.pinned else {}),
        **({"accepted": True} if route.accepted else {}),
        **({} if route.profile is None else {"profile": [Kind.SC in route.profile.kinds, *_wants(route.profile)]}),
    }


def _window(one: Window) -> list[Any]:
    return [one.between, sorted(one.weekdays)]


def _preference(one: Preference) -> Any:
    return one.value if isinstance(one, Preferred) else sorted(map(_condition, one), key=repr)


def _role(role: RoleConditions) -> list[Any]:
    within = None if role.within is None else role.within.total_seconds()
    return [role.name, within, *sorted(map(_condition, role.when), key=repr)]


def _needs(needs: Needs) -> list[Any]:
    series = {one.name: sorted((_condition(condition) for condition in one.when), key=repr) for one in needs.series}
    return [series, needs.within.total_seconds(), needs.otherwise.value]


def _condition(condition: Asked) -> list[Any]:
    if isinstance(condition, ConditionBlock):
        return [condition.junction.value, *sorted((sorted(map(_condition, entry), key=repr) for entry in condition.entries), key=repr)]
    return [condition.keyword, condition.operator.value, str(condition.negated), *(repr(value) for value in condition.expected)]


def find_config(given: Path | None) -> Path:
    """The file that was given, else the one that `VARIABLE` names, else the first of `PLACES` that is there.

    Raises
    ------
    ConfigMissing
        It is not there, or none of `PLACES` is.
    """
    named = os.environ.get(VARIABLE, "")
    if given is not None:
        return _there(given, "")
    if named:
        return _there(Path(named), f"{VARIABLE}: ")
    for place in PLACES:
        if place.is_file():
            return place
    here, installed = PLACES
    raise ConfigMissing(f"no configuration: {here} is not here ({Path.cwd()}), {installed} is not there, and {VARIABLE} names none")


def _there(place: Path, where: str) -> Path:
    if not place.is_file():
        raise ConfigMissing(f"{where}{place}: {'is a folder' if place.is_dir() else 'there is no such file'}")
    return place


def waiting_keys(file: HilumFile, one: Config, other: Config) -> list[str]:
    """The keys that wait for a restart and differ in two configurations: `node.listen`, or the whole block where one has none."""
    return [name for key in file.whole.keys if key.restart for name in _differing(key.name, one, other)]


def changed_blocks(file: HilumFile, one: Config, other: Config) -> tuple[str, ...]:
    """The live blocks in which two configurations differ; a profile counts where a sink goes by it."""
    names = [key.name for key in file.whole.keys if not key.restart and key.name != "profiles"]
    return tuple(name for name in names if getattr(one, _FIELDS.get(name, name)) != getattr(other, _FIELDS.get(name, name)))


def _differing(block: str, one: Config, other: Config) -> list[str]:
    if block == "models":
        return [f"{block}.{key}" for key, field in _MODELS.items() if getattr(one, field) != getattr(other, field)]
    here: Any = getattr(one, block)
    there: Any = getattr(other, block)
    if here == there:
        return []
    if is_dataclass(here) and type(here) is type(there):
        return [f"{block}.{key}" for key in differing_keys(here, there)]
    return [block]
