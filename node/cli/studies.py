"""`hilum studies list|show|complete|retry|accept-held|refuse-held`: what was received, and what became of it."""

import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from node.cli.ending import Ambiguous, NotDone, NothingFound
from node.cli.opened import ConfigOption, JsonOption, journal
from node.domain.arrival import Arrival
from node.domain.instance import Instance
from node.domain.state import ArrivalState

if TYPE_CHECKING:
    from node.journal.journal import Journal
    from node.records.studies import Ending


_SEARCHED = ("PatientName", "PatientID", "AccessionNumber", "StudyDescription", "StudyDate", "Modality")
_MOST = 10_000
_BY = "a person at the command line"
_LOOK_S = 0.5
_COMES_WITHIN_S = 10.0
_NOT_ENDED = 3
"""The exit code of a wait that was over before the study was."""


def list_studies(*, search: str | None = None, limit: int = 100, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """List the studies that were received, the newest first.

    Files that could not be read as DICOM instances stand below, with the reason.

    Parameters
    ----------
    search
        Only studies with this text in their UID, sender, applications, patient name or ID, accession number, description, date or modality.
    limit
        At most so many.
    """
    from node.cli import screen
    from node.records.studies import aside_record, held_studies, studies_of_results

    with journal(config) as (_, opened):
        studies = _found(opened, search, limit)
        if search is None:
            studies += [*held_studies(opened), *studies_of_results(opened, limit)]
        asides = opened.instances.asides(limit=limit) if search is None else []
    if as_json:
        screen.as_json([*studies, *(aside_record(one) for one in asides)])
        return 0
    console = screen.out()
    if not studies and not asides:
        console.print("no studies" + (f' with "{search}"' if search else " yet; `hilum send PATH --to AET@HOST:PORT` sends one"))
        return 0
    if studies:
        rows = [
            {
                "received": screen.when(datetime.fromisoformat(one["received_at"]))[5:16],
                "from": one["peer"] or "a stranger",
                "instances": str(one["instances"]),
                "state": screen.state(one["state"]),
                "study": screen.uid(one["study_uid"], console.width),
                "what became of it": screen.brief(_became(one), console.width),
            }
            for one in studies
        ]
        console.print(screen.listing(rows, spare=("instances", "from")))
    if asides:
        console.print(f"\n{screen.plural(len(asides), 'file')} set aside: received, and no readable DICOM instance", style="bold")
        table = screen.table("received", "from", "code", "why, and where the bytes are")
        for aside in asides:
            table.add_row(screen.when(aside.at)[5:16], aside.sender or "–", aside.code, f"{aside.reason}\n{aside.entry}")
        console.print(table)
    return 0


def show(
    study: str,
    /,
    *,
    wait: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    timeout: str = "1h",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show a study's passport: what came, what was decided, what ran, what left.

    With --wait, once nothing of it is under way any more; stderr tells meanwhile what it waits for. The exit code is then 0 where every job
    is done or not applicable (or no route took it), 1 where something is parked, failed or cancelled, or all of it is held, and 3 where the
    time was over before.

    Parameters
    ----------
    study
        Its UID, or the end of it.
    wait
        Wait until the study has ended; one that has just been sent is waited for too.
    timeout
        For how long: `90s`, `30m`, `2h`.
    """
    from node.cli import screen
    from node.cli.passport import print_passport
    from node.records.passport import passport
    from node.records.studies import Ending

    with journal(config) as (_, opened):
        ended = _awaited(opened, study, timeout) if wait else Ending.GOOD
        content = passport(opened, find_study(opened, study))
    if as_json:
        screen.as_json(content)
    else:
        print_passport(screen.out(), content)
    if ended is Ending.UNDER_WAY:
        print(f"after {timeout} the study had not ended", file=sys.stderr)
    return {Ending.GOOD: 0, Ending.BAD: 1, Ending.UNDER_WAY: _NOT_ENDED}[ended]


def _awaited(opened: "Journal", study: str, timeout: str) -> "Ending":
    """How the study ended, or that it had not when the time was over."""
    from node.cli.ending import WrongWords
    from node.records.studies import Ending, awaited, ending
    from node.settings.kinds import duration

    try:
        most_s = duration(timeout).total_seconds()
    except ValueError as wrong:
        raise WrongWords(f"--timeout {wrong}") from wrong
    began, said = time.monotonic(), ""
    while True:
        spent_s = time.monotonic() - began
        try:
            uid = find_study(opened, study)
            found = ending(opened, uid)
        except NothingFound:
            # what was sent just now is in the journal a moment later; what nobody sent never comes
            if spent_s >= min(most_s, _COMES_WITHIN_S):
                raise
        else:
            if found is not Ending.UNDER_WAY or spent_s >= most_s:
                return found
            said, before = awaited(opened, uid), said
            if said not in (before, ""):
                print(said, file=sys.stderr)
        time.sleep(min(_LOOK_S, max(0.0, most_s - spent_s)))


def complete(study: str, /, *, config: ConfigOption = None) -> int:
    """Declare a study complete, without waiting for the quiet window.

    A series that is known to be short, and waits for its rest, is analysed now: every result begins with INCOMPLETE.

    Parameters
    ----------
    study
        Its UID, or the end of it.
    """
    from node.flow.settle import complete_now

    with journal(config) as (_, opened):
        uid = find_study(opened, study)
        waiting = opened.arrivals.find(states=(ArrivalState.RECEIVED,), study=uid)
        done = [one for one in waiting if complete_now(opened.arrivals, one, opened.now())]
        if not done:
            raise NotDone(f"study {uid} is complete already: nothing more was expected")
    total = sum(one.instances for one in done)
    print(f"study {uid} is complete with {total} {'instance' if total == 1 else 'instances'}; it is routed next")
    return 0


def retry(study: str, /, *, config: ConfigOption = None) -> int:
    """Route a parked study again. It is parked where the matching of routes took too long on it, or the node stumbled over it.

    Parameters
    ----------
    study
        Its UID, or the end of it.
    """
    from node.flow.settle import put_back

    with journal(config) as (_, opened):
        uid = find_study(opened, study)
        if not put_back(opened, uid):
            raise NotDone(f"study {uid} is not parked; `hilum jobs retry JOB` tries one of its jobs again")
    print(f"study {uid} is routed again")
    return 0


def find_study(opened: "Journal", text: str, *, besides: str = "") -> str:
    """The UID of the study that is called so, or whose UID ends so. `besides` says what else was looked for.

    Raises
    ------
    NothingFound, Ambiguous
        No study does, or several do.
    """
    if opened.arrivals.find(study=text, limit=1) or opened.instances.results_alone(study=text):
        return text
    ending = text.lstrip("…")
    known = dict.fromkeys(one.study_instance_uid for one in opened.arrivals.find(limit=_MOST, newest=True))
    known |= dict.fromkeys(one.study_instance_uid for one in opened.held.by_series())
    known |= dict.fromkeys(one.study_instance_uid for one in opened.instances.results_alone(limit=_MOST))
    found = [uid for uid in known if ending and uid.endswith(ending)]
    if not found:
        raise NothingFound(f'no study that was received has the UID "{text}", or one that ends so{besides}')
    if len(found) > 1:
        raise Ambiguous(f'{len(found)} studies end with "{ending}": {", ".join(found[:3])}{", …" if len(found) > 3 else ""}')
    return found[0]


def _found(opened: "Journal", search: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest studies, each from all of its arrivals."""
    from node.records.studies import study_record

    by_study: dict[str, list[Arrival]] = {}
    for arrival in opened.arrivals.find(limit=_MOST, newest=True):
        by_study.setdefault(arrival.study_instance_uid, []).append(arrival)
    found: list[dict[str, Any]] = []
    for uid, arrivals in by_study.items():
        if len(found) == limit:
            break
        one = study_record(opened, uid, arrivals)
        if search is None or _matches(opened, one, arrivals[0], search):
            found.append(one)
    return found


def _matches(opened: "Journal", one: dict[str, Any], arrival: Arrival, search: str) -> bool:
    wanted = search.lower()
    texts = [one["study_uid"], one["peer"] or "", one["application"] or "", one["state"]]
    if any(wanted in text.lower() for text in texts):
        return True
    return any(
        wanted in str(value).lower()
        for instance in opened.instances.of_arrival(arrival.id)
        for keyword in _SEARCHED
        for value in instance.header.get(keyword, ())
    )


def _became(one: dict[str, Any]) -> str:
    from node.records.studies import waits_in_words
    from node.records.words import work_of

    said = [f"{work_of(job)} {job['state']}" for job in one["jobs"]]
    if one["code"]:
        said.append(f"{one['code']} {one['reason']}")
    elif one["reason"]:
        said.append(one["reason"])
    elif not said and one["due_at"]:
        said.append("waits until nothing more comes")
    if one["code"] and one["waits"]:
        said.append(waits_in_words(one["waits"]))
    if one["conflicts"]:
        said.append(f"{one['conflicts']} in conflict")
    if one["held"]:
        said.append(f"{one['held']} held ({', '.join(one['held_because'])})")
    return "; ".join(said)


def accept_held(study: str, /, *, series: str | None = None, config: ConfigOption = None) -> int:
    """Let what is held of a study count, and analyse it anew.

    Images of two patients are never analysed as one: where a series names several then, its job is parked (HLM-3030).

    Parameters
    ----------
    study
        Its UID, or the end of it.
    series
        Only what is held of the series with this UID.
    """
    from node.flow.held_instances import accept

    with journal(config) as (settings, opened):
        accepted = accept(opened.held, _held(opened, study, series), settings.peers, opened.now, by=_BY)
    print(f"{_many(accepted)} accepted: the study is looked at again in a moment, and routed with them")
    return 0


def refuse_held(study: str, /, *, series: str | None = None, config: ConfigOption = None) -> int:
    """Never use what is held of a study. It is kept for as long as pixels are, and not counted as held any more.

    Parameters
    ----------
    study
        Its UID, or the end of it.
    series
        Only what is held of the series with this UID.
    """
    from node.flow.held_instances import refuse

    with journal(config) as (_, opened):
        refused = refuse(opened.held, _held(opened, study, series), opened.now, by=_BY)
    print(f"{_many(refused)} refused: what the first sender sent stands")
    return 0


def _held(opened: "Journal", study: str, series: str | None) -> list[Instance]:
    from node.flow.held_instances import Part, held_of

    uid = find_study(opened, study)
    held = held_of(opened.held, uid, Part(series_instance_uid=series))
    if not held:
        of = "" if series is None else f", series {series}"
        raise NothingFound(f"nothing is held of study {uid}{of}; `hilum studies list` says of which studies something is")
    return held


def _many(count: int) -> str:
    return "1 instance is" if count == 1 else f"{count} instances are"
