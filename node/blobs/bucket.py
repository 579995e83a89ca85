"""Blobs in an S3-compatible bucket: a name is a key below the prefix, and every host keeps copies of what it used last."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from node.blobs.cache import Cache
from node.blobs.folder import OURS
from node.blobs.objects import LARGE_BYTES, PROBE, Objects
from node.blobs.port import BlobDamaged, BlobDiffers, BlobsFailed
from node.settings.store import Bucket

_FRESH = timedelta(hours=1)
_AT_ONCE = 8


class BucketBlobs:
    """Keeps blobs in a bucket.

    Every object carries the SHA-256 of its bytes, which is compared with what is fetched and with what is put again. A put asks the
    store to refuse a name that is taken (`If-None-Match: *`); where a store does not know this, the name is looked up before. That a key
    does not exist is believed only of a bucket that does.
    """

    def __init__(self, bucket: Bucket, cache: Cache) -> None:
        self._cache = cache
        self._objects = Objects(bucket)

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Upload, and keep a copy.

        Raises
        ------
        BlobDiffers
            Other bytes lie under this name.
        BucketAway, BucketRefused
            Nothing was put, or nobody knows.
        """
        self.upload(name, data)
        # the bucket has it: a copy is a convenience
        with contextlib.suppress(BlobsFailed):
            self._cache.add(name, [data])

    def upload(self, name: str, data: bytes | memoryview) -> None:
        """`put` without the copy."""
        key, digest = _key(name), hashlib.sha256(data).hexdigest()
        if self._create(key, data, digest):
            return
        found = self._objects.look(key)
        if found is None:  # deleted in this very moment
            self._objects.overwrite(key, data, digest)
            return
        if found.size != len(data) or (found.digest or self._computed(key)) != digest:
            raise BlobDiffers(f"blob {name} holds other bytes than the {len(data)} that were to be put there")
        if datetime.now(UTC) - found.written_at > _FRESH:
            # written now: no sweep may take it for something that was left behind long ago
            self._objects.overwrite(key, data, digest)

    def keep_copy(self, file: Path, name: str) -> None:
        """Let a file of what was uploaded become this host's copy. OSError when it lies on another file system."""
        self._cache.take(file, name)

    def path(self, name: str) -> Path:
        """The copy on this host, fetched if need be; a path that does not exist where the bucket has no such blob."""
        key = _key(name)
        copy = self._cache.find(name)
        if copy is None and self._fetch(key, name):
            # it may have been evicted again if the bound is tiny
            copy = self._cache.find(name)
        return copy or self._cache.path(name)

    def paths(self, names: Sequence[str]) -> list[Path]:
        """See the port."""
        missing = [name for name in names if self._cache.find(name) is None]
        if len(missing) > 1:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch") as fetches:
                # the list: an error of any is raised here
                list(fetches.map(lambda name: self._fetch(_key(name), name), missing))
        return [self.path(name) for name in names]

    def has(self, name: str) -> bool:
        """Ask the bucket."""
        return self._objects.look(_key(name)) is not None

    def hold(self) -> AbstractContextManager[None]:
        """See the port."""
        return self._cache.hold()

    def flush(self, names: Iterable[str]) -> None:
        """What is in the bucket is safe since it was uploaded."""

    def delete(self, name: str) -> None:
        """Delete the object and this host's copy; other hosts drop theirs in their next `sweep`."""
        key = _key(name)
        try:
            self._cache.drop(name)
        except OSError as failed:
            raise BlobsFailed(f"the copy of blob {name} cannot be deleted: {failed.strerror}") from failed
        self._objects.delete(key)

    def names(self, prefix: str = "", *, written_before: datetime | None = None) -> Iterator[str]:
        """List the bucket, a page at a time."""
        # the store lists whole path segments only
        for meta in self._objects.list(prefix.rpartition("/")[0]):
            name: str = meta["path"]
            if not name.startswith(prefix) or name == PROBE:
                continue
            if written_before is None or meta["last_modified"] < written_before:
                yield name

    def used_share(self) -> float:
        """Nobody can say how full a bucket is."""
        return 0.0

    def sweep(self) -> int:
        """Compare the copies, folder by folder, with the bucket."""
        by_folder: dict[str, set[str]] = {}
        for name in self._cache.names():
            by_folder.setdefault(PurePosixPath(name).parent.as_posix(), set()).add(name)
        dropped = 0
        for folder, copies in by_folder.items():
            there = set(self.names("" if folder == "." else f"{folder}/"))
            for name in copies - there:
                if not self.has(name):  # put since the listing
                    self._cache.drop(name)
                    dropped += 1
        return dropped

    # ---- putting
    def _create(self, key: str, data: bytes | memoryview, digest: str) -> bool:
        """Put unless something lies there; False when something does."""
        if len(data) > LARGE_BYTES or not self._objects.conditional():
            # parts come without a condition; names are made from what they hold, so that two who put one name put the same
            if self._objects.look(key) is not None:
                return False
            self._objects.overwrite(key, data, digest)
            return True
        return self._objects.create(key, data, digest)

    # ---- fetching
    def _fetch(self, key: str, name: str) -> bool:
        """Bring a copy here; False when there is no such object."""
        found = self._objects.get(key)
        if found is None:
            return False
        try:
            self._cache.add(name, found.parts())
        except BlobDamaged as damaged:
            raise BlobDamaged(f"blob {name}: {damaged}") from damaged
        return True

    def _computed(self, key: str) -> str:
        """The SHA-256 of an object that came without."""
        found = self._objects.get(key)
        told = hashlib.sha256()
        for part in () if found is None else found.parts():
            told.update(part)
        return told.hexdigest()


def _key(name: str) -> str:
    parts = PurePosixPath(name).parts
    assert parts, "a blob has a name"
    assert not name.startswith("/"), f"{name!r} is no relative path"
    assert ".." not in parts, f"{name!r} leaves the prefix"
    assert parts[0] not in OURS, f"{name!r} lies where no blob does"
    return name
