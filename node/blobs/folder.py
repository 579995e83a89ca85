"""Blobs in a local folder: a name is a path below it."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path, PurePosixPath

from node.blobs.files import DurableFolders, Place, WriterLock, delete_left, flush_folder, make_folder, write_flushed
from node.blobs.port import BlobDiffers, BlobsFailed, BlobsGone

INBOX = "inbox"
RECEIVING = "coming"
COMMITMENT = "slips"
SHORTFALLS = "owed"
ASIDE = "aside"
PARTIAL = "partial"
CACHE = "cache"
HOLD = "hold"
KEYS = "sealed"
OURS = (INBOX, RECEIVING, COMMITMENT, SHORTFALLS, ASIDE, PARTIAL, CACHE, HOLD, KEYS)
_CHUNK_BYTES = 1 << 20


class FolderBlobs:
    """Keeps blobs in a folder. `coming`, `inbox` and `aside` in it are the receiver's spool, `partial` holds what is being written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._partial = root / PARTIAL
        self._durable = DurableFolders(root)
        self._writer = WriterLock(self._partial)
        try:
            make_folder(self._partial)
            delete_left(self._partial)
            self._place = Place(root)
        except OSError as failed:
            raise BlobsFailed(f"the folder of the blobs, {root}, cannot be used: {failed.strerror}") from failed

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Write elsewhere, flush, link, flush the folder.

        Raises
        ------
        BlobDiffers
            Other bytes lie under this name.
        BlobsFailed
            The disk is full or broken.
        """
        path = self.path(name)
        try:
            try:
                os.utime(path)  # written now: no sweep may take it for something that was left behind long ago
                flush_folder(path.parent)  # its writer may have been killed, or its disk have failed, before its name was durable
            except FileNotFoundError:
                self._put(path, data)
        except OSError as failed:
            raise BlobsFailed(f"blob {name} cannot be written: {failed.strerror}") from failed
        if not _holds(path, memoryview(data)):
            raise BlobDiffers(f"blob {name} holds other bytes than the {len(data)} that were to be put there")

    def _put(self, path: Path, data: bytes | memoryview) -> None:
        partial = self._writer.path(uuid.uuid4().hex)
        try:
            write_flushed(partial, [data])
            # a link, where a rename would replace what another process put there in the meantime
            with contextlib.suppress(FileExistsError):
                self._durable.act(path.parent, lambda: os.link(partial, path))
            flush_folder(path.parent)
        finally:
            partial.unlink(missing_ok=True)

    def upload(self, name: str, data: bytes | memoryview) -> None:
        """`put`: the folder is where the others read."""
        self.put(name, data)

    def keep_copy(self, file: Path, name: str) -> None:
        """The folder has it; no copy is needed."""

    def path(self, name: str) -> Path:
        """The file of a blob, whether it is there or not.

        Raises
        ------
        BlobsGone
            The folder is not the one that was opened: nothing in it is taken for absent.
        """
        self._demand()
        parts = PurePosixPath(name).parts
        assert parts, "a blob has a name"
        assert not name.startswith("/"), f"{name!r} is no relative path"
        assert ".." not in parts, f"{name!r} leaves the folder"
        assert parts[0] not in OURS, f"{name!r} lies where no blob does"
        return self._root.joinpath(*parts)

    def paths(self, names: Sequence[str]) -> list[Path]:
        """See the port."""
        return [self.path(name) for name in names]

    def has(self, name: str) -> bool:
        """Whether the file is there."""
        return self.path(name).exists()

    def hold(self) -> AbstractContextManager[None]:
        """Files stay where they are; nothing to do."""
        return nullcontext()

    def flush(self, names: Iterable[str]) -> None:
        """The bytes of all, then the names of their folders."""
        folders: dict[Path, None] = {}
        try:
            for path in map(self.path, names):
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                try:
                    os.fdatasync(fd)
                finally:
                    os.close(fd)
                folders[path.parent] = None
            for folder in folders:
                flush_folder(folder)
        except OSError as failed:
            raise BlobsFailed(f"blobs in {self._root} cannot be flushed: {failed.strerror}") from failed

    def delete(self, name: str) -> None:
        """Unlink, and remove folders that this emptied. Not flushed: the caller has a tombstone and may delete again."""
        path = self.path(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as failed:
            raise BlobsFailed(f"blob {name} cannot be deleted: {failed.strerror}") from failed
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except OSError:
                return  # something else lies in it

    def names(self, prefix: str = "", *, written_before: datetime | None = None) -> Iterator[str]:
        """Walk the folder, or the one that all names with `prefix` lie in."""
        self._demand()
        for folder, folders, files in os.walk(self._root.joinpath(*PurePosixPath(prefix.rpartition("/")[0]).parts)):
            here = Path(folder).relative_to(self._root)
            if here == Path():
                folders[:] = [one for one in folders if one not in OURS]
            for file in files:
                name = (here / file).as_posix()
                if name.startswith(prefix) and (written_before is None or _written(Path(folder) / file) < written_before.timestamp()):
                    yield name

    def _demand(self) -> None:
        if why := self._place.why():
            raise BlobsGone(why)

    def used_share(self) -> float:
        """How full the file system is, 0 to 1, of what the node's user may write at all."""
        usage = shutil.disk_usage(self._root)
        return usage.used / (usage.used + usage.free)

    def sweep(self) -> int:
        """There are no copies."""
        return 0


def _written(path: Path) -> float:
    """When a file was written; a file that went meanwhile was written just now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _holds(path: Path, data: memoryview) -> bool:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != len(data):
                return False
            return all(file.read(_CHUNK_BYTES) == data[at : at + _CHUNK_BYTES] for at in range(0, len(data), _CHUNK_BYTES))
    except FileNotFoundError:
        return False
