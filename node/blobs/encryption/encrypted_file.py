"""Encrypted files: their form, byte by byte (docs/howto/encrypt-at-rest.md has it as a table), encryption of a stream, decryption, and the
operator's keys.

A header, then the content in chunks of 64 KiB, each followed by its tag; only the last may be shorter, and it is empty where the content
is. AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce of a chunk is its number and whether it is
the last one, so that none can be changed, moved, repeated or left out, and the end cannot be cut off. The key is one for each file
(HKDF-SHA-256, RFC 5869, of the operator's key and 32 random bytes), so that numbers may serve as nonces. The header is authenticated with
every chunk.

Keys are read from their files by each process for itself; a key stands in no message, log, metric or environment. A folder has a sign for
each key that files there were encrypted with, so that a node that lacks one refuses to start.
"""

import contextlib
import hmac
import os
import struct
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from inference.errors import InputError
from node.blobs.files import Bytes, flush_folder, make_folder, write_flushed
from node.blobs.folder import KEYS
from node.blobs.port import BlobsFailed
from node.domain.errors import ConfigError
from node.settings.secrets import NotPrivate, demand_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


KEY_BYTES = 32
ID_BYTES = 8
_OF_IDS = b"hilum at rest, 1: name of a key"


class KeyUnusable(ConfigError):
    """A key file of `store: {encryption: …}` cannot be read, may be read by others, or holds no key."""

    code = "HLM-2073"
    remedy = (
        "A key is 32 random bytes: `openssl rand -out FILE 32`, `chmod 600 FILE`, and the node's user owns it (640 where root does). "
        "Where the file was the one in use, bring back its copy: nothing else opens what it sealed."
    )


class KeyUnknown(InputError):
    """An encrypted file was written with a key that this node does not have."""

    code = "HLM-3091"
    remedy = (
        "Add its key file to `store: {encryption: {key_file: […]}}`, start the node again, and run `hilum jobs retry`; the message has the "
        "key's id, and `hilum doctor` those of the files."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionKey:
    """One key, and the id by which files name it."""

    id: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionKeys:
    """`first` encrypts; `by_id` are all that decrypt."""

    first: EncryptionKey
    by_id: Mapping[bytes, EncryptionKey] = field(repr=False)

    def find(self, key_id: bytes) -> EncryptionKey:
        """The key that an encrypted file names.

        Raises
        ------
        KeyUnknown
            It is none of these.
        """
        try:
            return self.by_id[key_id]
        except KeyError:
            raise KeyUnknown(f"it needs the key {key_id.hex()}, and the configuration names {self.names()}") from None

    def names(self) -> str:
        """The ids, for a person."""
        return ", ".join(one.hex() for one in self.by_id)


def key_of(secret: bytes) -> EncryptionKey:
    """A key from its 32 bytes; the id is a one-way function of them (HMAC-SHA-256, cut off)."""
    return EncryptionKey(id=hmac.digest(secret, _OF_IDS, "sha256")[:ID_BYTES], secret=secret)


def read_keys(files: Iterable[Path], place: str = "") -> EncryptionKeys:
    """Read the key files, the first of which encrypts; `place` is where they are named, as a message begins.

    Raises
    ------
    KeyUnusable
        One cannot be read, may be read by others, does not hold 32 bytes, or holds 32 times the same.
    """
    keys = [key_of(_read(file, place)) for file in files]
    return EncryptionKeys(first=keys[0], by_id={one.id: one for one in keys})


def _read(path: Path, place: str) -> bytes:
    try:
        demand_private(path)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            secret = os.read(fd, KEY_BYTES + 1)
        finally:
            os.close(fd)
    except NotPrivate as refused:
        raise KeyUnusable(f"{place}{refused}") from refused
    except FileNotFoundError as absent:
        what = "is not there; bring back its copy, or make a first one: `openssl rand -out FILE 32`, `chmod 600 FILE`"
        raise KeyUnusable(f"{place}{path} {what}") from absent
    except OSError as failed:
        raise KeyUnusable(f"{place}{path}: {failed.strerror}") from failed
    if len(secret) != KEY_BYTES:
        raise KeyUnusable(f"{place}{path} holds {'more' if len(secret) > KEY_BYTES else len(secret)} bytes, and a key has {KEY_BYTES}")
    if len(set(secret)) == 1:
        raise KeyUnusable(f"{place}{path} holds {KEY_BYTES} times the same byte: that is no key")
    return secret


MAGIC = b"\x8ahilum\r\n"
"""No DICOM file begins so: the preamble of what the node writes is zero (PS3.10 7.1)."""
VERSION = 1
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
ENCRYPTED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
SALT_BYTES = 32
_LOG2_OF_CHUNK = 16
_LAYOUT = struct.Struct(f">8sBBxx{ID_BYTES}s{SALT_BYTES}s")
HEADER_BYTES = _LAYOUT.size
_COUNTER_BYTES = 11
_OF_FILES = b"hilum at rest, 1: key of a file"


class DecryptionFailed(InputError):
    """An encrypted file is not what was written: it is cut off, or bytes of it were changed, moved or left out."""

    code = "HLM-3090"
    remedy = (
        "Look at the disk; take the file from a backup, or have the study sent again and run `hilum jobs retry`. Nothing of a file that "
        "does not prove itself is ever used."
    )


@dataclass(frozen=True)
class FileHeader:
    """How a file is encrypted: under which key (its id, no secret), and with which salt."""

    key_id: bytes
    salt: bytes

    @cached_property
    def raw(self) -> bytes:
        """As it stands at the beginning of the file."""
        return _LAYOUT.pack(MAGIC, VERSION, _LOG2_OF_CHUNK, self.key_id, self.salt)


def header_of(raw: bytes) -> FileHeader | None:
    """The header that a file begins with; None: it is not encrypted.

    Raises
    ------
    DecryptionFailed
        It ends inside its header, or is of a form that this hilum does not know.
    """
    if raw[: len(MAGIC)] != MAGIC:
        return None
    if len(raw) < HEADER_BYTES:
        raise DecryptionFailed("the file ends inside its header")
    _, version, log2_of_chunk, key_id, salt = _LAYOUT.unpack_from(raw)
    if (version, log2_of_chunk) != (VERSION, _LOG2_OF_CHUNK) or raw[10:12] != b"\0\0":
        raise DecryptionFailed(f"the file has form {version}, of which this hilum knows nothing, or its header is damaged")
    return FileHeader(key_id=key_id, salt=salt)


def cipher(secret: bytes, header: FileHeader) -> "AESGCM":
    """What encrypts and decrypts the chunks of one file."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=header.salt, info=_OF_FILES).derive(secret))


def nonce(number: int, *, last: bool) -> bytes:
    """The nonce of a chunk (0-based)."""
    return number.to_bytes(_COUNTER_BYTES, "big") + (b"\1" if last else b"\0")


def plain_size(encrypted_bytes: int) -> int:
    """How many bytes a whole file of so many bytes holds."""
    body = max(0, encrypted_bytes - HEADER_BYTES)
    chunks = -(-body // ENCRYPTED_CHUNK_BYTES)
    return body - chunks * TAG_BYTES


# ---- encrypting
class EncryptingStream:
    """Encrypts one file. Nothing of it is whole before `end`; a chunk is held back until more follows, or nothing."""

    def __init__(self, key: EncryptionKey) -> None:
        self._header = FileHeader(key_id=key.id, salt=os.urandom(SALT_BYTES))
        self._cipher = cipher(key.secret, self._header)
        self._number = 0
        self._held = bytearray()
        self._ready = [self._header.raw]

    def add(self, part: Bytes) -> list[bytes]:
        """The encrypted bytes that can be written by now, one behind the other; often more, or fewer, than `part` has."""
        done, self._ready = self._ready, []
        if len(self._held) + len(part) <= CHUNK_BYTES:
            self._held += part
            return done
        at = 0
        with memoryview(part) as rest:
            if self._held:
                at = CHUNK_BYTES - len(self._held)
                self._held += rest[:at]
                done.append(self._chunk(self._held, last=False))
                self._held = bytearray()
            # what fills a chunk and is followed by more goes without a copy
            while len(rest) - at > CHUNK_BYTES:
                done.append(self._chunk(rest[at : at + CHUNK_BYTES], last=False))
                at += CHUNK_BYTES
            self._held += rest[at:]
        return done

    def end(self) -> bytes:
        """The rest; the file is whole behind it."""
        return b"".join((*self._ready, self._chunk(self._held, last=True)))

    def _chunk(self, content: Bytes | bytearray, *, last: bool) -> bytes:
        number, self._number = self._number, self._number + 1
        return self._cipher.encrypt(nonce(number, last=last), content, self._header.raw)


class Encryptor:
    """Begins encrypted files."""

    def __init__(self, key: EncryptionKey) -> None:
        self._key = key

    def begin(self) -> EncryptingStream:
        """One file more."""
        return EncryptingStream(self._key)

    def encrypted(self, parts: Iterable[Bytes]) -> Iterator[bytes]:
        """The encrypted file whose content is `parts`."""
        stream = self.begin()
        for part in parts:
            yield from stream.add(part)
        yield stream.end()


# ---- decrypting
def key_id_of(path: Path) -> bytes | None:
    """The id of the key that a file is encrypted with; None: it is not encrypted.

    Raises
    ------
    DecryptionFailed
        Its header is damaged.
    OSError
        It is not there, or cannot be read.
    """
    with path.open("rb") as file:
        header = header_of(file.read(HEADER_BYTES))
    return None if header is None else header.key_id


def decrypted(path: Path, keys: EncryptionKeys) -> Generator[bytes, None, None] | None:
    """The content of an encrypted file, in parts; None: it is not encrypted. The file is closed when the last part was taken.

    Raises
    ------
    DecryptionFailed, KeyUnknown
        At once, or when a part is asked for.
    OSError
        It is not there, or cannot be read.
    """
    file = path.open("rb")
    try:
        header = header_of(file.read(HEADER_BYTES))
        if header is None:
            file.close()
            return None
        return _parts(file, header, keys, path.name)
    except BaseException:  # raised again: no file stays open behind what cannot be read
        file.close()
        raise


def _parts(file: BinaryIO, header: FileHeader, keys: EncryptionKeys, name: str) -> Generator[bytes, None, None]:
    from cryptography.exceptions import InvalidTag

    with file:
        try:
            chunks = cipher(keys.find(header.key_id).secret, header)
        except KeyUnknown as unknown:
            raise KeyUnknown(f"{name} cannot be opened: {unknown}") from None
        number, chunk = 0, file.read(ENCRYPTED_CHUNK_BYTES)
        while True:
            following = file.read(ENCRYPTED_CHUNK_BYTES) if len(chunk) == ENCRYPTED_CHUNK_BYTES else b""
            try:
                yield chunks.decrypt(nonce(number, last=not following), chunk, header.raw)
            except (InvalidTag, ValueError) as broken:
                raise DecryptionFailed(f"{name} is cut off or was changed (chunk {number + 1})") from broken
            if not following:
                return
            number, chunk = number + 1, following


_SIGN = ".key"


class KeyMissing(ConfigError):
    """What lies in the store is encrypted with a key that the configuration does not name; nothing was admitted, nothing was touched."""

    code = "HLM-2074"
    remedy = (
        "Name the key file that was used before under `store: {encryption: {key_file: [new.key, old.key]}}`, the one to write with first. "
        "Without it those files cannot be opened by anybody (docs/howto/encrypt-at-rest.md)."
    )


def note_key(root: Path, key_id: bytes) -> None:
    """Leave the sign of a key, durable, before anything is written with it. BlobsFailed where the disk does not take it."""
    sign = root / KEYS / f"{key_id.hex()}{_SIGN}"
    try:
        if not sign.exists():
            make_folder(sign.parent)
            with contextlib.suppress(FileExistsError):
                write_flushed(sign, [])
            flush_folder(sign.parent)
    except OSError as failed:
        raise BlobsFailed(f"{sign} cannot be written: {failed.strerror}") from failed


def noted_keys(root: Path) -> list[bytes]:
    """The ids of the keys that have left a sign."""
    return sorted(bytes.fromhex(path.stem) for path in (root / KEYS).glob(f"*{_SIGN}"))


def refuse_missing_keys(root: Path, keys: EncryptionKeys | None) -> None:
    """Compare the signs with the keys that there are. The sign of a key that nothing lies under any more is taken away.

    Raises
    ------
    KeyMissing
        Something lies there that no key opens.
    """
    for key_id in noted_keys(root):
        if keys is not None and key_id in keys.by_id:
            continue
        found = next(encrypted_with(root, key_id), None)
        if found is None:
            with contextlib.suppress(OSError):
                (root / KEYS / f"{key_id.hex()}{_SIGN}").unlink()
            continue
        there = "no key at all" if keys is None else f"the key {keys.names()}"
        raise KeyMissing(f"{found} is encrypted with the key {key_id.hex()}, and the configuration names {there}")


def encrypted_with(root: Path, key_id: bytes) -> Iterator[Path]:
    """The files below `root` that a key encrypted; reads the beginning of every file."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            with contextlib.suppress(OSError, DecryptionFailed):
                if key_id_of(path) == key_id:
                    yield path
