"""Writes that survive a power loss: bytes flushed, then named, then the name flushed too."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

PARTIAL = ".part"
"""Ends the names of files that are still being written; the sweep at start deletes them."""


def write_durably(path: Path, pieces: Sequence[bytes | memoryview]) -> None:
    """Write `pieces` one after another as `path`: after the return all bytes are there whatever happens, before it nothing has that name.

    Raises
    ------
    OSError
        No space, an I/O error. Nothing is left behind.
    """
    partial = path.with_name(path.name + PARTIAL)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(file, rest) :]
            # the bytes before the name: a name without its bytes would be an instance that was never received
            os.fsync(file)
        finally:
            os.close(file)
        partial.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a rename is lost in a power cut until its folder is flushed."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents durably, private to the service user."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    flush_folder(folder.parent)
