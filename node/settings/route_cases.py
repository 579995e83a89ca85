"""routes.test.yaml: cases that routes are tried on, and what is expected of each. The file lies beside the configuration."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from node.domain.instance import Header, Value
from node.domain.job import Priority
from node.settings.blocks import Block, Items, Key, Values, pairs
from node.settings.conditions import keyword_of, value_of
from node.settings.config import Config
from node.settings.kinds import DURATION, TEXT, Choice, FilePath, Reference, Scalar, Schema, Several, whole
from node.settings.load import as_one
from node.settings.source import BadValue, Here, MissingKey, Refused, UnknownName, WrongType, kind_of, parse, read, suggestion

_IMAGES = "images"
_SOURCES = ("headers", "files", "study")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCase:
    """One series of a case: what its header says, and how many images it has; None where the case does not say it."""

    header: Header
    images: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRun:
    """What a route is to run, and on what: `series` by their places among `headers`, their SeriesNumbers or their UIDs; with which
    priority, to which sinks and how soon. None: whatever it is."""

    run: tuple[str, ...]
    series: tuple[str, ...] | None = None
    priority: Priority | None = None
    send: tuple[str, ...] | None = None
    deadline: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A study, and the routes that are expected to run on it with the applications that each asks for; no others are. One of `headers`,
    `files` and `study` says what it is. `peer` and `called` None: whoever sends it, wherever to; `at` says when it comes, None: in the
    hours of each route. `told` are the applications for which a
    route expects a series in vain."""

    name: str
    peer: str | None
    called: str | None
    at: datetime | None
    headers: tuple[SeriesCase, ...]
    files: Path | None
    study: str | None
    expect: Mapping[str, ExpectedRun]
    told: tuple[str, ...]


class _Series:
    """A series: DICOM keywords with a value or a list of them, and `images`."""

    wants = "DICOM keywords with their values"

    def read(self, at: Node, here: Here) -> SeriesCase:
        found, sound = pairs(at, here, known=None)
        header: dict[str, tuple[Value, ...]] = {}
        images: int | None = None
        for name, (key, value) in found.items():
            inner = here.about(name)
            try:
                if name == _IMAGES:
                    images = whole(1, 1_000_000).read(value, inner)
                    continue
                keyword = keyword_of(name, key, inner)
                each = value.value if isinstance(value, SequenceNode) else [value]
                header[keyword.name] = tuple(value_of(keyword, one, inner) for one in each)
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return SeriesCase(header=header, images=images)

    def schema(self) -> Schema:
        return {"type": "object"}


_APPLICATIONS_TOLD = Several(of=Reference(to="applications", noun="application"), bare=True)
_APPLICATIONS = Several(of=Reference(to="applications", noun="application"), bare=True, least=1)
_EXPECTED_RUN = Block(
    build=ExpectedRun,
    keys=(
        Key(name="run", kind=_APPLICATIONS, required=True, says="The applications."),
        Key(
            name="series",
            kind=Several(of=TEXT, bare=True, least=1),
            says="The series: the place of each among `headers`, from 1; of files and received studies its SeriesNumber or its UID.",
        ),
        Key(name="priority", kind=Choice(of=Priority), says="Of the jobs, as the most urgent route that asks for them has it."),
        Key(
            name="send",
            kind=Several(of=Reference(to="sinks", noun="sink"), bare=True, least=1),
            says="The sinks of the jobs: those of every route that asks for them.",
        ),
        Key(name="deadline", kind=DURATION, says="How soon the results should be there, as the nearest of these routes has it."),
    ),
)


class _Expected:
    """Routes, each with the applications that it is to run, or with more that is expected of it."""

    wants = "a mapping of routes to applications, or to a mapping, below; {} when nothing is to run"
    of = _EXPECTED_RUN

    def read(self, at: Node, here: Here) -> dict[str, ExpectedRun]:
        found, sound = pairs(at, here, known=None)
        expected = {}
        for name, (key, value) in found.items():
            try:
                if name not in here.names["routes"]:
                    raise here.refuse(UnknownName, key, f'unknown route "{name}"{suggestion(name, here.names["routes"])}')
                inner = here.about(name)
                more = isinstance(value, MappingNode)
                expected[name] = _EXPECTED_RUN.read(value, inner) if more else ExpectedRun(run=_APPLICATIONS.read(value, inner))
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return expected

    def schema(self) -> Schema:
        return {"type": "object"}


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M")
    except ValueError:
        raise ValueError(f'"{text}" is no moment; write "2026-03-10 23:30"') from None


_MOMENT = Scalar(wants='a moment such as `"2026-03-10 23:30"`', parse=_moment, form={"type": "string"})


class _SeriesList:
    """The series of a study; two may say the same."""

    wants = "a list of series"

    def read(self, at: Node, here: Here) -> tuple[SeriesCase, ...]:
        if not isinstance(at, SequenceNode):
            raise here.refuse(WrongType, at, f"{kind_of(at)}, where {self.wants} belongs; begin each with a hyphen")
        if not at.value:
            raise here.refuse(MissingKey, at, "an empty list; a study has a series at least")
        return tuple(_Series().read(one, here) for one in at.value)

    def schema(self) -> Schema:
        return {"type": "array"}


def _one_source(values: Values, nodes: Mapping[str, Node], here: Here) -> None:
    given = [name for name in _SOURCES if name in nodes]
    if len(given) != 1:
        at = next(iter(nodes.values()))
        said = " and ".join(given) or "none"
        raise here.refuse(BadValue, at, f"a case is one of headers, files and study; {said} {'stand' if given else 'stands'} here")
    if "at" in nodes and "study" in nodes:
        raise here.about("at").refuse(BadValue, nodes["at"], "a study that was received came when it came; leave `at` out")


def _case(*, headers: tuple[SeriesCase, ...] | None, **rest: Any) -> Case:
    return Case(headers=headers or (), **rest)


_CASES = Items(
    noun="case",
    of=Block(
        build=_case,
        check=_one_source,
        keys=(
            Key(name="name", kind=TEXT, required=True, says="What the case is about."),
            Key(name="from", field="peer", kind=Reference(to="peers", noun="peer"), says="Who sends it; without it, `from` holds."),
            Key(
                name="to", field="called", kind=Reference(to="called", noun="called AE title"), says="The called AE title; as with `from`."
            ),
            Key(
                name="at",
                kind=_MOMENT,
                says="When the last image comes, by the clock of `schedule: {timezone: …}`, else UTC; without it, `hours` hold.",
            ),
            Key(
                name="headers",
                kind=_SeriesList(),
                says="The series of a made study: DICOM keywords, and how many `images`. Those of another StudyInstanceUID than the first "
                "are of other studies, which it may be compared with.",
            ),
            Key(name="files", kind=FilePath(), says="A file, folder or zip of DICOM, from this file's folder."),
            Key(name="study", kind=TEXT, says="The UID (or its end) of a study that the node received."),
            Key(
                name="expect",
                kind=_Expected(),
                required=True,
                says="The routes that are to run, with their applications, or with more of what they do; no others are.",
            ),
            Key(
                name="told",
                kind=_APPLICATIONS_TOLD,
                default="[]",
                says="The applications of which the reader is told that there is no result, because a route with `expect` gets no series.",
            ),
        ),
    ),
)


def cases(path: Path, config: Config) -> tuple[Case, ...]:
    """The cases of a file, for the routes of `config`.

    Raises
    ------
    ConfigError
        What is wrong with it, with its place.
    """
    names = {
        "peers": set(config.peers),
        "called": set(config.node.ae_titles),
        "routes": {route.name for route in config.routes},
        "applications": {name for route in config.routes for name in route.run},
        "sinks": set(config.sinks),
    }
    here = Here(file=str(path), folder=path.absolute().parent, names=names)
    found: tuple[Case, ...] = ()
    with suppress(Refused):
        found = _CASES.read(parse(read(path), path), here)
    if here.problems:
        raise as_one(here)
    zone = config.schedule.timezone or UTC
    return tuple(one if one.at is None else replace(one, at=one.at.replace(tzinfo=zone)) for one in found)
