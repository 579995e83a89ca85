"""The audit trail: its files, and the thread of a process that brings messages to them.

The files are one a UTC day, one message a line, private, flushed before a writer goes on; several processes append. They are the archive
where the trail goes to a file, and the spool where it goes to a repository: what was not sent lies there.
"""

import contextlib
import fcntl
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from node.domain.errors import JournalError
from node.observe.audit.message import Message, Source, xml
from node.observe.events import alarm
from node.observe.security import AuditResumed, tell

_NAME = re.compile(r"audit-(\d{4}-\d{2}-\d{2})\.xml")
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


class AuditUnwritable(JournalError):
    """The audit trail's files cannot be written: what there is to tell waits in the journal's history."""

    code = "HLM-7055"
    remedy = "Look at the disk of `audit: {folder: …}`: it needs room, and has to belong to the user that the node runs as."


@contextlib.contextmanager
def unwritable(what: str = "") -> Iterator[None]:
    """Refuse with AuditUnwritable where the disk does not take the trail; `what` begins the sentence."""
    try:
        yield
    except OSError as failed:
        raise AuditUnwritable(f"{what}the audit trail cannot be written: {failed.strerror}") from failed


class AuditFiles:
    """The folder of the trail. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> None:
        """Make the folder if need be."""
        new = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        if new and os.geteuid() == 0:
            about = self.folder.parent.stat()
            os.chown(self.folder, about.st_uid, about.st_gid)

    def append(self, lines: Sequence[bytes], now: datetime) -> None:
        """Append whole lines to today's file, on disk when it returns; to the newest one, where the clock went back since it was begun:
        who reads the files in their order is through with those before.

        A line that a power loss cut short is ended first, so that it spoils no other. What root begins is of whom the folder is:
        the node's user goes on.
        """
        today = self.folder / f"audit-{now.astimezone(UTC):%Y-%m-%d}.xml"
        path = max([today, *self.days()[-1:]])
        new = not path.exists()
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if new and os.geteuid() == 0:
                about = self.folder.stat()
                os.fchown(fd, about.st_uid, about.st_gid)
            if path != max(self.days(), default=path):
                # midnight, and another process was faster
                self.append(lines, now)
                return
            size = os.fstat(fd).st_size
            whole = size == 0 or os.pread(fd, 1, size - 1) == b"\n"
            left = memoryview((b"" if whole else b"\n") + b"".join(line + b"\n" for line in lines))
            try:
                while left:
                    left = left[os.write(fd, left) :]
            except OSError:
                os.ftruncate(fd, size)  # the disk is full: all of it later, rather than half of it now
                raise
            os.fdatasync(fd)
        finally:
            os.close(fd)
        if new:
            here = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(here)
            finally:
                os.close(here)

    def days(self) -> list[Path]:
        """The files, the oldest first."""
        return sorted(path for path in self.folder.glob("audit-*.xml") if _NAME.fullmatch(path.name))

    def ended(self, path: Path, offset: int) -> bool:
        """Whether nothing stands behind `offset` and, as a newer file is there, nothing ever will."""
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # whoever was about to append has done so
            return next(lines_from(path, offset, 1), None) is None

    def forget(self, now: datetime, keep: timedelta, *, needed: str | None) -> int:
        """Delete the files whose day is over for `keep`, but from the file `needed` on, which has not been sent; how many."""
        oldest = (now.astimezone(UTC) - keep).date()
        gone = [path for path in self.days() if _day(path) < oldest and (needed is None or path.name < needed)]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)


def lines_from(path: Path, offset: int, most: int) -> Iterator[tuple[bytes, int]]:
    """Complete lines from `offset` on, each with the offset behind it; up to `most` bytes, but one line at least."""
    with path.open("rb") as file:
        file.seek(offset)
        read = 0
        while read == 0 or read < most:
            line = file.readline()
            if not line.endswith(b"\n"):
                return
            read += len(line)
            offset += len(line)
            yield line[:-1], offset


def _day(path: Path) -> date:
    found = _NAME.fullmatch(path.name)
    assert found is not None, f"{path.name} is a file of the trail"
    return date.fromisoformat(found[1])


_MOST_WAITING = 10_000
_TRY_AGAIN_S = 1.0
_TO_CLOSE_S = 10.0


@dataclass(slots=True)
class _FlushAsked:
    """Somebody waits until everything before this is on disk."""

    done: threading.Event


class Trail:
    """Messages on their way to the files.

    `tell` costs the caller a queue's lock and never waits: of 10,000 messages that the disk has not taken the next is dropped, and
    counted. `write` returns once the messages are on disk.

    Parameters
    ----------
    clock
        Aware UTC now.
    """

    def __init__(self, folder: Path, source: Source, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.source = source
        self._files = AuditFiles(folder)
        self._clock = clock
        self._waiting: queue.Queue[Message | _FlushAsked | None] = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._failing = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def files(self) -> AuditFiles:
        """Where it is kept."""
        return self._files

    def tell(self, message: Message) -> None:
        """Hand a message over; it is on disk a moment later."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._dropped += 1

    def write(self, messages: Sequence[Message]) -> None:
        """Bring messages to disk before going on. OSError when the disk does not take them: none of them is there then."""
        if messages:
            self._files.make()
            self._files.append([xml(message, self.source) for message in messages], self._clock())

    def flush(self, timeout_s: float) -> bool:
        """Whether everything that was told before is on disk within so long."""
        asked = _FlushAsked(done=threading.Event())
        try:
            self._waiting.put(asked, timeout=timeout_s)
        except queue.Full:
            return False
        return asked.done.wait(timeout_s)

    def close(self) -> None:
        """Bring what waits to disk, and end; a disk that takes nothing is waited for ten seconds."""
        self._closing.set()
        try:
            self._waiting.put(None, timeout=_TO_CLOSE_S)
        except queue.Full:
            return
        self._thread.join(_TO_CLOSE_S)

    def _run(self) -> None:
        ending = False
        while not ending:
            batch: list[Message | _FlushAsked | None] = [self._waiting.get()]
            while len(batch) < _MOST_WAITING:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            ending = None in batch
            self._keep([one for one in batch if isinstance(one, Message)])
            for one in batch:
                if isinstance(one, _FlushAsked):
                    one.done.set()

    def _keep(self, messages: list[Message]) -> None:
        """Write until the disk takes it: what was told is lost only with the process."""
        while messages:
            try:
                self.write(messages)
            except OSError as failed:
                if not self._failing:
                    alarm("audit.failed", reason=str(failed.strerror), messages=len(messages))
                self._failing = True
                if self._closing.is_set():
                    return
                time.sleep(_TRY_AGAIN_S)
            else:
                messages = []
                if self._failing:
                    self._failing = False
                    tell(AuditResumed(dropped=self._dropped))
                    self._dropped = 0
