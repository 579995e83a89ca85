"""Inbox of acknowledged instances in a local folder: one Part 10 file an instance, which is its own journal entry (ADR-0002, ADR-0003).

The process that opens a spool makes entries of acknowledged instances that ended receivers left in `coming`. After a power loss some of
those may be cut off or have holes: length and checksum in their names tell, and no torn one is ever presented as whole. Where the blobs are
shared an entry is uploaded, then journaled, and only then leaves this host's disk.
"""

import contextlib
import heapq
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath

from node.blobs.encryption.decrypted import FileEncryption
from node.blobs.files import DurableFolders, Place, flush_folder, left_by_ended, make_folder, write_flushed
from node.blobs.folder import ASIDE, INBOX, RECEIVING
from node.blobs.port import BlobDiffers, BlobsFailed, SharedBlobs
from node.dimse.port import Incoming
from node.domain.errors import JournalError, is_of_the_file
from node.domain.instance import Reception
from node.observe.events import alarm, event
from node.settings.store import Durability
from node.spool.deferred_flush import FLUSHED_AFTER_S, DeferredFlush
from node.spool.entries import ACKNOWLEDGED, ACKNOWLEDGED_NAME, COMPLETE, WordSum, acknowledged, association_of, listed, name_without_token
from node.spool.receiving import SpoolReceiver
from node.spool.room import Room

_CHUNK_BYTES = 1 << 20


def recover(receiving: Path, inbox: Path, aside: Path) -> None:
    """Recover what ended receivers left in `receiving`: whole instances that were acknowledged become entries, the rest is deleted.

    One that the disk does not give back lies in `aside` from then on, under the name that proves it, and holds up no other.
    """
    whole = torn = swept = 0
    for paths in left_by_ended(receiving):
        for path in paths:
            match = ACKNOWLEDGED_NAME.fullmatch(path.name)
            try:
                if match is None:
                    swept += _deleted(path)
                elif _is_whole(path, int(match["size"], 16), int(match["check"], 16)):
                    with contextlib.suppress(FileNotFoundError):  # another process recovered it
                        os.rename(path, inbox / f"{match['name']}{COMPLETE}")
                    whole += 1
                else:
                    torn += _deleted(path)
            except OSError as failed:
                if not is_of_the_file(failed):
                    raise
                _set_aside(path, aside, failed, acknowledged=match is not None)
    if whole:
        flush_folder(inbox)
        event("inbox.taken_up", instances=whole)
    if torn:
        alarm("inbox.torn", instances=torn)
    if swept:
        event("inbox.swept", half_written=swept)


def _set_aside(path: Path, aside: Path, failed: OSError, *, acknowledged: bool) -> None:
    """Out of the way, and told; what cannot even be renamed, and a half one, stay until the spool is opened again."""
    with contextlib.suppress(OSError):
        if acknowledged:
            make_folder(aside)
            os.rename(path, aside / path.name)
            flush_folder(aside)
    alarm("inbox.unreadable", entry=path.name, code=BlobsFailed.code, reason=failed.strerror, acknowledged=acknowledged)


def _deleted(path: Path) -> int:
    try:
        path.unlink()
    except FileNotFoundError:
        return 0
    return 1


def _is_whole(path: Path, size: int, check: int) -> bool:
    """Whether every byte is there, and no more; then they are flushed too."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if os.fstat(fd).st_size != size:
            return False
        found = WordSum()
        while chunk := os.read(fd, _CHUNK_BYTES):
            found.add(chunk)
        if found.value != check:
            return False
        try:
            os.fdatasync(fd)
        except OSError as failed:  # it can be read, and is no entry before it is flushed
            raise BlobsFailed(f"acknowledged instances cannot be flushed: {failed.strerror}") from failed
        return True
    finally:
        os.close(fd)


_MOST_WAITING = 100_000


class FolderInbox:
    """Keeps acknowledged instances in `inbox` of the blobs' folder, so that moving one to the blobs is a rename.

    Several processes may use it at once.

    What receivers that ended left in `coming` is recovered when a spool is opened: acknowledged instances become entries, halves are
    deleted.

    Names are times and counters of ours; nothing that a sender says is ever part of a path.

    Parameters
    ----------
    root
        The folder that the spool lies in.
    min_free_bytes, most_waiting
        The marks beyond which instances are refused, and associations not admitted.
    durability
        What is on disk when `keep` returns.
    kept
        Called when instances became entries, from whatever thread.
    encryption
        What entries are encrypted with; None: they lie here as they came.
    beside
        Other places of the store: while one is not what it is now, nothing is taken in.
    """

    def __init__(
        self,
        root: Path,
        *,
        min_free_bytes: int,
        most_waiting: int = _MOST_WAITING,
        durability: Durability = Durability.EACH,
        kept: Callable[[], None] = lambda: None,
        encryption: FileEncryption | None = None,
        beside: Sequence[Path] = (),
    ) -> None:
        self._root = root
        self._encryption = encryption
        self._folder = root / INBOX
        self._receiving = root / RECEIVING
        self._durable = DurableFolders(root)
        try:
            for folder in (self._folder, self._receiving):
                make_folder(folder)
            recover(self._receiving, self._folder, root / ASIDE)
        except OSError as failed:
            raise BlobsFailed(f"the inbox in {root} cannot be used: {failed.strerror}") from failed
        self._room = Room(
            self._receiving,
            self._folder,
            min_free_bytes=min_free_bytes,
            most_waiting=most_waiting,
            places=(*map(Place, beside), Place(root)),
        )
        self._receiver = SpoolReceiver(
            self._receiving,
            self._folder,
            self._room,
            deferring=durability is Durability.ASSOCIATION,
            deferred=DeferredFlush(self._folder, after_s=FLUSHED_AFTER_S, kept=kept, failed=self._room.failed, worked=self._room.worked),
            encryptor=None if encryption is None else encryption.encryptor,
            kept=kept,
        )

    # ---- the listener's side
    def crowded(self) -> str | None:
        """Why no association may be admitted now: too little room, too many entries, or a disk that fails."""
        return self._room.crowded()

    def begin(self, reception: Reception) -> Incoming:
        """Open a file for one instance.

        Raises
        ------
        NoRoom, DiskFailed
            Nothing is kept, nothing is left behind.
        """
        return self._receiver.begin(reception)

    def expect(self, association: str) -> None:
        """Make a file for its next instance."""
        self._receiver.expect(association)

    def ended(self, association: str) -> bool:
        """Flush what this association was told 0x0000 for; whether the disk took all of it."""
        self._receiver.ended(association)
        return self._receiver.deferred.flush(association) if self._receiver.deferring else True

    def close(self) -> None:
        """Flush and name everything that was acknowledged."""
        self._receiver.deferred.flush()

    # ---- the index's side
    def waiting(self, limit: int) -> list[Path]:
        """Complete entries, the oldest first."""
        with listed(self._folder) as entries:
            names = heapq.nsmallest(limit, (one.name for one in entries if one.name.endswith(COMPLETE)))
        return [self._folder / name for name in names]

    def association_of(self, entry: Path) -> str:
        """See the port."""
        return association_of(entry.name)

    def opened(self, entry: Path) -> AbstractContextManager[Path]:
        """See the port."""
        return nullcontext(entry) if self._encryption is None else self._encryption.opened(entry)

    def oldest(self) -> Path | None:
        """The oldest instance that was acknowledged and is no blob yet."""
        # in this order: what is flushed meanwhile is found where it went
        return min((*acknowledged(self._receiving)[:1], *self.waiting(1)), key=lambda path: name_without_token(path.name), default=None)

    def acknowledged(self) -> list[Path]:
        """See the port."""
        return acknowledged(self._receiving)

    def publish(self, moves: Sequence[tuple[Path, str]]) -> None:
        """Nothing to do: moving is a rename."""

    def move_to_blobs(self, entry: Path, name: str) -> None:
        """Rename an entry to its blob, in a folder that is durable. The rename itself is not flushed: should a power loss undo it, the
        entry is back and its row knows the name."""
        target = self._root.joinpath(*PurePosixPath(name).parts)

        def move() -> None:
            try:
                os.rename(entry, target)
            except FileNotFoundError as absent:
                if entry.exists():
                    raise  # the folder went
                if not target.exists():
                    raise BlobsFailed(f"inbox entry {entry.name} is gone, and {name} is not there") from absent

        try:
            self._durable.act(target.parent, move)
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

    def asides(self) -> list[Path]:
        """See the port."""
        return sorted(path for path in (self._root / ASIDE).glob("*") if path.suffix in (COMPLETE, ACKNOWLEDGED))

    def drop_aside(self, kept: Path) -> None:
        """See the port."""
        try:
            kept.unlink(missing_ok=True)
            kept.with_suffix(".txt").unlink(missing_ok=True)
        except OSError as failed:
            raise BlobsFailed(f"{kept.name} cannot be deleted: {failed.strerror}") from failed

    def take_back(self, file: Path) -> None:
        """Copy, flush, rename, flush the folder."""
        try:
            name = self._receiver.name("")  # over no association
            partial, entry = Path(self._receiver.partial(name)), Path(self._receiver.entry(name))
            with file.open("rb") as content:
                parts = iter(lambda: content.read(_CHUNK_BYTES), b"")
                write_flushed(partial, parts if self._encryption is None else self._encryption.encryptor.encrypted(parts))
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


_AT_ONCE = 8


class UploadingInbox(FolderInbox):
    """Keeps acknowledged instances in a folder of this host's own, and uploads them to blobs that several hosts share.

    An entry stays here until its bytes are with the others and its row is committed: a host that fails with entries in its spool has lost
    none, and goes on with them when it returns. No other host ever sees a spool.
    """

    def __init__(self, root: Path, shared: SharedBlobs, *, min_free_bytes: int, encryption: FileEncryption | None = None) -> None:
        super().__init__(root, min_free_bytes=min_free_bytes, encryption=encryption)
        self._shared = shared

    def publish(self, moves: Sequence[tuple[Path, str]]) -> None:
        """Upload all, several at once; the first failure ends it.

        Raises
        ------
        JournalError
            One could not be uploaded; those that were need not be again.
        """
        failed = threading.Event()

        def upload(entry: Path, name: str) -> None:
            if failed.is_set():
                return
            try:
                self._upload(entry, name)
            except JournalError:
                failed.set()
                raise

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="upload") as uploads:
            pending = [uploads.submit(upload, entry, name) for entry, name in moves]
        for one in pending:
            one.result()

    def _upload(self, entry: Path, name: str) -> None:
        try:
            with entry.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                view = memoryview(content)
                try:
                    self._shared.upload(name, view)
                except BlobDiffers:
                    # the name is the digest of the data set: another host received the same, under another head of its file
                    event("spool.twin", entry=entry.name, blob=name)
                finally:
                    view.release()
        except FileNotFoundError as gone:
            raise BlobsFailed(f"spool entry {entry.name} is gone") from gone
        except OSError as broken:
            raise BlobsFailed(f"spool entry {entry.name} cannot be read: {broken.strerror}") from broken

    def move_to_blobs(self, entry: Path, name: str) -> None:
        """Let go of an entry that is uploaded and journaled; it becomes this host's copy if it can."""
        with contextlib.suppress(OSError):
            self._shared.keep_copy(entry, name)
        self.drop(entry)
