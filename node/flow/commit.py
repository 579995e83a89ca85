"""Commit: asks the sinks that are to commit to what they accepted, and asks again while no report comes (PS3.4 Annex J)."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from node.domain.commitment import Asked, Commitment, Due
from node.domain.errors import DeliveryError
from node.flow.backoff import back_off
from node.flow.commit_errors import NoReport
from node.flow.commit_port import Committer, Slips
from node.flow.lanes import Lanes
from node.flow.port import Clock
from node.journal.port import Journal
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.settings import config as settings

_ANSWER = timedelta(minutes=5)
"""How long a transaction that is durable may go without an answer to its N-ACTION: longer than any association that still moves."""
_MOST_WAIT = timedelta(days=1)


class Commit:
    """The stage that turns DELIVERED deliveries into COMMITTED ones, as far as asking does; what reports say is for `TakeSlips`.

    Parameters
    ----------
    committer
        What asks the peer of a sink.
    slips
        Where a report goes that comes on the association of its request.
    """

    name = "commit"

    def __init__(
        self, journal: Journal, config: settings.Config, clock: Clock, committer: Callable[[str], Committer], slips: Slips
    ) -> None:
        self._journal = journal
        self._config = config
        self._clock = clock
        self._committer = committer
        self._slips = slips
        self._lanes = Lanes("commit", len(config.sinks), _defect)

    def step(self) -> int:
        """Ask what is due of every sink that nobody is asking; counts what was begun and what has ended since."""
        moved = self._lanes.reap()
        for due in self._journal.due_commitments(self._clock(), busy_sinks=self._lanes.busy):
            sink = self._config.sinks.get(due.sink)
            if sink is None or sink.commitment is Commitment.NO:
                self._journal.leave_uncommitted(due.delivery, "commitment is not asked for any more", self._clock())
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

    def _ask(self, due: Due, sink: settings.Sink) -> None:
        assert sink.peer is not None, "settings refuse a commitment without a peer"
        now = self._clock()
        if now - due.waiting_since >= sink.give_up:
            self._park(due, NoReport(f"asked {due.asked + due.refused} times since {due.waiting_since:%Y-%m-%d %H:%M} UTC"))
            return
        # durable before it is sent: a report may come before the answer does
        asked = self._journal.begin_commitment(due, f"2.25.{uuid.uuid4().int}", sink.peer, now + _ANSWER, now)
        if asked is None:
            return
        try:
            self._committer(sink.peer).ask(asked, self._slips.keep)
        except DeliveryError as refused:
            self._refused(due, sink, asked, refused)
            return
        now = self._clock()
        most = min(max(sink.commitment_wait, _MOST_WAIT), sink.give_up)
        wait = back_off(due.asked + 1, sink.commitment_wait, most, salt=f"commitment {due.delivery}")
        self._journal.commitment_accepted(asked.transaction_uid, now + wait, now)
        metrics.COMMITMENTS.add(peer=sink.peer, outcome="asked")
        event(
            "commitment.asked",
            delivery=due.delivery,
            job=due.job,
            sink=due.sink,
            transaction_uid=asked.transaction_uid,
            objects=len(asked.references),
        )

    def _refused(self, due: Due, sink: settings.Sink, asked: Asked, error: DeliveryError) -> None:
        now = self._clock()
        pause = back_off(due.refused + 1, sink.retry_first, sink.retry_most, salt=f"commitment {due.delivery}")
        self._journal.commitment_refused(asked.transaction_uid, error.code, str(error), now + pause, now)
        metrics.COMMITMENTS.add(peer=sink.peer or "", outcome="refused")
        if error.retry:
            event("commitment.retry", delivery=due.delivery, job=due.job, sink=due.sink, code=error.code, reason=str(error))
        elif sink.commitment is Commitment.WANTED:
            if self._journal.leave_uncommitted(due.delivery, f"the sink does not commit: {error}", now):
                event("commitment.done_without", delivery=due.delivery, job=due.job, sink=due.sink, reason=str(error))
        else:
            self._park(due, error)

    def _park(self, due: Due, error: DeliveryError) -> None:
        if self._journal.park_uncommitted(due.delivery, error.code, str(error), self._clock()):
            metrics.DELIVERIES.add(sink=due.sink, outcome="parked", code=error.code)
            alarm("delivery.parked", delivery=due.delivery, job=due.job, sink=due.sink, code=error.code, reason=str(error))


def _defect(name: str, defect: Exception) -> None:
    alarm("commitment.defect", peer=name, error=type(defect).__name__, trace=trace(defect))
