"""The receiver's durable spool in a local folder: one Part 10 file an instance, which is its own journal entry (ADR-0002, ADR-0003)."""

import contextlib
import errno
import heapq
import itertools
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from node.blobs.errors import BlobsFailed, DiskFailed, NoRoom
from node.blobs.files import FILE_MODE, flush_folder, in_folder, make_folder, write_all, write_flushed
from node.blobs.folder import ASIDE, COMING, INBOX
from node.blobs.lives import Writer, sweep
from node.blobs.part10 import part10
from node.dimse.port import Incoming, Reception
from node.observe.events import alarm, event

__all__ = ["FolderInbox", "part10"]

_COMPLETE = ".dcm"
_CHUNK_BYTES = 1 << 20
_PARTIAL = ".part"
_SLACK_BYTES = 8192
_UNSAFE = re.compile(r"[^0-9A-Za-z-]")


class FolderInbox:
    """`inbox` in the folder of the blobs, so that settling an entry is a rename. Several processes may keep and empty it at once.

    What a killed receiver left half-written, none of it acknowledged, is swept when an inbox is opened.

    Names are times and counters of ours; nothing that a sender says is ever part of a path.
    """

    def __init__(self, root: Path, *, min_free_bytes: int) -> None:
        self._root = root
        self._folder = root / INBOX
        self._coming = root / COMING
        self._writer = Writer(self._coming)
        self._min_free_bytes = min_free_bytes
        self._counter = itertools.count()
        try:
            for folder in (self._folder, self._coming):
                make_folder(folder)
            swept = sweep(self._coming)
        except OSError as failed:
            raise BlobsFailed(f"the inbox in {root} cannot be used: {failed.strerror}") from failed
        if swept:
            event("inbox.swept", half_written=swept)

    # ---- the listener's side
    def crowded(self) -> str | None:
        """There is room for associations while there is room for instances."""
        return None

    def begin(self, reception: Reception) -> Incoming:
        """Open a file for one instance.

        Raises
        ------
        NoRoom, DiskFailed
            Nothing is kept, nothing is left behind.
        """
        try:
            self._assure_room(0)
            name = self._name(reception.association)
            return _File(self, self._writer.path(f"{name}{_PARTIAL}"), self._folder / f"{name}{_COMPLETE}", part10(reception))
        except OSError as failed:
            raise _refusal(failed) from failed

    def ended(self, association: str) -> None:
        """Every instance was flushed before it was answered."""

    def _assure_room(self, more: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free - more < self._min_free_bytes:
            raise NoRoom(f"an instance would leave less than {self._min_free_bytes} of {free} bytes")

    def _name(self, association: str) -> str:
        return f"{time.time_ns():020d}-{_UNSAFE.sub('', association)[:32]}-{os.getpid()}-{next(self._counter):09d}"

    # ---- the index's side
    def waiting(self, limit: int) -> list[Path]:
        """Complete entries, the oldest first."""
        with os.scandir(self._folder) as entries:
            names = heapq.nsmallest(limit, (one.name for one in entries if one.name.endswith(_COMPLETE)))
        return [self._folder / name for name in names]

    def publish(self, moves: Sequence[tuple[Path, str]]) -> None:
        """Nothing to do: settling is a rename."""

    def settle(self, entry: Path, name: str) -> None:
        """Rename an entry to its blob. Not flushed: should a power loss undo it, the entry is back and its row knows the name."""
        target = self._root.joinpath(*PurePosixPath(name).parts)
        try:
            if not entry.exists() and target.exists():
                return  # settled before
            in_folder(target.parent, lambda: os.rename(entry, target))
        except FileNotFoundError as absent:
            raise BlobsFailed(f"inbox entry {entry.name} is gone, and {name} is not there") from absent
        except OSError as failed:
            raise BlobsFailed(f"inbox entry {entry.name} cannot become {name}: {failed.strerror}") from failed

    def set_aside(self, entry: Path, reason: str) -> Path:
        """Move an entry to `aside`, its reason beside it as text; the reason first, so that nothing lies there unexplained."""
        folder = self._root / ASIDE
        kept = folder / entry.name
        note = kept.with_suffix(".txt")
        try:
            make_folder(folder)
            note.unlink(missing_ok=True)
            write_flushed(note, [f"{reason}\n".encode()])
            if entry.exists() or not kept.exists():
                os.rename(entry, kept)
            flush_folder(folder)
        except OSError as failed:
            raise BlobsFailed(f"inbox entry {entry.name} cannot be set aside: {failed.strerror}") from failed
        return kept

    def take_back(self, file: Path) -> None:
        """Copy, flush, rename, flush the folder."""
        name = self._name("back")
        try:
            partial, entry = self._writer.path(f"{name}{_PARTIAL}"), self._folder / f"{name}{_COMPLETE}"
            with file.open("rb") as content:
                write_flushed(partial, iter(lambda: content.read(_CHUNK_BYTES), b""))
            partial.rename(entry)
            flush_folder(self._folder)
        except OSError as failed:
            raise BlobsFailed(f"{file.name} cannot be taken back into the inbox: {failed.strerror}") from failed

    def drop(self, entry: Path) -> None:
        """Delete an entry; an absent one is no error."""
        try:
            entry.unlink(missing_ok=True)
        except OSError as failed:
            raise BlobsFailed(f"inbox entry {entry.name} cannot be deleted: {failed.strerror}") from failed


class _File:
    """One instance on its way: a file in `coming`, which becomes an entry."""

    def __init__(self, inbox: FolderInbox, partial: Path, entry: Path, head: bytes) -> None:
        self._inbox = inbox
        self._partial = partial
        self._entry = entry
        self._fd = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
        try:
            write_all(self._fd, head)
        except BaseException:
            self.abandon()
            raise

    def write(self, fragment: bytes | memoryview) -> None:
        """Append it."""
        try:
            self._inbox._assure_room(len(fragment) + _SLACK_BYTES)
            write_all(self._fd, fragment)
        except OSError as failed:
            self.abandon()
            raise _refusal(failed) from failed
        except NoRoom:
            self.abandon()
            raise

    def keep(self) -> None:
        """Flush, rename, flush the folder; then 0x0000 may be answered."""
        if self._fd < 0:
            return
        try:
            os.fdatasync(self._fd)
            self._close()
            self._partial.rename(self._entry)
            flush_folder(self._entry.parent)
        except OSError as failed:
            # not durable, so not acknowledged, so it must not stay
            self._close()
            for path in (self._partial, self._entry):
                with contextlib.suppress(OSError):
                    path.unlink()
            raise _refusal(failed) from failed

    def abandon(self) -> None:
        """Close and delete."""
        if self._fd < 0:
            return
        self._close()
        with contextlib.suppress(OSError):
            self._partial.unlink()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _refusal(failed: OSError) -> NoRoom | DiskFailed:
    alarm("inbox.failed", errno=errno.errorcode.get(failed.errno or 0, "?"), reason=failed.strerror)
    if failed.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom("the disk is full")
    return DiskFailed(f"the disk did not take the instance: {failed.strerror}")
