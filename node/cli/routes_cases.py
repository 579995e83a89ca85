"""`hilum routes test`: cases that the routes are tried on, and what is expected of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.cli.opened import ConfigOption, JsonOption, configuration
from node.cli.routes import explained, of_files, of_study
from node.domain.route import Decision, Route
from node.records.decisions import RouteExplanation, condition_records, nearness

if TYPE_CHECKING:
    from node.routing.decisions import SeriesView
    from node.settings.config import Config
    from node.settings.route_cases import Case, SeriesCase


BESIDE = "routes.test.yaml"
_MADE = "made"
"""The study of series that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A route that does otherwise than expected: the applications, none where it does not run, and the decision that tells why. Without a
    route: the applications of which the reader is told that there is no result."""

    route: str | None
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
        told; `expected`, `found`, `reason`, `conditions`).
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
    return untold + [
        Failure(route=name, expected=tuple(expected), found=tuple(runs), decision=_telling(name, decisions))
        for name in (route.name for route in config.routes)
        if sorted(expected := case.expect.get(name, ())) != sorted(runs := found.get(name, ()))
    ]


def _run(route: Route, decisions: Sequence[Decision]) -> tuple[str, ...]:
    """The applications that the route runs on some series; one whose manifest refuses all of them is not applicable, and not run."""
    chosen = [one for one in decisions if one.route == route.name and one.chosen]
    return tuple(name for name in route.run if any(not _refuses(name, one) for one in chosen))


def _refuses(application: str, decision: Decision) -> bool:
    return any(one.application == application and one.held is False for one in decision.tried)


def _studies(config: "Config", case: "Case") -> Sequence[RouteExplanation]:
    """What the routes say of the study that the case means."""
    if case.files is not None:
        return of_files(config, case.files, case.peer, case.called)[0]
    if case.study is not None:
        return of_study(config.path, case.study, case.peer, case.called)[1]
    views: dict[str, tuple[SeriesView, ...]] = {}
    for number, one in enumerate(case.headers, start=1):
        study = str(next(iter(one.header.get("StudyInstanceUID", ())), _MADE))
        views[study] = (*views.get(study, ()), _made(f"{number}", one))
    about = next(iter(views))
    return [one for one in explained(config, views, case.peer, case.called) if one.study_instance_uid == about]


def _made(uid: str, case: "SeriesCase") -> "SeriesView":
    """A series of as many images as the case says, all of them alike."""
    from node.routing.decisions import class_of, seen

    view = seen(uid, [(class_of(case.header), case.header)])
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
        wanted = f"run {screen.joined(one.expected)}" if one.expected else "not run"
        came = f"runs {screen.joined(one.found)}" if one.found else "is not run"
        console.print(screen.hanging(Text.assemble((one.route, "bold"), f" {came}, expected: {wanted}"), 4))
        if one.decision is not None:
            console.print(screen.hanging(one.decision.reason, 6))
            held = ", ".join(f"{tried.key} is {tried.found} ({tried.expected})" for tried in one.decision.tried if tried.held)
            if one.found and held:
                console.print(screen.hanging(held, 6))
