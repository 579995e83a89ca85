"""A journal that is not what was written ends in a sentence with a code, and is never taken for a new one."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from node.domain.errors import JournalError
from node.journal.errors import JournalCorrupt, JournalGone, JournalStrange, JournalUnreachable, UnknownSchema
from node.journal.journal import Journal
from tests.unit.journal.story import START, Story

_PLACES = 140


class _NotMeant(Exception):
    """A journal was about to be made where one was."""


def _never() -> None:
    raise _NotMeant


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal with rows in most tables, closed, in one file."""
    path = tmp_path_factory.mktemp("written") / "journal.db"
    journal = Journal.open(f"sqlite:{path}")
    story = Story(journal)
    story.receive(*range(2, 40))
    story.queued()
    story.receive(*range(40, 80))
    journal.processes.beat("flow host:1", "running", START)
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path.read_bytes()


def _ask_everything(url: str) -> None:
    """What the processes of a node ask in their first seconds, and one write."""
    journal = Journal.open(url, _never)
    try:
        now = START + timedelta(hours=1)
        journal.store.known()
        journal.census.take(now)
        journal.processes.beats()
        journal.pauses.find()
        for arrival in journal.arrivals.find():
            journal.instances.of_arrival(arrival.id)
            journal.routing.decisions(arrival.id)
            journal.events.of("arrival", arrival.id)
        journal.jobs.find()
        journal.deliveries.find()
        journal.instances.conflicts()
        journal.held.by_series()
        journal.processes.release("", now)
        journal.events.note("instance", 0, "instance.seen", "by a test", now)
        journal.jobs.claim("host:1", now, timedelta(minutes=1))
    finally:
        journal.close()


def _refused(url: str) -> JournalError | None:
    try:
        _ask_everything(url)
    except JournalError as error:
        return error
    return None


@pytest.mark.slow
def test_a_byte_turned_over_anywhere_is_harmless_or_a_sentence(written: bytes, tmp_path: Path) -> None:
    """140 places (every second of the first hundred bytes, the rest by chance but always the same): the journal works, or says
    why not with a code; no other exception, and no value of a row in what it says."""
    chance = random.Random(4)
    places = [*range(0, 100, 2), *(chance.randrange(100, len(written)) for _ in range(_PLACES - 50))]
    fine, told = 0, dict[str, int]()
    path = tmp_path / "journal.db"
    for place in places:
        damaged = bytearray(written)
        damaged[place] ^= chance.choice((0x01, 0x80, 0xFF))
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(damaged)
        refused = _refused(f"sqlite:{path}")
        if refused is None:
            fine += 1
            continue
        assert refused.remedy, place
        assert "ct1" not in str(refused), place
        told[refused.code] = told.get(refused.code, 0) + 1
    assert fine > 20
    assert sum(told.values()) > 10, told
    assert set(told) <= {"HLM-7003", "HLM-7004", "HLM-7007", "HLM-7014"}, told


@pytest.mark.parametrize("left", [1, 15, 16, 50, 99, 100, 511, 512, 4095, 4096, 8192, 0.25, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_told(written: bytes, tmp_path: Path, left: float) -> None:
    """At any length but none at all it is damaged: nothing is begun anew, and the file is not written to."""
    size = int(left * len(written)) if isinstance(left, float) else left
    path = tmp_path / "journal.db"
    path.write_bytes(written[:size])
    with pytest.raises(JournalCorrupt, match=r"journal\.db"):
        _ask_everything(f"sqlite:{path}")
    assert path.read_bytes() == written[:size]


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _gone(path: Path) -> None:
    path.unlink()


def _header_only(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


@pytest.mark.parametrize("made", [_empty, _gone, _header_only])
def test_no_journal_is_made_where_none_is_meant(written: bytes, tmp_path: Path, made: Callable[[Path], None]) -> None:
    """A file that is gone, has no byte or no table is a new journal only where one is meant; nothing is made otherwise."""
    path = tmp_path / "journal.db"
    path.write_bytes(written)
    made(path)
    with pytest.raises(_NotMeant):
        Journal.open(f"sqlite:{path}", _never)
    assert not path.exists() or path.stat().st_size <= 4096
    Journal.open(f"sqlite:{path}").close()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _other_program(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 252006673")


def _other_tables(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE moz_places (id INTEGER)")


def _encrypted(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(8192))


def _no_revision(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE alembic_version")


def _strange_revision(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = CAST(X'ff31' AS TEXT)")


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def _log_without_file(path: Path) -> None:
    path.with_name("journal.db-wal").write_bytes(b"\x37\x7f\x06\x82" * 100)
    path.unlink()


def _no_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE decision")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (_folder, JournalUnreachable),
        (_other_program, JournalCorrupt),
        (_other_tables, JournalCorrupt),
        (_encrypted, JournalCorrupt),
        (_no_revision, JournalCorrupt),
        (_strange_revision, JournalStrange),
        (_newer, UnknownSchema),
        (_log_without_file, JournalCorrupt),
        (_no_table, JournalCorrupt),
    ],
)
def test_what_is_no_journal_of_hilum_is_refused(
    written: bytes, tmp_path: Path, damage: Callable[[Path], None], kind: type[JournalError]
) -> None:
    """Each with the sentence and the code of what it is; what lies there is left as it was."""
    path = tmp_path / "journal.db"
    path.write_bytes(written)
    damage(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(kind):
        _ask_everything(f"sqlite:{path}")
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize(
    ("statement", "ask"),
    [
        ("UPDATE arrival SET called_ae = CAST(X'4dfc4c4c4552' AS TEXT)", lambda journal: journal.arrivals.find()),
        ("UPDATE arrival SET state = 'recfived'", lambda journal: journal.arrivals.find()),
        ("UPDATE arrival SET due_at = 'soon'", lambda journal: journal.arrivals.find()),
        ("UPDATE arrival SET due_at = 9223372036854775807", lambda journal: journal.arrivals.find()),
        ("UPDATE series_header SET content = '{\"Modality'", lambda journal: journal.instances.of_arrival(1)),
        ("UPDATE job SET rank = 9", lambda journal: journal.jobs.find()),
    ],
)
def test_a_value_that_hilum_does_not_write_is_told_without_it(
    written: bytes, tmp_path: Path, statement: str, ask: Callable[[Journal], Any]
) -> None:
    """Text that is no UTF-8, states, times and JSON that are none: a sentence that quotes nothing, because it may be a patient's."""
    path = tmp_path / "journal.db"
    path.write_bytes(written)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    journal = Journal.open(f"sqlite:{path}")
    with pytest.raises(JournalStrange) as told:
        ask(journal)
    journal.close()
    assert "LLER" not in str(told.value)
    assert "recfived" not in str(told.value)
    assert not JournalStrange.retry


def test_a_journal_that_goes_under_a_running_node_is_told_and_comes_back(tmp_path: Path) -> None:
    """Deleted, replaced by an older copy, and moved back: nothing is written into a file without a name, nothing is made in its place, and
    the same file is gone on with."""
    path, aside = tmp_path / "journal.db", tmp_path / "aside"
    journal = Journal.open(f"sqlite:{path}")
    journal.events.note("instance", 0, "instance.seen", "before", START)
    os.rename(path, aside)
    for _ in range(2):
        with pytest.raises(JournalGone, match="deleted or moved"):
            journal.events.note("instance", 0, "instance.seen", "into nothing", START)
        with pytest.raises(JournalGone):
            journal.events.of("instance", 0)
    assert not path.exists()
    shutil.copy(aside, path)
    with pytest.raises(JournalGone, match="another file"):
        journal.events.note("instance", 0, "instance.seen", "into another", START)
    path.unlink()
    os.rename(aside, path)
    journal.events.note("instance", 0, "instance.seen", "after", START)
    assert [event.detail for event in journal.events.of("instance", 0)] == ["before", "after"]
    assert JournalGone.retry
    journal.close()


def test_what_is_deleted_inside_a_transaction_is_not_committed(tmp_path: Path) -> None:
    """The file goes between the first statement and the commit: the change is refused, not acknowledged into nothing."""
    path = tmp_path / "journal.db"
    journal = Journal.open(f"sqlite:{path}")

    def change() -> None:
        with journal.database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO pause (kind, name, since) VALUES ('sink', 'archive', 0)")
            path.unlink()

    with pytest.raises(JournalGone):
        change()
    journal.close()
