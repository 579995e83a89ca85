"""`hilum routes test`: cases that the routes are tried on, and what is expected of each."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.cli.opened import ConfigOption, JsonOption, configuration
from node.cli.routes import explained, of_files, of_study
from node.domain.private_name import PrivateName
from node.domain.route import Decision, Route
from node.records.decisions import RouteExplanation, condition_records, nearness

if TYPE_CHECKING:
    from node.routing.decisions import SeriesView
    from node.settings.config import Config
    from node.settings.route_cases import Case, ExpectedRun, SeriesCase


BESIDE = "routes.test.yaml"
_MADE = "made"
"""The study of series that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A route that does otherwise than expected, and the decision that tells why. Without a route: the applications of which the reader is
    told that there is no result. `of` is what differs, as the file of cases calls it: of `run` the applications, none where it does not
    run."""

    route: str | None
    of: str = "run"
    expected: tuple[str, ...]
    found: tuple[str, ...]
    decision: Decision | None


def run_cases(cases: Path | None = None, /, *, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Try the routes on the cases of a file: headers, a folder of DICOM or a received study; and which routes are to run on it.

    Exit code 1 where anything is otherwise than expected; each time the condition that decided is said. Nothing runs. What compares with a
    prior is expected whether there is one or not.

    Parameters
    ----------
    cases
        The file with the cases. Default: routes.test.yaml beside the configuration.
    as_json
        A list, an object for each case: `case`, `passed`, `failures` (`route`; null: what the reader is
        told; `of`: run, series, priority, send or deadline; `expected`, `found`, `reason`, `conditions`).
    """
    from node.cli import screen
    from node.settings.route_cases import cases as read_cases

    loaded = configuration(config)
    found = read_cases(cases or loaded.path.with_name(BESIDE), loaded)
    tried = [(case, _failures(loaded, case)) for case in found]
    if as_json:
        screen.as_json([_record(case, failures) for case, failures in tried])
    else:
        for case, failures in tried:
            _show(case, failures)
        failed = sum(bool(failures) for _, failures in tried)
        print(f"{screen.plural(len(tried), 'case')}, {failed} failed, by the routes {loaded.digest[:12]}")
    return 1 if any(failures for _, failures in tried) else 0


def _failures(config: "Config", case: "Case") -> list[Failure]:
    studies = _studies(config, case)
    decisions = [decision for study in studies for decision in study.decisions]
    found = {route.name: _run(route, decisions) for route in config.routes}
    told = tuple(sorted({name for one in decisions for name in one.untaken}))
    untold = [] if told == tuple(sorted(case.told)) else [Failure(route=None, expected=case.told, found=told, decision=None)]
    failures = list(untold)
    for route in config.routes:
        expected, runs, why = case.expect.get(route.name), found[route.name], _telling(route.name, decisions)
        wanted = () if expected is None else expected.run
        if sorted(wanted) != sorted(runs):
            failures.append(Failure(route=route.name, expected=wanted, found=runs, decision=why))
        elif expected is not None:
            views = {view.series_instance_uid: view for study in studies for view in study.views}
            failures += [
                Failure(route=route.name, of=of, expected=asked, found=came, decision=why)
                for of, asked, came in _otherwise(config, expected, route, decisions, views, numbers=not case.headers)
            ]
    return failures


def _otherwise(
    config: "Config",
    expected: "ExpectedRun",
    route: Route,
    decisions: Sequence[Decision],
    views: "Mapping[str, SeriesView]",
    *,
    numbers: bool,
) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """What of a route that runs as expected is not as expected: what it is called, as it was to be, and as it is."""
    from node.routing.conditions import duration_text
    from node.routing.planned_job import PlannedJob

    taken = [one.series_instance_uid for one in decisions if one.route == route.name and one.chosen]
    jobs = [PlannedJob(application=name, series=[], routes=_asking(config, name, uid, decisions)) for name in expected.run for uid in taken]
    if expected.series is not None:
        names = [_names(views[uid], numbers=numbers) for uid in taken]
        if not all(one & set(expected.series) for one in names) or set(expected.series) - {each for one in names for each in one}:
            yield "series", expected.series, tuple(min(one, key=len) for one in names)
    if expected.priority is not None and any(job.priority is not expected.priority for job in jobs):
        yield "priority", (expected.priority.value,), tuple(sorted({job.priority.value for job in jobs}))
    if expected.send is not None and any(set(job.sinks) != set(expected.send) for job in jobs):
        yield "send", expected.send, tuple(sorted({sink for job in jobs for sink in job.sinks}))
    if expected.deadline is not None and any(job.deadline != expected.deadline for job in jobs):
        found = {"none" if job.deadline is None else duration_text(job.deadline.total_seconds()) for job in jobs}
        yield "deadline", (duration_text(expected.deadline.total_seconds()),), tuple(sorted(found))


def _names(view: "SeriesView", *, numbers: bool) -> frozenset[str]:
    """What a case may call a series: its UID, which of a made one is its place among `headers`; of any other its SeriesNumber, too."""
    said = view.header.get("SeriesNumber", ()) if numbers else ()
    return frozenset({view.series_instance_uid, *(f"{value:g}" for value in said if not isinstance(value, str))})


def _asking(config: "Config", application: str, series: str, decisions: Sequence[Decision]) -> list[Route]:
    """The routes that ask for one job: one application on one series."""
    on = {one.route for one in decisions if one.series_instance_uid == series and one.chosen and not _refuses(application, one)}
    return [route for route in config.routes if route.name in on and application in route.run]


def _run(route: Route, decisions: Sequence[Decision]) -> tuple[str, ...]:
    """The applications that the route runs on some series; one whose manifest refuses all of them is not applicable, and not run."""
    chosen = [one for one in decisions if one.route == route.name and one.chosen]
    return tuple(name for name in route.run if any(not _refuses(name, one) for one in chosen))


def _refuses(application: str, decision: Decision) -> bool:
    return any(one.application == application and one.held is False for one in decision.tried)


def _studies(config: "Config", case: "Case") -> Sequence[RouteExplanation]:
    """What the routes say of the study that the case means."""
    if case.files is not None:
        return of_files(config, case.files, case.peer, case.called, case.at)[0]
    if case.study is not None:
        return of_study(config.path, case.study, case.peer, case.called)[1]
    views: dict[str, tuple[SeriesView, ...]] = {}
    for number, one in enumerate(case.headers, start=1):
        study = str(next(iter(one.header.get("StudyInstanceUID", ())), _MADE))
        views[study] = (*views.get(study, ()), _made(f"{number}", one, config.private_elements))
    about = next(iter(views))
    return [one for one in explained(config, views, case.peer, case.called, case.at) if one.study_instance_uid == about]


def _made(uid: str, case: "SeriesCase", private: Collection[PrivateName]) -> "SeriesView":
    """A series of as many images as the case says, all of them alike."""
    from node.routing.decisions import class_of, seen

    # what a case does not say is not there
    header = {**{one.text: () for one in private}, **case.header}
    view = seen(uid, [(class_of(header), header)])
    images = 1 if case.images is None else case.images
    # of a made series only what the case says is known: where its slices lie is not
    return replace(view, instances=images, images=images if view.images else 0, members=(), counted=case.images is not None)


def _telling(route: str, decisions: Sequence[Decision]) -> Decision | None:
    """The decision on the series that came nearest."""
    mine = [one for one in decisions if one.route == route]
    return min(mine, key=nearness, default=None)


def _record(case: "Case", failures: Sequence[Failure]) -> dict[str, Any]:
    return {
        "case": case.name,
        "passed": not failures,
        "failures": [
            {
                "route": one.route,
                "of": one.of,
                "expected": list(one.expected),
                "found": list(one.found),
                "reason": one.decision.reason if one.decision else None,
                "conditions": condition_records(one.decision.tried if one.decision else ()),
            }
            for one in failures
        ],
    }


def _show(case: "Case", failures: Sequence[Failure]) -> None:
    from rich.text import Text

    from node.cli import screen

    console = screen.out()
    console.print(Text.assemble(screen.mark(not failures), " ", case.name))
    for one in failures:
        if one.route is None:
            came, wanted = screen.joined(one.found), screen.joined(one.expected)
            console.print(screen.hanging(Text(f"the reader is told that there is no result of {came}, expected: {wanted}"), 4))
            continue
        if one.of != "run":
            came, wanted = screen.joined(one.found), screen.joined(one.expected)
            console.print(screen.hanging(Text.assemble((one.route, "bold"), f" has {one.of} {came}, expected: {wanted}"), 4))
            continue
        wanted = f"run {screen.joined(one.expected)}" if one.expected else "not run"
        came = f"runs {screen.joined(one.found)}" if one.found else "is not run"
        console.print(screen.hanging(Text.assemble((one.route, "bold"), f" {came}, expected: {wanted}"), 4))
        if one.decision is not None:
            console.print(screen.hanging(one.decision.reason, 6))
            held = ", ".join(f"{tried.key} is {tried.found} ({tried.expected})" for tried in one.decision.tried if tried.held)
            if one.found and held:
                console.print(screen.hanging(held, 6))
