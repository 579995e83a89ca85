"""Where the journal lies: a file of SQLite, whether it is there, is a journal of hilum, and is still the one that was opened; or a
PostgreSQL server, its URL, where the password comes from, and connections that soon notice that the server is gone.

What is in the file is SQLite's business; here its name, its inode and the first hundred bytes count (sqlite.org/fileformat.html, 1.3).
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, make_url

from node.journal.errors import DriverAbsent, JournalAway, JournalCorrupt, JournalGone, JournalUnreachable

if TYPE_CHECKING:
    import psycopg


APPLICATION_ID = 1751739501
"""`PRAGMA application_id` of every journal, "hilm" in ASCII; 0 in a file that has no table yet."""
_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = 68
_HEADER_BYTES = 100


class JournalFile:
    """One journal's file. SQLite goes on writing into a file that was deleted or replaced, and all that it wrote there is lost: `look` is
    called before each transaction begins and before each commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: tuple[int, int] | None = None

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log beside it."""
        return self.path.with_name(f"{self.path.name}-wal")

    def absent(self) -> bool:
        """Whether there is no journal, or a file without a byte: a first start ended before it wrote one.

        Raises
        ------
        JournalUnreachable
            There is no telling: it is a folder, or lies where this user may not look.
        JournalCorrupt
            The file is gone or empty, and its write-ahead log, which holds what was committed last, is there. SQLite would delete that.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            size = 0
        except OSError as refused:
            raise JournalUnreachable(f"{self.path}: {refused.strerror}") from refused
        else:
            if stat.S_ISDIR(status.st_mode):
                raise JournalUnreachable(f"{self.path} is a folder, and the journal is one file")
            size = status.st_size
        if size == 0 and self.wal.exists() and self.wal.stat().st_size > 0:
            raise JournalCorrupt(
                f"{self.path} is {'empty' if self.path.exists() else 'gone'}, and its write-ahead log {self.wal.name} is not"
            )
        return size == 0

    def make(self) -> None:
        """Make the file if need be, private: SQLite gives its companions the same mode."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as refused:
            raise JournalUnreachable(f"{self.path}: {refused.strerror}") from refused

    def opened(self) -> None:
        """From now on the journal is this file and no other of its name.

        Raises
        ------
        JournalCorrupt
            It is no SQLite database, or another program's.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                status, head = os.fstat(fd), os.read(fd, _HEADER_BYTES)
            finally:
                os.close(fd)
        except OSError as refused:
            raise JournalUnreachable(f"{self.path}: {refused.strerror}") from refused
        if head and not head.startswith(_MAGIC):
            raise JournalCorrupt(f"{self.path} is no SQLite database: damaged at its first byte, encrypted, or another program's file")
        whose = int.from_bytes(head[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big")
        if whose not in (0, APPLICATION_ID):
            raise JournalCorrupt(f"{self.path} is another program's database (application_id {whose}), or its first page is damaged")
        self._inode = status.st_dev, status.st_ino

    def look(self) -> None:
        """Compare what lies under its name with what was opened.

        Raises
        ------
        JournalGone
            It was deleted, replaced, or its file system is not mounted any more.
        """
        try:
            status = os.stat(self.path)
        except FileNotFoundError as gone:
            raise JournalGone(f"{self.path} was deleted or moved, or its file system is not mounted any more") from gone
        except OSError as refused:
            raise JournalGone(f"{self.path}: {refused.strerror}") from refused
        if self._inode != (status.st_dev, status.st_ino):
            raise JournalGone(f"{self.path} is another file than the one that was opened")


# seconds; a server that is gone without a word is noticed within half a minute by an idle connection, within ten seconds by a busy one
_CONNECTION: Mapping[str, Any] = {
    # a database that was made in the C locale (SQL_ASCII) would give bytes where text is meant
    "client_encoding": "utf8",
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "hilum",
}
SESSION: Mapping[str, str] = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    # a process that was stopped in the middle of a transaction must not hold its row locks for ever
    "idle_in_transaction_session_timeout": "15s",
    # our statements are short: what costs milliseconds to compile never pays
    "jit": "off",
}
"""What every session of the journal's pool asks of the server."""


@dataclass(frozen=True, slots=True)
class Server:
    """A database on a PostgreSQL server."""

    url: URL
    password_file: Path | None

    @property
    def name(self) -> str:
        """What errors and events may print: no password, no parameters."""
        host = self.url.host or str(self.url.query.get("host", "")) or "this machine"
        port = f":{self.url.port}" if self.url.port else ""
        return f"PostgreSQL database {self.url.database} at {host}{port}"

    def connect(self, *, session: Mapping[str, str] = SESSION, **more: Any) -> "psycopg.Connection[Any]":
        """A new connection; the password file is read each time, so that a password may be changed while the node runs.

        Raises
        ------
        JournalAway
            The password file cannot be read.
        psycopg.OperationalError
            The server does not answer, or refuses.
        """
        import psycopg

        asked: dict[str, Any] = {**self.url.translate_connect_args(username="user", database="dbname"), **self.url.query}
        if self.password_file is not None:
            try:
                asked["password"] = self.password_file.read_text(encoding="utf-8").strip("\r\n")
            except (OSError, UnicodeDecodeError) as unreadable:
                raise JournalAway(f"{self.name}: the password file {self.password_file} cannot be read") from unreadable
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        return psycopg.connect(**{**_CONNECTION, "options": options, **asked, **more})


def server(url: str) -> Server:
    """What `postgresql://user@host:port/database?…` means; `password_file` names the file that holds the password and nothing else."""
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    file = parsed.query.get("password_file")
    return Server(url=parsed.difference_update_query(["password_file"]), password_file=Path(str(file)) if file else None)


class Pooled:
    """Makes the connections of one pool, all of them to the journal of one store: the first that names one says which.

    A file is known again by its inode; a database is known by nothing but its name and server, behind which another may stand at the next
    connection: renamed, restored, or a server that took over.
    """

    def __init__(self, at: Server) -> None:
        self._at = at
        self._identity: str | None = None

    def __call__(self) -> "psycopg.Connection[Any]":
        """A new connection.

        Raises
        ------
        JournalGone
            The database is the journal of another store now.
        """
        connection = self._at.connect()
        try:
            found = _identity(connection)
            connection.rollback()
        except BaseException:  # raised again: no connection stays open behind a question that failed
            connection.close()
            raise
        if self._identity is None:
            self._identity = found
        elif found not in (None, self._identity):
            connection.close()
            raise JournalGone(f"{self._at.name} is the journal of the store {found} now, and was of {self._identity}")
        return connection


def _identity(connection: "psycopg.Connection[Any]") -> str | None:
    """Which store the database says that it is of; None: it says none, which is told at the first statement."""
    there = connection.execute("SELECT to_regclass('store')").fetchone()
    row = connection.execute("SELECT identity FROM store").fetchone() if there and there[0] else None
    return None if row is None else str(row[0])


def creator(at: Server) -> Callable[[], Any]:
    """What a pool calls for each new connection.

    Raises
    ------
    DriverAbsent
        psycopg is not installed.
    """
    try:
        import psycopg  # noqa: F401  (its absence is to be told when the journal is opened, not at the first study)
    except ImportError as absent:
        raise DriverAbsent("the Python package psycopg is not installed") from absent
    return Pooled(at)
