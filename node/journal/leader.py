"""Who of many processes does what only one should do: whoever holds an advisory lock of PostgreSQL on a connection of its own.

A holder whose session the server has ended may believe in itself for a second longer than the lock is its own: two leaders for that long
do no harm, because what leaders do is idempotent and locks its rows.
"""

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from node.domain.errors import JournalError
from node.journal.clock import monotonic_s
from node.journal.server import Server
from node.observe.events import event

if TYPE_CHECKING:
    import psycopg

_EVERY_S = 1.0
_VALID_S = 4.0
"""For how long a confirmation holds: a process that was stopped, or cut off, leads no more when it wakes."""
_SESSION = {
    "statement_timeout": "3s",
    # ends the session, and with it the lock, of a process that has stopped, which by then believes itself no leader any more
    "idle_session_timeout": "10s",
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


class SoleLeader:
    """The leader where one family has the journal to itself."""

    leads = True

    def close(self) -> None:
        """There is nothing to give up."""


class PostgresLeader:
    """Stands for election under `name` in a thread of its own, from now until `close`; a holder that dies is followed within seconds."""

    def __init__(self, at: Server, name: str) -> None:
        self._server = at
        self._name = name
        self._confirmed = float("-inf")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._stand, name=f"leader of {name}", daemon=True)
        self._thread.start()

    @property
    def leads(self) -> bool:
        """Whether this process leads; answered at once, without the database."""
        return monotonic_s() - self._confirmed < _VALID_S

    def close(self) -> None:
        """Stand no more; another may lead at once."""
        self._over.set()
        self._thread.join(10)

    def _stand(self) -> None:
        import psycopg

        while not self._over.is_set():
            with contextlib.suppress(psycopg.Error, JournalError):
                more: dict[str, Any] = {"autocommit": True, "connect_timeout": 3, "tcp_user_timeout": 3000}
                with contextlib.closing(self._server.connect(session=_SESSION, **more)) as connection:
                    self._hold(connection)
            if self._confirmed != float("-inf"):
                self._confirmed = float("-inf")
                event("leader.ended", sweeps=self._name)
            self._over.wait(_EVERY_S)

    def _hold(self, connection: "psycopg.Connection[Any]") -> None:
        """Try to lock, then confirm again and again that the session with the lock lives."""
        holds = False
        while not self._over.is_set():
            asked = monotonic_s()
            if holds:
                connection.execute("SELECT 1")
            else:
                row = connection.execute("SELECT pg_try_advisory_lock(4711205, hashtext(%s))", [self._name]).fetchone()
                holds = bool(row and row[0])
                if holds:
                    event("leader.began", sweeps=self._name)
            if holds:
                self._confirmed = asked
            self._over.wait(_EVERY_S)
