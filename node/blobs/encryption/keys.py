"""The operator's keys, read from their files by each process for itself; a key stands in no message, log, metric or environment."""

import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import InputError
from node.domain.errors import ConfigError
from node.settings.secrets import NotPrivate, demand_private

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
