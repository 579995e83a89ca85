"""Cache of what lies in the bucket: bounded in bytes, least recently used go first, shared by the processes of one host.

A copy is written under another name, flushed, and renamed: a reader finds all of it or nothing. A copy that is held has a second name
in a folder of the holder's own, so that the number of links says that it is in use, whichever process asks; the holds of a process that
ended are told by the lock that ended with it.
"""

import contextlib
import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from node.blobs.files import Bytes, DurableFolders, WriterLock, delete_left, make_folder, write_flushed
from node.blobs.folder import CACHE, HOLD, PARTIAL
from node.blobs.port import BlobsFailed
from node.observe.events import event

_RESTS_S = 60.0
"""A copy that was asked for within this time stays, held or not: its reader may not have opened it yet."""
_LOW = 0.9  # how far an eviction goes below the bound, so that it need not be done for every copy
_SLACK = 0.02  # of the bound, that one process adds before it looks at the whole again
_PRESSED_EVERY_S = 10.0


class Cache:
    """Keeps copies below `root`/cache.

    Parameters
    ----------
    most_bytes
        The bound; only what is held, or was asked for within the last minute, may exceed it.
    min_free_bytes
        With less than twice this on the disk the cache gives way: instances that come in need the room more.
    """

    def __init__(self, root: Path, *, most_bytes: int, min_free_bytes: int) -> None:
        self._folder, self._partial, self._holds = root / CACHE, root / PARTIAL, root / HOLD
        self._writer = WriterLock(self._partial)
        self._durable = DurableFolders(self._folder)
        self._most_bytes = most_bytes
        self._min_free_bytes = min_free_bytes
        self._held = threading.local()
        self._used = self._added = 0
        self._looked_at = float("-inf")
        try:
            for folder in (self._folder, self._partial, self._holds):
                make_folder(folder)
            delete_left(self._partial)
            self._evict()
        except OSError as failed:
            raise BlobsFailed(f"the cache in {root} cannot be used: {failed.strerror}") from failed

    def path(self, name: str) -> Path:
        """Where the copy of a blob lies, if there is one."""
        return self._folder.joinpath(*PurePosixPath(name).parts)

    def find(self, name: str) -> Path | None:
        """The copy, marked as used and held for the `hold` around; None when there is none."""
        path = self.path(name)
        held: _Hold | None = getattr(self._held, "now", None)
        try:
            os.utime(path)
            return path if held is None else held.link(path)
        except FileNotFoundError:
            return None

    def add(self, name: str, parts: Iterable[Bytes]) -> None:
        """Keep a copy; nothing is left behind when `parts` fails.

        Raises
        ------
        BlobsFailed
            The disk is full or broken.
        """
        partial, path = self._writer.path(uuid.uuid4().hex), self.path(name)
        try:
            write_flushed(partial, parts)
            self.take(partial, name)
        except OSError as failed:
            with contextlib.suppress(OSError):
                self._evict()
            raise BlobsFailed(f"a copy of blob {name} cannot be kept: {failed.strerror}; {path} needs room") from failed

    def take(self, file: Path, name: str) -> None:
        """Let a flushed file on the same file system become the copy. OSError when it cannot."""
        size = file.stat().st_size
        os.utime(file)
        self._durable.act(self.path(name).parent, lambda: os.rename(file, self.path(name)))
        self._added += size
        if self._added > self._most_bytes * _SLACK or self._pressed():
            self._evict()

    def make_room(self, size: int) -> bool:
        """Whether a copy of `size` bytes finds room within the bound; what is not in use gives way."""
        if self._used + self._added + size > self._most_bytes:
            self._evict(coming=size)
        return self._used + self._added + size <= self._most_bytes

    def forget(self, *, unused_s: float) -> None:
        """Drop what is not held and was not asked for in so long."""
        before = time.time() - unused_s
        for path, status in _files(self._folder):
            if status.st_nlink == 1 and status.st_mtime < before:
                self.drop(path.relative_to(self._folder).as_posix())

    def drop(self, name: str) -> None:
        """Forget a copy, and folders that this emptied; who holds it keeps what it holds. OSError when the disk fails."""
        path = self.path(name)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._folder:
                return
            try:
                folder.rmdir()
            except OSError:
                return

    def names(self) -> Iterator[str]:
        """What there are copies of."""
        for folder, _, files in os.walk(self._folder):
            here = Path(folder).relative_to(self._folder)
            yield from ((here / file).as_posix() for file in files)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Let nothing that this thread finds inside the block be evicted before its end."""
        outer: _Hold | None = getattr(self._held, "now", None)
        with _Hold(self._holds) as held:
            self._held.now = held
            try:
                yield
            finally:
                self._held.now = outer

    # ---- room
    def _pressed(self) -> bool:
        if time.monotonic() - self._looked_at < _PRESSED_EVERY_S:
            return False
        return shutil.disk_usage(self._folder).free < 2 * self._min_free_bytes

    def _evict(self, *, coming: int = 0) -> None:
        """Delete the least recently used copies until the rest, and what is coming, is below the bound; one process at a time."""
        self._added, self._looked_at = 0, time.monotonic()
        with (self._holds / "evicting.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            _sweep_holds(self._holds)
            copies = [(path, status) for path, status in _files(self._folder)]
            self._used = used = sum(status.st_size for _, status in copies)
            missing = 2 * self._min_free_bytes - shutil.disk_usage(self._folder).free
            if used + coming <= self._most_bytes and missing <= 0:
                return
            too_much = max(used + coming - int(self._most_bytes * _LOW), missing)
            youngest, evicted, freed = time.time() - _RESTS_S, 0, 0
            for path, status in sorted(copies, key=lambda one: one[1].st_mtime):
                if freed >= too_much or status.st_mtime > youngest:
                    break
                if status.st_nlink == 1:
                    self.drop(path.relative_to(self._folder).as_posix())
                    evicted, freed = evicted + 1, freed + status.st_size
            self._used -= freed
        if evicted:
            event("cache.evicted", copies=evicted, bytes=freed)


class _Hold:
    """A folder of second names, and a lock that lives as long as its process."""

    def __init__(self, holds: Path) -> None:
        self._folder = holds / uuid.uuid4().hex
        self._links: dict[Path, Path] = {}

    def link(self, path: Path) -> Path:
        """A second name for a copy; FileNotFoundError when that has gone."""
        if path not in self._links:
            link = self._folder / f"{len(self._links)}{path.suffix}"
            os.link(path, link)
            self._links[path] = link
        return self._links[path]

    def __enter__(self) -> "_Hold":
        self._folder.mkdir(mode=0o700)
        self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


def _sweep_holds(holds: Path) -> None:
    """Remove the folders of holders that ended; a folder is its own lock."""
    for folder in [Path(one) for one in os.scandir(holds) if one.is_dir()]:
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # made a moment ago, its holder may not have locked it yet
                if time.time() - os.fstat(fd).st_mtime > _RESTS_S:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(fd)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for here, _, files in os.walk(folder):
        for file in files:
            path = Path(here) / file
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat()
