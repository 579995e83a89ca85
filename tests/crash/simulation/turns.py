"""Processes that take turns: each runs in a thread of its own, stops at every operation, and goes on when the schedule says so.

One runs at a time, so that a seed decides everything. A process that is killed never does anything again: whatever its code still tries
while it unwinds is refused, as a dead process's would be.
"""

import threading
from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """SIGKILL: nothing of hilum gets to say a word."""


class Process:
    """One process of the simulated node; `body` is what it does until it returns."""

    def __init__(self, name: str, body: Callable[["Process"], None]) -> None:
        self.name = name
        self.kind = name.partition("-")[0]
        self.dead = False
        self.error: BaseException | None = None
        self.at = "its beginning"
        self._dying = False
        self._turn = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(body,), name=name, daemon=True)
        self._thread.start()

    def _run(self, body: Callable[["Process"], None]) -> None:
        self._turn.acquire()
        try:
            if not self._dying:
                body(self)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  (the schedule tells it, with its seed)
            self.error = error
        finally:
            self.dead = True
            self._back.release()

    # ---- the schedule's side
    def go_on(self) -> None:
        """Let it run until its next operation, or its end."""
        self._turn.release()
        self._back.acquire()

    def kill(self) -> None:
        """It ends where it stands."""
        if not self.dead:
            self._dying = True
            self.go_on()
            assert self.dead, f"{self.name} lives on after it was killed at {self.at}"

    # ---- its own side
    def pause(self, at: str) -> None:
        """Give the turn away before or after an operation; returns when it is this process's turn again."""
        self.check()
        self.at = at
        self._back.release()
        self._turn.acquire()
        self.check()

    def check(self) -> None:
        """Nothing more is done by the dead."""
        if self._dying:
            raise Killed


class Watched:
    """Stands before a port: the process pauses before each call of `calls` and after it, and either may fail.

    Parameters
    ----------
    fault
        Given the name of a call and whether it was made; may raise what the port may raise.
    of
        What the name of a call begins with.
    """

    def __init__(self, port: Any, calls: frozenset[str], process: Process, fault: Callable[[str, bool], None], *, of: str = "") -> None:
        assert all(hasattr(port, name) for name in calls), "a call that was renamed would be watched no more"
        self._of = of
        self._port = port
        self._calls = calls
        self._process = process
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._calls:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._process.pause(f"before {self._of}{name}")
            self._fault(f"{self._of}{name}", False)
            answer = found(*arguments, **named)
            self._process.pause(f"after {self._of}{name}")
            self._fault(f"{self._of}{name}", True)
            return answer

        return call
