"""What people are told, when, and what they are never told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from node.domain.arrival import Completeness
from node.domain.instance import HeldFor, Standing
from node.domain.notice import About, Item, Notice
from node.domain.state import JobState
from node.journal.errors import JournalFull
from node.journal.journal import Journal
from node.journal.port import Pausable
from node.observe.messengers import MessengerAway
from node.upkeep.notices import NoticeStage, held_back, late_sinks, short_series
from tests.lab import empty_journal
from tests.unit.journal.story import LEASE, Story

EVERY = timedelta(minutes=5)
FULL = Item(about=About.DISK, says="The disk fills.")


@dataclass
class Desk:
    """A journal, a stage over it, what it sent, and what is wrong elsewhere."""

    story: Story
    sent: list[Notice] = field(default_factory=list)
    wrong: dict[str, Item] = field(default_factory=dict)
    own: dict[str, Item] = field(default_factory=dict)
    full: bool = False
    leads: bool = True
    away: bool = False
    parked: int = 0

    def stage(self, *, about: frozenset[About] = frozenset(About)) -> NoticeStage:
        """What a process makes at its start."""
        made = NoticeStage(
            self.story.journal,
            lambda: self.story.now,
            messenger="mail",
            send=self._send,
            leads=lambda: self.leads,
            troubles=self._troubles,
            own=lambda now: dict(self.own),
            remedy=lambda code: f"mend {code}",
            about=about,
            every=EVERY,
            node="HILUM@host",
            link="",
        )
        made.begin()
        return made

    def _send(self, notice: Notice) -> None:
        if self.away:
            raise MessengerAway("nobody there")
        self.sent.append(notice)

    def _troubles(self, now: datetime) -> Mapping[str, Item]:
        if self.full:
            raise JournalFull("hilum.db: database or disk is full")
        return dict(self.wrong)

    def park(self, reason: str = "too few slices") -> int:
        """A job that waits for a person."""
        self.parked += 1
        job = self.story.queued(application=f"ct-liver-{self.parked}")
        claimed = self.story.claim()
        assert claimed.lease is not None
        assert self.story.journal.jobs.end(claimed.id, claimed.lease, JobState.PARKED, "HLM-3010", reason, self.story.now)
        return job

    def later(self, by: timedelta) -> None:
        """Time passes."""
        self.story.now += by

    @property
    def says(self) -> list[list[str]]:
        """The sentences of each message."""
        return [[one.says for one in notice.items] for notice in self.sent]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An empty one."""
    journal = Journal.open(empty_journal.make(f"sqlite:{tmp_path}/hilum.db"))
    yield Desk(Story(journal))
    journal.close()


def test_a_parked_job_is_told_once_with_what_to_do_and_without_its_reason(desk: Desk) -> None:
    """A reason may quote a peer, and a peer a name."""
    stage = desk.stage()
    job = desk.park(reason="PatientName DOE^JANE is no name")
    assert (stage.step(), stage.step()) == (1, 0)
    (notice,) = desk.sent
    (item,) = notice.items
    assert (item.says, item.remedy, item.job) == (f"Job {job} (ct-liver-1) is parked: HLM-3010.", "mend HLM-3010", job)
    assert "DOE" not in notice.text + notice.subject
    desk.later(2 * EVERY)
    assert stage.step() == 0
    assert len(desk.sent) == 1


def test_a_parked_delivery_is_told_with_its_sink(desk: Desk) -> None:
    """By the job whose results wait."""
    stage = desk.stage()
    job = desk.story.encoded()
    taken = desk.story.take()
    assert taken.lease is not None
    assert desk.story.journal.deliveries.park(taken.id, taken.lease, "HLM-6100", "refused", desk.story.now)
    stage.step()
    assert desk.says == [[f"The results of job {job} for the sink archive are parked: HLM-6100."]]


def test_who_was_faster_than_the_message_is_not_told(desk: Desk) -> None:
    """A job that was retried before the message went waits for nobody."""
    stage = desk.stage()
    job = desk.park()
    desk.story.journal.jobs.revive(job, desk.story.now)
    assert stage.step() == 0
    assert desk.sent == []


def test_one_message_in_five_minutes_tells_all(desk: Desk) -> None:
    """The first goes at once; what follows is gathered."""
    stage = desk.stage()
    desk.park()
    stage.step()
    jobs = [desk.park(), desk.park()]
    assert stage.step() == 0
    desk.later(EVERY)
    assert stage.step() == 2
    assert [[one.job for one in notice.items] for notice in desk.sent][1:] == [jobs]


def test_what_is_held_is_told_at_once_though_another_message_went_a_moment_ago(desk: Desk) -> None:
    """A series waits for its rest for half an hour: who has to send it is told within seconds. A second one waits as everything does, and
    delays nothing else."""
    stage = desk.stage()
    desk.own["disk"] = FULL
    stage.step()
    for number in (1, 2):
        desk.later(timedelta(seconds=5))
        desk.wrong[f"short {number}"] = Item(about=About.HELD, says=f"Series {number} is incomplete.")
        stage.step()
    assert desk.says == [["The disk fills."], ["Series 1 is incomplete."]]
    desk.park()
    desk.later(EVERY - timedelta(seconds=10))
    assert stage.step() == 2
    assert [one[:1] for one in desk.says[2:]] == [["Series 2 is incomplete."]]


def test_what_could_not_be_sent_is_sent_later_also_by_the_next_process(desk: Desk) -> None:
    """The place in the history moves with the message alone. It is tried again at least every ten minutes."""
    stage = desk.stage()
    desk.park()
    desk.away = True
    tries = 0
    for _ in range(60):
        try:
            stage.step()
        except MessengerAway:
            tries += 1
        desk.later(timedelta(minutes=1))
    assert 6 <= tries <= 15
    desk.away = False
    assert desk.stage().step() == 1
    assert len(desk.sent) == 1


def test_what_was_parked_before_the_first_start_is_old(desk: Desk) -> None:
    """Who begins to be told is told what happens from now on."""
    desk.park()
    stage = desk.stage()
    assert stage.step() == 0


def test_trouble_is_told_once_while_it_lasts_and_once_when_it_is_over(desk: Desk) -> None:
    """Not every five minutes all night."""
    stage = desk.stage()
    desk.own["disk"] = FULL
    for _ in range(4):
        stage.step()
        desk.later(EVERY)
    desk.own.clear()
    for _ in range(4):
        stage.step()
        desk.later(EVERY)
    assert desk.says == [["The disk fills."], ["No more: The disk fills."]]
    assert desk.sent[1].items[0].over


def test_a_disk_that_is_too_full_for_the_journal_is_told_of_all_the_same_and_once(desk: Desk) -> None:
    """What this host sees of its disk needs no journal. What stands in that is told when there is room."""
    stage = desk.stage()
    desk.full, desk.own["disk"] = True, FULL
    for _ in range(3):
        with pytest.raises(JournalFull):
            stage.step()
        desk.later(2 * EVERY)
    assert desk.says == [["The disk fills."]]
    desk.full = False
    desk.wrong["short"] = Item(about=About.HELD, says="A series is incomplete.")
    desk.own.clear()
    stage.step()
    assert desk.says[1:] == [["A series is incomplete.", "No more: The disk fills."]]


def test_only_what_was_asked_for_is_told_and_the_journal_by_the_leader_alone(desk: Desk) -> None:
    """Each host tells of its own disk; what stands in the journal one of them tells."""
    desk.leads = False
    stage = desk.stage()
    desk.park()
    desk.own["disk"] = FULL
    desk.wrong["sink archive"] = Item(about=About.SINK, says="2 deliveries wait.")
    stage.step()
    assert desk.says == [["The disk fills."]]
    desk.leads = True
    desk.wrong.clear()
    desk.later(EVERY)
    assert desk.stage(about=frozenset({About.SINK})).step() == 0


def test_who_leads_no_more_says_nothing_of_the_sinks(desk: Desk) -> None:
    """Neither that they are well, nor, leading again, that they are late once more."""
    stage = desk.stage()
    late = {"sink archive": Item(about=About.SINK, says="2 deliveries wait.")}
    for leads, wrong in ((True, late), (False, {}), (True, late), (True, {})):
        desk.leads, desk.wrong = leads, dict(wrong)
        stage.step()
        desk.later(EVERY)
    assert desk.says == [["2 deliveries wait."], ["No more: 2 deliveries wait."]]


def test_a_flood_is_cut_and_counted(desk: Desk) -> None:
    """Twenty things in a message; how many more is said."""
    stage = desk.stage()
    for _ in range(23):
        desk.park()
    assert stage.step() == 23
    (notice,) = desk.sent
    assert (len(notice.items), notice.more) == (20, 3)
    assert notice.subject == "HILUM@host: 23 parked"


def test_a_sink_is_late_after_a_while_unless_somebody_paused_it(desk: Desk) -> None:
    """What was delivered waits no more."""
    journal, late = desk.story.journal, timedelta(minutes=10)
    desk.story.encoded()
    assert late_sinks(journal, desk.story.now, late) == {}
    desk.later(timedelta(minutes=11))
    ((key, item),) = late_sinks(journal, desk.story.now, late).items()
    assert key == "sink archive"
    assert "1 delivery waits for the sink archive" in item.says
    journal.pauses.add(Pausable.SINK, "archive", desk.story.now)
    assert late_sinks(journal, desk.story.now, late) == {}
    journal.pauses.remove(Pausable.SINK, "archive")
    desk.later(LEASE)
    desk.story.deliver()
    assert late_sinks(journal, desk.story.now, late) == {}


def test_what_is_held_is_told_by_series_and_sender_until_a_person_decides(desk: Desk) -> None:
    """Without a name or an identifier; more of the same series is no second message, and a decision ends it."""
    journal, story = desk.story.journal, desk.story
    assert held_back(journal) == {}
    rows, stage = [], desk.stage()
    for number in (1, 2):
        held = replace(story.instance(number, peer="pacs"), standing=Standing.HELD, held_for=HeldFor.ADDED)
        rows += journal.instances.record([story.new(held, opens=False)], story.now)
        ((key, item),) = held_back(journal).items()
        desk.wrong = {key: item}
        stage.step()
        desk.later(EVERY)
    assert "2 instances of one series from pacs are held" in item.says
    assert item.about is About.HELD
    (told,) = desk.sent
    assert "1 instance of one series from pacs" in told.text
    assert "hilum studies show" in told.text
    journal.held.refuse(rows, story.now)
    assert held_back(journal) == {}


def test_a_short_series_is_told_once_without_its_patient(desk: Desk) -> None:
    """However many routes wait for its rest; the UID of the series stays here, and it is no more when the rest comes."""
    from node.domain.arrival import Completeness
    from node.domain.shortage import Lack, NewHold, Shortage

    story = desk.story
    story.receive(1, 2)
    arrival, until = story.arrival(), story.now + timedelta(minutes=30)
    story.journal.arrivals.complete(arrival.id, Completeness.QUIET, story.now)
    short = Shortage(lack=Lack.COUNT, came=2, expected=384)
    holds = [NewHold(series_instance_uid="1.1.1", route=route, shortage=short, until=until) for route in ("a", "b")]
    story.journal.routing.route(arrival.id, [], [], "config 1", story.now, waits=(until, "short"), holds=holds)
    ((_, item),) = short_series(story.journal).items()
    assert (
        item.says == f"A series is incomplete, and held until {until:%Y-%m-%d %H:%M} UTC: 2 of 384 instances came: the sender lists more."
    )
    assert "hilum studies complete" in item.remedy
    story.receive(3)
    assert short_series(story.journal) == {}


def test_a_study_that_cannot_be_routed_is_told(desk: Desk) -> None:
    """By the code and what to do, with no word of the study; not once somebody has put it back."""
    stage = desk.stage()
    desk.story.receive(1, 2)
    arrival = desk.story.arrival()
    desk.story.journal.arrivals.complete(arrival.id, Completeness.QUIET, desk.story.now)
    for _ in range(3):
        desk.story.journal.routing.failed(arrival.id, "HLM-3088", "took too long", "d" * 64, desk.story.now, most=3)
    desk.later(EVERY)
    assert stage.step() == 1
    assert desk.says == [[f"A study from ct1 (arrival {arrival.id}) is parked: HLM-3088."]]
    assert desk.sent[0].items[0].remedy == "mend HLM-3088"
