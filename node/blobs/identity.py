"""The identity that blobs bear: an empty blob `store/IDENTITY`, and the same file in a spool of its own.

A blob, so that a folder, a bucket and encrypted ones bear it alike; in its name, so that it is never half written and needs no key.
"""

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from node.blobs.files import flush_folder, make_folder, write_flushed
from node.blobs.port import Blobs, BlobsFailed

STORE = "store/"
_IDENTITY = re.compile(r"[0-9a-f]{32}")
_KINDS = ("instances/", "findings/", "results/", "marks/")
_MOST = 100


def identities(blobs: Blobs) -> list[str]:
    """Of which stores these blobs say they are: one, none of a new place, several where two stores were mixed."""
    return sorted(_named(islice(blobs.names(STORE), _MOST)))


def sign(blobs: Blobs, identity: str) -> None:
    """Let blobs bear an identity, durable."""
    blobs.put(f"{STORE}{identity}", b"")


def hold_anything(blobs: Blobs) -> bool:
    """Whether anything that a journal knew of lies there; what waits in a spool was in none yet."""
    return any(next(iter(blobs.names(kind)), None) is not None for kind in _KINDS)


def identities_of_spool(root: Path) -> list[str]:
    """The same of a spool's folder. BlobsFailed where there is no telling."""
    try:
        return sorted(_named(path.name for path in (root / STORE).glob("*")))
    except OSError as failed:
        raise BlobsFailed(f"{root} cannot be read: {failed.strerror}") from failed


def sign_spool(root: Path, identity: str) -> None:
    """Let a spool's folder bear an identity, durable. BlobsFailed where it cannot be written."""
    folder = root / STORE
    try:
        make_folder(folder)
        if not (folder / identity).exists():
            write_flushed(folder / identity, [])
        flush_folder(folder)
    except OSError as failed:
        raise BlobsFailed(f"{folder} cannot be written: {failed.strerror}") from failed


def _named(names: Iterable[str]) -> set[str]:
    return {last for name in names if _IDENTITY.fullmatch(last := name.rpartition("/")[2])}
