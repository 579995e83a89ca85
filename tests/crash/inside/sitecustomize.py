"""Read by every Python process of a node whose PYTHONPATH names this folder: it dies where the tests say, in the middle of the journal.

The file that HILUM_CRASH_PLAN names says when: {"call": a method of the journal, "when": "before" | "inside" | "after" its commit, "stage":
of which process, "victim": "self" | "supervisor" | "node"}. Whoever reaches the place first takes the plan away and kills; where the plan
says "poke" ([file, offset, bytes in hexadecimal]) or "lock" ([database, seconds]) instead of a victim, the disk or the clock fails from
there on, or somebody else has the database's lock. Nothing of node/ knows of this.
"""

import contextlib
import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.lab.wrapping import wrap

_PLAN = os.environ.get("HILUM_CRASH_PLAN", "")
_call = threading.local()


def _reached(call: str | None, when: str) -> None:
    try:
        with open(_PLAN, encoding="utf-8") as file:
            plan = json.load(file)
    except (OSError, ValueError):
        return
    if (plan["call"], plan["when"]) != (call, when) or plan["stage"] not in sys.argv:
        return
    with contextlib.suppress(OSError):
        os.rename(_PLAN, f"{_PLAN}.taken")  # only one of all processes does
        if "poke" in plan:
            _poke(*plan["poke"])
        elif "lock" in plan:
            _lock(*plan["lock"])
        else:
            victim = {"self": os.getpid(), "supervisor": os.getppid(), "node": 0}[plan["victim"]]
            os.kill(victim, signal.SIGKILL)


def _poke(path: str, offset: int, content: str) -> None:
    with open(path, "r+b", buffering=0) as file:
        file.seek(offset)
        file.write(bytes.fromhex(content))


def _lock(path: str, seconds: float) -> None:
    held = threading.Event()

    def hold() -> None:
        import sqlite3

        other = sqlite3.connect(path, timeout=60, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        held.set()
        time.sleep(seconds)  # for how long it is locked
        other.execute("ROLLBACK")
        other.close()

    threading.Thread(target=hold, daemon=True).start()
    held.wait(60)


def _told(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def told(*arguments: Any, **named: Any) -> Any:
        outer, _call.name = getattr(_call, "name", None), name
        _reached(name, "before")
        try:
            answer = method(*arguments, **named)
        finally:
            _call.name = outer
        _reached(name, "after")
        return answer

    return told


def _wrap_journal(module: Any) -> None:
    made = module.Journal.__init__

    def init(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        for name in json.loads(os.environ["HILUM_CRASH_CALLS"]):
            subject, _, call = name.partition(".")
            part = getattr(self, subject)
            setattr(part, call, _told(name, getattr(part, call)))

    module.Journal.__init__ = init


def _wrap_database(module: Any) -> None:
    writing = module.Database.writing

    @contextlib.contextmanager
    def told(self: object) -> Iterator[Any]:
        with writing(self) as connection:
            yield connection
            # everything is written, nothing is committed
            _reached(getattr(_call, "name", None), "inside")

    module.Database.writing = told


if _PLAN:
    wrap({"node.journal.journal": _wrap_journal, "node.journal.database": _wrap_database})
    # hundreds of rounds on a busy machine: who comes first there is not what they are about
    os.nice = lambda _: 0
