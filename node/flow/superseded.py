"""The stage that finds superseded results which still stand in an archive that has their successor, and takes notes that withdraw them.

The work process makes the notes (node.flow.withdrawals), under a lease as any job's, and they are delivered as results are.
"""

from datetime import timedelta

from node.domain.profile import Kind
from node.flow.port import Clock
from node.journal.port import Journal
from node.observe.events import event
from node.settings import config as settings

LOOKS_BACK = timedelta(days=30)
"""What was superseded earlier stays: an archive that begins to take such notes is not flooded with those of years."""


class WithdrawalStage:
    """Stage: asks for a withdrawal wherever a sink that takes them has superseded objects, and their successor."""

    name = "withdrawals"

    def __init__(self, journal: Journal, config: settings.Config, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._sinks = [name for name, sink in config.sinks.items() if Kind.WITHDRAWAL in sink.profile.kinds]

    def step(self) -> int:
        """Ask for those that are missing; how many."""
        now = self._clock()
        made = self._journal.withdraw_superseded(self._sinks, now, since=now - LOOKS_BACK)
        for job in made:
            event("job.withdraws", job=job, application=self._journal.job(job).application)
        return len(made)
