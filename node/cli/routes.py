"""`hilum routes explain`: why each route did, or would, or would not take each series, received or in files and zips, condition by
condition.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from inference.errors import InputError
from node.cli.ending import NothingFound
from node.cli.opened import ConfigOption, JsonOption, configuration, journal
from node.dicom.archives import DAMAGED, Unpacked, is_archive
from node.domain.instance import Header
from node.domain.private_name import PrivateName
from node.domain.route import Decision, Route, Tried, Withheld
from node.records.decisions import RouteExplanation, application_records, condition_records, condition_rows

if TYPE_CHECKING:
    from rich.console import Console

    from node.routing.decisions import SeriesView
    from node.routing.measures import ForeseenMeasure
    from node.settings.config import Config

    Foreseen: TypeAlias = dict[tuple[str, str], tuple[ForeseenMeasure, ...]]


@dataclass(slots=True)
class FoundHeaders:
    """What lies under a path: headers by study and series, files that are no images for a node, and why."""

    series: dict[str, dict[str, dict[str, Header]]] = field(default_factory=dict)
    """study UID → series UID → SOP Instance UID → header"""
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def read(path: Path, private: Collection[PrivateName] = ()) -> FoundHeaders:
    """Read every header under `path`, without pixels; of private elements those that are named.

    Raises
    ------
    NothingFound
        There is nothing, or nothing of it is DICOM.
    """
    from node.dicom.header import read_header

    found = FoundHeaders()
    for name, data in _files(path):
        try:
            identity, header = read_header(data, private)
        except InputError as unreadable:
            found.passed_over.append((name, f"{unreadable} [{unreadable.code}]"))
            continue
        if identity.made_by_hilum:
            found.passed_over.append((name, "a result of hilum; results are never analysed"))
            continue
        study = found.series.setdefault(identity.study_instance_uid, {})
        study.setdefault(identity.series_instance_uid, {})[identity.sop_instance_uid] = header
    if not found.series:
        reason = f"; the first of {len(found.passed_over)} files: {found.passed_over[0][1]}" if found.passed_over else ": no file"
        raise NothingFound(f"{path} holds no DICOM images{reason}")
    return found


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.name.startswith(".") and file.name != "DICOMDIR":
                yield str(file.relative_to(path)), file
    elif is_archive(path):
        with tempfile.TemporaryDirectory(prefix="hilum-headers-") as folder:
            try:
                for name, file in Unpacked(Path(folder)).members(path, path.name):
                    yield name.partition("!")[2], file
                    file.unlink()  # one at a time: only headers are kept
            except DAMAGED as damaged:
                raise NothingFound(f"{path} is a zip that cannot be read: {damaged}") from damaged
    else:
        yield path.name, path


_TITLE = ("Modality", "SeriesDescription", "BodyPartExamined")


def explain(
    what: str,
    /,
    *,
    config: ConfigOption = None,
    sender: Annotated[str | None, Parameter(name="--from")] = None,
    called: Annotated[str | None, Parameter(name="--to")] = None,
    as_json: JsonOption = False,
) -> int:
    """Say of every route and series why it did, or would, or would not match.

    Parameters
    ----------
    what
        A file, folder or zip of DICOM files; or the UID (or its end) of a study that was received: then also what was decided at the time.
    sender
        The peer that sends it (a name under `peers`). Without it, `from` is taken to hold for files.
    called
        The called AE title. Without it, `to` is taken to hold for files.
    as_json
        One JSON object: `routes`, each with `route`, `matched`, `conditions` (`key`, `expected`, `found`, `held`; null: headers do not
        tell) and `series`, each with `chosen` and `applications` (`application`, `answer`: takes it | does not take it | cannot be known
        from headers, `reason`, and `measures`, of those that it declares: `measure`, `answer`: measured | not measured | cannot be known
        from headers, `reason`) and `untaken` (applications that are expected to take some series of the study, where none is taken: on the
        one that came nearest). What runs stands first, then what the fewest conditions keep from it. Of a study
        that was received also `recorded`, what was decided then, and `recorded_digests`, the routes that decided it.
    """
    from node.cli import screen

    path = Path(what)
    if path.exists():
        loaded = configuration(config)
        _known(loaded, sender, called)
        studies, passed_over = of_files(loaded, path, sender, called)
        recorded: list[RouteExplanation] = []
    else:
        loaded, studies, recorded = of_study(config, what, sender, called)
        passed_over = []
    measures = _foreseen(loaded, studies)
    if as_json:
        answer: dict[str, Any] = {"source": what, "config": str(loaded.path), "config_digest": loaded.digest}
        answer["routes"] = _routes(loaded, studies, measures)
        if recorded:
            answer["recorded"] = _routes(loaded, recorded, {})
            answer["recorded_digests"] = _digests(recorded)
        if passed_over:
            answer["passed_over"] = [{"file": name, "reason": reason} for name, reason in passed_over]
        screen.as_json(answer)
        return 0
    console = screen.out()
    if recorded and _verdicts(recorded) == _verdicts(studies):
        by = ", ".join(one[:12] for one in _digests(recorded))
        console.print(f"Decided so when it came (by the routes {by}), and {loaded.path.name} still says so\n", style="bold")
    elif recorded:
        by = ", ".join(one[:12] for one in _digests(recorded))
        console.print(f"Decided when it came, by the routes {by}\n", style="bold underline")
        _show(console, loaded, recorded, {})
        console.print(f"What {loaded.path.name} says now ({loaded.digest[:12]})\n", style="bold underline")
    _show(console, loaded, studies, measures)
    if passed_over:
        first = f"{passed_over[0][0]}: {passed_over[0][1]}"
        console.print(f"{screen.plural(len(passed_over), 'file')} passed over; the first: {first}", style="yellow")
    return 0


def _known(config: "Config", sender: str | None, called: str | None) -> None:
    """Refuse names that the configuration does not have: they would explain nothing."""
    from node.cli.ending import NothingFound
    from node.settings.source import suggestion

    for given, known, noun in ((sender, config.peers, "peer"), (called, config.node.ae_titles, "called AE title")):
        if given is not None and given not in known:
            raise NothingFound(f'unknown {noun} "{given}"{suggestion(given, list(known))}')


def of_files(
    config: "Config", path: Path, sender: str | None, called: str | None, came: datetime | None = None
) -> tuple[list[RouteExplanation], list[tuple[str, str]]]:
    """Decide with the node's own function. A sender or called AE title that was not named holds, and is shown as assumed."""
    from node.routing.decisions import class_of, seen

    found = read(path, config.private_elements)
    views = {
        study: tuple(
            seen(series, [(class_of(header), header) for header in headers.values()]) for series, headers in sorted(by_series.items())
        )
        for study, by_series in sorted(found.series.items())
    }
    return explained(config, views, sender, called, came), found.passed_over


def explained(
    config: "Config",
    views: "Mapping[str, Sequence[SeriesView]]",
    sender: str | None,
    called: str | None,
    came: datetime | None = None,
) -> list[RouteExplanation]:
    """What the routes say of studies (by UID) that are nowhere in the journal, and are taken to come at a moment; None: when each route is
    about them."""
    from node.assembly.compose import route_explainer

    explainer = route_explainer(config)
    routes = [_without_unnamed(route, sender, called) for route in config.routes]
    whole = {route.name: route for route in config.routes}
    told = []
    for study, series in views.items():
        decisions = explainer.made(study, views, routes, sender=sender, called=called, came=came)
        assumed = tuple(replace(one, tried=(*_assumed(whole[one.route], sender, called, came), *one.tried)) for one in decisions)
        told.append(RouteExplanation.ordered(study, series, assumed, config.digest))
    return told


def of_study(
    given: Path | None, what: str, sender: str | None, called: str | None
) -> tuple["Config", list[RouteExplanation], list[RouteExplanation]]:
    """What the configuration says now of a received study, and what was decided about its newest arrivals."""
    from node.assembly.compose import route_explainer
    from node.cli.studies import find_study

    with journal(given) as (config, opened):
        _known(config, sender, called)
        study = find_study(opened, what, besides="; nor is there such a file or folder")
        now, then = route_explainer(config).received(opened, study, sender=sender, called=called)
    return config, now, then


def _digests(studies: Sequence[RouteExplanation]) -> list[str]:
    """The routes that decided, each once."""
    return list(dict.fromkeys(one.digest for one in studies))


def _without_unnamed(route: Route, sender: str | None, called: str | None) -> Route:
    return replace(route, peers=() if sender is None else route.peers, called=() if called is None else route.called)


def _assumed(route: Route, sender: str | None, called: str | None, came: datetime | None) -> list[Tried]:
    from node.routing.conditions import hours_text

    tried = []
    if route.peers and sender is None:
        tried.append(Tried(key="from", expected=" or ".join(route.peers), found="assumed (--from PEER asks)", held=True))
    if route.called and called is None:
        tried.append(Tried(key="to", expected=" or ".join(route.called), found="assumed (--to AET asks)", held=True))
    if route.hours is not None and came is None:
        tried.append(Tried(key="hours", expected=hours_text(route.hours), found="assumed", held=True))
    return tried


def _verdicts(studies: Sequence[RouteExplanation]) -> list[tuple[object, ...]]:
    """What was decided and with what it is compared, without the texts that change by themselves."""
    return [
        (
            *(one.route, one.series_instance_uid, one.matched, one.chosen),
            *(one.reason.split("; ")[1:] if one.chosen else ()),
            *((t.key, t.expected, t.held) for t in one.tried),
        )
        for study in studies
        for one in study.decisions
    ]


def _routes(config: "Config", studies: Sequence[RouteExplanation], measures: "Foreseen") -> list[dict[str, Any]]:
    """By route, for scripts. A route's own `conditions` are those of the series that it would run on, else of the first."""
    configured = {route.name: route for route in config.routes}
    by_route: dict[str, list[dict[str, Any]]] = {name: [] for name in configured}
    for study in studies:
        for decision in study.decisions:
            series = {
                "study_uid": study.study_instance_uid,
                "series_uid": decision.series_instance_uid,
                "matched": decision.matched,
                "chosen": decision.chosen,
                "withheld": "" if decision.withheld is None else decision.withheld.value,
                "reason": decision.reason,
                "conditions": condition_records(decision.tried),
                "applications": [
                    {**one, "measures": _measure_records(measures.get((decision.series_instance_uid, one["application"]), ()))}
                    for one in application_records(decision)
                ],
                "untaken": list(decision.untaken),
            }
            by_route.setdefault(decision.route, []).append(series)
    routes = []
    for name, tried_on in by_route.items():
        # the chosen one first, then one that matched
        telling = max(tried_on, key=lambda one: (one["chosen"], one["matched"]), default=None)
        route = configured.get(name)
        routes.append(
            {
                "route": name,
                "matched": any(one["matched"] for one in tried_on),
                "reason": telling["reason"] if telling else "",
                "run": list(route.run) if route else [],
                "send": list(route.send) if route else [],
                "conditions": telling["conditions"] if telling else [],
                "series": tried_on,
            }
        )
    return routes


def _foreseen(config: "Config", studies: Sequence[RouteExplanation]) -> "Foreseen":
    """By series and application, which of the measurements that it declares would be made."""
    from node.assembly.compose import route_explainer
    from node.routing.measures import foreseen_of

    explainer = route_explainer(config)
    applications = {name: one for route in config.routes for name, one in explainer.declared(route).items()}
    found: Foreseen = {}
    for study in studies:
        found |= foreseen_of(study.decisions, study.views, applications)
    return found


def _measure_records(measures: "Sequence[ForeseenMeasure]") -> list[dict[str, Any]]:
    answers = {True: "measured", False: "not measured", None: "cannot be known from headers"}
    return [{"measure": one.words, "answer": answers[one.made], "reason": one.reason} for one in measures]


def _measured(decision: Decision, measures: "Foreseen") -> Iterator[str]:
    """What the applications of a route would measure of a series: what is made, and a line each of what is not, or not known."""
    for tried in decision.tried:
        found = measures.get((decision.series_instance_uid, tried.application), ())
        if made := [one.words for one in found if one.made]:
            yield f"{tried.application} measures {', '.join(made)}"
        for one in found:
            if one.made is False:
                yield f"{tried.application} does not measure {one.words}, because {one.reason}"
            elif one.made is None:
                yield f"{tried.application} may not measure {one.words}: {one.reason}"


def _show(console: "Console", config: "Config", studies: Sequence[RouteExplanation], measures: "Foreseen") -> None:
    from rich.table import Table
    from rich.text import Text

    from node.cli import screen

    configured = {route.name: route for route in config.routes}
    for study in studies:
        console.print(f"study {study.study_instance_uid}", style="bold")
        for view in study.views:
            number = next((f" {value}" for value in view.header.get("SeriesNumber", ())), "")
            title = [str(value) for keyword in _TITLE for value in view.header.get(keyword, ())[:1] if value]
            console.print("\n  " + " · ".join((f"series{number}", *title, screen.plural(view.slices, "image"))), style="bold")
            console.print(f"  {view.series_instance_uid}", style="dim")
            for decision in study.decisions:
                if decision.series_instance_uid != view.series_instance_uid:
                    continue
                route = configured.get(decision.route)
                parks = decision.chosen and decision.withheld is Withheld.PARKED
                runs = decision.chosen and not parks
                goes = f" → {screen.joined(route.run)} → {screen.joined(route.send)}" if route is not None and runs else ""
                verdict = "" if decision.chosen or not decision.matched else f"  fits, not run: {decision.reason}"
                verdict = "  parked" if parks else verdict
                line = Text.assemble("  ", screen.mark(runs), " ", (decision.route, "bold"), goes, (verdict, "yellow"))
                console.print(line)
                if decision.untaken and not decision.chosen:
                    none = f"a series is expected, and none is taken for {screen.joined(decision.untaken)}: the reader is told"
                    console.print(screen.hanging(Text(none, style="yellow"), 6))
                for said in decision.reason.split("; ")[1:] if decision.chosen else ():
                    console.print(screen.hanging(Text(said, style="dim"), 6))
                if not decision.tried:
                    console.print("      no conditions: every series fits", style="dim")
                    continue
                conditions = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
                for width in (5, None, None, None):
                    conditions.add_column(width=width, overflow="fold")
                applications = {one.key for one in decision.tried if one.application}
                for row in condition_rows(condition_records(decision.tried)):
                    said = row["found"] if row["key"] in applications else f"found {row['found']}"
                    style = "red" if row["held"] is False else ""
                    conditions.add_row(Text("    ") + screen.mark(row["held"]), row["key"], row["expected"], Text(said, style=style))
                console.print(conditions)
                for words in _measured(decision, measures):
                    console.print(screen.hanging(Text(words, style="dim"), 6))
        console.print()
    if not config.routes:
        console.print("the configuration has no routes", style="yellow")
