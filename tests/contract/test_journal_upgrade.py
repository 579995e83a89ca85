"""Upgrades: the next hilum brings a journal with a study's whole line in it to its schema; a change that fails leaves it as it was; a copy
from before is the way back; and a program that does not know a journal's schema says so and touches nothing."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import op
from sqlalchemy import Engine, create_engine, inspect, text

from node.backup.journal_copy import copy_journal, restore_journal
from node.domain.errors import JournalError
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal import schema
from node.journal.errors import UnknownSchema
from node.journal.journal import Journal
from node.journal.port import Pausable
from tests.lab.next_hilum import NEXT, next_hilum
from tests.lab.postgres import Postgres
from tests.unit.journal.story import LEASE, START, Story


def _engine(url: str) -> Engine:
    return create_engine(url.replace("sqlite:", "sqlite:///").replace("postgresql:", "postgresql+psycopg:"))


def _made(url: str, opened: Callable[[str], Journal]) -> None:
    """A journal of this hilum at `url`, closed: a job whose objects arrived, one whose delivery is half sent, one that is queued."""
    journal = opened(url)
    story = Story(journal)
    story.done(application="done")
    story.encoded(application="encoded")
    half = story.take()
    assert half.lease is not None
    first, _ = journal.deliveries.undelivered(half.id)
    journal.deliveries.receipt(half.id, half.lease, first.id, True, 0, "", story.now)
    journal.deliveries.retry(half.id, half.lease, story.now, "HLM-6000", "away", story.now)
    story.queued(application="queued")
    journal.pauses.add(Pausable.SINK, "viewer", story.now)
    journal.close()


def _rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every table with every row, past the code under test."""
    engine = _engine(url)
    with engine.connect() as connection:
        found = {
            name: sorted((tuple(row) for row in connection.execute(text(f'SELECT * FROM "{name}"'))), key=repr)
            for name in inspect(connection).get_table_names()
        }
    engine.dispose()
    return found


def _columns(url: str) -> dict[str, set[str]]:
    engine = _engine(url)
    with engine.connect() as connection:
        tables = inspect(connection)
        found = {name: {column["name"] for column in tables.get_columns(name)} for name in tables.get_table_names()}
    engine.dispose()
    return found


def _change() -> None:
    """A column that is filled from what the rows say, a table, and an index, as changes mostly are."""
    op.add_column("job", sa.Column("station", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE job SET station = (SELECT called_ae FROM arrival WHERE arrival.id = job.arrival_id)")
    op.create_table("station", sa.Column("name", sa.Text(), primary_key=True))
    op.create_index("ix_job_station", "job", ["station"])


def test_a_journal_is_read_by_the_next_hilum_as_it_was_written(journal_url: str, opened: Callable[[str], Journal]) -> None:
    """Arrival, decision, jobs in every state, objects, what was accepted of them, history, pauses, read through the port after the
    upgrade; and work goes on: the queued job is claimed, and the half-sent delivery sends the other half."""
    _made(journal_url, opened)
    before = _rows(journal_url)
    with next_hilum(_change):
        journal = opened(journal_url)
    assert {name: len(rows) for name, rows in _rows(journal_url).items() if name != "station"} == {
        name: len(rows) for name, rows in before.items()
    }
    with _engine(journal_url).connect() as connection:
        assert connection.execute(text("SELECT DISTINCT station FROM job")).scalars().all() == ["HILUM"]
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [NEXT]
    assert [one.header["InstanceNumber"] for one in journal.instances.of_study("1.1")][:3] == [(1,), (2,), (3,)]
    assert {one.state for one in journal.arrivals.find(study="1.1")} == {ArrivalState.ROUTED}
    assert [one.compares for one in journal.routing.decisions(1)] == [("follow-up", "second")]
    done, half, queued = sorted(journal.jobs.find(), key=lambda job: job.id)
    assert (done.state, half.state, queued.state) == (JobState.DONE, JobState.ENCODED, JobState.QUEUED)
    assert [one.kind for one in journal.results.of_job(done.id)] == ["seg", "sr"]
    assert [one.state for one in journal.deliveries.find(job=done.id)] == [DeliveryState.DELIVERED]
    assert "job.done" in [one.name for one in journal.events.of("job", done.id)]
    assert [name for _, name, _ in journal.pauses.find()] == ["viewer"]
    claimed = journal.jobs.claim("host:1", START, LEASE)
    assert claimed is not None
    assert claimed.id == queued.id
    delivery = journal.deliveries.claim("host:1", START, LEASE)
    assert delivery is not None
    assert [one.kind for one in journal.deliveries.undelivered(delivery.id)] == ["sr"]
    Story(journal).receive(50, study_instance_uid="9.9", series_instance_uid="9.9.1", sop_instance_uid="9.9.1.50")
    assert [one.state for one in journal.arrivals.find(study="9.9")] == [ArrivalState.RECEIVED]


def test_a_new_journal_of_the_next_hilum_is_as_one_that_was_upgraded(
    journal_url: str, opened: Callable[[str], Journal], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Both went through every revision; opening the new one again changes nothing."""
    _made(journal_url, opened)
    new = _elsewhere(journal_url, request, tmp_path)
    with next_hilum(_change):
        opened(journal_url)
        Journal.open(new).close()
        made = _rows(new)
        Journal.open(new).close()
    assert _rows(new) == made
    assert _columns(new) == _columns(journal_url)


def _elsewhere(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where another journal of the same kind may be made."""
    if url.startswith("sqlite:"):
        return f"sqlite:{tmp_path / 'other.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database(socket=True)


def test_a_change_that_fails_leaves_the_journal_as_it_was(journal_url: str, opened: Callable[[str], Journal]) -> None:
    """It broke after it had made a table and changed rows: all of it is undone, and the program of before goes on with what it has."""
    _made(journal_url, opened)
    before = _rows(journal_url)

    def breaks() -> None:
        op.create_table("half", sa.Column("id", sa.Integer(), primary_key=True))
        op.execute("UPDATE job SET engine = 'broken'")
        op.add_column("job", sa.Column("half", sa.Text(), nullable=True))
        op.execute("SELECT nothing FROM nowhere")

    with next_hilum(breaks), pytest.raises(JournalError):
        Journal.open(journal_url)
    assert _rows(journal_url) == before
    journal = opened(journal_url)
    assert {job.engine for job in journal.jobs.find()} == {"default"}


def test_of_two_that_upgrade_at_once_one_does_and_the_other_waits(journal_url: str, opened: Callable[[str], Journal]) -> None:
    """The second reads the revision again under the lock, and finds nothing to do."""
    _made(journal_url, opened)
    turns: list[int] = []
    gate = threading.Barrier(2)

    def change() -> None:
        turns.append(1)
        _change()

    def open_() -> int:
        gate.wait()
        return len(opened(journal_url).jobs.find())

    with next_hilum(change), ThreadPoolExecutor(2) as threads:
        assert [one.result() for one in [threads.submit(open_) for _ in range(2)]] == [3, 3]
    assert len(turns) == 1


@pytest.mark.slow
def test_a_backup_from_before_is_the_way_back(
    journal_url: str, opened: Callable[[str], Journal], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The older program refuses what the next one has upgraded, and goes on with the copy; the next one upgrades the copy as well."""
    _made(journal_url, opened)
    before = _rows(journal_url)
    (tmp_path / "backup").mkdir()
    copy = copy_journal(journal_url, tmp_path / "backup")
    assert copy.schema == schema.HEAD
    with next_hilum(_change):
        Journal.open(journal_url).close()
    with pytest.raises(UnknownSchema):
        Journal.open(journal_url)
    again = _elsewhere(journal_url, request, tmp_path)
    restore_journal(again, tmp_path / "backup" / copy.name)
    assert len(opened(again).jobs.find()) == 3
    assert _rows(again) == before
    with next_hilum(_change):
        Journal.open(again).close()
    assert _columns(again) == _columns(journal_url)


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("9999", f"9999 is newer than this hilum, which knows up to {schema.HEAD}"),
        (
            "0007",
            f"0007 was never released, and this hilum, which begins with {schema.HEAD}, does not bring it up to date: begin a new store",
        ),
    ],
)
def test_a_journal_of_another_schema_is_refused_and_not_touched(
    journal_url: str, opened: Callable[[str], Journal], revision: str, said: str
) -> None:
    """It names both revisions, in words that say what to do; not a row is different afterwards."""
    _made(journal_url, opened)
    with _engine(journal_url).begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    before = _rows(journal_url)
    with pytest.raises(UnknownSchema, match=said) as refused:
        Journal.open(journal_url)
    assert "hilum" in refused.value.remedy
    assert not refused.value.retry
    assert _rows(journal_url) == before
