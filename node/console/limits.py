"""How often somebody may fail to log in, or try something that costs the node."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

FAILURES = 10
WINDOW_S = 300.0
TRIES, TRIES_WINDOW_S = 60, 60.0
_ADDRESSES = 10_000


class Failures:
    """Failed logins by address; and what else is counted in a window that slides, by whoever does it. An account is never locked for
    failing: whoever knows its name could lock its owner out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most: int = FAILURES, window_s: float = WINDOW_S) -> None:
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._guard = threading.Lock()
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long this address has to wait; 0 when it may try."""
        with self._guard:
            failed = self._recent(address)
            return 0.0 if len(failed) < self._most else failed[0] + self._window_s - self._clock()

    def add(self, address: str) -> None:
        """It failed once more."""
        with self._guard:
            self._recent(address).append(self._clock())
            while len(self._by_address) > _ADDRESSES:
                self._by_address.popitem(last=False)

    def _recent(self, address: str) -> deque[float]:
        failed = self._by_address.setdefault(address, deque(maxlen=self._most))
        self._by_address.move_to_end(address)
        while failed and failed[0] <= self._clock() - self._window_s:
            failed.popleft()
        return failed
