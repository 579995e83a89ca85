"""The part of the journal port that erases patients and studies on request; tests/contract/test_journal_erasure.py holds every journal
to it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from node.domain.patient import Patient


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the journal holds of one patient, or of one study: row ids, and the names of what lies in the blobs.

    `shared` are studies of which something else stays, because other headers in them name somebody else. `sinks` have results that were
    delivered: they stay there.
    """

    patient: Patient | None
    instances: tuple[int, ...]
    arrivals: tuple[int, ...]
    jobs: tuple[int, ...]
    studies: tuple[str, ...]
    shared: tuple[str, ...]
    series: tuple[str, ...]
    blobs: tuple[str, ...]
    sinks: tuple[str, ...]
    marks: tuple[str, ...]
    """What of it is known again for a while (`mark_of`): it names neither study nor patient."""
    patients: int
    """How many patients the headers of these instances name."""
    size: int

    @property
    def empty(self) -> bool:
        """Whether there is nothing."""
        return not (self.instances or self.jobs or self.arrivals)


class ErasureJournal(Protocol):
    """What there is of a patient, and its end."""

    def issuers(self, patient_id: str) -> list[str]:
        """Who issued the patients' IDs that read so, as far as headers are known; "" where they do not say."""
        ...

    def held(self, patient: Patient | None, studies: Collection[str] = ()) -> Held:
        """Everything of a patient, or of whole studies: each instance whose header names the patient, and those of the same study that
        name nobody (any more) where none names anybody else; the jobs that used them, what these made, and arrivals that hold nothing
        else."""
        ...

    def withdraw(self, held: Held, now: datetime) -> int:
        """Cancel the jobs that wait, and the deliveries that have not begun; how many are still under a live lease."""
        ...

    def erase(self, held: Held, blobs: Collection[str], entries: Collection[str], until: datetime, now: datetime) -> None:
        """Delete every row of it in one transaction, tombstones for its blobs (and for `blobs`) in the same; forget the files that were
        set aside under these names. Until `until` its marks are known again. Nothing is left of it in the history."""
        ...

    def erased(self, marks: Collection[str], now: datetime) -> set[str]:
        """Those of these marks that were erased and are still known."""
        ...

    def forget_erased(self, now: datetime) -> int:
        """Forget the marks whose time is over; how many."""
        ...

    def scrub(self, traces: Collection[bytes]) -> bool:
        """Make sure that deleted rows are gone from the database's files too, `traces` being what must not stand there. False when other
        processes kept it from that: to be tried again."""
        ...
