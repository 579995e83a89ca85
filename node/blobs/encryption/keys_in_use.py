"""Keys in use: a sign in a folder for each key that files there were encrypted with, so that a node that lacks one refuses to start."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from node.blobs.encryption.encrypted_file import DecryptionFailed, key_id_of
from node.blobs.encryption.keys import EncryptionKeys
from node.blobs.files import flush_folder, make_folder, write_flushed
from node.blobs.folder import KEYS
from node.blobs.port import BlobsFailed
from node.domain.errors import ConfigError

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
