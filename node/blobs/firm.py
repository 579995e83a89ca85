"""Folders whose names are durable: what is moved into them cannot be lost with them."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from node.blobs.files import FOLDER_MODE, flush_folder

_TRIES = 20
_MOST = 10_000


class FirmFolders:
    """Folders below `root`, made when they are needed; `root` itself is durable.

    A file system may bring a rename to the disk without the folder that it leads into, so a folder's name is flushed first. That it is
    there says nothing: whoever made it may have been killed before that, or its flush have failed. A process therefore believes what it
    has flushed itself, and flushes each other one once.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._firm: set[Path] = set()

    def act(self, folder: Path, act: Callable[[], object]) -> None:
        """Do something that needs `folder`, and again should whoever deletes its last file take it away in between.

        Raises
        ------
        OSError
            The folder cannot be made or flushed, and nothing was done; or what `act` raises.
        """
        for last in [False] * _TRIES + [True]:
            try:
                self._make(folder)
                act()
            except FileNotFoundError:
                self._firm.difference_update((folder, *folder.parents))
                if last:
                    raise
            else:
                return

    def _make(self, folder: Path) -> None:
        if folder in self._firm or folder == self._root:
            return
        self._make(folder.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, FOLDER_MODE)
        flush_folder(folder.parent)
        if len(self._firm) >= _MOST:
            self._firm.clear()
        self._firm.add(folder)
