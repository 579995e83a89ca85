"""Wake-ups over PostgreSQL's LISTEN and NOTIFY, for processes on every host. A hint; the sweep every second is the guarantee."""

import contextlib
import os
import re
import select
import threading
from typing import TYPE_CHECKING, Any, Protocol

from node.domain.errors import JournalError
from node.journal.place import server
from node.observe import metrics
from node.observe.events import event

if TYPE_CHECKING:
    import psycopg

_AGAIN_FIRST_S = 0.5
_AGAIN_MOST_S = 5.0
_LOOK_S = 30.0
"""An idle connection is looked at so often; the network tells of one that broke long before."""


class WakeUps(Protocol):
    """What processes wait at, on one host or on many."""

    def ring(self) -> None: ...
    def wait(self, timeout_s: float) -> None: ...
    def close(self) -> None: ...


class HostWakeUps(WakeUps, Protocol):
    """Wake-ups on one host (node.store.hosts)."""

    def fileno(self) -> int:
        """What is readable while it rings."""
        ...

    def hush(self) -> None:
        """Forget the rings until now."""
        ...


class PostgresWakeUps:
    """Wake-ups that any process on the database may send and any number wait for. Neither ringing nor waiting ever waits for the
    database: a thread has the connection, and makes a new one when it breaks.

    Parameters
    ----------
    name
        Who is woken ("flow", "work").
    local
        This host's wake-ups of the same name, which wake the one that waits here too.
    """

    def __init__(self, url: str, name: str, *, local: HostWakeUps | None = None) -> None:
        assert re.fullmatch("[a-z]+", name), f"{name!r} is no name for a channel"
        self._server = server(url)
        self._channel = f"hilum_{name}"
        self._local = local
        self._to_ring = threading.Event()
        self._listens = False
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._over = False
        self._name = name
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # from this process to the thread
        self._rung_reader, self._rung_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # and back

    def ring(self) -> None:
        """Wake whoever waits, on whatever host; never blocks. Rings that the connection cannot bring now are one ring when it is back."""
        self._to_ring.set()
        self._start(listens=False)
        _write(self._wake_writer)

    def wait(self, timeout_s: float) -> None:
        """Return at the next ring, or after `timeout_s`; rings that came since the last wait count."""
        self._start(listens=True)
        watched = [self._rung_reader] if self._local is None else [self._rung_reader, self._local.fileno()]
        ready, _, _ = select.select(watched, [], [], timeout_s)
        metrics.WAKE_UPS.add(bell=self._name, by="ring" if ready else "sweep")
        _empty(self._rung_reader)
        if self._local is not None:
            self._local.hush()

    def close(self) -> None:
        """End the thread and the connection; a ring that nobody has heard yet goes out first if the database is there."""
        self._over = True
        _write(self._wake_writer)
        if self._thread is not None:
            self._thread.join(5)
        if self._local is not None:
            self._local.close()
        if self._thread is None or not self._thread.is_alive():
            for pipe in (self._wake_reader, self._wake_writer, self._rung_reader, self._rung_writer):
                os.close(pipe)

    def _start(self, *, listens: bool) -> None:
        with self._guard:
            if listens and not self._listens:
                self._listens = True
                _write(self._wake_writer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=f"bell {self._channel}", daemon=True)
                self._thread.start()

    # ---- in the thread

    def _serve(self) -> None:
        import psycopg

        failures = 0
        while True:
            try:
                with contextlib.closing(self._server.connect(session={}, autocommit=True)) as connection:
                    if failures:
                        event("bell.back", bell=self._channel)
                    failures = 0
                    self._talk(connection)
                return
            except (psycopg.Error, JournalError) as away:
                if failures == 0:
                    event("bell.away", bell=self._channel, error=type(away).__name__)
                if self._over:
                    return
                failures += 1
                self._rest(min(_AGAIN_MOST_S, _AGAIN_FIRST_S * 2.0 ** min(failures - 1, 10)))

    def _rest(self, seconds: float) -> None:
        until = threading.Event()
        for _ in range(max(1, round(seconds / _AGAIN_FIRST_S))):
            if self._over:
                return
            until.wait(_AGAIN_FIRST_S)

    def _talk(self, connection: "psycopg.Connection[Any]") -> None:
        import psycopg

        connection.add_notify_handler(lambda _notification: _write(self._rung_writer))
        listening = False
        while True:
            if self._listens and not listening:
                connection.execute(f"LISTEN {self._channel}".encode())
                listening = True
                _write(self._rung_writer)  # whatever was rung while there was no connection
            if self._to_ring.is_set():
                self._to_ring.clear()
                try:
                    connection.execute(f"NOTIFY {self._channel}".encode())
                except psycopg.Error:
                    self._to_ring.set()
                    raise
            if self._over:
                return
            self._idle(connection)

    def _idle(self, connection: "psycopg.Connection[Any]") -> None:
        """Wait until there is something to hear or to ring."""
        ready, _, _ = select.select([connection.fileno(), self._wake_reader], [], [], _LOOK_S)
        if self._wake_reader in ready:
            _empty(self._wake_reader)
        if connection.fileno() in ready:
            connection.pgconn.consume_input()
            while connection.pgconn.notifies() is not None:
                _write(self._rung_writer)
        if not ready:
            connection.execute(b"SELECT 1")


def _write(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):  # full: whoever reads it is awake already
        os.write(pipe, b"!")


def _empty(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(pipe, 65536)
