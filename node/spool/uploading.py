"""Uploading inbox, where the blobs are shared: an entry is uploaded, then journaled, and only then leaves this host's disk."""

import contextlib
import mmap
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node.blobs.encryption.decrypted import FileEncryption
from node.blobs.port import BlobDiffers, BlobsFailed, SharedBlobs
from node.domain.errors import JournalError
from node.observe.events import event
from node.spool.inbox import FolderInbox

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
