"""`hilum routes replay`: what an edited configuration would have done to what has been received."""

import sys
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption, configuration, journal

if TYPE_CHECKING:
    from node.domain.route import Tried
    from node.journal.journal import Journal
    from node.routing.replay import Difference, ReplayCounts, RouteOutcome
    from node.settings.config import Config


_SHOWN = 20


def replay(
    *,
    since: str = "",
    against: Annotated[Path | None, Parameter(name="--against")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say what an edited configuration would have done to the studies that were received: exactly what it would decide otherwise.

    Every study is asked again as at the moment when it was routed, and compared with what was decided then. Nothing is changed, nothing
    runs. Whether a prior was there then is not known, nor how urgent a job of several arrivals would have been: both are counted.

    Parameters
    ----------
    since
        Studies that were complete since then: `30d`, `12h`, `2026-03-01`, or `2026-03-01T14:00` (UTC). Default: the last 200.
    against
        The edited configuration. Default: the one of --config as it is now.
    as_json
        One JSON object: `since`, `against`, `digest`, `arrivals`, `decided`, `forgotten`, `priors`, `urgencies`, `unserved` (versions that
        routes ask for and this node has not: their jobs would be parked), `unaccepted` (applications that routes ask to be accepted here,
        and that are not: likewise), and `differences`, each
        with `study_uid`, `series_uid`, `arrival`, `peer`, `route`, `decided_by`, `before` and `after` (`known`, `chosen`, `runs`,
        `compares`, `parks`, `reason`), and `conditions` (`key`, `before`, `after`).
    """
    from node.assembly.compose import application, unaccepted_applications, unserved_versions
    from node.cli import screen
    from node.records.decisions import difference_record
    from node.routing.replay import Replay

    with journal(config) as (loaded, opened):
        edited = loaded if against is None else configuration(against)
        began = _began(opened, since)
        # asked of each series: the catalog need not be looked at each time
        asked = Replay(opened.routing_history, edited.routes, edited.digest, cache(partial(application, edited)))
        differences = list(asked.differences(began))
    if as_json:
        screen.as_json(
            {
                "since": screen.stamp(began),
                "against": str(edited.path),
                "digest": edited.digest,
                "arrivals": asked.counted.arrivals,
                "decided": asked.counted.decided,
                "forgotten": asked.counted.forgotten,
                "priors": asked.counted.priors,
                "urgencies": asked.counted.urgencies,
                "unserved": unserved_versions(edited),
                "unaccepted": unaccepted_applications(edited),
                "differences": [difference_record(one) for one in differences],
            }
        )
    else:
        _show(differences)
        print(_summary(edited, began, asked.counted, differences))
        _tell_unserved(edited)
    return 0


def agreed(edited: "Config", since: str = "") -> bool:
    """Show what an edited configuration would decide otherwise of the last studies, or of those since then; on a terminal, whether it is
    wanted all the same."""
    import contextlib

    from node.assembly.compose import application, open_journal
    from node.domain.errors import JournalError
    from node.routing.replay import Replay

    try:
        with contextlib.closing(open_journal(edited)) as opened:
            began = _began(opened, since)
            asked = Replay(opened.routing_history, edited.routes, edited.digest, cache(partial(application, edited)))
            differences = list(asked.differences(began))
    except JournalError as away:
        print(f"what it would have decided otherwise is not known: {away} [{away.code}]")
        differences = []
    else:
        if asked.counted.arrivals:
            _show(differences[:_SHOWN])
            print(_summary(edited, began, asked.counted, differences))
    _tell_unserved(edited)
    if not differences or not sys.stdin.isatty():
        return True
    try:
        return input("Put it in force? (yes/no) ").strip().lower() in {"y", "yes"}
    except EOFError:  # the end of what is typed (Ctrl-D) is no yes
        print()
        return False


def _tell_unserved(edited: "Config") -> None:
    """What no replay shows: what a route pins, and whether it is accepted, is looked for when its jobs run."""
    from node.assembly.compose import unaccepted_applications, unserved_versions
    from node.cli import screen

    for one in (*unserved_versions(edited), *unaccepted_applications(edited)):
        screen.out().print(f"{one}: its jobs would be parked", style="yellow")


def _began(opened: "Journal", since: str) -> datetime:
    from node.cli.ending import WrongWords
    from node.records.decisions import replayed_from

    try:
        return replayed_from(opened.routing_history, since, opened.now())
    except ValueError as neither:
        raise WrongWords(f"--since {neither}") from neither


def _show(differences: "list[Difference]") -> None:
    from rich.text import Text

    from node.cli import screen

    console = screen.out()
    study = ""
    for one in differences:
        if one.arrival.study_instance_uid != study:
            study = one.arrival.study_instance_uid
            console.print(f"study {study} from {one.arrival.peer or 'a stranger'}", style="bold")
        console.print(f"  series {one.series_instance_uid}", style="dim")
        said = Text.assemble("  ", (one.route, "bold"), f": {_words(one.before, one.after)} → {_words(one.after, one.before)}")
        console.print(screen.hanging(said, 4))
        for each in one.conditions:
            console.print(screen.hanging(f"{each.key}: {_condition(each.before)} → {_condition(each.after)}", 6))
        if not one.conditions and one.before.known and one.after.known and one.before.chosen != one.after.chosen:
            console.print(screen.hanging((one.before if one.after.chosen else one.after).reason, 6))
    if differences:
        console.print()


def _words(one: "RouteOutcome", other: "RouteOutcome") -> str:
    from node.records.decisions import urgency_words

    if not one.known:
        return "no such route"
    if not one.chosen:
        told = f", and the reader is told that {' and '.join(sorted(one.tells))} gave no result" if one.tells else ""
        return f"not run{told}"
    said = []
    for name, sinks in one.runs.items():
        urgency = urgency_words(one, other, name)
        said.append(f"{name} to {' and '.join(sinks)}" + (f", {urgency}" if urgency else ""))
    said += [f"{name} where there is a prior" for name in sorted(one.compares)]
    does = "parked" if one.parks else "run"
    return f"{does} ({'; '.join(said)})" if said else does


def _condition(one: "Tried | None") -> str:
    if one is None:
        return "not asked"
    return f"{one.expected}, found {one.found}: {'holds' if one.held else 'does not hold'}"


def _summary(edited: "Config", since: datetime, counted: "ReplayCounts", differences: "list[Difference]") -> str:
    from node.cli import screen

    studies = len({one.arrival.study_instance_uid for one in differences})
    routes = sorted({one.route for one in differences})
    same = counted.arrivals - counted.decided - counted.forgotten
    by = f"{edited.path.name} ({edited.digest[:12]})"
    arrivals = screen.plural(counted.arrivals, "arrival")
    lines = [f"{arrivals} since {since:%Y-%m-%d %H:%M} UTC: {counted.decided} decided anew by {by}, {same} decided by it then"]
    if counted.forgotten:
        lines.append(f"{counted.forgotten} could not be: retention forgot their headers")
    if counted.priors:
        lines.append(f"{screen.plural(counted.priors, 'comparison')} asked for: whether a prior was there then is not replayed")
    if counted.urgencies:
        lines.append(f"{screen.plural(counted.urgencies, 'job')} of several arrivals: their priorities and deadlines are not compared")
    if differences:
        lines.append(f"{screen.plural(len(differences), 'decision')} would differ, in {studies} studies; routes: {', '.join(routes)}")
    else:
        lines.append("nothing would differ")
    return "\n".join(lines)
