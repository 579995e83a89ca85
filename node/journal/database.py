"""Opens the database, keeps it at the present schema, and hands out reading and writing transactions."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from node.journal.errors import JournalUnreachable, NewerJournal, translated
from node.journal.schema import HEAD

_BUSY_S = 30.0
"""How long a writer waits for another one's transaction; SQLite has one writer at a time, and ours last milliseconds."""


class Database:
    """One connection pool; safe to share by threads, opened anew by every process."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._reader = engine
        self._writer = engine.execution_options(hilum_writes=True)
        self._name = name

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the journal and never waits for writers."""
        try:
            with self._reader.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise translated(error, self._name) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its first statement on, so that what it read is still so when it writes."""
        try:
            with self._writer.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise translated(error, self._name) from error

    def close(self) -> None:
        """Give back every connection."""
        self._reader.dispose()


def connect(url: str) -> tuple[Engine, str]:
    """The engine behind `store: {journal: …}`, at the present schema, and the name that errors may print.

    Raises
    ------
    JournalUnreachable, JournalCorrupt
        It cannot be opened, or is no journal.
    NewerJournal
        A newer hilum wrote it.
    """
    engine, name = _sqlite(url) if url.startswith("sqlite:") else _server(make_url(url))
    try:
        _upgrade(engine, name)
    except DBAPIError as error:
        engine.dispose()
        raise translated(error, name) from error
    except NewerJournal:
        engine.dispose()
        raise
    return engine, name


def _sqlite(url: str) -> tuple[Engine, str]:
    path = Path(url.removeprefix("sqlite:"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # the journal holds patient data: nobody else may read it, nor the -wal and -shm files that take its mode
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as refused:
        raise JournalUnreachable(f"{path}: {refused.strerror}") from refused
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY_S}, pool_size=5, max_overflow=20)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin transactions late, and not for reads: we do it below
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # with WAL, NORMAL may lose the last commits at a power loss
        connection.execute("PRAGMA journal_size_limit = 67108864")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("hilum_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine, str(path)


def _server(url: URL) -> tuple[Engine, str]:
    return create_engine(url, pool_pre_ping=True), url.render_as_string(hide_password=True)


def _revision(connection: Connection) -> str | None:
    """The schema revision that the database says it has; None for an empty one."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def _upgrade(engine: Engine, name: str) -> None:
    with engine.connect() as connection:
        found = _revision(connection)
    if found == HEAD:
        return
    if engine.dialect.name == "sqlite":
        _switch_to_wal(engine)
    # imported here: an open of a journal that is up to date, which every command does, need not load alembic
    from alembic import command
    from alembic.script import ScriptDirectory

    script = alembic_config()
    known = {revision.revision for revision in ScriptDirectory.from_config(script).walk_revisions()}
    if found is not None and found not in known:
        raise NewerJournal(f"{name}: schema revision {found} is newer than this hilum, which knows up to {HEAD}")
    with engine.execution_options(hilum_writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(4711202)"))  # two nodes may start at once
        script.attributes["connection"] = connection
        command.upgrade(script, "head")  # it reads the revision again, under the lock: another process may have been first


def _switch_to_wal(engine: Engine) -> None:
    """Readers and the writer must not wait for each other. The mode stays with the file."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        connection.rollback()  # the mode cannot change inside a transaction
        driver.execute("PRAGMA journal_mode = WAL").fetchone()


def alembic_config() -> "Any":
    """Alembic's configuration: the scripts beside this file, nothing else."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config
