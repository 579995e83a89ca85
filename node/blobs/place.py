"""A place on the disk that must stay the one that it was: a folder or a file that may be deleted, replaced, or not be mounted any more."""

import os
from pathlib import Path


class Place:
    """What lay at `path` when this was made, known by device and inode; the owner made sure that it is the right one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode = _inode(path)

    def why(self) -> str:
        """Why it is not what it was, as a sentence without its end; "" while it is."""
        try:
            inode = _inode(self.path)
        except FileNotFoundError:
            return f"{self.path} was deleted or moved, or its file system is not mounted any more"
        except OSError as refused:
            return f"{self.path}: {refused.strerror}"
        return "" if inode == self._inode else f"{self.path} is not what it was: something else was put or mounted there"

    def taken(self) -> bool:
        """Whether something lies there now that is not what it was."""
        try:
            return _inode(self.path) != self._inode
        except OSError:
            return False


def _inode(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
