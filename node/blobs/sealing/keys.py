"""The operator's keys, read from their files by each process for itself; a key stands in no message, log, metric or environment."""

import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from node.blobs.sealing.errors import KeyUnknown, KeyUnusable
from node.blobs.sealing.format import ID_BYTES, KEY_BYTES
from node.dimse.secrets import demand_private
from node.dimse.tls_errors import NotPrivate, TlsUnusable

_OF_IDS = b"hilum at rest, 1: name of a key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, and the id by which files name it."""

    id: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """`first` encrypts; `by_id` are all that decrypt."""

    first: Key
    by_id: Mapping[bytes, Key] = field(repr=False)

    def find(self, key_id: bytes) -> Key:
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


def key_of(secret: bytes) -> Key:
    """A key from its 32 bytes; the id is a one-way function of them (HMAC-SHA-256, cut off)."""
    return Key(id=hmac.digest(secret, _OF_IDS, "sha256")[:ID_BYTES], secret=secret)


def read_keys(files: Iterable[Path]) -> Keys:
    """Read the key files, the first of which encrypts.

    Raises
    ------
    KeyUnusable
        One cannot be read, may be read by others, does not hold 32 bytes, or holds 32 times the same.
    """
    keys = [key_of(_read(file)) for file in files]
    return Keys(first=keys[0], by_id={one.id: one for one in keys})


def _read(path: Path) -> bytes:
    try:
        demand_private(path)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            secret = os.read(fd, KEY_BYTES + 1)
        finally:
            os.close(fd)
    except (NotPrivate, TlsUnusable) as refused:
        raise KeyUnusable(str(refused)) from refused
    except OSError as failed:
        raise KeyUnusable(f"{path}: {failed.strerror}") from failed
    if len(secret) != KEY_BYTES:
        raise KeyUnusable(f"{path} holds {'more' if len(secret) > KEY_BYTES else len(secret)} bytes, and a key has {KEY_BYTES}")
    if len(set(secret)) == 1:
        raise KeyUnusable(f"{path} holds {KEY_BYTES} times the same byte: that is no key")
    return secret
