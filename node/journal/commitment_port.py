"""The part of the journal port that is about storage commitment; tests/contract/test_journal_commitment.py holds every journal to it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from node.domain.commitment import Applied, Asked, Due, Pending, Report, Request, Transaction
from node.domain.instance import Instance


class Commitments(Protocol):
    """What this node asks of those that hold its results. A delivery that is DELIVERED waits for it, and `due_at` is when to ask again."""

    def due_commitments(self, now: datetime, *, busy_sinks: Collection[str] = (), limit: int = 100) -> list[Due]:
        """DELIVERED deliveries whose sinks should be asked now; none to a sink that is paused or busy. The oldest first."""
        ...

    def begin_commitment(self, due: Due, transaction_uid: str, peer: str, until: datetime, now: datetime) -> Asked | None:
        """Make a transaction durable, before it is sent, for every object that the sink accepted and has not committed to in this round.

        Until `until` nobody asks again. None when somebody was faster, or the delivery moved on; COMMITTED where nothing is left to ask.
        """
        ...

    def commitment_accepted(self, transaction_uid: str, until: datetime, now: datetime) -> None:
        """The peer answered the N-ACTION with success: its report is waited for until `until`. A report that was faster stands."""
        ...

    def commitment_refused(self, transaction_uid: str, code: str, reason: str, again_at: datetime, now: datetime) -> None:
        """The N-ACTION failed, or never arrived: the peer is asked again then, under another transaction."""
        ...

    def park_uncommitted(self, delivery: int, code: str, reason: str, now: datetime) -> bool:
        """DELIVERED → PARKED; False when it is not DELIVERED any more."""
        ...

    def leave_uncommitted(self, delivery: int, why: str, now: datetime) -> bool:
        """DELIVERED → COMMITTED though nobody committed to it; False when it is not DELIVERED any more."""
        ...

    def apply_report(self, report: Report, again_at: datetime, most_rounds: int, code: str, now: datetime) -> Applied:
        """What a report means for its delivery, in one transaction; idempotent.

        COMMITTED when the peer has committed to every object of the round, in this transaction or in another. Objects whose reason says
        that they are to be sent again are undelivered from now on, and the delivery WAITING until `again_at`; after `most_rounds` such
        reports, or for a reason that sending cannot cure, it is PARKED under `code`.
        """
        ...

    def ask_anew(self, now: datetime) -> int:
        """The journal is an older copy of itself: a report may have come since. Whatever waits for one is asked for now, and its sink has
        all its patience again. Returns how many."""
        ...

    def transactions(self, delivery: int) -> list[Transaction]:
        """Every transaction of a delivery, in the order in which they were begun."""
        ...


class Promises(Protocol):
    """What peers ask of this node."""

    def receive_request(self, request: Request, now: datetime) -> None:
        """Remember a request. The same one again (its peer, transaction and references) is judged and reported anew; other references
        under a transaction that this peer has used fail with 0131, duplicate transaction UID."""
        ...

    def due_requests(self, now: datetime, *, busy_peers: Collection[str] = (), limit: int = 100) -> list[Pending]:
        """Requests that are to be judged or reported now, the oldest first; none of a peer that is busy."""
        ...

    def judge(self, request: int, verdicts: Sequence[int], held: Collection[Instance], now: datetime) -> bool:
        """Make durable what the report will say of each reference, in their order (0: committed), and the promise for `held`. False, and
        nothing is changed, when one of these was purged meanwhile, or the request is judged already."""
        ...

    def put_off_request(self, request: int, until: datetime, detail: str, now: datetime) -> None:
        """Look at it again then; of a judged one this counts an attempt."""
        ...

    def end_request(self, request: int, taken: bool, detail: str, now: datetime, *, judged: bool = True) -> None:
        """Its report was `taken`, or nobody took it for too long; without `judged`, nobody will ever judge it. One that its peer asked
        anew meanwhile goes on."""
        ...

    def promised(self, instances: Collection[int]) -> Mapping[int, datetime]:
        """Those of them that this node committed to, and when it last did."""
        ...


class CommitmentJournal(Commitments, Promises, Protocol):
    """Both."""
