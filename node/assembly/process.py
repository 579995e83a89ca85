"""One process of the node: `python -m node.assembly.process CONFIG STAGE`. Each builds only what its stage needs."""

import argparse
import contextlib
import gc
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from inference.errors import HilumError
from node.assembly.audit import audited
from node.observe.events import alarm, event, start_events, tell_patients, write_as
from node.observe.instruments import count_in
from node.observe.pulse import Pulse
from node.observe.shared_memory import SharedCells
from node.settings.config import Config
from node.store.hosts import stay_alive

_PAUSE_FIRST_S = 0.5
_PAUSE_MOST_S = 30.0
_NICENESS = {"receive": 0, "flow": 5, "index": 5, "work": 10, "console": 5}
"""Who comes first on a busy machine: a sender waits at the scanner, the index may be a second behind, inference takes what is left."""


def _until_told(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM, and when the life line (stdin) breaks because the parent is gone.

    The handler only writes into a pipe: an Event that is set inside a signal handler deadlocks when the signal meets its own lock.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"!"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's ^C reaches the parent too, which drains in order
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it asks the parent to reload, also where it was sent to all of them

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            select.select([told, sys.stdin.fileno()], [], [])  # nobody writes to stdin: readable means end-of-file
        stop.set()

    threading.Thread(target=watch, name="life-line", daemon=True).start()


def _collect_from_here_on() -> None:
    """Let the garbage collector begin: modules and settings stay as long as the process, and it need not walk over them again and again."""
    gc.freeze()
    gc.enable()


def _ready(**facts: object) -> None:
    _collect_from_here_on()
    print(json.dumps({"event": "process.ready", **facts}), flush=True)


def _run(given: argparse.Namespace, config: Config, stop: threading.Event) -> None:
    stage = given.stage
    if stage == "receive":
        from node.assembly.receive import InheritedSockets, receive

        inherited = (
            None
            if given.standing is None
            else InheritedSockets(plain=given.listen, secure=given.listen_tls, standing=given.standing, row=given.row)
        )
        receive(config, inherited, stop, ready=_ready, in_force=given.in_force)
    elif stage == "work":
        from node.assembly.work import work

        work(config, stop, ready=_ready, in_force=given.in_force)
    elif stage == "console":
        from node.assembly.console import console

        console(config, stop, ready=_ready, in_force=given.in_force, receiver_port=given.receiver_port)
    else:
        from node.assembly.flow import flow
        from node.assembly.index import index

        (flow if stage == "flow" else index)(config, stop, ready=_ready, in_force=given.in_force)


def _patiently(run: Callable[[], None], stage: str, stop: threading.Event) -> None:
    """Begin again when what a stage needs at its start (the database, mostly) is away; a mistake ends the process."""
    pause_s = _PAUSE_FIRST_S
    while not stop.is_set():
        try:
            run()
        except HilumError as error:
            if not error.retry:
                raise
            _collect_from_here_on()
            alarm("stage.failed", stage=stage, code=error.code, reason=str(error), again_in_s=pause_s)
        else:
            return
        stop.wait(pause_s)
        pause_s = min(_PAUSE_MOST_S, 2 * pause_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage until told to stop."""
    gc.disable()  # until it is ready: of what a process imports nothing is garbage, and to look for it took 7 % of a start's processor time
    os.umask(0o077)  # whoever started it: what it writes is about patients
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("stage", choices=["receive", "index", "flow", "work", "console"])
    for inherited in ("--count-in", "--listen", "--listen-tls", "--standing"):
        parser.add_argument(inherited, type=int, default=None, metavar="DESCRIPTOR")
    parser.add_argument("--row", type=int, default=0)
    parser.add_argument("--receiver-port", type=int, default=0)
    parser.add_argument("--in-force", type=Path, default=None, metavar="FILE")
    given = parser.parse_args(arguments)
    os.nice(_NICENESS[given.stage])  # once: it adds to what it was, and a stage may begin again and again
    if given.count_in is not None:
        region = SharedCells.attach(given.count_in)
        count_in(region)
        Pulse(region).beat_on()

    from node.assembly.configuration import load

    stop = threading.Event()
    _until_told(stop)
    start_events(given.stage)
    config = load(given.config, text=None if given.in_force is None else given.in_force.read_bytes())
    write_as(config.node.log)
    if config.node.patient_data_in_logs:
        tell_patients()
    with stay_alive(config), audited(config, given.stage):
        _patiently(lambda: _run(given, config, stop), given.stage, stop)
    event("process.stopped", at=datetime.now(UTC).isoformat())
    return 0


if __name__ == "__main__":
    sys.exit(main())
