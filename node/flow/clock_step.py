"""The clock step stage notices that the clock went back: what was put off until a moment that is suddenly far away would wait in vain."""

import time
from collections.abc import Callable
from datetime import timedelta

from node.domain.stage import Clock
from node.flow.deliver import LEASE
from node.journal.processes import Processes
from node.observe.events import alarm
from node.routing.shortage import LONGEST
from node.settings.config import Config
from node.settings.peers import Settle

_BACK = timedelta(seconds=1)
"""A clock that is disciplined slews; what goes back by more was set."""


class ClockStep:
    """Stage: looks at the clock beside one that only goes forward; and once at its first step, because the clock may have gone back while
    nothing ran.

    Parameters
    ----------
    seconds
        A clock that only goes forward.
    """

    name = "backwards"

    def __init__(self, processes: Processes, config: Config, clock: Clock, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self.adopt(config)
        self._clock = clock
        self._seconds = seconds
        self._ahead: timedelta | None = None

    def adopt(self, config: Config) -> None:
        """Know how long arrivals, jobs and deliveries wait by this configuration."""
        self._retry = max([timedelta(minutes=5), *(sink.retry_most for sink in config.sinks.values())])
        quiet = [max(peer.settle.quiet, peer.settle.bounds.most) for peer in config.peers.values()]
        needed = [route.needs.within for route in config.routes if route.needs is not None]
        longest = [*(peer.settle.longest for peer in config.peers.values()), *(route.longest for route in config.routes)]
        self._quiet = max([Settle().quiet, *quiet, *needed])
        self._held = max([self._quiet, LONGEST, *(one for one in longest if one is not None)])

    def step(self) -> int:
        """Bring near what is further away than anybody ever puts anything off; how many rows."""
        now = self._clock()
        # microseconds since 1970 less seconds that only grow: constant while nobody sets the clock
        ahead = timedelta(seconds=now.timestamp() - self._seconds())
        if self._ahead is not None and ahead >= self._ahead - _BACK:
            self._ahead = ahead
            return 0
        # first, so that a journal that is away lets it be tried again
        brought = self._processes.bring_near(now, arrivals=self._quiet, held=self._held, retries=2 * self._retry, lease=LEASE)
        went_back_s = 0.0 if self._ahead is None else (self._ahead - ahead).total_seconds()
        self._ahead = ahead
        if brought or went_back_s:
            alarm("clock.went_back", by_s=round(went_back_s, 1), brought_near=brought)
        return brought
