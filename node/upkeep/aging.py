"""The patience stage: what has waited for long moves up, so that no job waits for ever behind others."""

from datetime import UTC, datetime

from node.domain.stage import Clock
from node.journal.jobs import Jobs
from node.observe.events import event
from node.settings.config import Config

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


class PriorityAging:
    """Stage: one process of all steps it every few seconds. Off-peak jobs move up among those that may run in their window."""

    name = "patience"

    def __init__(self, jobs: Jobs, config: Config, clock: Clock) -> None:
        self._jobs = jobs
        self._schedule = config.schedule
        self._clock = clock

    def step(self) -> int:
        """Move up a batch; how many."""
        now = self._clock()
        window = self._schedule.offpeak
        since = _ALWAYS if window is None else window.opened_at(now)
        moved = self._jobs.move_up(now, self._schedule.patience, offpeak_since=since)
        if moved:
            event("queue.moved_up", jobs=moved)
        return moved
