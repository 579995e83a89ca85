"""The stage that finds studies of which an application gave no result: the reader is told so, once, instead of nothing.

The work process makes the objects (node.flow.statements), under a lease as any job's, and they are delivered as results are.
"""

from node.domain.profile import Kind
from node.flow.port import Clock
from node.journal.port import Journal
from node.observe.events import event
from node.settings import config as settings


class StatementStage:
    """Stage: asks for a statement wherever every job of a study and application ended without a result, or is late."""

    name = "statements"

    def __init__(self, journal: Journal, config: settings.Config, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._sinks = [name for name, sink in config.sinks.items() if Kind.STATEMENT in sink.profile.kinds]

    def step(self) -> int:
        """Ask for those that are missing; how many."""
        made = self._journal.state_no_results(self._sinks, self._clock())
        for job in made:
            event("job.no_result", job=job, application=self._journal.job(job).application)
        return len(made)
