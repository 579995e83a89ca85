"""Commands without a new interpreter each: forks of one process.

That process has imported what they need, and runs nothing itself. Each command is a fork of it: with the environment, the folder and the
umask of the test that gives it, with streams, arguments and an end of its own.
"""

import atexit
import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

FORKED = frozenset(("backup", "config", "doctor", "jobs", "notify", "patients", "restore", "routes", "send", "serve", "studies"))
"""First words of the commands that are run so (`serve` where it is refused: a node that serves is a program of its own). The others bring a
model's libraries, beside which the rest is little."""
_POLLED = (("jobs", "list"), ("jobs", "show"), ("studies", "list"), ("studies", "show"))
"""What tests repeat until the answer is the awaited one."""
_Written = tuple[tuple[str, int, int], ...]
_ROOT = Path(__file__).parents[2]
_NETWORK = Path("/proc/thread-self/ns/net")
_PATIENCE_S = 60.0
_PAUSE_S = 0.5
"""Between two of these, about what an interpreter takes to start: a node is asked no more often than by the command itself."""
_UNCHANGED_S = 2.0
"""After so long the same question is asked again although nothing was written to the journal that it reads."""
_LOOKS_S = 0.05
_IMPORTED = (
    "node.assembly.backups",
    "node.assembly.compose",
    "node.assembly.configuration",
    "node.assembly.supervisor",
    "node.backup.backup",
    "node.backup.restore",
    "node.cli.backup",
    "node.cli.config",
    "node.cli.jobs",
    "node.cli.main",
    "node.cli.passport",
    "node.cli.patients",
    "node.cli.routes",
    "node.cli.screen",
    "node.cli.send",
    "node.cli.studies",
    "node.dimse.requestor.outgoing",
    "node.journal.journal",
    "node.observe.events",
    "node.records.jobs",
    "node.records.passport",
    "node.records.decisions",
    "node.records.studies",
    "node.store.identity",
    "node.upkeep.erasure",
)


class Asker:
    """The process that is forked, started when it is first needed; one command at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._network = ""
        self._answered = -_PAUSE_S
        self._asked: tuple[list[str], _Written] | None = None
        atexit.register(self.close)

    def ask(self, arguments: Sequence[str], timeout_s: float) -> tuple[int, bytes, bytes] | None:
        """Run `hilum` with `arguments`: its exit code, what it printed, and what it said on stderr; None while another command runs.

        Raises
        ------
        TimeoutError
        """
        if not self._turn.acquire(blocking=False):
            return None
        try:
            polled = tuple(arguments[:2]) in _POLLED
            if polled:
                self._wait_for_news(arguments)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    code = self._code(arguments, folder, timeout_s)
                except BaseException:
                    # a test that was interrupted leaves no answer behind for the next to read
                    self.close()
                    raise
                if polled:
                    self._answered = time.monotonic()
                return code, Path(folder, "stdout").read_bytes(), Path(folder, "stderr").read_bytes()
        finally:
            self._turn.release()

    def _wait_for_news(self, arguments: Sequence[str]) -> None:
        """A journal in which nothing was written has no other answer to the same question: a fork is spared."""
        while True:
            asked = list(arguments), written(arguments)
            pause_s = _UNCHANGED_S if asked[1] and asked == self._asked else _PAUSE_S
            if time.monotonic() >= self._answered + pause_s:
                break
            time.sleep(_LOOKS_S)
        # before the answer: what is written meanwhile is news
        self._asked = asked

    def close(self) -> None:
        """End it, and a command under way; the next question starts another."""
        if self._process is not None:
            process, self._process = self._process, None
            os.killpg(process.pid, signal.SIGKILL)
            # what a command started may have left the group and hold the pipes open: nobody reads on
            process.wait(_PATIENCE_S)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _code(self, arguments: Sequence[str], folder: str, timeout_s: float) -> int:
        network = _network()
        if network != self._network:
            self.close()
            self._network = network
        if self._process is None:
            # -P: the modules beside this one have names that are others' too
            command = [sys.executable, "-P", __file__]
            self._process = subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        # reading it is setting it
        umask = os.umask(0o022)
        os.umask(umask)
        there = {"environment": dict(os.environ), "umask": umask, "cwd": os.getcwd(), "streams": folder}
        print(json.dumps({"arguments": list(arguments), **there}), file=to, flush=True)
        if not select.select([back], [], [], timeout_s)[0]:
            raise TimeoutError(f"hilum {' '.join(arguments)}: not within {timeout_s:g} s")
        return int(back.readline())


def written(arguments: Sequence[str]) -> _Written:
    """Name, time and size of each file of the SQLite journal that the configuration names; empty where none is named, or it is no JSON."""
    try:
        settings = json.loads(Path(arguments[arguments.index("--config") + 1]).read_bytes())
        journal = settings["store"]["journal"].removeprefix("sqlite:")
        return tuple((name, there.st_mtime_ns, there.st_size) for name in (journal, f"{journal}-wal") for there in [os.stat(name)])
    except (ValueError, KeyError, OSError, TypeError, AttributeError, IndexError):
        return ()


def _network() -> str:
    """The network that this thread is in, which tests.lab.loopback changes; a process stays in that of the thread that started it."""
    return str(_NETWORK.readlink()) if _NETWORK.exists() else ""


_codes: list[int] = []
"""How the command of this fork ended."""


def _end() -> None:
    """End a fork before its interpreter is taken down: that would write to, and so copy, all that the forks share."""
    if _codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_codes[0])


def _serve() -> None:
    """Run every command that a line of standard input asks for, and say how it ended."""
    # registered first, it is called last: a command's own come before
    atexit.register(_end)
    for name in _IMPORTED:
        importlib.import_module(name)
    # every configuration asks all installed packages for applications; nobody installs one while tests run
    setattr(importlib.metadata, "entry_points", cache(importlib.metadata.entry_points))  # noqa: B010  (mypy knows it as a function)
    from node.assembly.configuration import load

    # the first configuration that a process reads costs it twice as much as the second: patterns, and what defaults are in YAML
    load(Path("hilum.yaml"), text=b"node: {}\n")
    # what is there stays: a fork that looks through it would copy it
    gc.freeze()
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            _codes.append(_run(json.loads(line)))
            sys.exit()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(wanted: dict[str, Any]) -> int:
    from node.cli.main import main

    for number, stream in enumerate((os.devnull, f"{wanted['streams']}/stdout", f"{wanted['streams']}/stderr")):
        opened = os.open(stream, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    time.tzset()
    os.chdir(wanted["cwd"])
    os.umask(wanted["umask"])
    return main(wanted["arguments"])


if __name__ == "__main__":
    _serve()
