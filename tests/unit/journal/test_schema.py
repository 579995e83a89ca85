"""The schema: what the migrations build is what the tables say; old, new and foreign files; every part is explained."""

import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from node.journal import database, migrations, schema
from node.journal.errors import JournalCorrupt, JournalUnreachable, UnknownSchema
from node.journal.journal import Journal
from node.journal.migrations.__main__ import main
from tests.unit.journal.story import LEASE, START, Story


def _statements(database: Path) -> dict[str, str]:
    """Every table and index as SQLite has it, without spaces and quotes."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'").fetchall()
    return {name: re.sub(r"[\s\"]+", "", sql).removesuffix(")") for name, sql in rows}


def _parts(statement: str) -> list[str]:
    """Columns and constraints in an order of no importance."""
    return sorted(re.split(r",(?![^()]*\))", statement))


def test_the_migrations_build_the_schema(tmp_path: Path) -> None:
    """An upgraded empty database has the tables, columns, constraints and (partial) indices that node.journal.schema describes."""
    Journal.open(f"sqlite:{tmp_path / 'migrated.db'}").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'described.db'}")
    schema.metadata.create_all(engine)
    engine.dispose()
    migrated, described = _statements(tmp_path / "migrated.db"), _statements(tmp_path / "described.db")
    assert migrated.keys() == described.keys()
    for name in described:
        assert _parts(migrated[name]) == _parts(described[name]), name


def test_a_revision_is_written_from_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none it makes the whole journal, and where there is the last one, nothing is left to say."""
    scripts = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, scripts, ignore=shutil.ignore_patterns("__pycache__", "0*.py"))
    config = database.alembic_config()
    config.set_main_option("script_location", str(scripts))
    main(config, "Create the journal")
    Journal.open(f"sqlite:{tmp_path / 'shipped.db'}").close()
    monkeypatch.setattr(database, "alembic_config", lambda: config)
    Journal.open(f"sqlite:{tmp_path / 'written.db'}").close()
    assert _statements(tmp_path / "written.db") == _statements(tmp_path / "shipped.db")
    monkeypatch.setattr("node.journal.migrations.__main__.HEAD", "9999")
    main(config, "Say nothing")
    assert (scripts / "versions" / "9999_say_nothing.py").read_text().splitlines()[-2:] == ['    """Say nothing."""', "    pass"]


def test_head_is_the_last_migration() -> None:
    """`HEAD` and the newest file in versions/ are one revision."""
    files = sorted(Path(database.__file__).with_name("migrations").glob("versions/0*.py"))
    assert files[-1].name.partition("_")[0] == schema.HEAD


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    """The second open finds the revision and runs no migration (alembic is not even loaded)."""
    path = tmp_path / "journal.db"
    Journal.open(f"sqlite:{path}").close()
    before = _statements(path)
    program = "import sys; from node.journal.journal import Journal; Journal.open(sys.argv[1]).close(); print('alembic' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program, f"sqlite:{path}"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
    assert _statements(path) == before


def test_a_journal_of_a_newer_hilum_is_refused(tmp_path: Path) -> None:
    """Nobody may write a schema that it does not know."""
    path = tmp_path / "journal.db"
    Journal.open(f"sqlite:{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UnknownSchema, match=r"journal\.db: schema revision 9999 is newer"):
        Journal.open(f"sqlite:{path}")


def test_a_process_that_an_upgrade_left_behind_refuses_what_the_new_version_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has imported knows one revision less than the files that lie beside it by now: it goes by what it knows."""
    url = f"sqlite:{tmp_path}/journal.db"
    Journal.open(url).close()
    monkeypatch.setattr(database, "HEAD", f"{int(schema.HEAD) - 1:04d}")
    with pytest.raises(UnknownSchema, match=f"schema revision {schema.HEAD} is newer than this hilum"):
        Journal.open(url)


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    """A wrong path must not be overwritten."""
    path = tmp_path / "hilum.yaml"
    path.write_text("node: {ae_title: HILUM}\n" * 100)
    with pytest.raises(JournalCorrupt, match=r"hilum\.yaml"):
        Journal.open(f"sqlite:{path}")
    assert path.read_text() == "node: {ae_title: HILUM}\n" * 100


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A folder where the file should be."""
    with pytest.raises(JournalUnreachable, match=re.escape(str(tmp_path))):
        Journal.open(f"sqlite:{tmp_path}")


def test_what_was_opened_on_a_read_only_disk_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite opens the file for reading alone where it may not write, and that connection stays so when the disk is mended."""
    path = tmp_path / "journal.db"
    Journal.open(f"sqlite:{path}").close()
    connect = sqlite3.connect
    with monkeypatch.context() as disk:
        disk.setattr(sqlite3, "connect", lambda _, **given: connect(f"file:{path}?mode=ro", **given))
        journal = Journal.open(f"sqlite:{path}")  # it reads the revision, and keeps the connection
    with pytest.raises(JournalUnreachable, match="readonly"):
        journal.events.note("instance", 0, "instance.seen", "while it was read-only", START)
    journal.events.note("instance", 0, "instance.seen", "mended", START)
    assert [event.detail for event in journal.events.of("instance", 0)] == ["mended"]
    journal.close()


def test_nobody_else_may_read_the_journal(tmp_path: Path) -> None:
    """It holds patient data: the file and its companions are the owner's alone."""
    journal = Journal.open(f"sqlite:{tmp_path / 'var' / 'journal.db'}")
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "var").iterdir()}
    journal.close()
    assert set(modes) >= {"journal.db", "journal.db-wal"}
    assert set(modes.values()) == {"0o600"}


def test_connections_are_as_durable_as_promised(tmp_path: Path) -> None:
    """WAL, full synchronisation and foreign keys, as SQLite itself reports them on a connection of the journal."""
    journal = Journal.open(f"sqlite:{tmp_path / 'journal.db'}")
    with journal.database.reading() as connection:
        asked = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")}
    journal.close()
    assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_everything_is_explained() -> None:
    """Every table and every column has a comment; every state is named in the comment of its column."""
    for table in schema.metadata.tables.values():
        assert table.comment, table.name
        assert [column.name for column in table.columns if not column.comment] == [], table.name
    for subject, states in [
        ("job", "queued inferred encoded done parked failed cancelled superseded"),
        ("arrival", "received complete routed"),
    ]:
        comment = schema.metadata.tables[subject].c.state.comment or ""
        assert [state for state in states.split() if f"{state}:" not in comment] == []


def test_the_claims_use_their_indices(tmp_path: Path) -> None:
    """A claim reads the partial indices of what can be claimed, in their order: not the history of all jobs and deliveries, and of these
    nothing is sorted."""
    journal = Journal.open(f"sqlite:{tmp_path / 'journal.db'}")
    story = Story(journal)
    story.receive(1)
    story.route(story.job_asked(application="a"), story.job_asked(application="b"))
    first = story.claim()
    story.infer(first)
    story.encode(first)
    asked: list[tuple[str, Any]] = []
    event.listen(journal.database.reader, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
    assert journal.jobs.claim("host:1", START, LEASE, away_engines=["gpu"]) is not None
    assert journal.deliveries.claim("host:1", START, LEASE) is not None
    claims = [(sql, values) for sql, values in asked if sql.startswith(("SELECT", "WITH", "UPDATE"))]
    with journal.database.reading() as connection:
        steps = [row[3] for sql, values in claims for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
    journal.close()
    of_the_queues = [step for step in steps if re.match(r"(SCAN|SEARCH) (job|delivery)( |$)", step)]
    assert [step for step in of_the_queues if not re.search(r"USING (COVERING )?INDEX ix_|USING INTEGER PRIMARY KEY", step)] == []
    for index in ("ix_job_claim", "ix_job_turn", "ix_delivery_claim", "ix_delivery_turn"):
        assert any(index in step for step in of_the_queues), index


def test_what_is_asked_again_and_again_reads_no_whole_table(tmp_path: Path) -> None:
    """Lists ask of every study what is held of it, and a stage asks every few seconds what there is to state: neither grows with all that
    ever came, nor with all that was ever parked."""
    journal = Journal.open(f"sqlite:{tmp_path / 'journal.db'}")
    asked: list[tuple[str, Any]] = []
    event.listen(journal.database.reader, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
    journal.held.find(study="1.1")
    journal.statements.insert(["archive"], START)
    selects = [(sql, values) for sql, values in asked if sql.startswith("SELECT")]
    with journal.database.reading() as connection:
        plans = [[row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)] for sql, values in selects]
    journal.close()
    assert len(plans) == 2
    assert [step for plan in plans for step in plan if step.startswith("SCAN")] == []
    assert any("ix_job_state (state=? AND moved_at>?)" in step for step in plans[1])
