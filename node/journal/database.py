"""Opens the database, keeps it at the present schema, and hands out reading and writing transactions."""

import contextlib
import functools
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, BindParameter, Connection, Engine, ExceptionContext, Integer, bindparam, create_engine, event, inspect, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.util import LRUCache

from node.journal.errors import JournalAway, JournalBusy, JournalCorrupt, JournalRace, JournalStrange, UnknownSchema, translated
from node.journal.place import APPLICATION_ID, JournalFile, creator, server
from node.journal.schema import HEAD
from node.observe.events import alarm, trace
from node.observe.pulse import turned

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

BUSY_S = 30.0
"""How long a writer waits for another one's transaction; SQLite has one writer at a time, and ours last milliseconds."""


_POOL_WAIT_S = 10.0
# errors quote no values: these may be patient data
_POOL: dict[str, Any] = {"pool_size": 5, "max_overflow": 20, "pool_timeout": _POOL_WAIT_S, "hide_parameters": True}
_RERUNS = 8
_PATIENCE_S = 20.0
"""For how long a change that may be made twice is tried again while the server is away: a restart takes less."""
_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps the connection that it migrates in its modules: of two threads one would migrate the other's journal."""
LOOK_AGAIN_S = 0.5
"""How long a change waits for a server that is away before it is tried again."""
_NO_VALUE = (ValueError, TypeError, KeyError, OverflowError)
"""What reading a row ends in when it holds none of the values that there are; UnicodeDecodeError and JSON's errors are of the first."""
_REVISION = re.compile(r"[0-9]{4}")
SOUGHT: BindParameter[Any] = bindparam("sought", expanding=True)
"""Those that are looked for, in a statement that is put together once a process: `in_(SOUGHT)`, and `{"sought": […]}` when it is asked."""
BUSY: BindParameter[Any] = bindparam("busy", expanding=True)
"""Those that are passed over, in the same way: `not_in(BUSY)`."""
MOST = bindparam("most", type_=Integer)
"""The `limit` of such a statement."""
_COMPILED: LRUCache[Any, Any] = LRUCache(1000)
"""Statements that were compiled for SQLite: one file's journal understands what another's does."""


class Database:
    """One connection pool; safe to share by threads, opened anew by every process.

    On SQLite a writing transaction has the one write lock from its first statement on. On PostgreSQL it has the rows that it locks
    (`with_for_update`) and the studies that it locks (`lock_study`); each statement sees what was committed before it began.
    """

    def __init__(self, engine: Engine, name: str, file: JournalFile | None) -> None:
        self.engine = engine
        self._file = file
        self.shared = engine.dialect.name == "postgresql"
        # a read on PostgreSQL sees one moment, as on SQLite
        moment: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self.reader = engine.execution_options(**moment) if self.shared else engine
        self._writer = engine.execution_options(hilum_writes=True)
        self.name = name

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the journal and never waits for writers."""
        with self.translating(), self.reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction in which what was read under a lock is still so when it writes."""
        with self.translating(), self._writer.begin() as connection:
            yield connection
            if self._file is not None:
                self._file.look()  # a commit into a file without a name is none

    @contextlib.contextmanager
    def translating(self) -> Iterator[None]:
        """What the driver raises inside becomes a JournalError; nothing is done to a file that is not the journal any more."""
        turned()  # waiting for the database is bounded by the database's time-outs
        if self._file is not None:
            self._file.look()
        try:
            yield
            turned()
        except DBAPIError as error:
            raise translated(error, self.name) from error
        except PoolTimeout as error:
            raise JournalBusy(f"{self.name}: no connection became free within {_POOL_WAIT_S:g} s") from error
        except _NO_VALUE as error:
            raise strange(error, self.name) from error

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


class JournalPart:
    """The rows of one subject, read and written in transactions of the one database."""

    def __init__(self, database: Database) -> None:
        self._database = database


def rerun(method: Callable[Concatenate[D, P], R]) -> Callable[Concatenate[D, P], R]:
    """Make a change again that the server undid for another one's sake: a deadlock's victim, or the second to write one fact."""

    @functools.wraps(method)
    def run(self: D, /, *args: P.args, **kwargs: P.kwargs) -> R:
        for turn in range(_RERUNS):
            try:
                return method(self, *args, **kwargs)
            except JournalRace:
                time.sleep(0.002 * 2**turn)
        return method(self, *args, **kwargs)

    return run


def repeatable(method: Callable[Concatenate[D, P], R]) -> Callable[Concatenate[D, P], R]:
    """Make a change again also when the connection broke, for as long as a restart of the server takes.

    Nobody knows then whether the commit happened. So this is for changes that know themselves again: they are fenced by a lease, and
    find by the state that they were made already.
    """
    patient = rerun(method)

    @functools.wraps(method)
    def run(self: D, /, *args: P.args, **kwargs: P.kwargs) -> R:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return patient(self, *args, **kwargs)
            except JournalAway:
                if time.monotonic() >= until:
                    raise
                time.sleep(LOOK_AGAIN_S)

    return run


def lock_study(connection: Connection, *studies: str) -> None:
    """Let no other process open, close or route arrivals of these studies until the transaction ends; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        for study in sorted(set(studies)):  # everybody in one order: nobody waits for one who waits for him
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:study, 4711203))"), {"study": study})


def connect(url: str, making: Callable[[], None] = lambda: None) -> tuple[Engine, str, JournalFile | None]:
    """The engine behind `store: {journal: …}`, at the present schema, the name that errors may print, and its file if it is one.

    Parameters
    ----------
    making
        Called before a journal is made where none is; what it raises keeps one from being made.

    Raises
    ------
    JournalUnreachable, JournalAway, JournalCorrupt
        It cannot be opened or reached, or is no journal.
    UnknownSchema
        A newer hilum wrote it, or one from before the first release.
    DriverAbsent
        It is on PostgreSQL, and psycopg is not installed.
    """
    file = JournalFile(Path(url.removeprefix("sqlite:"))) if url.startswith("sqlite:") else None
    if file is None:
        engine, name = _server(url)
    else:
        if file.absent():
            making()
            file.make()
        file.opened()
        engine, name = _sqlite(file), str(file.path)
    try:
        _upgrade(engine, name, making)
    except DBAPIError as error:
        engine.dispose()
        raise translated(error, name) from error
    except _NO_VALUE as error:
        engine.dispose()
        raise strange(error, name) from error
    except BaseException:  # raised again: no connection stays open behind a journal that was not opened
        engine.dispose()
        raise
    return engine, name, file


def strange(error: Exception, name: str) -> JournalStrange:
    """What reading a row ended in, without the value, which may be a patient's; where it happened is an event."""
    alarm("journal.strange", journal=name, error=type(error).__name__, trace=trace(error))
    return JournalStrange(f"{name}: a row holds what no hilum writes there ({type(error).__name__})")


class CommonSQLiteDialect(SQLiteDialect_pysqlite):
    """SQLite's dialect, one and the same for all files: what SQLAlchemy compiles it keeps by the dialect, and each engine has another."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


registry.register("sqlite.hilum", __name__, CommonSQLiteDialect.__name__)


def _sqlite(file: JournalFile) -> Engine:
    # mode=rw: a connection of the pool must not make an empty database where the journal was deleted
    at = f"{file.path.absolute().as_uri()}?mode=rw"

    def connection() -> sqlite3.Connection:
        return sqlite3.connect(at, uri=True, timeout=BUSY_S, check_same_thread=False)

    kept: dict[str, Any] = {"execution_options": {"compiled_cache": _COMPILED}}
    engine = create_engine(URL.create("sqlite+hilum", database=str(file.path)), creator=connection, **kept, **_POOL)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin transactions late, and not for reads: we do it below
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # with WAL, NORMAL may lose the last commits at a power loss
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted names patients: it must not linger in free pages

    @event.listens_for(engine, "handle_error")
    def reopen(context: ExceptionContext) -> None:
        # SQLite opens a file for reading alone where the disk is read-only, and stays so when the disk is mended: open it anew
        if getattr(context.original_exception, "sqlite_errorname", "").startswith("SQLITE_READONLY"):
            context.is_disconnect = True

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("hilum_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _server(url: str) -> tuple[Engine, str]:
    at = server(url)
    # every connection is asked whether it lives before it is used: those from before a restart of the server do not
    return create_engine(at.url, creator=creator(at), pool_pre_ping=True, **_POOL), at.name


def _revision(connection: Connection, name: str) -> str | None:
    """The schema revision that the database says it has; None for an empty one.

    Raises
    ------
    JournalCorrupt
        It is not empty, and says none that hilum gives.
    """
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if "instance" in tables:
            raise JournalCorrupt(f"{name} has lost the table alembic_version")
        if tables and connection.dialect.name == "sqlite":
            raise JournalCorrupt(f"{name} is another program's database: it has a table {tables[0][:40]!r}")
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is None and "instance" not in tables:
        return None
    if not _REVISION.fullmatch(str(revision)):
        raise JournalCorrupt(f"{name}: its schema revision is none of hilum's")
    return str(revision)


def _upgrade(engine: Engine, name: str, making: Callable[[], None]) -> None:
    with engine.connect() as connection:
        found = _revision(connection, name)
    if found == HEAD:
        return
    if found is not None and found > HEAD:  # by what this process knows, whatever lies on the disk now: hilum may be upgraded below it
        raise UnknownSchema(f"{name}: schema revision {found} is newer than this hilum, which knows up to {HEAD}")
    if found is None:
        making()
    # imported here: an open of a journal that is up to date, which every command does, need not load alembic
    from alembic import command
    from alembic.script import ScriptDirectory

    script = alembic_config()
    known = {revision.revision for revision in ScriptDirectory.from_config(script).walk_revisions()}
    if found is not None and found not in known:
        raise UnknownSchema(
            f"{name}: schema revision {found} was never released, and this hilum, which begins with {min(known)}, does not bring it up to "
            "date: begin a new store, with an empty journal and empty blobs, and send it what is still to be analysed"
        )
    if engine.dialect.name == "sqlite":
        _switch_to_wal(engine)
    with engine.execution_options(hilum_writes=True).begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        else:
            # a new index on a long history takes its time
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(4711202)"))  # two nodes may start at once
        script.attributes["connection"] = connection
        with _ONE_AT_A_TIME:
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
