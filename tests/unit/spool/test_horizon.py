"""How far all receivers have journaled what they got: the earliest of the living counts."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.domain.errors import JournalError
from node.domain.shortage import RefusedInstance
from node.journal.database import Database
from node.journal.journal import Journal
from node.journal.processes import Processes
from node.spool.horizon import HorizonOfAllHosts, HorizonStage, journaled_until
from node.spool.inbox import FolderInbox
from node.spool.shortfalls import FolderShortfalls
from tests.contract.test_blobs import keep

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class AwayProcesses(Processes):
    """Signs of life in a journal that may be away."""

    away = False

    def beats(self) -> dict[str, tuple[datetime, str]]:
        """As they are, unless it is away."""
        if self.away:
            raise JournalError("away")
        return super().beats()


class Clocked(Journal):
    """A journal whose time the test tells; it may be away."""

    time = START

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database, url)
        self.processes: AwayProcesses = AwayProcesses(database)

    def now(self) -> datetime:
        """What the test says."""
        return self.time


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Clocked]:
    """An empty one."""
    opened = Clocked.open(f"sqlite:{tmp_path}/hilum.db")
    yield opened
    opened.close()


@pytest.fixture
def inbox(tmp_path: Path) -> FolderInbox:
    """The spool of the other host."""
    return FolderInbox(tmp_path / "other", min_free_bytes=0)


def _receive(inbox: FolderInbox, at: datetime) -> None:
    keep(inbox)
    os.utime(inbox.waiting(100)[-1], (at.timestamp(), at.timestamp()))


def test_an_empty_spool_is_journaled_up_to_when_that_was_told(journal: Clocked, inbox: FolderInbox, tmp_path: Path) -> None:
    """Whatever came later may lie there unseen; here, where one looks at once, nothing bounds."""
    everywhere = HorizonOfAllHosts(
        journal,
        lambda: journaled_until(journal, inbox, tmp_path / "other"),
        "here",
    )
    assert everywhere() is None
    HorizonStage(journal, inbox, tmp_path / "other", "other").step()
    journal.time += timedelta(seconds=5)
    assert everywhere() == START


def test_the_oldest_entry_of_any_spool_bounds(journal: Clocked, inbox: FolderInbox, tmp_path: Path) -> None:
    """The other's half a minute ago, ours ten seconds ago; when both are journaled nothing bounds but when that was told."""
    here = FolderInbox(tmp_path / "here", min_free_bytes=0)
    _receive(here, START - timedelta(seconds=10))
    _receive(inbox, START - timedelta(seconds=30))
    everywhere = HorizonOfAllHosts(journal, lambda: journaled_until(journal, here, tmp_path / "here"), "here")
    telling = HorizonStage(journal, inbox, tmp_path / "other", "other")
    telling.step()
    assert everywhere() == START - timedelta(seconds=30)
    inbox.drop(inbox.waiting(1)[0])
    journal.time += timedelta(seconds=1)
    telling.step()
    assert everywhere() == START - timedelta(seconds=10)
    here.drop(here.waiting(1)[0])
    assert everywhere() == START + timedelta(seconds=1)


def test_a_refusal_that_is_not_journaled_bounds(journal: Clocked, tmp_path: Path) -> None:
    """Nothing settles as whole while the word that an instance is missing lies in the spool, unless the disk does not give it."""
    spool = tmp_path / "here"
    here, shortfalls = FolderInbox(spool, min_free_bytes=0), FolderShortfalls(spool)
    assert journaled_until(journal, here, spool) is None
    shortfalls.refused(
        RefusedInstance(
            sop_instance_uid="1.2.3", series_instance_uid="1.2", study_instance_uid="1", peer="scanner", status=0xA700, at=datetime.now(UTC)
        )
    )
    (entry,) = shortfalls.waiting(10)
    until = journaled_until(journal, here, spool)
    assert until is not None
    assert until < journal.at(entry.stat().st_mtime)
    os.utime(entry, (entry.stat().st_mtime - 61,) * 2)
    assert journaled_until(journal, here, spool) is None
    os.utime(entry)
    shortfalls.drop(entry)
    assert journaled_until(journal, here, spool) is None


def test_its_own_word_binds_no_host(journal: Clocked, inbox: FolderInbox, tmp_path: Path) -> None:
    """It looks into its own spool at once."""
    HorizonStage(journal, inbox, tmp_path / "other", "here").step()
    assert HorizonOfAllHosts(journal, lambda: None, "here")() is None


def test_a_receiver_that_is_silent_for_a_minute_binds_no_longer(journal: Clocked, inbox: FolderInbox, tmp_path: Path) -> None:
    """One alarm; when it speaks again it counts again."""
    telling = HorizonStage(journal, inbox, tmp_path / "other", "other")
    telling.step()
    everywhere = HorizonOfAllHosts(journal, lambda: None, "here")
    assert everywhere() == START
    with capture_logs() as events:
        for _ in range(30):
            journal.time += timedelta(seconds=3)
            everywhere()
        assert everywhere() is None
        telling.step()
        journal.time += timedelta(seconds=1)
        assert everywhere() == journal.time - timedelta(seconds=1)
    assert [one["event"] for one in events] == ["receiver.silent", "receiver.back"]


def test_a_minute_begins_anew_when_the_database_returns(journal: Clocked, inbox: FolderInbox, tmp_path: Path) -> None:
    """While it was away nobody could speak, and spools have filled: nothing settles before the others have had their time."""
    HorizonStage(journal, inbox, tmp_path / "other", "other").step()
    everywhere = HorizonOfAllHosts(journal, lambda: None, "here")
    assert everywhere() == START
    journal.processes.away = True
    journal.time += timedelta(minutes=10)
    with pytest.raises(JournalError):
        everywhere()
    journal.processes.away = False
    journal.time += timedelta(seconds=1)
    assert everywhere() == START
    journal.time += timedelta(seconds=61)
    assert everywhere() is None


def test_a_receiver_that_stops_is_waited_for_only_with_something_in_its_spool(journal: Clocked, inbox: FolderInbox, tmp_path: Path) -> None:
    """Drained, it says goodbye; stopped with entries, it does not."""
    telling, everywhere = HorizonStage(journal, inbox, tmp_path / "other", "other"), HorizonOfAllHosts(journal, lambda: None, "here")
    _receive(inbox, START)
    telling.step()
    telling.leave()
    assert everywhere() == START
    inbox.drop(inbox.waiting(1)[0])
    telling.leave()
    journal.time += timedelta(seconds=1)
    assert everywhere() is None
