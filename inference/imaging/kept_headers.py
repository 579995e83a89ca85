"""Headers that were read before a job asks for them, in the memory of this process: some megabytes, each given out once.

A header is that of a file as it was: inode, length and the time of the last change are compared before it is given out. Only once, because
whoever has it may change its data set. What nobody asks for is forgotten after a quarter of an hour.
"""

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

Version = tuple[int, int, int]
Header = TypeVar("Header")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept(Generic[Header]):
    version: Version
    header: Header
    size: int
    at: float


def version(path: Path) -> Version | None:
    """What changes with the file; None where there is none."""
    try:
        now = os.stat(path)
    except OSError:
        return None
    return now.st_ino, now.st_size, now.st_mtime_ns


class KeptHeaders(Generic[Header]):
    """Headers by the path of their file; may be used by threads.

    Parameters
    ----------
    most_bytes
        Of headers as they lie in their files; parsed they take twenty times as much.
    large_bytes
        A longer one, of thousands of frames, is not kept: it is read when it is needed.
    old_s
        What nobody asked for in so long is forgotten when the next one comes.
    """

    def __init__(self, *, most_bytes: int = 3 << 20, large_bytes: int = 256 << 10, old_s: float = 900.0) -> None:
        self._most_bytes, self._large_bytes, self._old_s = most_bytes, large_bytes, old_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, _Kept[Header]] = OrderedDict()

    def keep(self, path: Path, header: Header, size: int, of: Version) -> None:
        """Keep a header of `size` bytes, of a file that was of this version before it was read; the oldest go where there are too many."""
        now = time.monotonic()
        if not 0 < size <= self._large_bytes:
            return
        with self._lock:
            self._kept.pop(path, None)
            self._kept[path] = _Kept(version=of, header=header, size=size, at=now)
            held = sum(one.size for one in self._kept.values())
            while self._kept and (held > self._most_bytes or now - next(iter(self._kept.values())).at > self._old_s):
                held -= self._kept.popitem(last=False)[1].size

    def take(self, path: Path) -> Header | None:
        """The header of a file, if it was kept and the file is what it was; it is not kept any more."""
        with self._lock:
            found = self._kept.pop(path, None)
        return found.header if found is not None and found.version == version(path) else None
