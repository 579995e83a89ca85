"""How long calls waited in the server's queue for one model, from the difference of its own counters."""

import threading
import time
from collections import deque
from collections.abc import Callable

_LEAST_S = 1.0
_WINDOW_S = 10.0


class QueueTime:
    """The mean time in the queue over the last seconds. May be used by many threads.

    Parameters
    ----------
    counters
        The server's counters for the model: calls that left the queue, and nanoseconds that they spent in it.
    seconds
        A clock that only goes forward; the counters are asked at most once a second of it.
    """

    def __init__(self, counters: Callable[[], tuple[int, int]], *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._seconds = seconds
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, int, int]] = deque()

    def mean_s(self) -> float:
        """Seconds; 0 while nothing was computed in the window, and at the first question."""
        with self._lock:
            now = self._seconds()
            if not self._seen or now - self._seen[-1][0] >= _LEAST_S:
                calls, waited_ns = self._counters()
                if self._seen and calls < self._seen[-1][1]:
                    self._seen.clear()  # the server, or the model, was started again
                self._seen.append((now, calls, waited_ns))
            while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW_S:
                self._seen.popleft()
            _, first_calls, first_ns = self._seen[0]
            _, last_calls, last_ns = self._seen[-1]
            return (last_ns - first_ns) / 1e9 / (last_calls - first_calls) if last_calls > first_calls else 0.0
