"""The part of the journal port that replaying routes asks for; tests/contract/test_journal_replay.py holds every journal to it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from node.domain.arrival import Arrival
from node.domain.instance import Instance
from node.domain.job import Job
from node.domain.route import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """An arrival as it was routed last, and what there is of its study now.

    Attributes
    ----------
    at
        When it was routed.
    calling
        The calling AE title that its first instance came from.
    series
        Those of its manifest.
    study, jobs
        What all arrivals of its study hold now, none that was replaced; and the study's jobs, without those that others took the place
        of, whichever arrival they are of. Headers hold what was asked for alone.
    forgotten
        Retention forgot headers of the study.
    """

    arrival: Arrival
    at: datetime
    config_digest: str
    calling: str
    series: frozenset[str]
    decisions: tuple[Decision, ...]
    study: tuple[Instance, ...]
    jobs: tuple[Job, ...]
    forgotten: bool


class ReplayJournal(Protocol):
    """What was decided, in bulk."""

    def routed(self, since: datetime, keywords: Collection[str], *, after: int = 0, limit: int = 200) -> list[Routed]:
        """Of each study (or series) and sender what was routed last, where it was complete `since` then, with these of the headers'
        keywords: those behind arrival `after`, in the order in which they were opened."""
        ...
