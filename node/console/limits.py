"""How often somebody may fail to log in, which the journal counts, or try something that costs the node, which each console counts."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final

FAILURES: Final = 10
WINDOW: Final = timedelta(minutes=5)
"""Failed logins of a network, over all consoles of the node. An account is never locked for failing: whoever knows its name could lock its
owner out."""
TRIES, TRIES_WINDOW_S = 20, 60.0  # each may load a whole configuration, which takes seconds
_MOST_KNOWN = 10_000


class Recent:
    """How often an account tried something in a window that slides."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most: int = TRIES, window_s: float = TRIES_WINDOW_S) -> None:
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._guard = threading.Lock()
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, who: str) -> float:
        """Count it before it is done: what is counted afterwards is done many times at once. How long to wait instead; 0: do it."""
        with self._guard:
            times, now = self._of(who), self._clock()
            if len(times) >= self._most:
                return times[0] + self._window_s - now
            times.append(now)
            while len(self._times) > _MOST_KNOWN:
                self._times.popitem(last=False)
            return 0.0

    def _of(self, who: str) -> deque[float]:
        times = self._times.setdefault(who, deque(maxlen=self._most))
        self._times.move_to_end(who)
        while times and times[0] <= self._clock() - self._window_s:
            times.popleft()
        return times
