"""The part of the journal port that knows what series are short of; tests/contract/test_journal_shortage.py holds every journal to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from node.domain.shortage import Hold, RefusedInstance, Shortfalls, TornSeries


class ShortageJournal(Protocol):
    """What is owed of series, and which routes wait for it."""

    def owe(self, refused: Sequence[RefusedInstance], torn: Sequence[TornSeries]) -> None:
        """Remember what the receiver refused, and what broke off. Idempotent; of an instance that is refused again the last time counts.
        What broke off before an instance of the series came that is journaled already is passed over."""
        ...

    def count_series(self, study_instance_uid: str, peer: str, counts: Mapping[str, int], now: datetime) -> None:
        """How many instances of each series a peer listed when it was asked now."""
        ...

    def shortfalls(self, study_instance_uid: str) -> dict[str, Shortfalls]:
        """By series of the study, those of which there is anything to say."""
        ...

    def holds(self, *, study: str | None = None) -> list[Hold]:
        """The series that routes wait for now, those first that have waited longest."""
        ...

    def held_by(self, arrival: int) -> list[Hold]:
        """What an arrival was kept open for when it was opened, whether it still is or not."""
        ...

    def forget_shortfalls(self, before: datetime) -> int:
        """Forget what was refused, broke off or was counted before then; how many rows."""
        ...
