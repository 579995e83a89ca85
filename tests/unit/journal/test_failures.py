"""A journal whose disk is full, whose lock is held, or whose file is damaged says so by name, and nothing is half written."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event

from node.journal import database
from node.journal.errors import JournalBusy, JournalCorrupt, JournalFull
from node.journal.journal import Journal
from tests.unit.journal.story import START, Story


def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    """SQLite refuses the page; the batch is not there, a smaller journal goes on when there is room again."""
    journal = Journal.open(f"sqlite:{tmp_path / 'journal.db'}")
    story = Story(journal)
    story.receive(1)
    limit = 0

    @event.listens_for(journal.database.reader, "begin")
    def bound(connection: object) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {limit or 1073741823}")  # type: ignore[attr-defined]

    limit = 1  # SQLite takes the present size instead, so that no page can be added
    with pytest.raises(JournalFull, match="full"):
        journal.instances.record([story.new(story.instance(n, header={"StudyDescription": ("x" * 900,)})) for n in range(2, 200)], START)
    assert story.arrival().instances == 1
    limit = 0
    story.receive(2)
    assert story.arrival().instances == 2
    journal.close()


def test_a_lock_that_is_held_for_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program in a transaction: writers fail after the time-out and may be tried again, readers go on."""
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    path = tmp_path / "journal.db"
    journal = Journal.open(f"sqlite:{path}")
    story = Story(journal)
    story.receive(1)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalBusy, match=r"journal\.db"):
            story.receive(2)
        assert story.arrival().instances == 1
        other.execute("ROLLBACK")
    story.receive(2)
    assert story.arrival().instances == 2
    assert JournalBusy.retry
    journal.close()


def test_a_damaged_file_stops_the_node(tmp_path: Path) -> None:
    """Overwritten pages are corruption, which no retry mends."""
    path = tmp_path / "journal.db"
    journal = Journal.open(f"sqlite:{path}")
    Story(journal).receive(*range(100))
    journal.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)  # all but the first page, which is the list of tables
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt):
        Journal.open(f"sqlite:{path}").arrivals.find()
    assert not JournalCorrupt.retry
