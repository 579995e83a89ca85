"""Settle: when is a study (or series) complete? After its quiet window, sooner when the sender's own count is reached, or by hand."""

from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.dimse.port import Requestor
from node.domain.arrival import Arrival, Completeness
from node.domain.errors import JournalError
from node.domain.state import ArrivalState
from node.flow.needs import awaits
from node.flow.port import Clock
from node.journal.port import Journal
from node.observe import metrics
from node.observe.events import event
from node.settings import config as settings

_ASK_EVERY = timedelta(seconds=2)
_LULL = timedelta(milliseconds=500)  # while instances still stream in, asking is in vain
_ASKERS = 4
_COUNTED = "arrival.counted"


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question to a sender, and the arrival as it was when the question went out."""

    arrival: Arrival
    peer: str
    answer: Future[int | None]


class Settle:
    """The stage that turns RECEIVED into COMPLETE.

    The sender's count only ever shortens the wait: it grows while a scan runs and counts other people's objects, so that reaching it
    means "probably all", and `settle.counted` more without an instance confirms it. Questions run in threads of their own: a sender
    that does not answer delays nothing.

    Parameters
    ----------
    requestor_of
        How to ask a peer; called only for peers with `find` in `may`.
    horizon
        The moment up to which everything received is journaled; None: all of it. An arrival due later waits, because its next
        instance may already lie in the inbox.
    executor
        Where the questions run; the tests pass one that answers at once.
    """

    name = "settle"

    def __init__(
        self,
        journal: Journal,
        config: settings.Config,
        clock: Clock,
        requestor_of: Callable[[settings.Peer], Requestor],
        *,
        horizon: Callable[[], datetime | None] = lambda: None,
        executor: Executor | None = None,
    ) -> None:
        self._journal = journal
        self._config = config
        self._clock = clock
        self._requestor_of = requestor_of
        self._horizon = horizon
        self._executor = executor or ThreadPoolExecutor(max_workers=_ASKERS, thread_name_prefix="count")
        self._asking: dict[str, _Asked] = {}  # by peer: one question at a time
        self._asked_at: dict[int, datetime] = {}  # by arrival
        self._looked_at: datetime | None = None

    def step(self) -> int:
        """Complete what is due; ask senders about what is open and read what they answered."""
        self._read_answers()
        self._ask()
        self._looked_at = now = self._clock()
        horizon = self._horizon()  # after `now`: the inbox is looked at for all that came before
        until = now if horizon is None else min(now, horizon)
        return sum(self._complete(arrival, now) for arrival in self._journal.arrivals(states=(ArrivalState.RECEIVED,), due_before=until))

    def due_in_s(self, most_s: float) -> float:
        """How long a loop may sleep, `most_s` at most, before an arrival becomes due that was not yet at the last step.

        One that was due then, and is still open, waits for an instance in the inbox or for the sender's count: it is looked at in the
        ordinary sweep, not again and again.
        """
        now = self._clock()
        try:
            soon = self._journal.arrivals(states=(ArrivalState.RECEIVED,), due_before=now + timedelta(seconds=most_s))
        except JournalError:
            return most_s  # the next step meets the same error, and says so
        next_due = next((arrival.due_at for arrival in soon if self._looked_at is None or arrival.due_at > self._looked_at), None)
        return most_s if next_due is None else max(0.0, (next_due - now).total_seconds())

    def close(self) -> None:
        """Ask nothing more; questions under way are left to their time-outs."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _complete(self, arrival: Arrival, now: datetime) -> bool:
        rule = self._rule(arrival)
        last = arrival.last_instance_at
        # one that is to come yet says that the clock went back: then its own time decides alone
        if last <= now < last + rule.quiet and arrival.due_at < last + min(rule.counted, rule.quiet):
            return False  # the window was shortened for a count that a later instance has overtaken
        by = Completeness.COUNT if self._was_counted(arrival) else Completeness.QUIET
        if not self._journal.complete(arrival.id, by, now, expected_last=arrival.last_instance_at):
            return False  # an instance came at this very moment: its own window runs
        self._asked_at.pop(arrival.id, None)
        waited = max(0.0, (now - last).total_seconds())
        peer = arrival.peer or metrics.STRANGER
        if not awaits(self._journal, arrival):
            metrics.SETTLE_WAIT.observe(waited, peer=peer)
        metrics.ARRIVALS_COMPLETE.add(peer=peer, by=by.value)
        event("arrival.complete", arrival=arrival.id, peer=arrival.peer, by=by.value, instances=arrival.instances, waited_s=waited)
        return True

    def _rule(self, arrival: Arrival) -> settings.Settle:
        peer = self._config.peers.get(arrival.peer or "")
        return peer.settle if peer is not None else settings.Settle()

    # ---- the sender's own count

    def _read_answers(self) -> None:
        for peer, asked in list(self._asking.items()):
            if not asked.answer.done():
                continue
            del self._asking[peer]
            error = asked.answer.exception()
            if error is not None:
                # the count is a convenience: without it the quiet window decides
                event("arrival.count_unknown", arrival=asked.arrival.id, peer=peer, error=type(error).__name__, reason=str(error))
            else:
                self._compare(asked, asked.answer.result())

    def _compare(self, asked: _Asked, count: int | None) -> None:
        asked_about = asked.arrival
        present = self._journal.latest_arrival(asked_about.study_instance_uid, asked_about.series_instance_uid, asked_about.peer)
        if count is None or present is None or present.id != asked_about.id or present.state is not ArrivalState.RECEIVED:
            return
        if present.instances < count or count <= 0:
            return
        due_at = present.last_instance_at + self._rule(present).counted
        if due_at >= present.due_at:
            return
        self._journal.shorten(present.id, due_at)
        # the note names the last instance: one that comes later makes the count void, also after a restart
        detail = f"{present.instances} received, {count} at {asked.peer}, last {present.last_instance_at.isoformat()}"
        self._journal.note("arrival", present.id, _COUNTED, detail, self._clock())

    def _was_counted(self, arrival: Arrival) -> bool:
        last = f"last {arrival.last_instance_at.isoformat()}"
        return any(line.name == _COUNTED and line.detail.endswith(last) for line in self._journal.events("arrival", arrival.id))

    def _ask(self) -> None:
        askable = {name: peer for name, peer in self._config.peers.items() if settings.May.FIND in peer.may and peer.port}
        if not askable:
            return
        now = self._clock()
        open_now = self._journal.arrivals(states=(ArrivalState.RECEIVED,))
        self._forget_all_but({arrival.id for arrival in open_now})
        for arrival in open_now:
            peer = askable.get(arrival.peer or "")
            if peer is None or peer.name in self._asking or not self._worth_asking(arrival, now):
                continue
            self._asked_at[arrival.id] = now
            if awaits(self._journal, arrival):
                continue  # that all has come which the sender has is known
            answer = self._executor.submit(self._count, peer, arrival)
            self._asking[peer.name] = _Asked(arrival, peer.name, answer)

    def _worth_asking(self, arrival: Arrival, now: datetime) -> bool:
        asked_at = self._asked_at.get(arrival.id)
        if asked_at is not None and now - asked_at < _ASK_EVERY:
            return False
        return now - arrival.last_instance_at >= _LULL and arrival.last_instance_at + self._rule(arrival).counted < arrival.due_at

    def _count(self, peer: settings.Peer, arrival: Arrival) -> int | None:
        return self._requestor_of(peer).count(arrival.study_instance_uid, arrival.series_instance_uid)

    def _forget_all_but(self, open_now: Collection[int]) -> None:
        for arrival in [arrival for arrival in self._asked_at if arrival not in open_now]:
            del self._asked_at[arrival]


def complete_now(journal: Journal, arrival: Arrival, now: datetime) -> bool:
    """The operator's word that nothing more is expected; False when the arrival is no longer open."""
    done = journal.complete(arrival.id, Completeness.OPERATOR, now)
    if done:
        event("arrival.complete", arrival=arrival.id, peer=arrival.peer, by=Completeness.OPERATOR.value, instances=arrival.instances)
    return done
