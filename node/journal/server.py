"""The way to a PostgreSQL server: its URL, where the password comes from, and connections that soon notice that the server is gone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, make_url

from node.journal.errors import DriverAbsent, JournalAway, JournalGone

if TYPE_CHECKING:
    import psycopg

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
