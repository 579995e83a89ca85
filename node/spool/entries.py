"""Entries: small JSON files that wait in the receiver's spool until the journal has what they say. They are written elsewhere."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from node.blobs.port import BlobsFailed, BlobsGone

T = TypeVar("T")

_FOREIGN = ".unreadable"


@contextlib.contextmanager
def listed(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    """What lies in a folder of the spool.

    Raises
    ------
    BlobsGone
        It is not there: its file system is not mounted any more, mostly.
    BlobsFailed
        It cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            yield entries
    except FileNotFoundError as gone:
        raise BlobsGone(f"{folder} was deleted or moved, or its file system is not mounted any more") from gone
    except OSError as failed:
        raise BlobsFailed(f"{folder} cannot be read: {failed.strerror}") from failed


def read_entry(entry: Path, parsed: Callable[[Any, float], T], unreadable: Callable[[Exception], None]) -> T | None:
    """What an entry says.

    None: another process had it first, or it is none that the listener wrote; that one is left lying under another name.

    Parameters
    ----------
    parsed
        Makes sense of the content, and of when it was written by this host's clock (seconds since 1970).
    unreadable
        Is told of what is none.

    Raises
    ------
    BlobsFailed
        It cannot be read.
    """
    try:
        return parsed(json.loads(entry.read_bytes()), entry.stat().st_mtime)
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError) as foreign:
        unreadable(foreign)
        with contextlib.suppress(FileNotFoundError):
            entry.rename(entry.with_suffix(_FOREIGN))
        return None
    except OSError as failed:
        raise BlobsFailed(f"{entry.name} cannot be read: {failed.strerror}") from failed


def drop_entry(entry: Path) -> None:
    """The journal has it; an absent one is no error."""
    try:
        entry.unlink(missing_ok=True)
    except OSError as failed:
        raise BlobsFailed(f"{entry.name} cannot be deleted: {failed.strerror}") from failed
