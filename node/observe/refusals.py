"""Telling of refused connections without a flood of lines: each is heard by whoever listens (the audit trail, which counts), and of one
address a few a minute are written, then how many were not."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node.observe.events import alarm, event, unwritten

_WINDOW_S = 60.0
_LINES = 10
_MOST_KINDS = 100
"""Of names and addresses in one window; those beyond share one."""


@dataclass(slots=True)
class _Window:
    began: float
    lines: int = 0
    left_out: int = 0


class Refusals:
    """What one listener tells of those that it refuses. Called from many threads."""

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], _Window] = {}
        self._timer: threading.Timer | None = None

    def event(self, name: str, *, address: str, **fields: Any) -> None:
        """As `node.observe.events.event`, for as long as it is no flood."""
        (event if self._is_to_be_written(name, address) else unwritten)(name, address=address, **fields)

    def alarm(self, name: str, *, address: str, **fields: Any) -> None:
        """As `node.observe.events.alarm`, for as long as it is no flood."""
        (alarm if self._is_to_be_written(name, address) else unwritten)(name, address=address, **fields)

    def close(self) -> None:
        """Tell what was left out so far."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._end(float("inf"))

    def _is_to_be_written(self, name: str, address: str) -> bool:
        self._end(self._seconds() - _WINDOW_S)
        with self._lock:
            key = (name, address)
            if key not in self._windows and len(self._windows) >= _MOST_KINDS:
                key = (name, "")
            window = self._windows.setdefault(key, _Window(began=self._seconds()))
            if window.lines < _LINES:
                window.lines += 1
                return True
            window.left_out += 1
            if self._timer is None:  # nobody may ever come again to bring it up
                timer = threading.Timer(_WINDOW_S, self._ring)
                timer.daemon = True
                # without room for a thread it is told when the next one comes: who refuses holds a seat meanwhile, and expects no error
                with contextlib.suppress(RuntimeError):
                    timer.start()
                    self._timer = timer
            return False

    def _ring(self) -> None:
        with self._lock:
            self._timer = None
        self._end(float("inf"))

    def _end(self, began_before: float) -> None:
        with self._lock:
            ended = [(key, one) for key, one in self._windows.items() if one.began <= began_before]
            for key, _ in ended:
                del self._windows[key]
        for (name, address), one in ended:
            if one.left_out:
                alarm("association.refusals_left_out", of=name, address=address or None, left_out=one.left_out)
