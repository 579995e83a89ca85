"""The journal's file on SQLite: whether there is one, whether it is a journal of hilum, and whether it is still the one that was opened.

What is in it is SQLite's business; here its name, its inode and the first hundred bytes count (sqlite.org/fileformat.html, 1.3).
"""

import os
import stat
from pathlib import Path

from node.journal.errors import JournalCorrupt, JournalGone, JournalUnreachable

APPLICATION_ID = 1751739501
"""`PRAGMA application_id` of every journal, "hilm" in ASCII; 0 in a file that has no table yet."""
_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = 68
_HEADER_BYTES = 100


class JournalFile:
    """One journal's file. SQLite goes on writing into a file that was deleted or replaced, and all that it wrote there is lost: `look` is
    called before each transaction begins and before each commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: tuple[int, int] | None = None

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log beside it."""
        return self.path.with_name(f"{self.path.name}-wal")

    def absent(self) -> bool:
        """Whether there is no journal, or a file without a byte: a first start ended before it wrote one.

        Raises
        ------
        JournalUnreachable
            There is no telling: it is a folder, or lies where this user may not look.
        JournalCorrupt
            The file is gone or empty, and its write-ahead log, which holds what was committed last, is there. SQLite would delete that.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            size = 0
        except OSError as refused:
            raise JournalUnreachable(f"{self.path}: {refused.strerror}") from refused
        else:
            if stat.S_ISDIR(status.st_mode):
                raise JournalUnreachable(f"{self.path} is a folder, and the journal is one file")
            size = status.st_size
        if size == 0 and self.wal.exists() and self.wal.stat().st_size > 0:
            raise JournalCorrupt(
                f"{self.path} is {'empty' if self.path.exists() else 'gone'}, and its write-ahead log {self.wal.name} is not"
            )
        return size == 0

    def make(self) -> None:
        """Make the file if need be, private: SQLite gives its companions the same mode."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as refused:
            raise JournalUnreachable(f"{self.path}: {refused.strerror}") from refused

    def opened(self) -> None:
        """From now on the journal is this file and no other of its name.

        Raises
        ------
        JournalCorrupt
            It is no SQLite database, or another program's.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                status, head = os.fstat(fd), os.read(fd, _HEADER_BYTES)
            finally:
                os.close(fd)
        except OSError as refused:
            raise JournalUnreachable(f"{self.path}: {refused.strerror}") from refused
        if head and not head.startswith(_MAGIC):
            raise JournalCorrupt(f"{self.path} is no SQLite database: damaged at its first byte, encrypted, or another program's file")
        whose = int.from_bytes(head[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big")
        if whose not in (0, APPLICATION_ID):
            raise JournalCorrupt(f"{self.path} is another program's database (application_id {whose}), or its first page is damaged")
        self._inode = status.st_dev, status.st_ino

    def look(self) -> None:
        """Compare what lies under its name with what was opened.

        Raises
        ------
        JournalGone
            It was deleted, replaced, or its file system is not mounted any more.
        """
        try:
            status = os.stat(self.path)
        except FileNotFoundError as gone:
            raise JournalGone(f"{self.path} was deleted or moved, or its file system is not mounted any more") from gone
        except OSError as refused:
            raise JournalGone(f"{self.path}: {refused.strerror}") from refused
        if self._inode != (status.st_dev, status.st_ino):
            raise JournalGone(f"{self.path} is another file than the one that was opened")
