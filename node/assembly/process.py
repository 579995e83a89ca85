"""One process of the family: `python -m node.assembly.process CONFIG receive|flow|work`. Each builds only what its stage needs."""

import argparse
import contextlib
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from node.observe.cells import Cells
from node.observe.events import event, start_events
from node.observe.instruments import count_in


def _until_told(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM, and when the life line (stdin) breaks because the parent is gone.

    The handler only writes into a pipe: an Event that is set inside a signal handler deadlocks when the signal meets its own lock.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"!"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's ^C reaches the parent too, which drains in order

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            select.select([told, sys.stdin.fileno()], [], [])  # nobody writes to stdin: readable means end-of-file
        stop.set()

    threading.Thread(target=watch, name="life-line", daemon=True).start()


def _ready(**facts: object) -> None:
    print(json.dumps({"event": "process.ready", **facts}), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("stage", choices=["receive", "flow", "work"])
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--count-in", type=int, default=None)
    given = parser.parse_args(arguments)
    if given.count_in is not None:
        count_in(Cells.attach(given.count_in))

    from node.settings.load import load

    stop = threading.Event()
    _until_told(stop)
    start_events(given.stage)
    config = load(given.config)
    if given.stage == "receive":
        from node.assembly.receive import receive

        receive(config, given.port, stop, ready=_ready)
    elif given.stage == "flow":
        from node.assembly.flow import flow

        flow(config, stop, ready=_ready)
    else:
        from node.assembly.work import work

        work(config, stop, ready=_ready)
    event("process.stopped", at=datetime.now(UTC).isoformat())
    return 0


if __name__ == "__main__":
    sys.exit(main())
