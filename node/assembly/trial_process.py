"""A process that tries edited routes on what was received: `python -m node.assembly.trial_process CONFIG SECONDS`, started by the console.

It is a process of its own because a rule may be costly (years of studies), and ends by itself when its
time is over, or when whoever started it is gone. Nothing is changed by it.
"""

import json
import logging
import os
import signal
import sys
import threading
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from inference.errors import HilumError
from node.assembly.compose import application, open_journal
from node.assembly.configuration import load
from node.assembly.route_explanation import explain_received
from node.observe.events import start_events
from node.records.decisions import decision_record, difference_record
from node.routing.replay import Replay
from node.settings.config import Config

MOST_TOLD = 500
"""Of the differences of one replay, how many are told in full; all are counted."""
_TELL_EVERY_S = 0.5
_NICENESS = 5  # beside the console's own


def main() -> int:
    """Do what the first line of stdin asks; the answer goes to stdout, one JSON object a line."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process, whatever its interpreter is busy with
    signal.alarm(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_console, daemon=True).start()
    os.nice(_NICENESS)
    start_events("trial", logging.WARNING)
    try:
        config = load(Path(sys.argv[1]), text=asked["text"].encode("utf-8", "surrogateescape"))
        if "study" in asked:
            _explain(config, asked["study"])
        else:
            _replay(config, datetime.fromisoformat(asked["since"]))
    except HilumError as refused:
        _say(refused=str(refused), code=refused.code)
    return 0


def _end_with_the_console() -> None:
    sys.stdin.read()
    os._exit(0)  # nothing here is half done: it only reads


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def _explain(config: Config, study: str) -> None:
    opened = open_journal(config)
    try:
        now, then = explain_received(config, opened, study)
    finally:
        opened.close()
    goes = {route.name: {"run": list(route.run), "send": list(route.send)} for route in config.routes}
    series: list[dict[str, Any]] = []
    for one in now:
        for view in one.views:
            decisions = [
                {**decision_record(each), **goes[each.route]}
                for each in one.decisions
                if each.series_instance_uid == view.series_instance_uid
            ]
            said = {name: _first(view.header.get(word, ())) for name, word in _TITLE.items()}
            series.append({"series_uid": view.series_instance_uid, **said, "images": view.slices, "decisions": decisions})
    recorded = [decision_record(each) for one in then for each in one.decisions]
    _say(study_uid=study, revision=config.digest, series=series, recorded=recorded, recorded_by=sorted({one.digest for one in then}))


_TITLE = {"number": "SeriesNumber", "modality": "Modality", "description": "SeriesDescription"}


def _first(values: Any) -> str:
    return str(values[0]) if values else ""


def _replay(config: Config, since: datetime) -> None:
    opened = open_journal(config)
    asked = Replay(opened.routing_history, config.routes, config.digest, cache(partial(application, config)))
    found = 0
    studies: set[str] = set()
    routes: dict[str, int] = {}
    over = threading.Event()

    def tell() -> None:
        counted = asked.counted
        _say(
            arrivals=counted.arrivals,
            decided=counted.decided,
            forgotten=counted.forgotten,
            priors=counted.priors,
            urgencies=counted.urgencies,
            found=found,
            studies=len(studies),
            routes=dict(routes),
        )

    def tell_on() -> None:
        while not over.wait(_TELL_EVERY_S):
            with telling:
                tell()

    telling = threading.Lock()
    threading.Thread(target=tell_on, daemon=True).start()
    try:
        for one in asked.differences(since):
            with telling:
                found += 1
                studies.add(one.arrival.study_instance_uid)
                routes[one.route] = routes.get(one.route, 0) + 1
                if found <= MOST_TOLD:
                    _say(difference=difference_record(one))
    finally:
        over.set()
        opened.close()
    with telling:
        tell()
    _say(done=True)


if __name__ == "__main__":
    sys.exit(main())
