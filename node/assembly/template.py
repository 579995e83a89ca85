"""Template: a process of one thread that has imported what the stages share and holds nothing open; each stage is a fork of it.

Forked from `hilum serve` before that has opened or read anything, it imports the rest beside the supervisor's own start. Between it and a
stage stands a process that ends at once: the kernel then gives the stage to the nearest ancestor that asked for such orphans
(PR_SET_CHILD_SUBREAPER, prctl(2)), which is the supervisor. So a stage is the supervisor's child as one that was started by itself: waited
for, signalled and counted alike. What a stage does stands in `node.assembly.process`; why, and what a fork shares, in ADR-0087.
"""

import contextlib
import ctypes
import errno
import fcntl
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from node.assembly import process
from node.observe.events import alarm

_SET_CHILD_SUBREAPER = 36
_IMPORTS_S = 60.0
"""For the first answer, imports included, on a machine that is busy with others."""
_ANSWERS_S = 5.0
"""For every other: the supervisor, which waits for it, has to turn."""
_KEEPS_THREADS = 3
"""The exit code of a template that a library's threads stay in."""
_ASKED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOST_SAID = 1 << 16
_MOST_DESCRIPTORS = 16
_LOOKS_S = 0.02
_STREAMS: Final = (0, 1, 2)
_LOOK: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT
PROGRAM: Final = (sys.executable, "-P", "-m", process.__name__)
"""What a stage is as an interpreter of its own, before its arguments; and what ps shows of a forked one."""
_IMPORTED: Final[Mapping[str, tuple[str, ...]]] = {
    "receive": ("node.assembly.receive", "node.dimse.listener"),
    "index": ("node.assembly.index",),
    "flow": ("node.assembly.flow",),
    "work": ("node.assembly.work",),
    "console": ("node.assembly.console", "node.console.server"),
}
"""What each stage imports at its start, whatever its configuration says."""


class ForkedStage:
    """A stage that the template forked, as `subprocess.Popen` shows one that was started by itself.

    Parameters
    ----------
    pid
        A child of this process.
    """

    def __init__(self, pid: int, stdin: IO[str], stdout: IO[str]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
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
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(_LOOKS_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


class Template:
    """The template as its supervisor sees it. One that is lost stays lost."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self._pid, self._control = pid, control
        self._lost = False
        self._version = _installed()
        control.settimeout(_IMPORTS_S)

    def prepare(self, stages: Collection[str]) -> None:
        """Have it import what these stages need; does not wait for it."""
        with contextlib.suppress(OSError):  # the first that is to be forked finds out
            self._control.send(json.dumps({"stages": sorted(set(stages))}).encode())

    def start(self, arguments: Sequence[str], lent: Sequence[int]) -> ForkedStage | None:
        """Fork a stage; None where the template is lost: it has ended, does not answer, or what it forks is not this process's child.

        Parameters
        ----------
        arguments
            Those of `node.assembly.process`.
        lent
            Descriptors that it has under the same numbers.

        Raises
        ------
        OSError
            The system has no room for a process or a file now.
        """
        if not self._lost and _installed() != self._version:
            # what a stage imports later, and the journal's revisions, are the new version's
            self._lose("hilum was upgraded meanwhile")
        if self._lost:
            return None
        with contextlib.ExitStack() as opened:
            theirs_in, ours_in = os.pipe()
            opened.callback(os.close, theirs_in)
            stdin = os.fdopen(ours_in, "w", encoding="utf-8", errors="replace")
            on_failure = opened.enter_context(contextlib.ExitStack())
            on_failure.callback(stdin.close)
            ours_out, theirs_out = os.pipe()
            opened.callback(os.close, theirs_out)
            stdout = os.fdopen(ours_out, encoding="utf-8", errors="replace")
            on_failure.callback(stdout.close)
            pid = self._forked(arguments, (theirs_in, theirs_out, *lent), (0, 1, *lent))
            if pid is None:
                return None
            on_failure.pop_all()
        return ForkedStage(pid, stdin, stdout)

    def _forked(self, arguments: Sequence[str], descriptors: Sequence[int], numbers: Sequence[int]) -> int | None:
        asked = {"arguments": list(arguments), "numbers": list(numbers)}
        _adopt_orphans(True)
        try:
            socket.send_fds(self._control, [json.dumps(asked).encode()], descriptors)
            answer = json.loads(self._control.recv(_MOST_SAID) or b"{}")
            if "errno" in answer:
                raise OSError(answer["errno"], os.strerror(answer["errno"]))
            pid = int(answer["pid"])
            os.waitid(os.P_PID, pid, _LOOK)
            self._control.settimeout(_ANSWERS_S)
        except TimeoutError:
            # should it fork a stage all the same, that drains: its life line is closed
            self._lose(f"no answer within {self._control.gettimeout():g} s")
            return None
        except ChildProcessError:
            self._lose("what it forks is given to another process")
            return None
        except (KeyError, ValueError, ConnectionError):
            self._lose(self._end() or "it says nothing that can be read")
            return None
        finally:
            _adopt_orphans(False)
        return pid

    def turn(self, stages: Collection[int]) -> None:
        """Tell at once that it has ended, and wait for what became an orphan while a stage was forked.

        Parameters
        ----------
        stages
            The numbers of the processes that somebody else waits for.
        """
        if not self._lost and (how := self._end()):
            self._lose(how)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, _LOOK)) and ended.si_pid not in (self._pid, *stages):
                os.waitpid(ended.si_pid, 0)

    def _end(self) -> str:
        """How it ended; "" while it runs."""
        ended = os.waitid(os.P_PID, self._pid, _LOOK)
        if ended is None:
            return ""
        if ended.si_code != os.CLD_EXITED:
            return f"it was ended by signal {ended.si_status}"
        return "a library keeps threads in it" if ended.si_status == _KEEPS_THREADS else f"it ended with exit code {ended.si_status}"

    def _lose(self, reason: str) -> None:
        alarm("process.template_lost", pid=self._pid, reason=reason)
        self.close()

    def close(self) -> None:
        """End it; stages that it forked go on."""
        if not self._lost:
            self._lost = True
            self._control.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)


@contextlib.contextmanager
def forked_template(ended: list[int]) -> Iterator[Template | None]:
    """Fork the template from this process, for the block; None where stages are to be interpreters of their own.

    That is elsewhere than on Linux, and in a process with more than one thread. The template, and what is forked from it, does not come
    back from here: it ends with SystemExit.

    Parameters
    ----------
    ended
        In a stage that has ended, its exit code.
    """
    if sys.platform != "linux" or find_spec("setproctitle") is None or _threads() != 1:
        yield None
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started hilum may ignore it: then nobody could be waited for
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    gc.freeze()  # what lies in memory now is shared as long as nobody writes to it
    try:
        pid = os.fork()
    except OSError:  # no room for a process: the stages are tried again and again, and this is not
        ours.close()
        theirs.close()
        yield None
        return
    if pid == 0:
        ours.close()
        _serve(theirs, ended)
    theirs.close()
    template = Template(pid, ours)
    try:
        yield template
    finally:
        template.close()


def _threads() -> int:
    """How many threads this process has; 0 where /proc is not mounted."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


def _installed() -> tuple[int, int] | None:
    """Which file a stage's first module is now: another one after an upgrade."""
    try:
        found = os.stat(process.__file__)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _adopt_orphans(wanted: bool) -> None:
    """Be given what becomes an orphan below this process, or no longer: models' processes are not to be waited for here."""
    ctypes.CDLL(None).prctl(*map(ctypes.c_ulong, (_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)))


# ---- in the template


def _serve(control: socket.socket, ended: list[int]) -> NoReturn:
    """Fork as the supervisor asks, until it is gone."""
    gc.disable()
    # who stops the node asks the supervisor, which ends its stages in order and then this process
    for asked in _ASKED:
        signal.signal(asked, signal.SIG_IGN)
    # a stage that is told to stop before it listens for that is not deaf: it is ended, as an interpreter would be
    signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED)
    _hold_nothing(control)
    _show("hilum: template of the stages", "hilum-template")
    if not sys.flags.safe_path:
        del sys.path[0]  # as -P does
    while True:
        try:
            said, descriptors, _, _ = socket.recv_fds(control, _MOST_SAID, _MOST_DESCRIPTORS)
        except ConnectionError:
            said, descriptors = b"", []
        if not said:
            os._exit(0)
        told = json.loads(said)
        if "stages" in told:
            for name in (each for stage in told["stages"] for each in _IMPORTED[stage]):
                with contextlib.suppress(ImportError):  # an extra that is not installed is the supervisor's to say
                    importlib.import_module(name)
            _end_threads()
            gc.freeze()
            continue
        stage = partial(_become, told["arguments"], descriptors, told["numbers"], ended)
        answer = _fork(control, stage)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(json.dumps(answer).encode())


def _hold_nothing(control: socket.socket) -> None:
    """Close what whoever started hilum handed on, which an interpreter that is started by Python is not handed either; a terminal or a
    pipe as stdin and stdout, too, which whoever reads would wait for."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder's own, which is closed already
            number = int(name)
            if number not in _STREAMS and number != control.fileno() and os.get_inheritable(number):
                os.close(number)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _end_threads() -> None:
    """Leave one thread. A library that begins threads when it is imported ends them before a fork, where it can be forked (OpenBLAS);
    with one that does not, this process ends, and stages are interpreters of their own."""
    trial = os.fork()
    if trial == 0:
        os._exit(0)
    os.waitpid(trial, 0)
    if _threads() != 1 or threading.active_count() != 1:
        os._exit(_KEEPS_THREADS)


def _fork(control: socket.socket, stage: Callable[[], NoReturn]) -> dict[str, Any]:
    """Fork a stage that is nobody's child here: its number, or the errno of what the system refused."""
    told, tell = os.pipe()
    try:
        between = os.fork()
    except OSError as refused:
        os.close(told)
        os.close(tell)
        return {"errno": refused.errno}
    if between == 0:
        os.close(told)
        answer: dict[str, Any] = {"errno": errno.EAGAIN}
        with contextlib.suppress(OSError):
            answer = {"pid": os.fork()}
        if answer.get("pid") == 0:
            os.close(tell)
            control.close()
            stage()
        os.write(tell, json.dumps(answer).encode())
        os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as heard:
        said = heard.read()
    # it has ended before the supervisor is answered, so that the stage is its child by then
    os.waitpid(between, 0)
    forked: dict[str, Any] = json.loads(said) if said else {"errno": errno.EAGAIN}
    return forked


# ---- in a stage


def _become(arguments: Sequence[str], descriptors: Sequence[int], numbers: Sequence[int], ended: list[int]) -> NoReturn:
    """Be what `python -P -m node.assembly.process ARGUMENTS` is."""
    for asked in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED)
    try:
        # out of the way of the numbers first
        aside = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, max(numbers) + 1) for each in descriptors]
        for each in descriptors:
            os.close(each)
        for each, number in zip(aside, numbers, strict=True):
            os.dup2(each, number, inheritable=number in _STREAMS)
            os.close(each)
        sys.argv = [process.__file__, *arguments]
        _show(" ".join((*PROGRAM, *arguments)), Path(sys.executable).name)
        code = process.main(arguments)
    except Exception:  # noqa: BLE001  (what an interpreter does with what its program lets through; `hilum serve` would say it as its own)
        traceback.print_exc()
        code = 1
    ended.append(code)
    sys.exit(code)


def _show(title: str, name: str) -> None:
    """Be called so where ps and pgrep show command lines, and where they show names alone, as top does."""
    from setproctitle import setproctitle, setthreadtitle

    setproctitle(title.encode("utf-8", "replace").decode())  # a path may have bytes that are no text
    setthreadtitle(name)
