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
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inference.imaging.header import Instance

_MOST_BYTES: Final = 3 << 20
"""Of headers as they lie in their files; parsed they take twenty times as much."""
_LARGE_BYTES: Final = 256 << 10
"""A longer one, of thousands of frames, is read when it is needed."""
_OLD_S: Final = 900.0

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    version: Version
    instance: "Instance"
    size: int
    at: float


_lock = threading.Lock()
_kept: OrderedDict[Path, _Kept] = OrderedDict()


def version(path: Path) -> Version | None:
    """What changes with the file; None where there is none."""
    try:
        now = os.stat(path)
    except OSError:
        return None
    return now.st_ino, now.st_size, now.st_mtime_ns


def keep(instance: "Instance", of: Version) -> None:
    """Keep the header of a file that was of this version before it was read; the oldest go where there are too many."""
    size, now = instance.pixels.offset, time.monotonic()
    if not 0 < size <= _LARGE_BYTES:
        return
    with _lock:
        _kept.pop(instance.path, None)
        _kept[instance.path] = _Kept(version=of, instance=instance, size=size, at=now)
        held = sum(one.size for one in _kept.values())
        while _kept and (held > _MOST_BYTES or now - next(iter(_kept.values())).at > _OLD_S):
            held -= _kept.popitem(last=False)[1].size


def take(path: Path) -> "Instance | None":
    """The header of a file, if it was kept and the file is what it was; it is not kept any more."""
    with _lock:
        found = _kept.pop(path, None)
    return found.instance if found is not None and found.version == version(path) else None
