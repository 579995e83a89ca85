"""Storage commitment as SCU (PS3.4 Annex J): asks the sinks that are to commit to what they accepted, again while no report comes."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from node.commitment.inbox import CommitmentInbox
from node.commitment.peers import Committer, PeerThreads
from node.domain.commitment import AskedCommitment, Commitment, Due
from node.domain.errors import DeliveryError
from node.domain.stage import Clock, back_off
from node.journal.commitments import Commitments
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.settings import config as settings

_ANSWER = timedelta(minutes=5)
"""How long a transaction that is durable may go without an answer to its N-ACTION: longer than any association that still moves."""
_MOST_WAIT = timedelta(days=1)


class NoReport(DeliveryError):
    """The sink has not reported on a commitment for as long as its `give_up` allows."""

    code = "HLM-6185"
    remedy = (
        "The sink has the objects. Let its administrator look whether it reports to this node's address and AE title, then `hilum jobs "
        "resend JOB`; or give the sink `commitment: no`."
    )
    retry = False


class CommitmentScu:
    """The stage that asks for the commitment that deliveries await; what reports say is for `CommitmentInboxStage`.

    Parameters
    ----------
    committer
        What asks the peer of a sink.
    inbox
        Where a report goes that comes on the association of its request.
    """

    name = "commit"

    def __init__(
        self,
        commitments: Commitments,
        config: settings.Config,
        clock: Clock,
        committer: Callable[[str], Committer],
        inbox: CommitmentInbox,
    ) -> None:
        self._commitments = commitments
        self._config = config
        self._clock = clock
        self._committer = committer
        self._inbox = inbox
        self._lanes = PeerThreads("commit", _defect)

    def adopt(self, config: settings.Config) -> None:
        """Ask these sinks from the next step on. Who was asked before may still report: what it says is matched by its transaction."""
        self._config = config

    def step(self) -> int:
        """Ask what is due of every sink that nobody is asking; counts what was begun and what has ended since."""
        moved = self._lanes.reap()
        for due in self._commitments.due(self._clock(), busy_sinks=self._lanes.busy):
            sink = self._config.sinks.get(due.sink)
            if sink is None or sink.commitment is Commitment.NO:
                self._commitments.leave(due.delivery, "commitment is not asked for any more", self._clock())
            elif due.sink in self._lanes.busy:
                continue
            else:
                self._lanes.start(due.sink, lambda due=due, sink=sink: self._ask(due, sink))  # type: ignore[misc]
            moved += 1
        return moved

    def close(self, timeout_s: float = 10.0) -> None:
        """Begin nothing more."""
        self._lanes.close(timeout_s)

    # ---- in the sink's own thread

    def _ask(self, due: Due, sink: settings.SinkSettings) -> None:
        assert sink.peer is not None, "settings refuse a commitment without a peer"
        now = self._clock()
        if now - due.waiting_since >= sink.give_up:
            self._park(due, NoReport(f"asked {due.asked + due.refused} times since {due.waiting_since:%Y-%m-%d %H:%M} UTC"))
            return
        # durable before it is sent: a report may come before the answer does
        asked = self._commitments.begin(due, f"2.25.{uuid.uuid4().int}", sink.peer, now + _ANSWER, now)
        if asked is None:
            return
        try:
            self._committer(sink.peer).ask(asked, self._inbox.keep)
        except DeliveryError as refused:
            self._refused(due, sink, asked, refused)
            return
        now = self._clock()
        most = min(max(sink.commitment_wait, _MOST_WAIT), sink.give_up)
        wait = back_off(due.asked + 1, sink.commitment_wait, most, salt=f"commitment {due.delivery}")
        self._commitments.accepted(asked.transaction_uid, now + wait, now)
        metrics.COMMITMENTS.add(peer=sink.peer, outcome="asked")
        event(
            "commitment.asked",
            delivery=due.delivery,
            job=due.job,
            sink=due.sink,
            transaction_uid=asked.transaction_uid,
            objects=len(asked.references),
        )

    def _refused(self, due: Due, sink: settings.SinkSettings, asked: AskedCommitment, error: DeliveryError) -> None:
        now = self._clock()
        pause = back_off(due.refused + 1, sink.retry_first, sink.retry_most, salt=f"commitment {due.delivery}")
        self._commitments.refused(asked.transaction_uid, error.code, str(error), now + pause, now)
        metrics.COMMITMENTS.add(peer=sink.peer or "", outcome="refused")
        if error.retry:
            event("commitment.retry", delivery=due.delivery, job=due.job, sink=due.sink, code=error.code, reason=str(error))
        elif sink.commitment is Commitment.WANTED:
            if self._commitments.leave(due.delivery, f"the sink does not commit: {error}", now):
                event("commitment.done_without", delivery=due.delivery, job=due.job, sink=due.sink, reason=str(error))
        else:
            self._park(due, error)

    def _park(self, due: Due, error: DeliveryError) -> None:
        if self._commitments.park(due.delivery, error.code, str(error), self._clock()):
            metrics.DELIVERIES.add(sink=due.sink, outcome="parked", code=error.code)
            alarm("delivery.parked", delivery=due.delivery, job=due.job, sink=due.sink, code=error.code, reason=str(error))


def _defect(name: str, defect: Exception) -> None:
    alarm("commitment.defect", peer=name, error=type(defect).__name__, trace=trace(defect))
