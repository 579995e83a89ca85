"""Objects of an S3-compatible store as the blobs need them: every request bounded in time, every refusal in the node's own words."""

import configparser
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from node.blobs.port import BlobDamaged
from node.domain.errors import JournalError
from node.settings.store import Bucket

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")

LARGE_BYTES = 64 << 20
"""Above this an object travels in parts, each tried again by itself: none takes longer than a request may."""
PROBE = "probes/conditional"
_PART_BYTES = 16 << 20
_DIGEST = "hilum-sha256"
_CONNECT = timedelta(seconds=5)
_SILENT = timedelta(seconds=20)
_REQUEST = timedelta(seconds=120)
_RETRY = timedelta(seconds=20)
_RETRIES = 4
_THERE_S = 10.0
KEYS_GOOD_FOR = timedelta(minutes=5)
"""Keys are rotated by writing their file anew."""
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_KIND = re.compile(r"kind: ([A-Z][A-Za-z]{1,30})")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?([A-Za-z]{1,40})")
_LATER = {"408", "429"}  # the others below 500 stay as they are however often one asks


class BucketAway(JournalError):
    """The object store of the bucket does not answer."""

    code = "HLM-7052"
    remedy = (
        "See whether the object store of `store: bucket` runs and can be reached (`hilum doctor`); meanwhile instances are kept in the "
        "spool and work waits, and both go on by themselves."
    )
    retry = True


class BucketRefused(JournalError):
    """The object store refuses what the node asks of it, or is not trusted: keys, rights, bucket's name, or certificate are wrong."""

    code = "HLM-7053"
    remedy = (
        "Check `store: bucket` (name, region, credentials, ca) and that its keys may list, read, write and delete below the prefix; "
        "instances are kept in the spool until then."
    )
    retry = True


class BucketClientAbsent(JournalError):
    """The Python package that speaks to S3-compatible object stores is not installed."""

    code = "HLM-7064"
    remedy = "Install it: `pip install 'PATH[s3]'`, with the PATH of hilum's wheel or checkout."
    retry = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What is known of an object without its bytes. `digest` is SHA-256 (hex); None: somebody else put it there."""

    size: int
    written_at: datetime
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedObject:
    """An object that is being fetched; `part(start, length)` gives its bytes, `length` LARGE_BYTES at most."""

    size: int
    digest: str | None
    part: Callable[[int, int], memoryview]

    def parts(self) -> Iterator[memoryview]:
        """All of it.

        Raises
        ------
        BlobDamaged
            It is not what was put there.
        """
        told = hashlib.sha256()
        for start in range(0, self.size, LARGE_BYTES):
            view = self.part(start, min(LARGE_BYTES, self.size - start))
            told.update(view)
            yield view
        if self.digest is not None and told.hexdigest() != self.digest:
            raise BlobDamaged("it came with other bytes than were put")


class Objects:
    """One bucket below one prefix; safe in many threads.

    Raises
    ------
    BucketAway, BucketRefused
        Every method, when the store does not answer, or refuses.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._store = _open(bucket)
        self._conditional: bool | None = None
        self._there_until = float("-inf")

    def create(self, key: str, data: bytes | memoryview, digest: str) -> bool:
        """Put unless something lies there; False when something does. Only where `conditional`.

        Raises
        ------
        NotSupportedError
            The store knows no conditions.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            self.ask(
                f"put {key}",
                lambda: obstore.put(self._store, key, data, mode="create", use_multipart=False, attributes={_DIGEST: digest}),
            )
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    def overwrite(self, key: str, data: bytes | memoryview, digest: str) -> None:
        """Put whatever lies there."""
        import obstore

        large = len(data) > LARGE_BYTES
        self.ask(
            f"put {key}",
            lambda: obstore.put(
                self._store, key, data, use_multipart=large, chunk_size=_PART_BYTES, max_concurrency=4, attributes={_DIGEST: digest}
            ),
        )

    def conditional(self) -> bool:
        """Whether the store refuses a name that is taken; tried out once."""
        if self._conditional is None:
            from obstore.exceptions import NotSupportedError

            digest = hashlib.sha256(b"").hexdigest()
            try:
                self._conditional = not self.create(PROBE, b"", digest) or not self.create(PROBE, b"", digest)
            except NotSupportedError:
                self._conditional = False
        return self._conditional

    def check(self) -> str:
        """Write and list something, as the node does; the sentence for people."""
        known = self.conditional()
        next(iter(self.list("")), None)
        return f"{self._bucket.url} answers" + ("" if known else "; it knows no conditional put: names are looked up first")

    def get(self, key: str) -> "FetchedObject | None":
        """An object, to be read part by part; None when there is none."""
        import obstore

        try:
            found = self.ask(f"get {key}", lambda: obstore.get(self._store, key))
        except FileNotFoundError:
            self._bucket_is_there()
            return None

        def part(start: int, length: int) -> memoryview:
            if found.meta["size"] <= LARGE_BYTES:
                return memoryview(self.ask(f"get {key}", found.bytes))
            try:
                return memoryview(self.ask(f"get {key}", lambda: obstore.get_range(self._store, key, start=start, length=length)))
            except FileNotFoundError:
                raise BlobDamaged(f"{key} was deleted while it was fetched") from None

        return FetchedObject(size=found.meta["size"], digest=found.attributes.get(_DIGEST), part=part)

    def delete(self, key: str) -> None:
        """Delete; an absent object is no error."""
        import obstore

        try:
            self.ask(f"delete {key}", lambda: obstore.delete(self._store, key))
        except FileNotFoundError:
            self._bucket_is_there()

    def look(self, key: str) -> "ObjectInfo | None":
        """Size, age and digest of an object; None when there is none."""
        import obstore

        try:
            found = self.ask(f"look at {key}", lambda: obstore.get(self._store, key, options={"head": True}))
        except FileNotFoundError:
            self._bucket_is_there()
            return None
        meta = found.meta
        return ObjectInfo(size=meta["size"], written_at=meta["last_modified"], digest=found.attributes.get(_DIGEST))

    def list(self, prefix: str) -> Iterator[Any]:
        """Everything below `prefix` (whole path segments), a page at a time."""
        import obstore

        pages = iter(obstore.list(self._store, prefix or None, chunk_size=1000))
        while True:
            page = self.ask("list", lambda: next(pages, None))
            if page is None:
                return
            yield from page

    def _bucket_is_there(self) -> None:
        """A HEAD of a missing bucket looks like that of a missing key: what is absent is absent only where the bucket is not."""
        if time.monotonic() < self._there_until:
            return
        try:
            next(iter(self.list("probes")), None)
        except FileNotFoundError as missing:
            raise BucketRefused(f"{self._bucket.url}: there is no such bucket") from missing
        self._there_until = time.monotonic() + _THERE_S

    def ask(self, what: str, act: Callable[[], T]) -> T:
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
            raise _translated(error, what, self._bucket.url) from None


def _open(bucket: Bucket) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as absent:
        raise BucketClientAbsent("the Python package obstore is not installed") from absent

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


class CredentialsFile:
    """Credential provider of obstore: keys from a file of the usual form (`[default]`, `aws_access_key_id = …`), read again when it may
    have changed. What it reads is in no message of its own, nor in its `repr`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self()  # what is wrong with the file is said at once, and by us

    def __call__(self) -> dict[str, Any]:
        """The keys of the section `[default]`.

        Raises
        ------
        BucketRefused
            The file cannot be read, or lacks a key.
        """
        parsed = configparser.ConfigParser(interpolation=None)
        try:
            parsed.read_string(self._path.read_text(encoding="utf-8"))
            section = parsed["default"]
            keys = {"access_key_id": section["aws_access_key_id"], "secret_access_key": section["aws_secret_access_key"]}
        except OSError as failed:
            raise BucketRefused(f"{self._path}: {failed.strerror}") from failed
        except (configparser.Error, KeyError, UnicodeDecodeError):
            # the parser's words quote lines of the file
            raise BucketRefused(f"{self._path} has no [default] with aws_access_key_id and aws_secret_access_key") from None
        return {**keys, "token": section.get("aws_session_token"), "expires_at": datetime.now(UTC) + KEYS_GOOD_FOR}


def _translated(error: Exception, what: str, url: str) -> JournalError:
    """The error of one request in the node's own words. The store's are never repeated: they quote access keys and signed requests."""
    text = str(error)
    status, code, kind = (found[1] if (found := pattern.search(text)) else "" for pattern in (_STATUS, _CODE, _KIND))
    told = " ".join(part for part in (status, code) if part) or {"Connect": "no connection", "Timeout": "no answer in time"}.get(kind, kind)
    sentence = f"{url}: cannot {what}: {told or type(error).__name__}"
    if certificate := _CERTIFICATE.search(text):
        return BucketRefused(f"{url}: cannot {what}: the server's certificate is not trusted ({certificate[1]})")
    if code == "NoSuchBucket":
        return BucketRefused(f"{url}: there is no such bucket")
    denied = type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
    if denied or (status.startswith(("3", "4")) and status not in _LATER):
        return BucketRefused(sentence)
    return BucketAway(sentence)
