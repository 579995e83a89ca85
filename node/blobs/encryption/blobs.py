"""Encrypted blobs, below the blobs port: callers put and read content, disk and bucket never have it."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from inference.errors import InputError
from node.blobs.encryption.decrypted import DecryptedFull, FileEncryption
from node.blobs.encryption.encrypted_file import DecryptionFailed, decrypted, plain_size
from node.blobs.port import BlobDiffers, BlobsFailed, SharedBlobs
from node.domain.errors import is_of_the_file


class TooLargeToDecrypt(InputError):
    """What has to be decrypted at one time is larger than the memory that the configuration gives for it."""

    code = "HLM-3092"
    remedy = "Raise `store: {encryption: {memory: …}}` above what the message says, start the node again, and run `hilum jobs retry`."


class EncryptedBlobs:
    """Encrypts everything that is put into `inner`; what lies there unencrypted is read as it is.

    Equal content is other bytes whenever it is encrypted, so a second `put` compares contents. Empty blobs stay empty: marks, whose names
    are all they say.
    """

    def __init__(self, inner: SharedBlobs, encryption: FileEncryption) -> None:
        self._inner = inner
        self.encryption = encryption

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Encrypt and put.

        Raises
        ------
        BlobDiffers
            Other content lies under this name.
        """
        if not len(data):
            self._inner.put(name, data)
            return
        if not self._inner.has(name):
            # BlobDiffers: another process put it in this very moment
            with contextlib.suppress(BlobDiffers):
                self._inner.put(name, b"".join(self.encryption.encryptor.encrypted([data])))
                return
        with self._inner.hold():
            there = self._inner.path(name)
            if not _equal(self._parts(there), data):
                raise BlobDiffers(f"blob {name} holds other bytes than the {len(data)} that were to be put there")
            self._inner.put(name, _read(there))  # the very bytes: they count as written now

    def path(self, name: str) -> Path:
        """The file itself where it is not encrypted, else a decrypted copy in memory.

        Raises
        ------
        DecryptionFailed, KeyUnknown
            It cannot be opened.
        DecryptedFull
            There is no room to open it.
        """
        there = self._inner.path(name)
        try:
            parts = decrypted(there, self.encryption.keys)
            if parts is None:
                return there
            size = plain_size(there.stat().st_size)
        except FileNotFoundError:
            self.encryption.memory.drop(name)
            return there
        except OSError as failed:
            raise BlobsFailed(f"blob {name} cannot be read: {failed.strerror}") from failed
        memory = self.encryption.memory
        self._fit(size)
        with contextlib.closing(parts):
            copy = memory.find(name)
            if copy is None:
                memory.add(name, _given(parts, name), size)
                copy = memory.find(name)
        if copy is None:
            raise DecryptedFull(f"blob {name} went again as soon as it was opened")
        return copy

    def paths(self, names: Sequence[str]) -> list[Path]:
        """`path` of each.

        Raises
        ------
        TooLargeToDecrypt
            All of them together never find room in memory.
        """
        self._fit(sum(_size(there) for there in self._inner.paths(names)))
        return [self.path(name) for name in names]

    def has(self, name: str) -> bool:
        """See the port."""
        return self._inner.has(name)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """See the port."""
        with self._inner.hold(), self.encryption.memory.hold():
            yield

    def flush(self, names: Iterable[str]) -> None:
        """See the port."""
        self._inner.flush(names)

    def delete(self, name: str) -> None:
        """The blob, and what lies decrypted of it on this host."""
        self.encryption.memory.drop(name)
        self._inner.delete(name)

    def names(self, prefix: str = "", *, written_before: datetime | None = None) -> Iterator[str]:
        """See the port."""
        return self._inner.names(prefix, written_before=written_before)

    def used_share(self) -> float:
        """See the port."""
        return self._inner.used_share()

    def sweep(self) -> int:
        """Drop what lies decrypted for no need, too."""
        self.encryption.memory.sweep()
        return self._inner.sweep()

    # ---- for the spool, whose entries are encrypted already
    def upload(self, name: str, data: bytes | memoryview) -> None:
        """The bytes as they are."""
        self._inner.upload(name, data)

    def keep_copy(self, file: Path, name: str) -> None:
        """The file as it is."""
        self._inner.keep_copy(file, name)

    def _fit(self, size: int) -> None:
        if size > self.encryption.memory.most_bytes:
            raise TooLargeToDecrypt(f"{size} bytes have to be decrypted at one time, and `memory` is {self.encryption.memory.most_bytes}")

    def _parts(self, there: Path) -> Iterator[bytes]:
        try:
            parts = decrypted(there, self.encryption.keys)
        except OSError as failed:
            raise BlobsFailed(f"{there.name} cannot be read: {failed.strerror}") from failed
        return iter([_read(there)]) if parts is None else parts


def _given(parts: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The parts; a disk that does not give one breaks this blob and no other."""
    try:
        yield from parts
    except OSError as failed:
        if is_of_the_file(failed):
            raise DecryptionFailed(f"blob {name} cannot be read: {failed.strerror}") from failed
        raise BlobsFailed(f"blob {name} cannot be read: {failed.strerror}") from failed


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # the process that opens it says what it is


def _equal(parts: Iterator[bytes], data: bytes | memoryview) -> bool:
    at = 0
    with memoryview(data) as whole:
        for part in parts:
            if whole[at : at + len(part)] != part:
                return False
            at += len(part)
        return at == len(whole)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failed:
        raise BlobsFailed(f"{path.name} cannot be read: {failed.strerror}") from failed
