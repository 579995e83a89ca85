"""The settle stage says when a study (or series) is complete: after its quiet window, sooner when the sender's own count is reached, or
an archive lists just what came, when it has been open for as long as any may be, or by hand. The quiet window in force is the configured
one of a sender, or the one that its last studies teach, where the operator uses that."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.dimse.port import Requestor
from node.domain.arrival import LAST_ARRIVALS, Arrival, Completeness, by_study, learn
from node.domain.errors import JournalError
from node.domain.stage import Clock
from node.domain.state import ArrivalState, HistoryEvent
from node.journal.arrivals import Arrivals
from node.journal.journal import Journal
from node.observe import metrics
from node.observe.events import event
from node.routing.decisions import is_image
from node.routing.shortage import LONGEST
from node.settings import config as settings
from node.settings import peers

_LEARN_EVERY = timedelta(minutes=1)
_ASK_EVERY = timedelta(seconds=2)
_LULL = timedelta(milliseconds=500)  # while instances still stream in, asking is in vain
_ASKERS = 4
_ARCHIVES_AT_ONCE = 2
"""Questions to archives in the place of senders that are under way at once: nothing waits for them, and threads are left for senders."""
_SURE_WITHIN = timedelta(seconds=10)
"""A count that is not met waits so long for the question that confirms it: what is known to be short is told by routing."""
_ANSWERED_WITHIN = timedelta(seconds=3)
"""An arrival that is due waits so long for the first answer of a sender who can be asked: a short window does not outrun the question."""
_LONGEST_EVERY = timedelta(seconds=5)
"""How often all that is open is looked at: nothing hangs on seconds after hours."""


class QuietWindows:
    """How long arrivals of each peer wait without a new instance. What is learned is read from the journal once a minute, and by every
    process for itself: it is the same for all, and after a restart."""

    def __init__(self, journal: Journal, config: settings.Config, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._learned: dict[str, tuple[datetime, timedelta]] = {}
        self._config = config
        self.adopt(config)

    def adopt(self, config: settings.Config) -> None:
        """Go by how peers settle from now on."""
        for name in set(self._config.peers) - set(config.peers):
            metrics.SETTLE_WINDOW.drop(peer=name)
        self._config = config
        self._learned.clear()
        for name, peer in config.peers.items():
            if not peer.settle.learned.use:
                metrics.SETTLE_WINDOW.set(peer.settle.quiet.total_seconds(), peer=name)

    def of(self, peer: str | None) -> timedelta:
        """The window of a peer; a stranger's is the default."""
        rule = self._config.settle_of(peer)
        if peer is None or not rule.learned.use:
            return rule.quiet
        now, known = self._clock(), self._learned.get(peer)
        if known is None or not timedelta(0) <= now - known[0] < _LEARN_EVERY:
            known = self._learned[peer] = (now, self._read(peer, rule))
            metrics.SETTLE_WINDOW.set(known[1].total_seconds(), peer=peer)
        return known[1]

    def _read(self, peer: str, rule: peers.Settle) -> timedelta:
        learned = learn(by_study(self._journal.arrivals.pauses_from(peer, LAST_ARRIVALS), rule.bounds), rule.bounds)
        return rule.quiet if learned.window is None else learned.window


@dataclass(frozen=True, slots=True)
class _CountQuery:
    """One question to a sender, or to the archive that is asked in its place, and the arrival as it was when it went out, at `at`."""

    arrival: Arrival
    peer: str
    of_sender: bool
    at: datetime
    answer: Future["_CountAnswer"]


@dataclass(frozen=True, slots=True)
class _CountAnswer:
    """How many instances a sender, or an archive, has of what settles as one; where a sender's are more than came, or unknown, of each
    series of it, too. `whole`: what came may be all of it. An archive says so where it has as many of each series, and no other."""

    count: int | None
    series: Mapping[str, int]
    whole: bool = True


class SettleStage:
    """The stage that turns RECEIVED into COMPLETE.

    A count that is reached shortens the wait: it grows while a scan runs and counts other people's objects, so that reaching it
    means "probably all", and `settle.counted` more without an instance confirms it. Of every arrival the sender is asked at least once
    before it is complete. Questions run in threads of their own: a sender that does not answer delays an arrival by three seconds at most.

    An archive is asked in the place of a sender that cannot be (`settle.count_at`), and knows less: what it has grows while the sender
    sends to both, so that as many here as there says nothing, and more here than there that it is behind. Its count is believed once it has
    stood still for the whole quiet window, and it lists exactly what came, series by series: that window then ended there, before it does
    here, and its other objects fill no gap. Nothing waits for its answer, and nothing is short by it.

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
        requestor_of: Callable[[peers.Peer], Requestor],
        *,
        horizon: Callable[[], datetime | None] = lambda: None,
        executor: Executor | None = None,
    ) -> None:
        self._journal = journal
        self._config = config
        self._windows = QuietWindows(journal, config, clock)
        self._clock = clock
        self._requestor_of = requestor_of
        self._horizon = horizon
        self._executor = executor or ThreadPoolExecutor(max_workers=_ASKERS, thread_name_prefix="count")
        self._asking: dict[tuple[str, bool], _CountQuery] = {}  # by peer and whether it is the sender: one question at a time
        self._asked_at: dict[int, datetime] = {}  # by arrival
        self._answered: dict[int, datetime] = {}  # by arrival: when the question went out whose answer, or failure, is known
        self._unsure_until: dict[int, datetime] = {}  # by arrival
        self._archived: dict[int, tuple[int, datetime]] = {}  # by arrival: what the archive lists, and when it first said so
        self._looked_at: datetime | None = None
        self._counted_open: datetime | None = None
        self._began = clock()

    def adopt(self, config: settings.Config) -> None:
        """Settle by these peers from the next step on; a question under way is answered by whom it was put to."""
        self._config = config
        self._windows.adopt(config)

    def step(self) -> int:
        """Complete what is due; ask senders about what is open and read what they answered."""
        self._read_answers()
        self._ask()
        self._looked_at = now = self._clock()
        horizon = self._horizon()  # after `now`: the inbox is looked at for all that came before
        until = now if horizon is None else min(now, horizon)
        done = sum(
            self._complete(arrival, now) for arrival in self._journal.arrivals.find(states=(ArrivalState.RECEIVED,), due_before=until)
        )
        return done + self._complete_longest(now)

    def due_in_s(self, most_s: float) -> float:
        """How long a loop may sleep, `most_s` at most, before an arrival becomes due that was not yet at the last step.

        One that was due then, and is still open, waits for an instance in the inbox or for the sender's count: it is looked at in the
        ordinary sweep, not again and again.
        """
        now = self._clock()
        try:
            soon = self._journal.arrivals.find(states=(ArrivalState.RECEIVED,), due_before=now + timedelta(seconds=most_s))
        except JournalError:
            return most_s  # the next step meets the same error, and says so
        next_due = next((arrival.due_at for arrival in soon if self._looked_at is None or arrival.due_at > self._looked_at), None)
        return most_s if next_due is None else max(0.0, (next_due - now).total_seconds())

    def close(self) -> None:
        """Ask nothing more; questions under way are left to their time-outs."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _complete(self, arrival: Arrival, now: datetime) -> bool:
        rule, quiet = self._rule(arrival), self._windows.of(arrival.peer)
        last = arrival.last_instance_at
        # one that is to come yet says that the clock went back: then its own time decides alone
        if last <= now < last + quiet and arrival.due_at < last + min(rule.counted, quiet):
            return False  # the window was shortened for a count that a later instance has overtaken
        if now < self._unsure_until.get(arrival.id, now) and last <= now < last + LONGEST:
            return False  # the sender lists more of a series: whether it still does is asked once more
        if self._unanswered(arrival) and last <= now < self._asked_or_due(arrival) + _ANSWERED_WITHIN:
            return False  # what the sender lists is not known yet
        by = Completeness.COUNT if arrival.counted else Completeness.QUIET
        if not self._journal.arrivals.complete(arrival.id, by, now, expected_last=arrival.last_instance_at):
            return False  # an instance came at this very moment: its own window runs
        self._told(arrival, by, now)
        return True

    def _complete_longest(self, now: datetime) -> int:
        """Complete what has been open for as long as any arrival may be, whatever still comes or is counted: that is late then."""
        if self._counted_open is not None and now < self._counted_open + _LONGEST_EVERY:
            return 0
        self._counted_open = now
        done = 0
        for arrival in self._journal.arrivals.find(states=(ArrivalState.RECEIVED,)):
            # what waits for nothing of its own sender is bounded by what it waits for
            if arrival.waits or now < arrival.opened_at + self._rule(arrival).growing:
                continue
            if self._journal.arrivals.complete(arrival.id, Completeness.GROWING, now):
                self._told(arrival, Completeness.GROWING, now)
                done += 1
        return done

    def _told(self, arrival: Arrival, by: Completeness, now: datetime) -> None:
        self._forget(arrival.id)
        waited = max(0.0, (now - arrival.last_instance_at).total_seconds())
        peer = arrival.peer or metrics.STRANGER
        if not arrival.waits:
            metrics.SETTLE_WAIT.observe(waited, peer=peer)
        metrics.ARRIVALS_COMPLETE.add(peer=peer, by=by.value)
        event("arrival.complete", arrival=arrival.id, peer=arrival.peer, by=by.value, instances=arrival.instances, waited_s=waited)

    def _rule(self, arrival: Arrival) -> peers.Settle:
        return self._config.settle_of(arrival.peer)

    # ---- the sender's own count

    def _read_answers(self) -> None:
        for key, asked in list(self._asking.items()):
            if not asked.answer.done():
                continue
            del self._asking[key]
            if (asked_at := self._asked_at.get(asked.arrival.id)) is not None:
                self._answered[asked.arrival.id] = asked_at
            error = asked.answer.exception()
            if error is not None:
                # the count is a convenience: without it the quiet window decides
                event("arrival.count_unknown", arrival=asked.arrival.id, peer=asked.peer, error=type(error).__name__, reason=str(error))
            else:
                answer = asked.answer.result()
                self._keep_counts(asked, answer.series)
                if asked.of_sender or (self._stands_still(asked, answer.count) and answer.whole):
                    self._compare(asked, answer.count)

    def _keep_counts(self, asked: _CountQuery, counts: Mapping[str, int]) -> None:
        """Keep what the sender lists of each series, for routing to compare with what came."""
        if not counts:
            return
        arrival, now = asked.arrival, self._clock()
        self._journal.shortage.count(arrival.study_instance_uid, asked.peer, counts, now)
        known = self._journal.shortage.shortfalls(arrival.study_instance_uid)
        came = self._journal.instances.count_by_series(arrival.study_instance_uid, listed_by=asked.peer)
        unsure = any(
            one.count > came.get(series, 0) and not one.stands and one.peer == asked.peer
            for series in counts
            for one in known[series].counts
        )
        if unsure:
            self._unsure_until[arrival.id] = now + _SURE_WITHIN
        else:
            self._unsure_until.pop(arrival.id, None)

    def _compare(self, asked: _CountQuery, count: int | None) -> None:
        asked_about = asked.arrival
        present = self._journal.arrivals.latest(asked_about.study_instance_uid, asked_about.series_instance_uid, asked_about.peer)
        if count is None or present is None or present.id != asked_about.id or present.state is not ArrivalState.RECEIVED:
            return
        if count <= 0 or present.instances < count:
            return
        if not asked.of_sender and present.instances > count:
            return  # what came since it was asked is not there yet
        due_at = present.last_instance_at + self._rule(present).counted
        if due_at >= present.due_at:
            return
        # it holds for what came last: an instance that comes later makes the count void, also after a restart
        self._journal.arrivals.shorten(present.id, due_at, counted=True)
        detail = f"{present.instances} received, {count} at {asked.peer}"
        self._journal.events.note("arrival", present.id, HistoryEvent.ARRIVAL_COUNTED.value, detail, self._clock())

    def _stands_still(self, asked: _CountQuery, count: int | None) -> bool:
        """Whether an archive has listed so many for a whole quiet window of the sender."""
        if count is None:
            return False
        known = self._archived.get(asked.arrival.id)
        if known is None or known[0] != count:
            self._archived[asked.arrival.id] = (count, self._clock())
            return False
        return asked.at - known[1] >= self._windows.of(asked.arrival.peer)

    def _askable(self, arrival: Arrival) -> bool:
        """Whether its sender itself can be asked."""
        peer = self._config.peers.get(arrival.peer or "")
        return peer is not None and peer.counts

    def _ask(self) -> None:
        if not any(peer.counts for peer in self._config.peers.values()):
            return
        now = self._clock()
        open_now = self._journal.arrivals.find(states=(ArrivalState.RECEIVED,))
        self._forget_all_but({arrival.id for arrival in open_now})
        for arrival in sorted(open_now, key=self._waits_since):
            peer = self._config.counting_peer(arrival.peer)
            if peer is None:
                continue
            of_sender = peer.name == arrival.peer
            if not self._may_ask(peer.name, of_sender) or not self._worth_asking(arrival, now):
                continue
            self._asked_at[arrival.id] = now
            if arrival.waits:
                continue  # that all has come which the sender has is known
            answer = self._executor.submit(self._count if of_sender else self._count_archived, peer, arrival)
            self._asking[peer.name, of_sender] = _CountQuery(arrival, peer.name, of_sender, now, answer)

    def _waits_since(self, arrival: Arrival) -> datetime:
        """When it was asked about last, else when it was opened: the one of the earliest is asked about first."""
        return self._asked_at.get(arrival.id, arrival.opened_at)

    def _may_ask(self, peer: str, of_sender: bool) -> bool:
        """An archive is asked in the place of senders beside the questions about what it sends itself, which never wait for those."""
        archives = sum(not own for _, own in self._asking)
        return (peer, of_sender) not in self._asking and (of_sender or archives < _ARCHIVES_AT_ONCE)

    def _worth_asking(self, arrival: Arrival, now: datetime) -> bool:
        asked_at = self._asked_at.get(arrival.id)
        if asked_at is not None and now - asked_at < _ASK_EVERY:
            return False
        # an archive's count has to be seen to stand still, while instances come too
        if self._askable(arrival) and now - arrival.last_instance_at < min(_LULL, self._windows.of(arrival.peer)):
            return False
        first = self._unanswered(arrival) or arrival.id in self._unsure_until
        return first or arrival.last_instance_at + self._rule(arrival).counted < arrival.due_at

    def _unanswered(self, arrival: Arrival) -> bool:
        """Whether its sender, who can be asked, has not yet said what it lists since the last instance came."""
        answered = self._answered.get(arrival.id)
        return self._askable(arrival) and not arrival.waits and (answered is None or answered < arrival.last_instance_at)

    def _count(self, peer: peers.Peer, arrival: Arrival) -> _CountAnswer:
        requestor, study, series = self._requestor_of(peer), arrival.study_instance_uid, arrival.series_instance_uid
        count = requestor.count(study, series)
        if series is not None:
            return _CountAnswer(count, {} if not count else {series: count})
        if count is not None and count <= arrival.instances:
            return _CountAnswer(count, {})
        # only what came can be short; that of one's own results nothing is asked follows: they are in no arrival
        came = {
            one.series_instance_uid for one in self._journal.instances.one_of_each(arrival.id) if is_image(one.sop_class_uid, one.header)
        }
        return _CountAnswer(count, requestor.count_series(study, sorted(came)))

    def _count_archived(self, peer: peers.Peer, arrival: Arrival) -> _CountAnswer:
        """How many an archive has of it, and whether that is what came; no counts of series, which would be short by them."""
        requestor, study, series = self._requestor_of(peer), arrival.study_instance_uid, arrival.series_instance_uid
        count = requestor.count(study, series)
        whole = count == arrival.instances
        if whole and series is None:
            came = self._journal.instances.count_of_arrival(arrival.id)
            whole = requestor.count_series(study, sorted(came)) == came
        return _CountAnswer(count, {}, whole)

    def _asked_or_due(self, arrival: Arrival) -> datetime:
        """From when on its sender has the time of an answer: of the first question since its last instance, else of when it was due."""
        asked_at = self._asked_at.get(arrival.id)
        return asked_at if asked_at is not None and asked_at >= arrival.last_instance_at else max(arrival.due_at, self._began)

    def _forget_all_but(self, open_now: Collection[int]) -> None:
        for arrival in [arrival for arrival in self._asked_at if arrival not in open_now]:
            self._forget(arrival)

    def _forget(self, arrival: int) -> None:
        for known in (self._asked_at, self._answered, self._unsure_until):
            known.pop(arrival, None)
        self._archived.pop(arrival, None)


def put_back(journal: Journal, study: str) -> int:
    """Have what is parked of a study routed again; of how many senders, or series, that was something."""
    parked = journal.arrivals.find(states=(ArrivalState.PARKED,), study=study)
    for arrival in parked:
        journal.routing.put_back(arrival.id, journal.now())
        event("arrival.put_back", arrival=arrival.id, peer=arrival.peer)
    return len(parked)


def complete_now(arrivals: Arrivals, arrival: Arrival, now: datetime) -> bool:
    """The operator's word that nothing more is expected; False when the arrival is no longer open."""
    done = arrivals.complete(arrival.id, Completeness.OPERATOR, now)
    if done:
        event("arrival.complete", arrival=arrival.id, peer=arrival.peer, by=Completeness.OPERATOR.value, instances=arrival.instances)
    return done
