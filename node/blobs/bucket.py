"""Blobs in an S3-compatible bucket: a name is a key below the prefix, and every host keeps copies of what it used last."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from node.blobs.bucket_errors import translated
from node.blobs.cache import Cache
from node.blobs.credentials import CredentialsFile
from node.blobs.errors import BlobDamaged, BlobDiffers, BlobsFailed, BucketRefused
from node.blobs.folder import OURS
from node.settings.config import Bucket

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")

_PART_BYTES = 16 << 20
_LARGE_BYTES = 64 << 20
"""Above this an object travels in parts, each tried again by itself: none takes longer than a request may."""
_DIGEST = "hilum-sha256"
_CONNECT = timedelta(seconds=5)
_SILENT = timedelta(seconds=20)
_REQUEST = timedelta(seconds=120)
_RETRY = timedelta(seconds=20)
_RETRIES = 4
_FRESH = timedelta(hours=1)
_PROBE = "probes/conditional"
_THERE_S = 10.0


class BucketBlobs:
    """The blobs port on a bucket.

    Every object carries the SHA-256 of its bytes, which is compared with what is fetched and with what is put again. A put asks the
    store to refuse a name that is taken (`If-None-Match: *`); where a store does not know this, the name is looked up before. That a key
    does not exist is believed only of a bucket that does.
    """

    def __init__(self, bucket: Bucket, cache: Cache) -> None:
        self._bucket = bucket
        self._cache = cache
        self._store = _open(bucket)
        self._conditional: bool | None = None
        self._there_until = float("-inf")

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
        found = self._meta(key)
        if found is None:  # deleted in this very moment
            self._overwrite(key, data, digest)
            return
        if found["size"] != len(data) or self._digest(key) != digest:
            raise BlobDiffers(f"blob {name} holds other bytes than the {len(data)} that were to be put there")
        if datetime.now(UTC) - found["last_modified"] > _FRESH:
            # written now: no sweep may take it for something that was left behind long ago
            self._overwrite(key, data, digest)

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

    def has(self, name: str) -> bool:
        """Ask the bucket."""
        return self._meta(_key(name)) is not None

    def hold(self) -> AbstractContextManager[None]:
        """See the port."""
        return self._cache.hold()

    def delete(self, name: str) -> None:
        """Delete the object and this host's copy; other hosts drop theirs in their next `sweep`."""
        import obstore

        key = _key(name)
        try:
            self._cache.drop(name)
        except OSError as failed:
            raise BlobsFailed(f"the copy of blob {name} cannot be deleted: {failed.strerror}") from failed
        with contextlib.suppress(FileNotFoundError):
            self._ask(f"delete blob {name}", lambda: obstore.delete(self._store, key))

    def names(self, prefix: str = "", *, written_before: datetime | None = None) -> Iterator[str]:
        """List the bucket, a page at a time."""
        # the store lists whole path segments only
        for meta in self._list(prefix.rpartition("/")[0]):
            name: str = meta["path"]
            if not name.startswith(prefix) or name == _PROBE:
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

    def check(self) -> str:
        """Write, list and delete something, as the node does; the sentence for `hilum doctor`.

        Raises
        ------
        BucketAway, BucketRefused
            It cannot be used.
        """
        self._is_conditional()
        next(iter(self._list("")), None)
        return f"{self._bucket.url} answers" + ("" if self._conditional else "; it knows no conditional put: names are looked up first")

    # ---- putting
    def _create(self, key: str, data: bytes | memoryview, digest: str) -> bool:
        """Put unless something lies there; False when something does."""
        if len(data) > _LARGE_BYTES or not self._is_conditional():
            # parts come without a condition; names are made from what they hold, so that two who put one name put the same
            if self._meta(key) is not None:
                return False
            self._overwrite(key, data, digest)
            return True
        return self._create_only(key, data, digest)

    def _create_only(self, key: str, data: bytes | memoryview, digest: str) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            self._ask(
                f"put {key}",
                lambda: obstore.put(self._store, key, data, mode="create", use_multipart=False, attributes={_DIGEST: digest}),
            )
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    def _overwrite(self, key: str, data: bytes | memoryview, digest: str) -> None:
        import obstore

        large = len(data) > _LARGE_BYTES
        self._ask(
            f"put {key}",
            lambda: obstore.put(
                self._store, key, data, use_multipart=large, chunk_size=_PART_BYTES, max_concurrency=4, attributes={_DIGEST: digest}
            ),
        )

    def _is_conditional(self) -> bool:
        """Whether the store refuses a name that is taken; tried out once."""
        if self._conditional is None:
            from obstore.exceptions import NotSupportedError

            digest = hashlib.sha256(b"").hexdigest()
            try:
                self._conditional = not self._create_only(_PROBE, b"", digest) or not self._create_only(_PROBE, b"", digest)
            except NotSupportedError:
                self._conditional = False
        return self._conditional

    # ---- fetching
    def _fetch(self, key: str, name: str) -> bool:
        """Bring a copy here; False when there is no such object."""
        import obstore

        try:
            found = self._ask(f"get blob {name}", lambda: obstore.get(self._store, key))
        except FileNotFoundError:
            self._bucket_is_there()
            return False
        size: int = found.meta["size"]
        digest: str | None = found.attributes.get(_DIGEST)
        told = hashlib.sha256()

        def part(start: int) -> memoryview:
            if size <= _LARGE_BYTES:
                return memoryview(self._ask(f"get blob {name}", found.bytes))
            length = min(_LARGE_BYTES, size - start)
            return memoryview(self._ask(f"get blob {name}", lambda: obstore.get_range(self._store, key, start=start, length=length)))

        def parts() -> Iterator[memoryview]:
            for start in range(0, size, _LARGE_BYTES):
                view = part(start)
                told.update(view)
                yield view
            if digest is not None and told.hexdigest() != digest:
                raise BlobDamaged(f"blob {name} came with other bytes than were put")

        try:
            self._cache.add(name, parts())
        except FileNotFoundError:
            return False  # deleted while it was fetched
        return True

    def _meta(self, key: str) -> Any:
        """Size and age of an object; None when there is none."""
        import obstore

        try:
            return self._ask(f"look at {key}", lambda: obstore.head(self._store, key))
        except FileNotFoundError:
            self._bucket_is_there()
            return None

    def _digest(self, key: str) -> str:
        """The SHA-256 of an object; computed where it came without."""
        import obstore

        told = self._ask(f"look at {key}", lambda: obstore.get(self._store, key, options={"head": True})).attributes.get(_DIGEST)
        if told is not None:
            return str(told)
        return hashlib.sha256(self._ask(f"get {key}", lambda: obstore.get(self._store, key).bytes())).hexdigest()

    def _list(self, prefix: str) -> Iterator[Any]:
        import obstore

        pages = iter(obstore.list(self._store, prefix or None, chunk_size=1000))
        while True:
            page = self._ask("list", lambda: next(pages, None))
            if page is None:
                return
            yield from page

    def _bucket_is_there(self) -> None:
        """A HEAD of a missing bucket looks like that of a missing key: what is absent is absent only where the bucket is not."""
        if time.monotonic() < self._there_until:
            return
        try:
            next(iter(self._list("probes")), None)
        except FileNotFoundError as missing:
            raise BucketRefused(f"{self._bucket.url}: there is no such bucket") from missing
        self._there_until = time.monotonic() + _THERE_S

    def _ask(self, what: str, act: Callable[[], T]) -> T:
        """Do one request; FileNotFoundError, and what the store says of a taken name, pass as they are."""
        from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError, PreconditionError

        try:
            return act()
        except (AlreadyExistsError, PreconditionError, NotSupportedError):
            raise
        except FileNotFoundError as missing:
            if "NoSuchBucket" in str(missing):
                raise BucketRefused(f"{self._bucket.url}: there is no such bucket") from None
            raise
        except BaseError as error:
            raise translated(error, what, self._bucket.url) from None


def _key(name: str) -> str:
    parts = PurePosixPath(name).parts
    assert parts, "a blob has a name"
    assert not name.startswith("/"), f"{name!r} is no relative path"
    assert ".." not in parts, f"{name!r} leaves the prefix"
    assert parts[0] not in OURS, f"{name!r} lies where no blob does"
    return name


def _open(bucket: Bucket) -> "S3Store":
    from obstore.store import S3Store

    options: dict[str, Any] = {
        "connect_timeout": _CONNECT,
        "read_timeout": _SILENT,
        "timeout": _REQUEST,
        "allow_http": (bucket.endpoint or "").startswith("http://"),
    }
    if bucket.ca is not None:
        try:
            options["root_certificate"] = bucket.ca.read_bytes()
        except OSError as failed:
            raise BucketRefused(f"{bucket.ca}: {failed.strerror}") from failed
    config: dict[str, Any] = {"region": bucket.region}
    if bucket.endpoint is not None:
        config["endpoint"] = bucket.endpoint
    return S3Store(
        bucket.name,
        prefix=bucket.prefix or None,
        config=config,
        client_options=options,
        retry_config={
            "max_retries": _RETRIES,
            "retry_timeout": _RETRY,
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
        },
        credential_provider=None if bucket.credentials is None else CredentialsFile(bucket.credentials),
    )
