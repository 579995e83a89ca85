"""Sends the trail's files to the audit repository, in order, from where it stopped: one process of a host at a time does it."""

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from node.observe.audit.files import AuditFiles, lines_from
from node.observe.audit.syslog import Address, Connection, RepositoryAway, Tls
from node.observe.events import alarm, event

_EVERY_S = 0.5
_AWAY_FIRST_S = 1.0
_AWAY_MOST_S = 60.0
_BATCH_BYTES = 256 << 10
_FORGET_EVERY = timedelta(hours=1)
_TO_STOP_S = 5.0


class Sender:
    """A thread that follows the files. Without an address it only deletes those that are older than `keep`, by `clock`.

    Where it stands is a small file beside them, written only after the repository's machine has acknowledged what came before: after a
    crash, or a connection that broke, a few messages may go twice, and none is left out.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: timedelta,
        address: Address | None,
        tls: Tls,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._files = AuditFiles(folder)
        self._keep = keep
        self._clock = clock
        self._address = address
        self._tls = tls
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._away = ""
        self._lock: IO[str] | None = None
        self._forgot_at = datetime.min.replace(tzinfo=UTC)
        self._thread = threading.Thread(target=self._run, name="audit-sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is not sent is sent after the next start."""
        self._stop.set()
        self._thread.join(_TO_STOP_S)

    def _run(self) -> None:
        pause_s = _EVERY_S
        while True:
            ending = self._stop.wait(pause_s)  # once more when it ends: the last words of the node
            try:
                self.turn()
                pause_s = _EVERY_S
            except RepositoryAway as away:
                pause_s = min(_AWAY_MOST_S, max(_AWAY_FIRST_S, pause_s * 2))
                self._say_away(str(away))
            except OSError as failed:
                pause_s = _AWAY_MOST_S
                self._say_away(f"{failed.strerror}: {self._files.folder}")
            if ending:
                self._drop()
                return

    def turn(self) -> int:
        """Send what is there; how many messages.

        Raises
        ------
        RepositoryAway
            It takes nothing now.
        OSError
            The files cannot be read, or where it stands cannot be written.
        """
        self._files.make()
        if not self._is_mine():
            return 0
        sent = 0
        if self._address is not None:
            while batch := self._next():
                lines, position = batch
                self._connect().send(lines)
                self._remember(*position)
                sent += len(lines)
                if self._away:
                    event("audit.sent_again", repository=self._called())
                    self._away = ""
        now = self._clock()
        if now - self._forgot_at > _FORGET_EVERY:
            self._forgot_at = now
            self._files.forget(now, self._keep, needed=None if self._address is None else self._position()[0])
        return sent

    def _next(self) -> tuple[list[bytes], tuple[str, int]] | None:
        """The next messages, and where they end; None when all are sent."""
        name, offset = self._position()
        days = [path for path in self._files.days() if path.name >= name]
        for path in days:
            start = offset if path.name == name else 0
            found = list(lines_from(path, start, _BATCH_BYTES))
            if not found and path != days[-1] and not self._files.ended(path, start):
                found = list(lines_from(path, start, _BATCH_BYTES))
            if found:
                # what a power loss cut short is no message
                return [line for line, _ in found if line.startswith(b"<AuditMessage") and line.endswith(b"</AuditMessage>")], (
                    path.name,
                    found[-1][1],
                )
        return None

    def _connect(self) -> Connection:
        assert self._address is not None, "only what has an address is sent"
        if self._connection is None:
            self._connection = Connection(self._address, self._tls)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _say_away(self, why: str) -> None:
        self._drop()
        if self._away != why:
            alarm("audit.away", repository=self._called(), reason=why)
        self._away = why

    def _called(self) -> str:
        return "" if self._address is None else f"{self._address.host}:{self._address.port}"

    def _is_mine(self) -> bool:
        if self._lock is None:
            lock = (self._files.folder / "sending.lock").open("w", encoding="ascii")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    @property
    def _standing(self) -> Path:
        return self._files.folder / "sent.json"

    def _position(self) -> tuple[str, int]:
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            said = json.loads(self._standing.read_text(encoding="ascii"))
            return str(said["file"]), int(said["offset"])
        return "", 0

    def _remember(self, name: str, offset: int) -> None:
        partial = self._standing.with_suffix(".part")
        with partial.open("w", encoding="ascii") as file:
            json.dump({"file": name, "offset": offset}, file)
            file.flush()
            os.fdatasync(file.fileno())
        partial.rename(self._standing)
