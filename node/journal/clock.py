"""One time for all hosts: the database's clock, asked now and then, and carried on in between by what no hand can set."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from node.domain.errors import JournalError
from node.journal.rows import moment
from node.observe.events import alarm, event

_ASK_EVERY_S = 10.0
_QUICK_S = 0.1
"""An answer that took longer leaves too much in doubt, as long as an earlier one is not old."""
_OLD_S = 60.0
OFF_S = 1.0
"""How far a host's clock may stand from the database's before people are told."""


def monotonic_s() -> float:
    """Seconds that pass alike whatever is done to the clock; a suspended machine's are counted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ServerClock:
    """The database's time on this host; safe to share by threads.

    Parameters
    ----------
    ask
        Microseconds since 1970 by the database's clock; may raise JournalError.
    monotonic_s, wall
        This host's monotonic seconds, and its clock, which may be wrong.
    """

    def __init__(
        self, ask: Callable[[], int], *, monotonic_s: Callable[[], float] = monotonic_s, wall: Callable[[], float] = time.time
    ) -> None:
        self._ask = ask
        self._monotonic_s = monotonic_s
        self._wall = wall
        self._guard = threading.Lock()
        self._base: datetime | None = None
        """What the database's clock shows when the monotonic one shows zero."""
        self._measured = float("-inf")
        self._asked = float("-inf")
        self._told_off = False

    def now(self) -> datetime:
        """The time by the database's clock.

        Raises
        ------
        JournalError
            The database was never reached; later on its last answer is carried on.
        """
        with self._guard:
            if self._monotonic_s() - self._asked > _ASK_EVERY_S:
                self._measure()
            assert self._base is not None, "measured, or refused"
            return self._base + timedelta(seconds=self._monotonic_s())

    def at(self, timestamp: float) -> datetime:
        """The database's time when this host's clock showed `timestamp` (seconds since 1970), at the latest now."""
        now = self.now()
        return now - timedelta(seconds=max(0.0, self._wall() - timestamp))

    def off_s(self) -> float:
        """How many seconds this host's clock is ahead."""
        now = self.now()
        return self._wall() - now.timestamp()

    def _measure(self) -> None:
        before = self._monotonic_s()
        try:
            told = moment(self._ask())
        except JournalError:
            if self._base is None:
                raise
            self._asked = before
            return
        after = self._monotonic_s()
        self._asked = after
        if after - before <= _QUICK_S or after - self._measured > _OLD_S:
            self._base = told - timedelta(seconds=(before + after) / 2)
            self._measured = after
            self._compare(told.timestamp() - self._wall() + (after - before) / 2)

    def _compare(self, behind_s: float) -> None:
        off = abs(behind_s) > OFF_S
        if off and not self._told_off:
            alarm("clock.off", ahead_s=round(-behind_s, 3))
        elif self._told_off and not off:
            event("clock.right", ahead_s=round(-behind_s, 3))
        self._told_off = off
