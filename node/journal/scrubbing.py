"""Rows that are deleted must be gone from the database's files too: the write-ahead log is emptied, and what lingers in free space goes."""

import sqlite3
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import text

from node.journal import schema
from node.journal.database import Database

_CHUNK_BYTES = 8 << 20
_PATIENCE_S = 20.0
_LOOK_AGAIN_S = 0.2


class Scrubbed(Database):
    """The part of the journal that cleans up behind the others."""

    def scrub(self, traces: Collection[bytes]) -> bool:
        """See the port. Without traces the whole file is written anew.

        On PostgreSQL the tables are vacuumed: pages that its server has freed, and its log, are the server's own.
        """
        if self._shared:
            self._vacuum_server()
            return True
        with self._told(), self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            connection.rollback()  # neither can be done inside a transaction
            emptied = _empty_log(driver)
            if not traces or _stands_in(Path(self._name), traces):
                driver.execute("VACUUM")
                emptied = _empty_log(driver)
            return emptied

    def _vacuum_server(self) -> None:
        with self._told(), self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("SET statement_timeout = 0"))
            for table in schema.metadata.sorted_tables:
                connection.execute(text(f'VACUUM "{table.name}"'))


def _empty_log(driver: sqlite3.Connection) -> bool:
    """Bring the write-ahead log into the file, and cut it off; whether nobody kept it from that."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_AGAIN_S)


def _stands_in(path: Path, traces: Collection[bytes]) -> bool:
    """Whether one of these stands anywhere in a file."""
    overlap = max(len(trace) for trace in traces)
    with path.open("rb") as file:
        behind = b""
        while part := file.read(_CHUNK_BYTES):
            look = behind + part
            if any(trace in look for trace in traces):
                return True
            behind = look[-overlap:]
    return False
