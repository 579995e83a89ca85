"""Frames that were decoded before they were needed, in a folder of this host: a memory that may forget, and is never believed unchecked.

A frame lies under the SHA-256 of its compressed bytes and of how they were to be decoded: whoever finds one has what decoding gives, from
whichever file. Each is written under another name and renamed, and holds a digest of its own that is checked whenever it is read. Nothing
is flushed: what a crash leaves is told by its digest. What nobody asks for is deleted after a quarter of an hour.

`StoredFrames` asks the memory that an instance was read with; without one, every frame is decoded when it is read.
"""

import contextlib
import hashlib
import os
import shutil
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGEST_BYTES = 32
_USED = 0.0
"""As when a frame was written, once it was used: these go first."""
_RESTS_S = 60.0
_OLD_S = 900.0
"""A frame that nobody asked for in so long belongs to a study that nobody analyses."""
_PARTIAL, _TRYING = ".part", ".trying"


class FrameCache:
    """The frames in `folder`, `most_bytes` at most, and fewer where less than `min_free_bytes` are left on the disk.

    Several processes may share the folder; each counts what lies there anew once in a while.
    """

    def __init__(self, folder: Path, *, most_bytes: int, min_free_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._min_free_bytes = min_free_bytes
        self._lock = threading.Lock()
        self._held_bytes = 0
        self._looked_at = float("-inf")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has(self, key: str) -> bool:
        """Whether a frame may be there; it is not looked into."""
        return (self._folder / key).exists()

    def recall(self, key: str) -> NDArray[Any] | None:
        """The frame, if it is there and whole."""
        path = self._folder / key
        try:
            raw = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(memoryview(raw)[_DIGEST_BYTES:]).digest() != raw[:_DIGEST_BYTES]:
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path, (_USED, _USED))
        array: NDArray[Any] = np.lib.format.read_array(BytesIO(memoryview(raw)[_DIGEST_BYTES:]), allow_pickle=False)
        return array

    def room_for(self, size: int) -> bool:
        """Whether so many bytes more may be kept now."""
        with self._lock:
            if time.monotonic() - self._looked_at > _RESTS_S:
                self._held_bytes = self._sweep()
                self._looked_at = time.monotonic()
            if self._held_bytes + size > self._most_bytes:
                self._held_bytes = self._sweep(used=True)
            if self._held_bytes + size > self._most_bytes:
                return False
        return shutil.disk_usage(self._folder).free - size > self._min_free_bytes

    def keep(self, key: str, frame: NDArray[Any]) -> bool:
        """Keep a frame if there is room; whether it is there now. A disk that fails is no error here."""
        if not self.room_for(frame.nbytes):
            return False
        out = BytesIO()
        np.lib.format.write_array(out, np.ascontiguousarray(frame), allow_pickle=False)
        content = out.getbuffer()
        partial = self._folder / f"{key}.{os.getpid()}{_PARTIAL}"
        try:
            fd = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
            partial.rename(self._folder / key)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink()
            return False
        with self._lock:
            self._held_bytes += len(content)
        return True

    def sweep(self) -> None:
        """Delete what is old, also when nothing is decoded any more."""
        with self._lock:
            self._held_bytes = self._sweep()
            self._looked_at = time.monotonic()

    def begin(self, name: str) -> bool:
        """Say that the file `name` is being decoded. False: somebody does, or died over it, and it is better left alone for a while."""
        with contextlib.suppress(OSError):
            os.close(os.open(self._folder / f"{name}{_TRYING}", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            return True
        return False

    def end(self, name: str) -> None:
        """Nobody died over it."""
        with contextlib.suppress(OSError):
            (self._folder / f"{name}{_TRYING}").unlink()

    def _sweep(self, *, used: bool = False) -> int:
        """Delete what is old, and with `used` what was used; bytes that are left."""
        left, now = 0, time.time()  # what is from a time to come is as old as what is from one long ago: the clock went back
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):  # another process was first
                status = entry.stat()
                if (used and status.st_mtime == _USED) or (status.st_mtime != _USED and abs(now - status.st_mtime) > _OLD_S):
                    os.unlink(entry.path)
                elif status.st_mtime == _USED and abs(now - status.st_ctime) > _RESTS_S:
                    os.unlink(entry.path)  # the job that used it is over, or has it in its volume
                else:
                    left += status.st_size
        return left
