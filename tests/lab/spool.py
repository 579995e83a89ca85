"""What lies in a receiver's spool beside the entries."""

from pathlib import Path

from node.blobs.lives import without_lives


def half_written(folder: Path) -> list[str]:
    """The names of what is not whole, or not flushed, in the spool below `folder`."""
    return without_lives(path.name for path in (folder / "coming").iterdir())
