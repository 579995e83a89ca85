"""Receiving: each instance is a file in `coming` until it is flushed, and an entry of `inbox` from then on (ADR-0002, ADR-0015)."""

import contextlib
import errno
import itertools
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from node.blobs.encryption.encrypted_file import Encryptor
from node.blobs.files import FILE_MODE, WriterLock, flush_folder, write_parts
from node.dicom.part10 import received_head
from node.domain.errors import RefusedError
from node.domain.instance import Reception
from node.spool.deferred_flush import AcknowledgedInstance, DeferredFlush, SharedFlush, begin_to_write
from node.spool.entries import COMPLETE, WordSum, acknowledged_name
from node.spool.room import DiskFailed, NoRoom, Room

PARTIAL = ".part"
_BEGIN_BYTES = 1 << 20
"""Of an instance: a smaller one is on its disk no sooner for having been begun, and beginning takes a tenth of the processor time."""
_HEAD_SLACK_BYTES = 8192  # the file's own record on the disk
_UNSAFE = re.compile(r"[^0-9A-Za-z-]")


class SpoolReceiver:
    """Opens the files that instances are received into, and makes entries of them.

    Parameters
    ----------
    receiving, inbox
        Where instances lie before and after.
    room
        The marks that refuse them.
    deferring
        Instances are flushed after `keep` returned. Otherwise each is on the disk then, and is an entry (`kept` was called).
    deferred
        Flushes what was acknowledged before it was.
    encryptor
        Encrypts them; None: they lie as they came.
    kept
        Called after some became entries.
    """

    def __init__(
        self,
        receiving: Path,
        inbox: Path,
        room: Room,
        *,
        deferring: bool,
        deferred: DeferredFlush,
        encryptor: Encryptor | None,
        kept: Callable[[], None],
    ) -> None:
        self.room = room
        self.kept = kept
        self.deferring = deferring
        self.deferred = deferred
        self.encryptor = encryptor
        self.flush = SharedFlush(lambda: flush_folder(inbox))
        self._folder, self._inbox = str(receiving), str(inbox)  # paths are made for each instance, and Path takes its time
        self._writer = WriterLock(receiving)
        self._counter = itertools.count()
        self._expected: dict[str, tuple[int, str]] = {}
        """For each association that goes on, the open, empty file of its next instance."""

    def begin(self, reception: Reception) -> "ReceivingFile":
        """Open a file for one instance.

        Raises
        ------
        NoRoom, DiskFailed
            Nothing is kept, nothing is left behind.
        """
        if self.deferred.behind():
            raise DiskFailed("what was acknowledged before is not flushed yet")
        head = received_head(reception)
        try:
            self.room.take(_HEAD_SLACK_BYTES)
            name = self.name(reception.association)
            expected = self._expected.pop(reception.association, None)
            fd, partial = expected or self._opened(name)
            return ReceivingFile(self, fd, partial, name, head, reception.association)
        except OSError as failed:
            raise self.refusal(failed) from failed

    def expect(self, association: str) -> None:
        """Make the file of its next instance, which takes a tenth of what receiving one takes, while the sender prepares that instance."""
        if association not in self._expected:
            with contextlib.suppress(OSError):  # `begin` meets it again, and says so
                self._expected[association] = self._opened(self.name(association))

    def ended(self, association: str) -> None:
        """No instance of this association follows."""
        fd, partial = self._expected.pop(association, (-1, ""))
        if partial:
            with contextlib.suppress(OSError):
                os.close(fd)
                os.unlink(partial)

    def name(self, association: str) -> str:
        """The name of one more instance: times and counters of ours, in the order of arrival."""
        return f"{time.time_ns():020d}-{_UNSAFE.sub('', association)[:32]}-{os.getpid()}-{next(self._counter):09d}"

    def partial(self, name: str) -> str:
        """The file that an instance is written to."""
        return f"{self._folder}/{self._writer.named(f'{name}{PARTIAL}')}"

    def acknowledged_path(self, name: str, size: int, check: int) -> str:
        """The file of an instance from its acknowledgement to its flush."""
        return f"{self._folder}/{self._writer.named(acknowledged_name(name, size, check))}"

    def entry(self, name: str) -> str:
        """The entry that it becomes."""
        return f"{self._inbox}/{name}{COMPLETE}"

    def _opened(self, name: str) -> tuple[int, str]:
        path = self.partial(name)
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE), path

    def refusal(self, failed: OSError) -> NoRoom | DiskFailed:
        """What the sender is told; operators hear of it once, until the disk works again."""
        code = errno.errorcode.get(failed.errno or 0, "?")
        self.room.failed(f"the disk takes no instance: {failed.strerror} ({code})")
        if failed.errno in (errno.ENOSPC, errno.EDQUOT):
            return NoRoom("the disk is full")
        return DiskFailed(f"the disk did not take the instance: {failed.strerror}")


class ReceivingFile:
    """Writes one instance that is being received (`Incoming`)."""

    def __init__(self, receiver: SpoolReceiver, fd: int, partial: str, name: str, head: bytes, association: str) -> None:
        self._receiver = receiver
        self._fd = fd
        self._partial = partial
        self._name = name
        self._association = association
        self._size = 0
        self._begun = 0
        self._check = WordSum()
        self._kept = False
        self._head = head
        self._encrypting = None if receiver.encryptor is None else receiver.encryptor.begin()

    def write(self, *fragments: bytes | memoryview) -> None:
        """Append them, and have the disk begin with what has gathered."""
        try:
            self._append(fragments)
        except OSError as failed:
            self.abandon()
            raise self._receiver.refusal(failed) from failed
        except RefusedError:
            self.abandon()
            raise

    def _append(self, parts: Sequence[bytes | memoryview]) -> None:
        if self._fd < 0:
            raise OSError(errno.EBADF, "the instance was refused before")
        if self._head:
            parts, self._head = (self._head, *parts), b""
        if self._encrypting is not None:
            parts = [encrypted for part in parts for encrypted in self._encrypting.add(part)]
        size = sum(map(len, parts))
        self._receiver.room.take(size)
        write_parts(self._fd, parts)
        self._size += size
        if self._receiver.deferring:
            for part in parts:
                self._check.add(part)
        elif self._size - self._begun >= _BEGIN_BYTES:
            begin_to_write(self._fd, self._begun, self._size - self._begun)
            self._begun = self._size

    def keep(self) -> None:
        """Flush the bytes, name the entry, flush the name. `deferring`: name the file by its proof, to be flushed soon."""
        if self._kept:
            return
        if self._fd < 0:
            raise DiskFailed("the instance was refused before")
        if self._head:
            self.write()
        if self._encrypting is not None:
            last, self._encrypting = self._encrypting.end(), None
            self.write(last)
        if self._receiver.deferring:
            self._defer()
            return
        entry = self._receiver.entry(self._name)
        try:
            # fsync before 0x0000: after success the modality may delete its only copy
            os.fdatasync(self._fd)
            self._close()
            os.rename(self._partial, entry)
            self._receiver.flush.wait()
        except OSError as failed:
            # not durable, so not acknowledged, so it must not stay
            self._close()
            for path in (self._partial, entry):
                with contextlib.suppress(OSError):
                    os.unlink(path)
            raise self._receiver.refusal(failed) from failed
        self._kept = True
        self._receiver.room.worked()
        self._receiver.kept()

    def _defer(self) -> None:
        path, entry = self._receiver.acknowledged_path(self._name, self._size, self._check.value), self._receiver.entry(self._name)
        try:
            os.rename(self._partial, path)
        except OSError as failed:
            self.abandon()
            raise self._receiver.refusal(failed) from failed
        fd, self._fd, self._kept = self._fd, -1, True
        self._receiver.deferred.add(
            AcknowledgedInstance(
                association=self._association,
                fd=fd,
                path=path,
                entry=entry,
                size=self._size,
                check=self._check.value,
            )
        )

    def abandon(self) -> None:
        """Close and delete."""
        if self._fd < 0:
            return
        self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._partial)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # what a flush did not report, it does not add
                os.close(fd)
