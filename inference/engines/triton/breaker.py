"""The circuit breaker: while the server is away calls fail at once, and one at a time asks whether it is back."""

import threading
import time
from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    """What the breaker lets through."""

    CLOSED = "closed"  # every call
    OPEN = "open"  # none
    HALF_OPEN = "half-open"  # one, which asks first


class Breaker:
    """Opens after `failures` calls in a row that found the server away, and at once when a question for its health did.

    Parameters
    ----------
    failures
        Calls in a row after which it opens.
    first_s, most_s
        How long it stays open: `first_s` at first, twice as long each time that the server is still away, never more than `most_s`.
    seconds
        A clock that only goes forward.
    """

    def __init__(
        self, *, failures: int = 3, first_s: float = 1.0, most_s: float = 10.0, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_failures = failures
        self._first_s = first_s
        self._most_s = most_s
        self._seconds = seconds
        self._lock = threading.Lock()
        self._failures = 0
        self._pause_s = first_s
        self._ask_at: float | None = None
        self._asking = False
        self._reason = ""

    @property
    def state(self) -> State:
        """What it lets through now."""
        with self._lock:
            return self._state()

    @property
    def reason(self) -> str:
        """Why it opened; "" while it is closed."""
        with self._lock:
            return self._reason if self._ask_at is not None else ""

    def admit(self) -> State:
        """Whether the caller may go ahead (CLOSED), has to ask whether the server is back and tell (HALF_OPEN), or must not call (OPEN)."""
        with self._lock:
            state = self._state()
            if state is State.HALF_OPEN:
                self._asking = True
            return state

    def answered(self) -> None:
        """The server answered, whatever it said."""
        with self._lock:
            self._failures = 0
            self._pause_s = self._first_s
            self._ask_at = None
            self._asking = False

    def away(self, reason: str, *, surely: bool = False) -> None:
        """The server did not answer; `surely` when its health was asked, which needs no second opinion."""
        with self._lock:
            self._failures += 1
            self._reason = reason
            if self._ask_at is not None:
                # calls that were under way when it opened say nothing new; the one that asked does
                if self._asking or surely:
                    self._pause_s = min(self._pause_s * 2, self._most_s)
                    self._ask_at = self._seconds() + self._pause_s
                    self._asking = False
            elif surely or self._failures >= self._most_failures:
                self._ask_at = self._seconds() + self._pause_s

    def _state(self) -> State:
        if self._ask_at is None:
            return State.CLOSED
        return State.OPEN if self._asking or self._seconds() < self._ask_at else State.HALF_OPEN
