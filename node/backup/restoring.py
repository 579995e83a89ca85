"""The mark of a restore under way: it lies in the spool from before the first file is restored until the last step is done."""

import os
from pathlib import Path

from node.backup.errors import HalfRestored
from node.blobs.files import flush_folder, write_flushed
from node.blobs.port import BlobsFailed
from node.settings.config import Config

_MARK = "restoring"
_COMING = f"{_MARK}.part"
NAMES = (_MARK, _COMING)


def begun(config: Config) -> str | None:
    """Of which backup the place holds a part; None: of none. BlobsFailed where there is no telling."""
    mark = _mark(config)
    try:
        return mark.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as failed:
        raise BlobsFailed(f"{mark.parent} cannot be read: {failed.strerror}") from failed


def begin(config: Config, backup: Path) -> None:
    """From now on the place is this backup's; durable, and never half a mark."""
    mark = _mark(config)
    coming = mark.with_name(_COMING)
    coming.unlink(missing_ok=True)
    write_flushed(coming, [str(backup.resolve()).encode()])
    coming.rename(mark)
    flush_folder(mark.parent)


def end(config: Config) -> None:
    """Everything is there, on disk."""
    os.sync()
    mark = _mark(config)
    mark.unlink()
    flush_folder(mark.parent)


def refuse_half_restored(config: Config) -> None:
    """Let nothing work on a part of a backup.

    Raises
    ------
    HalfRestored
        A restore was begun and not finished.
    BlobsFailed
        The folder cannot be read.
    """
    backup = begun(config)
    if backup is not None:
        raise HalfRestored(f"{_mark(config).parent} holds a part of {backup}: its restore was not finished")


def _mark(config: Config) -> Path:
    return config.store.spooled / _MARK
