"""Confined processes as the worker sees them: started from a template, asked, watched while they answer, stopped between the calls, ended.

A process is watched for its memory and its time by the thread that waits for its answer. Limits of the kernel on address space would stop
libraries that reserve far more than they use. Between two calls it does not run at all (SIGSTOP).
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from inference.engines.errors import (
    ComputationFailed,
    GoldenMismatch,
    HostileModel,
    LibraryNotInstalled,
    NotConvertible,
    OutOfMemory,
    TooDifferent,
    Underivable,
    UnreadableModel,
    WrongTensors,
)
from inference.engines.jail import messages
from inference.engines.jail.confine import Confined
from inference.engines.jail.errors import JailBroken, MemoryBound, ModelDied, ModelHung
from inference.engines.processors import usable_memory
from inference.errors import HilumError, quoted

Arrays: TypeAlias = dict[str, NDArray[Any]]

LOOK_S = 0.1
"""How often the memory of a process that computes is looked at."""
MOST_THREADS = 256 + 8 * (os.cpu_count() or 1)
"""Of one process, many times what libraries start: threads count for the node's user, who would have none left to answer senders with."""
START_S = 120.0
_MOST_WORDS = 1 << 16
_QUOTED = 300
_MOST_AXES, _MOST_OUTPUTS = 16, 256
_PAGE = os.sysconf("SC_PAGESIZE")
_ROOT = Path(__file__).resolve().parents[3]
_KEPT = ("LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS")
_UNLESS_SAID = {
    # a thread that waits for another one sleeps: on a busy machine waiting took four fifths of what torch computed with two threads
    "OMP_WAIT_POLICY": "passive",
}
_TOLD = {
    "LANG": "C.UTF-8",
    # there is no folder to write to; libraries that look for one when they are imported are given one that is not there
    "HOME": "/nonexistent",
    "TORCHINDUCTOR_CACHE_DIR": "/nonexistent",
    # one thread at start: Landlock binds no other, and a process that has more cannot be forked safely
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    # in the whole process: nothing in hilum reads a pickle that is more than weights
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
}
_SAID: Mapping[str, type[HilumError]] = {
    kind.__name__: kind
    for kind in (
        *(ComputationFailed, LibraryNotInstalled, GoldenMismatch, HostileModel, JailBroken, NotConvertible, OutOfMemory, TooDifferent),
        *(Underivable, UnreadableModel, WrongTensors),
    )
}
"""The errors that hilum's own code in a process has. Not those of a server: a job waits for one that is away, and costs no attempt."""
_STARTED = "import sys; sys.path.insert(0, sys.argv[1]); from inference.engines.jail import template; template.main(int(sys.argv[2]))"


def _nobody(_resident: int) -> None:
    """For who asks a process that is kept with no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """What one answer may take: seconds, and bytes of resident memory of the process; `seen` is told these bytes at each look."""

    seconds: float
    memory: int
    seen: Callable[[int], None] = _nobody


class Template:
    """The process that the others are forked from; started when it is first needed, and again when it died. May be used by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._alone = True
        self._ended: list[int] = []

    def fork(self, imports: Sequence[str], channel: int, output: int) -> int:
        """The number of a fresh process; `imports` are modules that it is going to need.

        Raises
        ------
        ModelDied
        """
        with self._lock:
            for wanted in (imports if self._alone else (), ()):
                answer = self._asked({"imports": list(wanted)}, (channel, output))
                if "pid" in answer:
                    return int(answer["pid"])
                # a library that starts threads when it is imported: each process imports it for itself
                self._alone = False
                self._close()
        raise ModelDied("no process can be made for a model: Python itself starts threads here")

    def reaped(self, pid: int) -> int | None:
        """How a process ended that was sent SIGKILL: its exit code, or minus the signal; None where the template is gone, too."""
        with self._lock:
            try:
                status = self._asked({"reap": [pid]}, ())["statuses"][str(pid)]
            except ModelDied:
                return None
        return None if status is None else int(status)

    def let_go(self, pid: int) -> None:
        """As `reaped`, some time later: called by the garbage collector, at any moment, in any thread."""
        self._ended.append(pid)

    def _asked(self, said: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
        for _ in range(2):
            control = self._started()
            reap = [*said.get("reap", []), *(self._ended.pop() for _ in range(len(self._ended)))]
            try:
                messages.say(control, {**said, "reap": reap}, descriptors)
                return messages.hear(control)
            except (EOFError, OSError):
                self._close()
        raise ModelDied("the process that models' processes are made from does not start")

    def _started(self) -> socket.socket:
        if self._control is not None:
            return self._control
        own, theirs = socket.socketpair()
        own.settimeout(START_S)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _STARTED, str(_ROOT), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**_UNLESS_SAID, **kept, **_TOLD},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._control = own
        return own

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._control = None


_template = Template()


class Jailed:
    """One confined process; `confined` says what the kernel holds back. One caller at a time.

    Raises
    ------
    ModelDied
        It cannot be started.
    """

    def __init__(self, imports: Sequence[str] = ()) -> None:
        own, theirs = socket.socketpair()
        out, into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            with theirs:
                self._pid = _template.fork(imports, theirs.fileno(), into)
        except BaseException:  # raised again: no descriptor stays open behind a process that was not started
            own.close()
            os.close(out)
            raise
        finally:
            os.close(into)
        own.settimeout(START_S)
        self._channel, self._out = own, out
        self._signals = _Signals(self._pid)
        self._words = b""
        self._finalizer = weakref.finalize(self, _abandoned, self._pid, self._signals, own, out)
        self._finalizer.atexit = False
        said = self._heard("the process of a model", AnswerLimits(seconds=START_S, memory=usable_memory()))
        self.confined = Confined(landlock=int(said["landlock"]), seccomp=bool(said["seccomp"]))

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._finalizer.alive

    def ask(self, what: str, said: Mapping[str, Any], bounds: AnswerLimits, *descriptors: int) -> dict[str, Any]:
        """Send it a question and wait for the answer.

        Parameters
        ----------
        what
            Whose process it is, to begin sentences with: 'model "liver" version 2'.

        Raises
        ------
        ModelDied, ModelHung, MemoryBound, JailBroken
            It was ended.
        EngineError, ModelError
            What it says itself.
        """
        if not self.alive:
            raise ModelDied(f"{what}: its process has ended")
        try:
            self._signals.send(signal.SIGCONT)
            messages.say(self._channel, said, descriptors)
        except OSError as gone:
            raise self._dead(what) from gone
        answer = self._heard(what, bounds)
        if "error" in answer:
            raise named_error(what, answer)
        return answer

    def end(self) -> int | None:
        """End it, whatever it does; how it ended, where that is known."""
        if self._finalizer.detach() is None:
            return None
        self._signals.end()
        self._listen()
        self._channel.close()
        os.close(self._out)
        return _template.reaped(self._pid)

    def _heard(self, what: str, bounds: AnswerLimits) -> dict[str, Any]:
        """The next frame; a process that breaks a bound, or says what is no frame, is ended."""
        until = time.monotonic() + bounds.seconds
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        got = bytearray()
        try:
            while len(got) < 4 or len(got) < 4 + int.from_bytes(got[:4], "little"):
                if len(got) >= 4 and int.from_bytes(got[:4], "little") > messages.MOST_SAID:
                    raise JailBroken(f"{what}: it said more than it may at once")
                if poll.poll(max(0.0, min(LOOK_S, until - time.monotonic())) * 1000):
                    part = self._channel.recv(1 << 16)
                    if not part:
                        raise self._dead(what)
                    got += part
                self._look(what, bounds, until)
            said = messages.parsed(bytes(got[4:]))
            if len(got) > 4 + int.from_bytes(got[:4], "little"):
                raise JailBroken(f"{what}: it answers what it was not asked")
        except OSError as gone:
            raise self._dead(what) from gone
        except HilumError:
            self.end()
            raise
        self._listen()
        # nothing of it runs while nothing is asked of it; where it ended behind its answer, the next question finds that out
        with suppress(ProcessLookupError):
            self._signals.send(signal.SIGSTOP)
        return said

    def _look(self, what: str, bounds: AnswerLimits, until: float) -> None:
        try:
            # proc_pid_stat(5), fields 20 and 24; behind the name, which a process may choose
            fields = Path(f"/proc/{self._pid}/stat").read_bytes().rpartition(b")")[2].split()
            threads, resident = int(fields[17]), int(fields[21]) * _PAGE
        except (OSError, IndexError, ValueError):
            threads = resident = 0  # it has ended, as its channel says
        if threads > MOST_THREADS:
            raise JailBroken(f"{what}: it has {threads} threads, more than {MOST_THREADS}")
        if resident > bounds.memory:
            raise MemoryBound(f"{what}: took {resident / 2**30:.1f} GiB, one model may take {bounds.memory / 2**30:.1f}")
        bounds.seen(resident)
        if time.monotonic() > until:
            raise ModelHung(f"{what}: no answer within {bounds.seconds:.0f} s, which is more than the size of its input explains")

    def _listen(self) -> None:
        """Take from the pipe what was printed: a pipe's length at most, and the end of it is kept."""
        with suppress(OSError):
            if said := os.read(self._out, _MOST_WORDS):
                self._words = (self._words + said)[-_QUOTED:]

    def _dead(self, what: str) -> ModelDied:
        status = self.end()
        words = self._words.decode("ascii", errors="replace").strip()
        how = "" if status is None else (f" (signal {-status})" if status < 0 else f" (exit code {status})")
        return ModelDied(f"{what}: its process ended in the middle of a call{how}{f'; its last words: {quoted(words)}' if words else ''}")


class _Signals:
    """The way to signal one process and no other: it is reaped by the template, or, where that ended first, at once, and another may have
    its number from then on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor: int | None = None
        # none before Linux 5.3, where a container's own filter allows none, or in a Python built without: the number is all there is
        with suppress(OSError, AttributeError):
            self._descriptor = os.pidfd_open(pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal.

        Raises
        ------
        ProcessLookupError
            It has ended and was reaped.
        """
        if self._descriptor is None:
            os.kill(self._pid, number)
        else:
            signal.pidfd_send_signal(self._descriptor, number)

    def end(self) -> None:
        """End the process, and the way to it."""
        with suppress(OSError):
            self.send(signal.SIGKILL)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _abandoned(pid: int, signals: _Signals, channel: socket.socket, out: int) -> None:
    """End a process that no object holds any more."""
    signals.end()
    channel.close()
    os.close(out)
    _template.let_go(pid)


def named_error(what: str, answer: Mapping[str, Any]) -> HilumError:
    """The error that a process names, one of the engines' own, with its sentence; another is not believed: `JailBroken`."""
    text = "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in str(answer.get("text"))[: messages.MOST_TEXT])
    kind = _SAID.get(str(answer["error"]))
    if kind is None:
        return JailBroken(f"{what}: it names an error that is none of its own")
    return kind(text if kind is not ComputationFailed else f"{what}: {text}")
