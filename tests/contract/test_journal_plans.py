"""A journal with a long history: what the stages and the sweeps ask costs no more than with a short one, on both databases."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from bench.journal import asked_of, fill
from node.journal.journal import Journal
from tests.lab.postgres import Postgres

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SHORT, LONG = 6_000, 60_000
GROWING = ("instance", "arrival", "arrival_instance", "decision", "job", "job_instance", "job_route", "job_sink", "result_object")
GROWING_TOO = ("delivery", "receipt", "event", "series_header", "patient_series")


def _instructions(path: Path, history: int) -> dict[str, int]:
    """How many instructions SQLite's machine runs for each question: no clock, so that it is the same on every machine."""
    url = f"sqlite:{path}"
    fill(url, history, now=NOW)
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with closing(Journal.open(url)) as journal:

        @event.listens_for(journal.database.engine, "connect")
        def listen(connection: sqlite3.Connection, _record: object) -> None:
            connection.set_progress_handler(count, 50)

        journal.database.engine.dispose()  # connections from before are not listened to
        took = {}
        for name, ask in asked_of(journal, NOW).items():
            before = counted
            ask(0)
            took[name] = (counted - before) * 50
    return took


@pytest.mark.slow
def test_no_step_costs_more_with_a_long_history(tmp_path: Path) -> None:
    """Ten times the history, and no question takes half as much work again of SQLite's machine."""
    short, long = (_instructions(tmp_path / f"{history}.db", history) for history in (SHORT, LONG))
    assert {name: (short[name], took) for name, took in long.items() if took > 1.5 * short[name] + 400} == {}


@pytest.mark.slow
@pytest.mark.peers
def test_no_step_reads_a_whole_table_on_postgresql(postgres: Postgres) -> None:
    """Told to read whole tables only where no index serves, PostgreSQL reads none that grows with the history."""
    url = postgres.database(socket=True)
    fill(url, SHORT, now=NOW)
    with closing(Journal.open(url)) as journal, _explained(journal) as plans:
        for name, ask in asked_of(journal, NOW).items():
            plans.append((name, ""))
            ask(0)
    read = [(name, line.strip()) for name, plan in plans for line in plan.splitlines() if _whole(line)]
    assert read == []
    assert len(plans) > 60  # statements were explained at all


def _whole(line: str) -> bool:
    return any(f"Seq Scan on {table} " in line for table in GROWING + GROWING_TOO)


@contextmanager
def _explained(journal: Journal) -> Iterator[list[tuple[str, str]]]:
    """The plan of every statement that the journal runs, under the last name in the list."""
    plans: list[tuple[str, str]] = []

    @event.listens_for(journal.database.engine, "before_cursor_execute")
    def explain(connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if many or not statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            return
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {statement}", parameters)
            plans.append((plans[-1][0], "\n".join(row[0] for row in cursor.fetchall())))
            cursor.execute("SET LOCAL enable_seqscan = on")

    yield plans
