"""Commands and nodes without a new interpreter each: forks of a process that stays.

That process has imported what they need, and runs nothing itself. Each command is a fork of it: with the network, the environment, the
folder and the umask of the test that gives it, with streams, arguments and an end of its own. So is a node, which goes on: it is the child
of the process that began it, as a program is that was started there. What is repeated until the answer is the awaited one is asked of the
same fork while it is about the same configuration: a fork copies all that it writes to, which costs more than the answer.
"""

import atexit
import contextlib
import ctypes
import faulthandler
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

from setproctitle import getproctitle, setproctitle

FORKED = frozenset(
    (
        "associations",
        "backup",
        "config",
        "doctor",
        "events",
        "jobs",
        "notify",
        "patients",
        "pause",
        "peers",
        "restore",
        "resume",
        "routes",
        "send",
        "serve",
        "studies",
        "unseal",
    )
)
"""First words of the commands that are run so (`serve` where it is refused: it is waited for). The others bring a model's libraries, beside
which the rest is little."""
_POLLED = (("jobs", "list"), ("jobs", "show"), ("studies", "list"), ("studies", "show"))
"""What tests repeat until the answer is the awaited one."""
_Written = tuple[tuple[str, int, int], ...]
_ROOT = Path(__file__).parents[2]
_CLONE_NEWNET = 0x40000000
_PATIENCE_S = 60.0
_PAUSE_S, _LONGER_S = 0.5, 1.0
"""Between two of these, about what an interpreter takes to start: a node is asked no more often than by the command itself. Less often what
has been asked for long: a tenth of that, or the second one."""
_UNCHANGED_S = 5.0
"""After so long the same question is asked again although nothing was written to the journal that it reads."""
_LOOKS_S = 0.05
_BEGINS_S = 300.0
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
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
    "node.dimse.requestor.peer",
    "node.journal.journal",
    "node.observe.events",
    "node.records.jobs",
    "node.records.passport",
    "node.records.decisions",
    "node.records.studies",
    "node.routing.gate",
    "node.store.identity",
    "node.upkeep.erasure",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
)
_STAGES = (
    "alembic.command",
    "alembic.config",
    "alembic.context",
    "alembic.script",
    "inference.engines.embedded.engine",
    "node.assembly.console",
    "node.assembly.flow",
    "node.assembly.index",
    "node.assembly.receive",
    "node.assembly.work",
    "node.console.server",
    "node.dimse.listener",
    "node.results.derived.make",
    "node.results.detections.make",
    "node.results.measurements.make",
    "node.results.pdf.make",
    "node.results.segmentation.make",
    "node.results.summary.make",
)
"""What a node's stages import besides, at their start, for a new journal or for their first result. With it a fork costs a third more: of
another process than those of the commands, which are many."""


class ForkedNode:
    """A node that is a fork and a child of this process, as `subprocess.Popen` shows a program.

    Parameters
    ----------
    pid
        It leads a process group of its own.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        """Its exit code, or minus the signal that ended it; None while it runs, as far as that was asked."""

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and say how.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        if self.poll() is None:
            ends = os.pidfd_open(self.pid)
            try:
                _readable(ends, timeout)
            finally:
                os.close(ends)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(f"hilum serve ({self.pid})", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


class Asker:
    """The process that is forked, started when it is first needed; one command at a time.

    Parameters
    ----------
    nodes
        Whether it imports besides what nodes need. It is told so by one word: what a node's processes are called takes the place of its
        arguments, and a shorter name is not told from what stood there before.
    """

    def __init__(self, *, nodes: bool = False) -> None:
        self._nodes = nodes
        self._turn = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answered = -_PAUSE_S
        self._asked: tuple[list[str], _Written] | None = None
        self._first_asked = 0.0
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
                    code = self._answer(arguments, (f"{folder}/stdout", f"{folder}/stderr"), timeout_s, repeats=polled)
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
        if self._asked is None or self._asked[0] != list(arguments):
            self._first_asked = time.monotonic()
        while True:
            asked = list(arguments), written(arguments)
            pause_s = min(max(_PAUSE_S, (time.monotonic() - self._first_asked) / 10), _LONGER_S)
            if time.monotonic() >= self._answered + (_UNCHANGED_S if asked[1] and asked == self._asked else pause_s):
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

    def serve(self, arguments: Sequence[str], *, stdout: Path, stderr: Path) -> ForkedNode | None:
        """Begin `hilum serve` with `arguments`, which adds to these files; None while a command runs.

        Raises
        ------
        TimeoutError
        """
        if not self._turn.acquire(blocking=False):
            return None
        try:
            # what becomes an orphan below this process is given to it meanwhile
            _prctl(_SET_CHILD_SUBREAPER, 1)
            words = ["serve", *arguments]
            return ForkedNode(self._answer(words, (stdout, stderr), _BEGINS_S, stays=True, PYTHONFAULTHANDLER="1"))
        except BaseException:
            self.close()
            raise
        finally:
            _prctl(_SET_CHILD_SUBREAPER, 0)
            self._turn.release()

    def _answer(
        self,
        arguments: Sequence[str],
        streams: Sequence[str | Path],
        timeout_s: float,
        *,
        stays: bool = False,
        repeats: bool = False,
        **environment: str,
    ) -> int:
        """The exit code of a command; with `stays` the process of a node."""
        if self._process is None:
            # -P: the modules beside this one have names that are others' too
            command = [sys.executable, "-P", __file__, *(["nodes"] if self._nodes else [])]
            self._process = subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        # reading it is setting it
        umask = os.umask(0o022)
        os.umask(umask)
        there = {"environment": {**os.environ, **environment}, "umask": umask, "cwd": os.getcwd(), "network": _network()}
        asked = {"arguments": list(arguments), "streams": list(map(str, streams)), "stays": stays, "repeats": repeats}
        print(json.dumps({**asked, **there}), file=to, flush=True)
        if not _readable(back.fileno(), timeout_s):
            raise TimeoutError(f"hilum {' '.join(arguments)}: not within {timeout_s:g} s")
        return int(back.readline())


def _readable(descriptor: int, timeout_s: float | None) -> bool:
    """Whether it can be read within that time. By poll: select knows no descriptor from 1024 on, and a test may hold as many."""
    asked = select.poll()
    asked.register(descriptor, select.POLLIN)
    return bool(asked.poll(None if timeout_s is None else 1000 * timeout_s))


def written(arguments: Sequence[str]) -> _Written:
    """Name, time and size of each file of the SQLite journal that the configuration names; empty where none is named, or it is no JSON."""
    try:
        settings = json.loads(Path(arguments[arguments.index("--config") + 1]).read_bytes())
        journal = settings["store"]["journal"].removeprefix("sqlite:")
        return tuple((name, there.st_mtime_ns, there.st_size) for name in (journal, f"{journal}-wal") for there in [os.stat(name)])
    except (ValueError, KeyError, OSError, TypeError, AttributeError, IndexError):
        return ()


def _network() -> str:
    """Where the kernel shows the network that this thread is in, which tests.lab.loopback changes."""
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


_codes: list[int] = []
"""How the command of this fork ended."""


def _end() -> None:
    """End a fork before its interpreter is taken down: that would write to, and so copy, all that the forks share."""
    if _codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_codes[0])


def _serve() -> None:
    """Run every command that a line of standard input asks for, and say how it ended; of a node, which process it is."""
    # registered first, it is called last: a command's own come before
    atexit.register(_end)
    # looks where the words of the command lie, which is not found any more in another environment
    getproctitle()
    nodes = sys.argv[1:] == ["nodes"]
    for name in (*_IMPORTED, *(_STAGES if nodes else ())):
        importlib.import_module(name)
    # every configuration asks all installed packages for applications; nobody installs one while tests run
    setattr(importlib.metadata, "entry_points", cache(importlib.metadata.entry_points))  # noqa: B010  (mypy knows it as a function)
    from node.assembly.configuration import load
    from node.cli.main import main

    # the first configuration that a process reads costs it twice as much as the second: patterns, and what defaults are in YAML
    load(Path("hilum.yaml"), text=b"node: {}\n")
    if nodes:
        _read_attributes()
    # what is there stays: a fork that looks through it would copy it
    gc.freeze()
    repeating: _Repeating | None = None
    while line := sys.stdin.readline():
        wanted = json.loads(line)
        if wanted["repeats"]:
            if repeating is None or repeating.about != _about(wanted):
                if repeating is not None:
                    repeating.end()
                repeating = _Repeating(_about(wanted))
            print(repeating.answer(line), flush=True)
            continue
        (told, tell), (waits, go_on) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            os.close(go_on)
            if repeating is not None:
                repeating.leave()
            if wanted["stays"]:
                _hand_on(waits)
            os.close(waits)
            _take_up(wanted)
            if wanted["stays"]:
                setproctitle(" ".join([sys.executable, str(Path(sys.executable).with_name("hilum")), *wanted["arguments"]]))
                os.write(tell, str(os.getpid()).encode())
            os.close(tell)
            _codes.append(main(wanted["arguments"]))
            sys.exit()
        os.close(tell)
        os.close(waits)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(go_on)
        with os.fdopen(told) as heard:
            print(heard.read() if wanted["stays"] else code, flush=True)


def _read_attributes() -> None:
    """highdicom reads once a process which attributes each kind of object has: 0.4 s, of each node that encodes."""
    from highdicom import SOPClass
    from pydicom.uid import SegmentationStorage, generate_uid

    study, series, instance = (generate_uid() for _ in range(3))
    SOPClass(
        study_instance_uid=study,
        series_instance_uid=series,
        series_number=1,
        sop_instance_uid=instance,
        sop_class_uid=SegmentationStorage,
        instance_number=1,
        modality="SEG",
    )


def _about(wanted: dict[str, Any]) -> list[str]:
    """What the answers of one fork have in common: the configuration, of whose plug-ins it may hold some, and the folder it is named in."""
    words: list[str] = wanted["arguments"]
    named = words[words.index("--config") + 1 :][:1] if "--config" in words else []
    return [wanted["cwd"], *named]


class _Repeating:
    """A fork that answers one question after the other, as the process sees it that was forked."""

    def __init__(self, about: list[str]) -> None:
        (told, tell), (waits, ask) = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(told)
            os.close(ask)
            _repeat(waits, tell)
        os.close(tell)
        os.close(waits)
        self.about: list[str] | None = about
        """None when it has ended by itself."""
        self._told, self._ask = os.fdopen(told), os.fdopen(ask, "w")

    def answer(self, line: str) -> int:
        """The exit code of the command that a line asks for."""
        self._ask.write(line)
        self._ask.flush()
        if said := self._told.readline():
            return int(said)
        self.about = None
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def end(self) -> None:
        """It is asked no more."""
        self.leave()
        if self.about is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def leave(self) -> None:
        """Hold its pipes no more."""
        self._told.close()
        self._ask.close()


def _repeat(waits: int, tell: int) -> None:
    """Run every command that a line of this pipe asks for, and say how it ended; one that raises ends the fork."""
    from node.cli.main import main

    with os.fdopen(waits) as asked:
        for line in asked:
            wanted = json.loads(line)
            _take_up(wanted)
            code = main(wanted["arguments"])
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(tell, f"{code}\n".encode())
    os._exit(0)


def _hand_on(waits: int) -> None:
    """Be the child of who asked for orphans, end with it, and lead a group: forked once more, this is what the kernel gives to it."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.read(waits, 1)  # nothing comes: it is closed when the process between has ended
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def _enter(network: str) -> None:
    opened = os.open(network, os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(opened, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), network)
    os.close(opened)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(*map(ctypes.c_ulong, (option, value, 0, 0, 0)))


def _take_up(wanted: dict[str, Any]) -> None:
    """Have the network, the streams, the environment, the folder and the umask that are asked for."""
    if os.path.exists(wanted["network"]) and not os.path.samefile(wanted["network"], "/proc/self/ns/net"):
        _enter(wanted["network"])
    for number, stream in enumerate((os.devnull, *wanted["streams"])):
        opened = os.open(stream, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    if "PYTHONFAULTHANDLER" in os.environ:  # which an interpreter reads when it starts
        faulthandler.enable()
    time.tzset()
    os.chdir(wanted["cwd"])
    os.umask(wanted["umask"])


if __name__ == "__main__":
    _serve()
