"""Room on the disk for more instances: the marks of the disk and of the spool, and what crossing one means for senders.

Two marks, so that work gives way in order: below the higher one no association is admitted any more, those that stand go on; below the
lower one (`min_free`) each instance is refused. Associations are admitted again only a little above the mark that stopped them.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from node.blobs.files import Place, flush_folder
from node.domain.errors import RefusedError
from node.observe import metrics
from node.observe.events import alarm, event
from node.settings.kinds import sizes
from node.settings.store import CROWDED

_ROOMY = 1.2  # of `min_free`: from it on they are again
AHEAD_BYTES = 4 * 2**20
"""How much a process takes without looking again, as long as there is plenty: what several processes took so before the last of the room
was given away is the most that `min_free` can be fallen short of."""
_PLENTY_BYTES = 64 * AHEAD_BYTES
_VALID_S = 0.25  # how long it may do so
_LOOK_EVERY_S = 1.0
_COUNT_EVERY_S = 5.0
_PROBE_EVERY_S = 0.2
_CALM_S = 2.0
"""So long nothing must have been refused: acknowledged instances are flushed again every second; it may fail where other writes do not."""
_RELIEVED = 0.9  # of `most_waiting`
_PROBE = b"\0" * 65536
_LEAST_INODES = 1000


class NoRoom(RefusedError):
    """The disk of the blobs is full, or fuller than the configuration allows."""

    code = "HLM-1001"
    remedy = "Free space on the disk of `store: blobs`, or lower `min_free`; senders keep their instances and try again."
    status = 0xA700


class DiskFailed(RefusedError):
    """The disk of the blobs could not take an instance."""

    code = "HLM-1002"
    remedy = "Look at the disk of `store: blobs` (`hilum doctor`, the system's log); senders keep their instances and try again."
    status = 0xA700


class Room:
    """Tells whether a spool has room, as one process knows it; asked from many threads.

    Parameters
    ----------
    receiving, inbox
        Folders of the spool, on one file system.
    min_free_bytes
        What must stay free on it.
    places
        What must stay what it is: an instance that lands elsewhere is lost.
    most_waiting
        With more entries in the inbox no association is admitted: it is not emptied, or too slowly.
    """

    def __init__(self, receiving: Path, inbox: Path, *, min_free_bytes: int, most_waiting: int, places: Sequence[Place] = ()) -> None:
        self._receiving, self._inbox = receiving, inbox
        self._places = tuple(places)
        self._min_free_bytes = min_free_bytes
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._allowed = 0
        self._until = float("-inf")
        self._counted = float("-inf")
        self._looked = float("-inf")
        self._probed = float("-inf")
        self._failed_at = float("-inf")
        self._troubles: dict[str, str] = {}
        self._told = False

    # ---- for instances
    def take(self, size: int) -> None:
        """Room for `size` more bytes, which are written now; mostly a subtraction.

        Raises
        ------
        NoRoom
            Less than `min_free` would be left.
        DiskFailed
            A place of the store is not what it was.
        """
        if why := self._elsewhere():
            raise DiskFailed(why)
        with self._lock:
            if size > self._allowed or time.monotonic() > self._until:
                free = self._look()
                if free - size < self._min_free_bytes:
                    self._allowed = 0
                    there, least = sizes(free, self._min_free_bytes)
                    raise NoRoom(f"{there} of the disk are free, and an instance would leave less than min_free, {least}")
                plenty = free - size - self._min_free_bytes > _PLENTY_BYTES
                self._allowed = size + (AHEAD_BYTES if plenty else 0)
            self._allowed -= size

    def failed(self, why: str) -> None:
        """The disk refused a write; no association is admitted until it takes one."""
        with self._lock:
            self._troubles["disk"] = why
            self._failed_at = time.monotonic()
            self._allowed = 0
            self._tell()

    def worked(self) -> None:
        """An instance is on the disk."""
        if "disk" in self._troubles:
            with self._lock:
                self._troubles.pop("disk", None)
                self._tell()

    # ---- for associations
    def crowded(self) -> str | None:
        """Why no association may be admitted now; None: there is room."""
        if (why := self._elsewhere()) or "place" in self._troubles:
            with self._lock:
                self._troubles["place"] = why
                if not why:
                    del self._troubles["place"]
                self._tell()
        with self._lock:
            if time.monotonic() - self._looked > _LOOK_EVERY_S or self._troubles:
                with contextlib.suppress(OSError):
                    self._look()
                self._probe()
            return "; ".join(self._troubles.values()) or None

    def _elsewhere(self) -> str:
        """Why an instance would land where no process looks for it; "" while every place is what it was."""
        return next((why for one in self._places if (why := one.why())), "")

    # ---- looking, the lock held
    def _look(self) -> int:
        """Free bytes, for a user that is not root; marks are compared with what is there."""
        status = os.statvfs(self._receiving)
        free = status.f_bavail * status.f_frsize
        self._looked = time.monotonic()
        self._until = self._looked + _VALID_S
        if status.f_files and status.f_favail < _LEAST_INODES:
            self._troubles["room"] = f"the disk has room for {status.f_favail} files only"
        elif free < self._min_free_bytes * (_ROOMY if "room" in self._troubles else CROWDED):
            there, least = sizes(free, self._min_free_bytes)
            self._troubles["room"] = f"{there} of the disk are free, and min_free is {least}"
        else:
            self._troubles.pop("room", None)
        if self._looked - self._counted > (_LOOK_EVERY_S if "waiting" in self._troubles else _COUNT_EVERY_S):
            self._count()
        self._tell()
        return free

    def _count(self) -> None:
        self._counted = time.monotonic()
        waiting = len(os.listdir(self._inbox))
        if waiting > self._most_waiting * (_RELIEVED if "waiting" in self._troubles else 1):
            self._troubles["waiting"] = f"{waiting} instances wait to be journaled, and most_waiting is {self._most_waiting}"
        else:
            self._troubles.pop("waiting", None)

    def _probe(self) -> None:
        """Whether the disk takes a write again that refused one."""
        if "disk" not in self._troubles or time.monotonic() - self._probed < _PROBE_EVERY_S:
            return
        self._probed = time.monotonic()
        path = self._receiving / f"{uuid.uuid4().hex}.probe"
        try:
            try:
                fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
                try:
                    whole = os.write(fd, _PROBE) == len(_PROBE)
                    os.fdatasync(fd)
                    flush_folder(self._inbox)  # names are flushed too
                    if whole and self._probed - self._failed_at >= _CALM_S:
                        self._troubles.pop("disk")
                finally:
                    os.close(fd)
            finally:
                path.unlink(missing_ok=True)
        except OSError as still:
            self._troubles["disk"] = f"the disk takes no instance: {still.strerror}"
            self._failed_at = self._probed
        self._tell()

    def _tell(self) -> None:
        """Operators hear of each change, not of each sender."""
        crowded = bool(self._troubles)
        if crowded == self._told:
            return
        self._told = crowded
        metrics.CROWDED.set(int(crowded))
        if crowded:
            alarm("intake.crowded", reason="; ".join(self._troubles.values()))
        else:
            event("intake.roomy")
