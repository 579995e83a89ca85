"""Which keys wrote in a folder: a sign for each, so that a node that lacks one refuses to start before it admits anybody."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from node.blobs.errors import BlobsFailed
from node.blobs.files import flush_folder, make_folder, write_flushed
from node.blobs.folder import SEALED
from node.blobs.sealing.errors import KeyMissing, SealBroken
from node.blobs.sealing.keys import Keys
from node.blobs.sealing.reader import sealed_by

_SIGN = ".key"


def note(root: Path, key_id: bytes) -> None:
    """Leave the sign of a key, durable, before anything is written with it. BlobsFailed where the disk does not take it."""
    sign = root / SEALED / f"{key_id.hex()}{_SIGN}"
    try:
        if not sign.exists():
            make_folder(sign.parent)
            with contextlib.suppress(FileExistsError):
                write_flushed(sign, [])
            flush_folder(sign.parent)
    except OSError as failed:
        raise BlobsFailed(f"{sign} cannot be written: {failed.strerror}") from failed


def noted(root: Path) -> list[bytes]:
    """The ids of the keys that have left a sign."""
    return sorted(bytes.fromhex(path.stem) for path in (root / SEALED).glob(f"*{_SIGN}"))


def refuse_what_cannot_be_opened(root: Path, keys: Keys | None) -> None:
    """Compare the signs with the keys that there are. The sign of a key that nothing lies under any more is taken away.

    Raises
    ------
    KeyMissing
        Something lies there that no key opens.
    """
    for key_id in noted(root):
        if keys is not None and key_id in keys.by_id:
            continue
        found = next(sealed_with(root, key_id), None)
        if found is None:
            with contextlib.suppress(OSError):
                (root / SEALED / f"{key_id.hex()}{_SIGN}").unlink()
            continue
        there = "no key at all" if keys is None else f"the key {keys.names()}"
        raise KeyMissing(f"{found} is encrypted with the key {key_id.hex()}, and the configuration names {there}")


def sealed_with(root: Path, key_id: bytes) -> Iterator[Path]:
    """The files below `root` that a key encrypted; reads the beginning of every file."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            with contextlib.suppress(OSError, SealBroken):
                if sealed_by(path) == key_id:
                    yield path
