"""`hilum events` and `hilum associations`: what happened, and who came."""

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from node.cli.ending import NothingFound
from node.cli.opened import ConfigOption, JsonOption, configuration, journal

if TYPE_CHECKING:
    from rich.console import Console

    from node.settings.config import Config

_LOOK_S = 1.0
_PAGE = 500


def events(
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", show_default=False)] = False,
    study: str | None = None,
    job: int | None = None,
    peer: str | None = None,
    code: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    since: str | None = None,
    limit: int = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tell what happened, line by line, the newest last: studies, jobs, deliveries, commitments.

    It is the journal's history, which stays for `store: {keep_history: …}`. What lines quote of data sets is left out unless
    `node: {patient_data_in_logs: true}`.

    Parameters
    ----------
    follow
        Go on with what happens from now on, until ^C.
    study
        Only of this study (its UID, or the end of it).
    job
        Only of this job and its deliveries.
    peer
        Only of what this peer sent or is sent (a name under `peers:`).
    code
        Only lines with this error code (HLM-6100); may be given several times.
    since
        Only since then: so long ago (`30m`, `12h`, `7d`), or a date with or without a time, in UTC.
    limit
        The newest so many.
    as_json
        One JSON object a line, so that `--follow` can be piped.
    """
    from node.cli.opened import moment
    from node.cli.studies import find_study
    from node.journal.port import EventFilter
    from node.records.history import located_record
    from node.store.hosts import sinks_of

    with journal(config) as (loaded, opened):
        _quote_as_logs_do(loaded)
        if job is not None:
            opened.jobs.get(job)  # refuses a number that is none
        wanted = EventFilter(
            study=None if study is None else find_study(opened, study),
            job=job,
            peer=None if peer is None else _peer(loaded, peer),
            sinks=() if peer is None else sinks_of(loaded, peer),
            codes=tuple(one.upper() for one in code),
            since=None if since is None else moment(since, opened.now()),
        )
        # a line behind the position is told by the following, whatever it is that was found before
        after = opened.events.newest() if follow else None
        told = [located_record(one) for one in opened.events.find(wanted, upto=after, limit=limit)]
        _tell(told, as_json=as_json)
        if not told and not follow and not as_json:
            print("no events" + (" of that kind" if wanted != EventFilter() else ""))
        while after is not None:
            time.sleep(_LOOK_S)
            came = opened.events.behind(after, opened.now(), _PAGE)
            if came:
                found = opened.events.find(wanted, after=after, upto=came[-1].number, limit=_PAGE)
                _tell([located_record(one) for one in found], as_json=as_json)
                after = came[-1].number
    return 0


def associations(
    *,
    since: str = "1h",
    refused: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tell who called this node, and what was accepted or turned away and why; of the last hour unless you say otherwise.

    Of the receivers of this host; what is so old that others took its place in their files (4 MB each) is not told any more.

    Parameters
    ----------
    since
        Since then: so long ago (`30m`, `12h`, `7d`), or a date with or without a time, in UTC.
    refused
        Only what was turned away.
    """
    from node.cli import screen
    from node.cli.opened import moment
    from node.observe.association_log import kept_lines
    from node.records.associations import association_records
    from node.store.hosts import association_folder

    loaded = configuration(config)
    folder = association_folder(loaded)
    began = moment(since, datetime.now(UTC))
    found = association_records(kept_lines(folder), began)
    if refused:
        found = [one for one in found if one["outcome"] == "refused"]
    if as_json:
        screen.as_json(found)
        return 0
    if not found:
        never = "" if folder.is_dir() else f"; no node of this configuration has run on this host ({folder} is not there)"
        print(
            f"nobody was turned away since {screen.when(began)}{never}" if refused else f"nobody called since {screen.when(began)}{never}"
        )
        return 0
    _show_associations(screen.out(), found)
    return 0


def _show_associations(console: "Console", found: Sequence[Mapping[str, Any]]) -> None:
    from node.cli import screen
    from node.records.associations import association_in_words

    rows = [
        {
            "when": screen.when(datetime.fromisoformat(one["at"]))[5:],
            "from": one["address"] or "several",
            "calling → called": screen.visible(f"{one['calling']} → {one['called']}" if one["calling"] is not None else "–"),
            "what became of it": screen.visible(association_in_words(one)),
        }
        for one in found
    ]
    console.print(screen.listing(rows, spare=("when", "from")))
    fixes: dict[str, list[str]] = {}
    for one in found:
        if one["remedy"]:
            fixes.setdefault(one["remedy"], []).append(one["address"])
    for remedy, addresses in fixes.items():
        console.print(f"\n{screen.joined(list(dict.fromkeys(addresses)))}: {remedy}", style="yellow")


def _tell(records: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """A line each; whoever reads a pipe has them at once."""
    from node.cli import screen

    if as_json:
        for one in records:
            screen.json_line(one)
    else:
        console = screen.out()
        for one in records:
            _tell_one(console, one)
    sys.stdout.flush()


def _tell_one(console: "Console", one: Mapping[str, Any]) -> None:
    from rich.text import Text

    from node.cli import screen
    from node.records.history import about_in_words, event_in_words

    when = screen.when(datetime.fromisoformat(one["at"]))[5:]
    code = f"{one['code']} " if one["code"] and one["code"] not in one["detail"] else ""
    said = screen.brief(screen.visible(event_in_words(one)), console.width)
    study = f"  {screen.uid(one['study_uid'], console.width)}" if one["study_uid"] else ""
    line = Text.assemble((when, "dim"), f"  {about_in_words(one)}  {code}{said}", (study, "dim"), style=_style(one))
    console.print(line, soft_wrap=True)


def _style(one: Mapping[str, Any]) -> str:
    return "red" if one["event"].endswith((".parked", ".failed")) else "yellow" if one["code"] else ""


def _peer(config: "Config", name: str) -> str:
    from node.settings.source import suggestion

    if name not in config.peers:
        raise NothingFound(f'no peer "{name}" in {config.path.name}{suggestion(name, list(config.peers))}')
    return name


def _quote_as_logs_do(config: "Config") -> None:
    from node.observe.events import tell_patients

    if config.node.patient_data_in_logs:
        tell_patients()
