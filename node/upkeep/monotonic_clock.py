"""The clock by which things grow old: a jump ahead is not believed at once, because what is deleted for its age does not come back."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from node.domain.stage import Clock
from node.observe.events import alarm

_AHEAD = timedelta(hours=1)
"""A clock that is disciplined slews, and summer time moves no UTC; what goes ahead by more was set."""
_BELIEVED_S = 86_400.0


class MonotonicClock:
    """A clock: the one that it is given, less what that jumped ahead within the last day of `seconds`.

    It sees jumps while its process runs. A machine that comes up with a wrong clock is not seen: it may have been off for as long.

    Parameters
    ----------
    seconds
        A clock that only goes forward.
    """

    def __init__(self, clock: Clock, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ahead: timedelta | None = None
        self._jumps: list[tuple[float, timedelta]] = []

    def __call__(self) -> datetime:
        """Now, as far as it may be believed."""
        now, seconds = self._clock(), self._seconds()
        # microseconds since 1970 less seconds that only grow: constant while nobody sets the clock
        ahead = timedelta(seconds=now.timestamp() - seconds)
        jumped = timedelta() if self._ahead is None else ahead - self._ahead
        self._ahead = ahead
        if jumped > _AHEAD:
            self._jumps.append((seconds, jumped))
            alarm("clock.went_ahead", by_s=round(jumped.total_seconds()), believed_in_s=int(_BELIEVED_S))
        elif jumped < -_AHEAD:
            self._jumps.clear()  # it was set right, or is wrong the other way round, which makes nothing old
        self._jumps = [(at, by) for at, by in self._jumps if seconds - at < _BELIEVED_S]
        return now - sum((by for _, by in self._jumps), timedelta())
