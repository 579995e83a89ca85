"""The contract of node.journal.journal, on every database: what goes of the history, and what stays.

And that nothing is decided by it: a simulated node is played twice by one seed, with its history pruned after each turn and without.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from node.domain.arrival import Completeness
from node.journal import schema
from node.journal.port import EventFilter, PrunedPage
from tests.crash.simulation.schedule import Schedule
from tests.crash.simulation.world import World
from tests.lab import empty_journal
from tests.lab.postgres import Postgres
from tests.unit.journal.story import START, Story

DAY = timedelta(days=1)


def _numbers(story: Story) -> list[int]:
    return [one.number for one in story.journal.events.behind(0, START + 1000 * DAY, 10_000)]


def _study(story: Story, study: str, at: datetime) -> list[int]:
    """A study comes at a time, and is complete at once; the numbers of the two lines that say so."""
    story.now = at
    story.receive(int(study.replace(".", "")), study_instance_uid=study, series_instance_uid=f"{study}.1")
    assert story.journal.arrivals.complete(story.arrival(study).id, Completeness.QUIET, at)
    return _numbers(story)[-2:]


def test_the_oldest_lines_go_in_batches_and_the_newest_stays(story: Story) -> None:
    """A line that is as old as it may be stays; the last of all keeps the number that no other may get."""
    lines = [line for number in range(3) for line in _study(story, f"1.{number}", START)]
    prune, later = story.journal.retention.prune_history, START + DAY
    assert prune(START, later) == PrunedPage(lines=0, reached=0, last=True), "not older than that"
    assert prune(later, later, 2) == PrunedPage(lines=2, reached=lines[1], last=False)
    assert _numbers(story) == lines[2:]
    assert prune(later, later, after=lines[1]) == PrunedPage(lines=3, reached=lines[4], last=True)
    assert prune(later, later, after=lines[4]) == PrunedPage(lines=0, reached=lines[4], last=True)
    assert _numbers(story) == lines[-1:]
    assert min(_study(story, "1.7", later)) > lines[-1]


def test_what_a_follower_has_still_to_tell_stays(story: Story) -> None:
    """However old it is. One that is not named, because it was switched off, keeps nothing; nor does one that has never followed."""
    before = _study(story, "1.1", START)
    assert story.journal.events.position("audit") == before[-1]
    lines = [*_study(story, "2.1", START), *_study(story, "2.2", START)]
    prune, later = story.journal.retention.prune_history, START + DAY
    assert prune(later, later, followers=["audit", "notices by mail"]).lines == 2
    assert prune(later, later, followers=["audit", "notices by mail"]).lines == 0
    story.journal.events.advance("audit", lines[1])
    assert prune(later, later, followers=["audit"]).lines == 2
    assert _numbers(story) == lines[2:]
    assert prune(later, later).lines == 1


def test_what_a_wrong_clock_has_dated_is_neither_pruned_early_nor_in_the_way(story: Story) -> None:
    """Lines of 1970 go when those before them go; lines of next year are left until then, and what came after them goes."""
    _study(story, "1.1", START)
    _study(story, "1.2", START - 20_000 * DAY)
    ahead = _study(story, "2.1", START + 365 * DAY)
    _study(story, "3.1", START)
    last = _study(story, "4.1", START + 2 * DAY)
    prune = story.journal.retention.prune_history
    assert prune(START, START + DAY).lines == 0
    assert prune(START + DAY, START + 2 * DAY).lines == 6
    assert _numbers(story) == [*ahead, *last]
    assert prune(START + DAY, START + 2 * DAY, 1) == PrunedPage(lines=0, reached=ahead[0], last=False), "a page of these is one of many"
    assert prune(START + 366 * DAY, START + 700 * DAY).lines == 3


# ---- nothing is decided by it


@pytest.fixture
def two_journals(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where two new, empty journals of one kind are."""
    if kind == "sqlite":
        return empty_journal.make(f"sqlite:{tmp_path}/whole.db"), empty_journal.make(f"sqlite:{tmp_path}/pruned.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.empty_journal(), server.empty_journal()


@dataclass(slots=True)
class _Played:
    """How one schedule ended: all rows but the history's, by table; what archives got, in its order; how many lines there were."""

    prunes: bool
    rows: dict[str, list[str]] = field(default_factory=dict)
    got: dict[str, dict[str, list[tuple[str, bytes]]]] = field(default_factory=dict)
    lines: int = 0

    def turn(self, world: World) -> None:
        """Prune all that may be: everything is old."""
        if self.prunes:
            later = world.clock() + 1000 * DAY
            world.journal.retention.prune_history(later, later, 10_000)

    def end(self, world: World) -> None:
        """Keep what is compared."""
        with world.journal.database.reading() as connection:
            for table in schema.metadata.sorted_tables:
                if table is not schema.event:
                    self.rows[table.name] = sorted(str(row) for row in connection.execute(select(table)))
            self.lines = connection.execute(select(func.count()).select_from(schema.event)).scalar_one()
        self.got = world.memory.got


@pytest.mark.parametrize(
    ("kind", "seed"), [("sqlite", 2), ("sqlite", 3), ("sqlite", 6), pytest.param("postgresql", 2, marks=pytest.mark.peers)]
)
def test_nothing_is_decided_by_the_history(seed: int, two_journals: tuple[str, str], tmp_path: Path) -> None:
    """Kills, clocks that jump, disks, engines and archives that fail: with a history of one line all turns go as they go with the whole of
    it. Decisions, jobs, deliveries, receipts and every other row are the same at the end, and each object that an archive got, in order."""
    whole, pruned = _Played(prunes=False), _Played(prunes=True)
    turns = []
    for played, url in zip((whole, pruned), two_journals, strict=True):
        schedule = Schedule(seed, tmp_path / f"{played.prunes}", url, START, played.turn, played.end)
        with capture_logs():
            schedule.play()
        turns.append((schedule.turns, schedule.kills, schedule.told))
    assert whole.lines > 30
    assert pruned.lines == 1
    assert turns[0] == turns[1]
    assert whole.got == pruned.got
    for table, rows in whole.rows.items():
        assert rows == pruned.rows[table], table
    assert all(whole.rows[table] for table in ("decision", "job", "delivery", "receipt")), "something was decided"


def test_the_history_is_asked_for_by_where_it_belongs(story: Story) -> None:
    """Study, job with its deliveries, peer with its sinks, code, time, numbers; each line says where it belongs."""
    first = story.done()
    find = story.journal.events.find
    everything = find(EventFilter(), limit=1000)
    assert [one.number for one in everything] == _numbers(story)
    of_job = find(EventFilter(job=first), limit=1000)
    assert {one.event.subject for one in of_job} == {"job", "delivery"}
    assert {(one.job, one.study_instance_uid) for one in of_job} == {(first, "1.1")}
    assert find(EventFilter(study="1.1"), limit=1000) == everything
    assert find(EventFilter(study="9.9")) == []
    assert find(EventFilter(peer="ct1"), limit=1000) == everything
    assert [one.event.subject for one in find(EventFilter(peer="nobody", sinks=("archive",)))] == ["delivery"] * 3
    assert find(EventFilter(codes=("HLM-0000",))) == []
    newest = find(EventFilter(), limit=2)
    assert newest == everything[-2:]
    assert find(EventFilter(), after=newest[0].number) == newest[1:]
    assert find(EventFilter(), upto=everything[0].number) == everything[:1]


def test_the_history_since_a_moment_is_found_by_halves(story: Story) -> None:
    """Also where lines are missing, before the first and behind the last."""
    lines = [line for number in range(5) for line in _study(story, f"1.{number}", START + number * DAY)]
    prune = story.journal.retention.prune_history
    prune(START + DAY, START + 5 * DAY)
    find = story.journal.events.find
    for days, kept in ((-1, 8), (1, 8), (2, 6), (3, 4), (4, 2), (5, 0)):
        assert [one.number for one in find(EventFilter(since=START + days * DAY))] == lines[10 - kept :]
    assert story.journal.events.newest() == lines[-1]
