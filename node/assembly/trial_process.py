"""A process that tries edited routes on what was received: `python -m node.assembly.trial_process CONFIG SECONDS`, started by the console.

It is a process of its own because a rule may be costly (years of studies), and ends by itself when its
time is over, or when whoever started it is gone. Nothing is changed by it.
"""

import contextlib
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
from node.assembly.compose import (
    application,
    open_journal,
    route_explainer,
    unaccepted_applications,
    unfit_roles,
    unreachable_routes,
    unserved_versions,
)
from node.assembly.configuration import load
from node.observe.events import start_events
from node.records.decisions import tell_replay, trial_explanation
from node.routing.replay import Replay
from node.settings.config import Config

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
        with contextlib.closing(open_journal(config)) as journal:
            if "study" in asked:
                _say(**trial_explanation(route_explainer(config), journal, asked["study"]))
            else:
                _say(remarks=_remarks(config))
                replay = Replay(journal.routing_history, config.routes, config.digest, cache(partial(application, config)))
                tell_replay(replay, datetime.fromisoformat(asked["since"]), _say)
    except HilumError as refused:
        _say(refused=str(refused), code=refused.code)
    return 0


def _remarks(config: Config) -> list[str]:
    """What no replay shows, and only those see who load applications: the console's own process does not."""
    unserved = [f"{one}: its jobs would be parked" for one in (*unserved_versions(config), *unaccepted_applications(config))]
    return [one.removeprefix(f"{config.path}:") for one in (*unfit_roles(config), *unserved, *unreachable_routes(config))]


def _end_with_the_console() -> None:
    sys.stdin.read()
    os._exit(0)  # nothing here is half done: it only reads


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    sys.exit(main())
