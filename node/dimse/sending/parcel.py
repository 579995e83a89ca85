"""One instance made ready for the wire while the answer to the one before it is awaited: opened, read, brought into the agreed syntax."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Final

from node.dimse.errors import NotAFile
from node.dimse.outgoing import Outgoing, file_of, transcoded
from node.dimse.wire import pdu

WINDOW_BYTES: Final = 4 << 20
"""What of a data set is in memory at a time; most instances are smaller."""


def window() -> bytearray:
    """Room for one instance at a time: it is free again when `Association.store` has returned. Pages that nobody writes cost nothing."""
    return bytearray(WINDOW_BYTES)


class Ready:
    """An instance in one presentation context. It holds the file open and, of what is in `window`, its first bytes.

    Nothing is read that the caller's window does not hold, so that an instance of gigabytes takes no more memory than a slice.
    """

    def __init__(self, instance: Outgoing, *, context_id: int, syntax: str, window: bytearray) -> None:
        """Read the first window.

        Raises
        ------
        NotAFile
            It cannot be read, or not be brought into `syntax`.
        """
        self.instance = instance
        self.context_id = context_id
        self.syntax = syntax
        self._window = window
        self._file = -1
        self._data = b""
        if syntax != instance.transfer_syntax_uid:
            self._data = transcoded(instance, syntax)
            self._size = self._first = len(self._data)
            return
        try:
            self._file = os.open(instance.path, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(self._file)
            if file_of(status) != instance.file:
                raise OSError(errno.ESTALE, "it became another file before it was sent")
            self._size = status.st_size - instance.offset
            self._first = self._read(0)
        except OSError as unreadable:
            self.close()
            raise NotAFile(f"{instance.path}: {unreadable.strerror}") from unreadable
        if self._size <= 0:
            self.close()
            raise NotAFile(f"{instance.path} has no data set behind its file meta information")

    def fragments(self, most_bytes: int) -> Iterator[list[bytes | memoryview]]:
        """The P-DATA-TFs of the data set, none longer than `most_bytes` without its head, a window at a time: heads and fragments in turn.

        Raises
        ------
        OSError
            The file cannot be read to the end that it had.
        """
        # PS3.8 annex E: the length of a fragment is even
        fragment = (most_bytes - pdu.PDV_HEAD_BYTES) // 2 * 2
        inner = pdu.data_head(self.context_id, fragment, command=False, last=False)
        done, there = 0, self._first
        source = memoryview(self._data) if self._data else memoryview(self._window)
        while done < self._size:
            end = done + there
            pieces: list[bytes | memoryview] = []
            at = 0
            while at < there:
                length = min(fragment, there - at)
                last = end == self._size and at + length == there
                pieces.append(inner if length == fragment and not last else self._head(length, last=last))
                pieces.append(source[at : at + length])
                at += length
            yield pieces
            done = end
            if done < self._size:
                there = self._read(done)

    def _head(self, length: int, *, last: bool) -> bytes:
        return pdu.data_head(self.context_id, length, command=False, last=last)

    def _read(self, done: int) -> int:
        """Fill the window from there on; how many bytes it holds of the data set."""
        wanted = min(len(self._window), self._size - done)
        with memoryview(self._window) as window:
            read = 0
            while read < wanted:
                count = os.preadv(self._file, [window[read:wanted]], self.instance.offset + done + read)
                if count == 0:
                    raise OSError(5, "the file became shorter while it was read")
                read += count
        if hasattr(os, "posix_fadvise") and self._size > done + read:
            # the disk reads on while this window goes over the wire
            os.posix_fadvise(self._file, self.instance.offset + done + read, len(self._window), os.POSIX_FADV_WILLNEED)
        return read

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1
