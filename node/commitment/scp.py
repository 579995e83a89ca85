"""Storage commitment as SCP (PS3.4 Annex J): finds out whether this node holds what a peer asks it to commit to, and reports.

What a commitment means: the bytes are on disk (or in the bucket) and indexed, and stay for as long as the store keeps pixels, counted from
the commitment, however full the disk becomes; retention keeps to that.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from node.blobs.port import Blobs
from node.commitment.peers import Committer, PeerThreads
from node.domain.commitment import FailureReason, InstanceReference, Pending, Request, RequestState
from node.domain.errors import DeliveryError, JournalError
from node.domain.instance import Instance, Standing
from node.domain.stage import Clock, back_off
from node.journal.commitment_requests import CommitmentRequests
from node.journal.instances import Instances
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.settings.config import Config
from node.settings.store import Durability

_PATIENCE = timedelta(days=1)
"""For how long a report is offered to a peer that does not take it, and a judgement waits for a receiver that lags."""
_LOOK_AGAIN = timedelta(seconds=1)
_OWED = timedelta(seconds=5)
"""With `durability: association` what came over associations that still stand becomes an entry of the inbox within a second or so."""
_RETRY_FIRST = timedelta(seconds=10)
_RETRY_MOST = timedelta(minutes=30)
_CHUNK = 500
_HELD = (Standing.CURRENT, Standing.REPLACED, Standing.RESULT)
_NOT_USED = (Standing.CONFLICT, Standing.HELD, Standing.REFUSED)


class CommitmentScp:
    """The stage for requests of peers: RECEIVED → JUDGED → REPORTED.

    Parameters
    ----------
    horizon
        The moment before which everything that was received is in the journal; None: all of it is.
    committer
        What reports to a peer.
    """

    name = "promise"

    def __init__(
        self,
        requests: CommitmentRequests,
        instances: Instances,
        blobs: Blobs,
        config: Config,
        clock: Clock,
        committer: Callable[[str], Committer],
        *,
        horizon: Callable[[], datetime | None],
    ) -> None:
        self._requests = requests
        self._instances = instances
        self._blobs = blobs
        self._config = config
        self._clock = clock
        self._committer = committer
        self._horizon = horizon
        self._lanes = PeerThreads("promise", _defect)

    def adopt(self, config: Config) -> None:
        """Answer these peers from the next step on."""
        self._config = config

    def step(self) -> int:
        """Judge or report what is due, for each peer in a thread of its own; counts what was begun and what has ended."""
        moved = self._lanes.reap()
        for pending in self._requests.due(self._clock(), busy_peers=self._lanes.busy):
            peer = pending.request.peer
            if peer not in self._config.peers:
                self._give_up(pending, "the configuration has no such peer any more")
            elif peer in self._lanes.busy:
                continue
            else:
                self._lanes.start(peer, lambda pending=pending: self._go_on(pending))  # type: ignore[misc]
            moved += 1
        return moved

    def close(self, timeout_s: float = 10.0) -> None:
        """Begin nothing more."""
        self._lanes.close(timeout_s)

    # ---- in the peer's own thread

    def _go_on(self, pending: Pending) -> None:
        if pending.state is RequestState.RECEIVED:
            self._judge(pending)
        else:
            self._report(pending)

    def _judge(self, pending: Pending) -> None:
        request = pending.request
        now = self._clock()
        # asked before the journal is: what is journaled in between is found, and what is not came later
        horizon = self._horizon()
        verdicts, held = self._verdicts(request)
        age = now - request.received_at
        owed = self._config.store.durability is Durability.ASSOCIATION and age < _OWED
        all_indexed = (not owed and (horizon is None or horizon > request.received_at)) or age > _PATIENCE
        if any(verdicts) and not all_indexed:
            self._requests.put_off(pending.id, now + _LOOK_AGAIN, "not everything that was received is indexed yet")
            return
        try:
            # whatever `durability` says: on disk before anybody is told so
            self._blobs.flush([row.blob for row in held])
        except JournalError as broken:
            # a disk says so once, and yes the next time, whatever became of the bytes: it is not asked again
            alarm("commitment.unflushed", peer=request.peer, transaction_uid=request.transaction_uid, reason=str(broken))
            verdicts, held = [verdict or FailureReason.PROCESSING_FAILURE for verdict in verdicts], []
        if not self._requests.judge(pending.id, verdicts, held, self._clock()):
            return  # something was purged meanwhile: it is judged anew
        failed = sum(verdict != 0 for verdict in verdicts)
        metrics.COMMITMENTS.add(peer=request.peer, outcome="promised" if not failed else "declined")
        event(
            "commitment.judged",
            peer=request.peer,
            transaction_uid=request.transaction_uid,
            committed=len(verdicts) - failed,
            failed=failed,
        )

    def _verdicts(self, request: Request) -> tuple[list[int], list[Instance]]:
        """0 or a Failure Reason for each reference, and the rows whose bytes the promise is about."""
        rows: dict[str, list[Instance]] = {}
        for some in _chunks([one.sop_instance_uid for one in request.references]):
            for row in self._instances.by_uid(*some):
                rows.setdefault(row.sop_instance_uid, []).append(row)
        verdicts, held = [], []
        for reference in request.references:
            there = [row for row in rows.get(reference.sop_instance_uid, ()) if row.standing in _HELD]
            verdict = self._verdict(reference, rows.get(reference.sop_instance_uid, []), request.peer)
            verdicts.append(verdict)
            held += [] if verdict else there
        return verdicts, held

    def _verdict(self, reference: InstanceReference, rows: Sequence[Instance], peer: str) -> int:
        ranked = [row for standing in (Standing.CURRENT, Standing.RESULT) for row in rows if row.standing is standing]
        current = next(iter(ranked), None)
        sent = [row.standing for row in rows if row.peer == peer]
        if any(standing in _NOT_USED for standing in sent) and Standing.CURRENT not in sent:
            # what this peer sent is not what stands here under this UID: it had better keep its own
            return FailureReason.PROCESSING_FAILURE
        if current is None:
            return FailureReason.NO_SUCH_INSTANCE
        if current.sop_class_uid != reference.sop_class_uid:
            return FailureReason.CLASS_INSTANCE_CONFLICT
        # a row may be there before its bytes have their place
        return 0 if self._blobs.has(current.blob) else FailureReason.NO_SUCH_INSTANCE

    def _report(self, pending: Pending) -> None:
        request = pending.request
        try:
            self._committer(request.peer).report(request, pending.verdicts)
        except DeliveryError as error:
            now = self._clock()
            if now - request.received_at > _PATIENCE:
                self._give_up(pending, str(error))
                return
            pause = back_off(pending.attempts + 1, _RETRY_FIRST, _RETRY_MOST, salt=f"promise {pending.id}")
            self._requests.put_off(pending.id, now + pause, str(error))
            event(
                "commitment.report_retry",
                peer=request.peer,
                transaction_uid=request.transaction_uid,
                code=error.code,
                reason=str(error),
                again_in_s=round(pause.total_seconds(), 1),
            )
            return
        self._requests.end(pending.id, True, "", self._clock())
        event("commitment.told", peer=request.peer, transaction_uid=request.transaction_uid)

    def _give_up(self, pending: Pending, why: str) -> None:
        self._requests.end(pending.id, False, why, self._clock(), judged=pending.state is RequestState.JUDGED)
        alarm("commitment.unreported", peer=pending.request.peer, transaction_uid=pending.request.transaction_uid, reason=why)


def _chunks(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(uids), _CHUNK):
        yield uids[first : first + _CHUNK]


def _defect(name: str, defect: Exception) -> None:
    alarm("commitment.defect", peer=name, error=type(defect).__name__, trace=trace(defect))
