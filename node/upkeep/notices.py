"""The stage that tells a person: jobs and deliveries that are parked, sinks that take nothing, disks that fill.

What is parked is read from the journal's history, from where this messenger stopped: a message that could not be sent is sent later, and
after a crash one may come twice, none never. Sinks and disks are looked at, told once while they last, and told again when they are well;
what was told of them is remembered by the process alone.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from inference.errors import HilumError
from node.domain.errors import JournalError
from node.domain.notice import About, Item, Notice
from node.domain.stage import Clock
from node.domain.state import ArrivalState, DeliveryState, HistoryEvent, JobState
from node.journal.journal import Journal
from node.journal.port import Event, Pausable

_BATCH = 500
_BATCHES = 20
_MOST_ITEMS = 20
_AGAIN_FIRST = timedelta(seconds=15)
_AGAIN_MOST = timedelta(minutes=10)
_STUCK = (JobState.PARKED, JobState.FAILED)
_EVENTS = frozenset({HistoryEvent.JOB_PARKED, HistoryEvent.JOB_FAILED, HistoryEvent.DELIVERY_PARKED, HistoryEvent.ARRIVAL_PARKED})

_ASK_DOCTOR = "`hilum doctor` says why it takes nothing; results are kept, and sent by themselves when it is back."
_SEND_THE_REST = "Send the series again. `hilum studies complete STUDY` analyses what came, and says that it is incomplete."
_LOOK_AT_HELD = "`hilum studies list` names the study; `hilum studies show STUDY` says why, and what may be done."

Troubles: TypeAlias = Callable[[datetime], Mapping[str, Item]]
"""What is wrong just now, each under a key that stays the same while it lasts."""


def follower_of(messenger: str) -> str:
    """Under which name the place of a messenger in the history is kept."""
    return f"notices by {messenger}"


class NoticeStage:
    """Stage: at most one message in `every`, by one messenger.

    Parameters
    ----------
    messenger
        Its name: the place in the history is kept under it.
    send
        Returns once the message was taken.

        Raises
        ------
        HilumError
            It was not: it is sent again, sooner at first than later on.
    leads
        Whether this process tells what stands in the journal; another host does, otherwise.
    troubles
        What the journal says is wrong: of sinks, and of what waits for a person; where this process leads.
    own
        What is wrong with this host: told also while the journal cannot be read or written.
    remedy
        What to do about a code.
    about
        What is told; the rest is passed over.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        messenger: str,
        send: Callable[[Notice], None],
        leads: Callable[[], bool],
        troubles: Troubles,
        own: Troubles,
        remedy: Callable[[str | None], str],
        about: frozenset[About],
        every: timedelta,
        node: str,
        link: str,
    ) -> None:
        self.name = follower_of(messenger)
        self._journal = journal
        self._clock = clock
        self._send = send
        self._leads = leads
        self._troubles = troubles
        self._own = own
        self._remedy = remedy
        self._about = about
        self._every = every
        self._node = node
        self._link = link
        self._told: Mapping[str, Item] = {}
        self._not_before: datetime | None = None
        self._held_not_before: datetime | None = None
        self._failures = 0

    def begin(self) -> None:
        """Hold the place from which everything is told, whoever leads later."""
        self._journal.events.position(self.name)

    def step(self) -> int:
        """Tell what there is to tell, of which all but what is held waits where a message went a moment ago; how many things were told."""
        now = self._clock()
        if self._not_before is not None and now < self._not_before <= now + max(self._every, _AGAIN_MOST):  # a clock may have gone back
            return self._tell_held(now)
        leads = self._leads()
        own = self._wanted(self._own(now))
        try:
            parked, position = self._parked(now) if leads else ([], None)
            wrong = {**(self._wanted(self._troubles(now)) if leads else {}), **own}
        except JournalError:  # what stands in it is told once it can be read again
            fresh = {key: item for key, item in own.items() if key not in self._told}
            if fresh:
                self._tell(list(fresh.values()), now)
                self._told = {**self._told, **fresh}
            raise
        if not leads:  # what is with the sinks another host says, and this one again should it lead once more
            wrong.update({key: item for key, item in self._told.items() if item.about in (About.SINK, About.HELD)})
        begun = [item for key, item in wrong.items() if key not in self._told]
        over = [_over(item) for key, item in self._told.items() if key not in wrong]
        items = [*begun, *over, *parked]
        if items:
            self._tell(items, now)
        self._told = wrong  # before the journal, which may take nothing now: of a disk that fills it is said once
        if position is not None:
            self._journal.events.advance(self.name, position)
        return len(items)

    def _tell_held(self, now: datetime) -> int:
        """Tell what is held though another message went a moment ago, once in `every`: the time to send the rest of a series runs."""
        lately = self._held_not_before is not None and now < self._held_not_before <= now + self._every
        if lately or self._failures or not self._leads():
            return 0
        wrong = self._wanted(self._troubles(now))
        held = {key: item for key, item in wrong.items() if item.about is About.HELD and key not in self._told}
        if held:
            others = self._not_before
            self._tell(list(held.values()), now)
            self._not_before, self._held_not_before = others, now + self._every
            self._told = {**self._told, **held}
        return len(held)

    def _wanted(self, found: Mapping[str, Item]) -> dict[str, Item]:
        return {key: item for key, item in found.items() if item.about in self._about}

    def _tell(self, items: list[Item], now: datetime) -> None:
        shown = tuple(items[:_MOST_ITEMS])
        try:
            self._send(Notice(node=self._node, at=now, items=shown, more=len(items) - len(shown), link=self._link))
        except HilumError:
            self._not_before = now + min(_AGAIN_MOST, _AGAIN_FIRST * 2.0 ** min(self._failures, 10))
            self._failures += 1
            raise
        self._failures = 0
        self._not_before = now + self._every

    # ---- what the history says
    def _parked(self, now: datetime) -> tuple[list[Item], int | None]:
        """What was parked since the last message and still is, and how far the history was read."""
        position, start = None, self._journal.events.position(self.name)
        found: dict[tuple[str, int], Item] = {}
        for _ in range(_BATCHES):
            told = self._journal.events.behind(start if position is None else position, now, _BATCH)
            for one in told:
                event = one.event
                if event.name in _EVENTS and About.PARKED in self._about:
                    item = self._item(event)
                    if item is not None:
                        found[event.subject, event.subject_id] = item
            position = told[-1].number if told else position
            if len(told) < _BATCH:
                break
        return list(found.values()), position

    def _item(self, event: Event) -> Item | None:
        """What still waits for a person; None where somebody was faster, or it was erased."""
        if event.subject == "delivery":
            delivery = self._journal.deliveries.get(event.subject_id)
            if delivery is None or delivery.state is not DeliveryState.PARKED:
                return None
            says = f"The results of job {delivery.job} for the sink {delivery.sink} are parked"
            return self._said(says, delivery.code, delivery.job)
        if event.subject == "arrival":
            arrival = self._journal.arrivals.get(event.subject_id)
            if arrival is None or arrival.state is not ArrivalState.PARKED:
                return None
            return self._said(f"A study from {arrival.peer or 'a stranger'} (arrival {arrival.id}) is parked", arrival.code, 0)
        try:
            job = self._journal.jobs.get(event.subject_id)
        except HilumError as gone:
            if gone.retry:
                raise
            return None
        if job.state not in _STUCK:
            return None
        return self._said(f"Job {job.id} ({job.application}) is {job.state.value}", job.code, job.id)

    def _said(self, says: str, code: str | None, job: int) -> Item:
        # the reason stays here: a peer's own words may name the patient
        words = f"{says}: {code}." if code else f"{says}."
        return Item(about=About.PARKED, says=words, remedy=self._remedy(code) if code else "", code=code or "", job=job)


def late_sinks(journal: Journal, now: datetime, late: timedelta) -> dict[str, Item]:
    """Sinks for which results have waited longer than `late`, though nobody paused them."""
    paused = {name for kind, name, _ in journal.pauses.find() if kind is Pausable.SINK}
    found = {}
    for one in journal.census.take(now).deliveries:
        if one.state is DeliveryState.WAITING and one.sink not in paused and now - one.since > late:
            waits = "1 delivery waits" if one.count == 1 else f"{one.count} deliveries wait"
            says = f"{waits} for the sink {one.sink}, the oldest since {one.since:%Y-%m-%d %H:%M} UTC."
            found[f"sink {one.sink}"] = Item(about=About.SINK, says=says, remedy=_ASK_DOCTOR)
    return found


def held_back(journal: Journal) -> dict[str, Item]:
    """Series of which a sender's instances wait for a person."""
    found = {}
    for one in journal.held.by_series():
        many = "1 instance" if one.instances == 1 else f"{one.instances} instances"
        says = f"{many} of one series from {one.sender.peer or 'a stranger'} are held: used by nothing until a person has looked."
        found[f"held {one.series_instance_uid} {one.study_instance_uid} {one.sender}"] = Item(
            about=About.HELD, says=says, remedy=_LOOK_AT_HELD
        )
    return found


def short_series(journal: Journal) -> dict[str, Item]:
    """Series that are known to be short, and whose routes wait for the rest: each once, however many do."""
    found: dict[str, Item] = {}
    for one in journal.shortage.holds():
        says = f"A series is incomplete, and held until {one.until:%Y-%m-%d %H:%M} UTC: {one.shortage.sentence}."
        found.setdefault(f"short {one.series_instance_uid}", Item(about=About.HELD, says=says, remedy=_SEND_THE_REST))
    return found


def _over(item: Item) -> Item:
    """The same, mended."""
    return Item(about=item.about, says=f"No more: {item.says}", over=True)
