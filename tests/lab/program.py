"""One long-running program of the laboratory: in a process group of its own, its words in a file, gone at the end whatever happens."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.lab.asking import ForkedNode


class Late(AssertionError):
    """Something that was waited for did not happen in time."""


_PATIENCE_S = 120.0
_FIRST_PAUSE_S = 0.004
_DEAR_S = 1.0


def wait_until(predicate: Callable[[], object], timeout_s: float, what: str, *, every_s: float = 0.1) -> None:
    """Return as soon as `predicate` holds. Peers tell nothing of themselves: asking them again is the only way to know.

    Nothing is waited for less than two minutes: a test says what must come to hold, never how fast the machine is. It is asked again at
    once, then less and less often, `every_s` in the end. What is to be asked once a second or less often is dear (an interpreter, of which
    ten in a row would take the processor from what they wait for): it is asked no more often from the beginning.

    Raises
    ------
    Late
        It did not hold within `timeout_s`, or two minutes if that is longer.
    """
    patience_s = max(timeout_s, _PATIENCE_S)
    deadline = time.monotonic() + patience_s
    pause_s = every_s if every_s >= _DEAR_S else min(every_s, _FIRST_PAUSE_S)
    while not predicate():
        if time.monotonic() > deadline:
            raise Late(f"{what}: not within {patience_s:g} s")
        time.sleep(pause_s)
        pause_s = min(every_s, 2 * pause_s)


def suspend(process: psutil.Process) -> None:
    """Stop a process as SIGSTOP does, and return once it stands. The signal counts from when its first thread comes out of the kernel (from
    a sync of a file, say), and until then the others go on."""
    process.suspend()
    wait_until(lambda: process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE), 10, f"process {process.pid} stands")


class Program:
    """A program that runs until it is stopped. `log` holds its stderr (and stdout, unless `stdout` names another file)."""

    process: subprocess.Popen[bytes] | ForkedNode

    def __init__(
        self, command: Sequence[object], log: Path, *, stdout: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        words = [str(word) for word in command]
        # killed with the tests, should these be killed themselves
        if setpriv := shutil.which("setpriv"):
            words = [setpriv, "--pdeathsig", "KILL", "--", *words]
        with log.open("ab") as said, (stdout or log).open("ab") as printed:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
                env={**os.environ, "PYTHONFAULTHANDLER": "1", **(environment or {})},
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the program itself lives."""
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL the program and everything that it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not _group_lives(self.process.pid), 10, "the killed processes are gone", every_s=0.01)

    def stop(self, timeout_s: float = 60) -> int:
        """SIGTERM, then wait; whatever is left of the group is killed. The exit code."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # Python's fault handler writes into the log where every thread stands
            self.signal(signal.SIGABRT)
            self.process.wait(10)
            raise AssertionError(f"SIGTERM did not end it within {timeout_s:g} s; it stood at:\n{self.said()}") from None
        finally:
            self.kill()

    def said(self, most: int = 4000) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-most:] if self.log.exists() else ""


class ForkedProgram(Program):
    """One that is begun already: a node that is a fork. `log` holds its stderr."""

    def __init__(self, process: ForkedNode, log: Path) -> None:
        self.process, self.log = process, log


def _group_lives(group: int) -> bool:
    """Whether a process of the group is left that is not a zombie (those wait for a parent that may be gone)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(its_group) != group:
                    continue
                # a leader that is a zombie says nothing of its threads: until the last has ended, files and locks are held
                if state != "Z" or len(list((entry / "task").iterdir())) > 1:
                    return True
    return False
