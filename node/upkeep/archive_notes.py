"""Stages that find what an archive is to be told besides results: what was superseded there, and studies without a result.

The work process makes the objects (node.flow.notes), under a lease as any job's, and they are delivered as
results are.
"""

from datetime import timedelta

from node.domain.profile import Kind
from node.domain.stage import Clock
from node.journal.journal import Journal
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
        made = self._journal.withdrawals.insert(self._sinks, now, since=now - LOOKS_BACK)
        for job in made:
            event("job.withdraws", job=job, application=self._journal.jobs.get(job).application)
        return len(made)


class StatementStage:
    """Stage: asks for a statement wherever every job of a study and application ended without a result, or is late."""

    name = "statements"

    def __init__(self, journal: Journal, config: settings.Config, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._sinks = [name for name, sink in config.sinks.items() if Kind.STATEMENT in sink.profile.kinds]

    def step(self) -> int:
        """Ask for those that are missing; how many."""
        made = self._journal.statements.insert(self._sinks, self._clock())
        for job in made:
            event("job.no_result", job=job, application=self._journal.jobs.get(job).application)
        return len(made)
