"""Write-ahead: files that are written before instances come, which the next instances go into (ADR-0029).

To flush a new file, a file system has to journal its blocks, its length and its name; to flush what overwrites a file of the same length it
only writes the bytes. So a receiver that has nothing to do writes files ahead, and an instance that fits into one is durable with one flush
of its bytes: behind them, at the end of the file, stands a proof of what they are. Name and length follow (node.spool.deferred_flush); a
slot whose proof agrees with its bytes is found by the process that opens the spool after this receiver ended (node.spool.recovery).
"""

import contextlib
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.blobs.files import FILE_MODE, FOLDER_MODE, flush_folder, write_all
from node.blobs.writer_lock import token_of
from node.observe.events import alarm
from node.spool.proof import PROOF_BLOCK_BYTES, PROOF_BYTES, SLOT, Proof, packed

MOST_BYTES = 1 << 20
"""Of one instance: for a larger one a flush costs little beside its bytes."""
_ROUND_BYTES = 64 * 1024
_MOST = 1024
_AFTER_S = 0.25
"""So long nothing must have come in before any is written: they are for the next burst, and are not to slow this one."""
_LOOK_EVERY_S = 0.1
_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """File written ahead, open at its beginning, for an instance of up to `capacity` bytes."""

    fd: int
    path: str
    capacity: int

    def prove(self, proof: Proof) -> None:
        """Say what its bytes are; flushed with them, or not at all."""
        at = self.capacity + PROOF_BLOCK_BYTES - PROOF_BYTES
        if os.pwrite(self.fd, packed(proof, token_of(self.path)), at) != PROOF_BYTES:
            raise OSError(errno.EIO, "the disk took a part of the proof")


class WriteAhead:
    """Keeps slots ready, as many and as large as the last burst would have used. Each is used once.

    Parameters
    ----------
    folder
        Where they lie.
    plan
        A file that says how many of which size there were to be, for the next receiver's start.
    named
        What a file of this receiver is called there (node.blobs.writer_lock).
    budget_bytes
        How much they may take all together; 0: there are none.
    spare
        Whether the disk has so many bytes to spare.
    """

    def __init__(self, folder: Path, plan: Path, named: Callable[[str], str], *, budget_bytes: int, spare: Callable[[int], bool]) -> None:
        self._folder = folder
        self._plan = plan
        self._named = named
        self._budget_bytes = budget_bytes
        self._spare = spare
        self._lock = threading.Lock()
        self._ready: deque[tuple[str, int]] = deque()
        self._capacity = 0
        self._wanted = 0
        self._burst = 0
        self._largest = 0
        self._last = 0.0
        self._made = 0
        self._filling = False
        self._failed = False
        self._closed = False

    def take(self) -> Slot | None:
        """One that is ready, or None: the caller writes a file of its own."""
        if not self._ready:
            return None
        self._last = time.monotonic()
        with self._lock:
            if not self._ready:
                return None
            path, capacity = self._ready.popleft()
        try:
            return Slot(fd=os.open(path, os.O_WRONLY | os.O_CLOEXEC), path=path, capacity=capacity)
        except OSError:  # whatever it is, a file of the caller's own meets it too
            _unlink(path)
            return None

    def ready(self) -> bool:
        """Whether there is one."""
        return bool(self._ready)

    def kept(self, size: int) -> None:
        """An instance of so many bytes was kept, in a slot or not: one like it may come again."""
        self._last = time.monotonic()
        if not self._budget_bytes or size > MOST_BYTES:
            return
        with self._lock:
            self._burst += 1
            self._largest = max(self._largest, size)
            self._start()

    def begin(self) -> None:
        """Write as many as the receiver before this one would have."""
        with contextlib.suppress(OSError, ValueError):  # none was there, or it was cut off
            capacity, wanted = map(int, self._plan.read_text(encoding="ascii").split())
            if 0 < capacity <= MOST_BYTES and capacity % _ROUND_BYTES == 0 and wanted > 0:
                with self._lock:
                    self._capacity, self._wanted = capacity, min(wanted, self._most(capacity))
                    self._start()

    def release(self) -> int:
        """Delete those that are ready: the disk has no room. How many there were."""
        with self._lock:
            paths, self._ready, self._wanted = [path for path, _ in self._ready], deque(), 0
        for path in paths:
            _unlink(path)
        return len(paths)

    def close(self) -> None:
        """Delete them, and make none any more."""
        self._closed = True
        self.release()

    def _start(self) -> None:
        if self._filling or self._closed or not self._budget_bytes:
            return
        self._filling = True
        try:
            threading.Thread(target=self._fill, name="ahead", daemon=True).start()
        except RuntimeError:  # no thread can be had now; no sender is to be refused for that
            self._filling = False

    # ---- the thread that writes them, while nothing comes in
    def _fill(self) -> None:
        try:
            enough = False
            while not enough:
                enough = self._enough()
        except BaseException as failed:  # raised again unless the disk failed: the next burst may fill again
            with self._lock:
                self._filling = False
            if not isinstance(failed, OSError):
                raise
            if not self._failed:
                alarm("inbox.not_ahead", reason=failed.strerror)
            self._failed = True

    def _enough(self) -> bool:
        """Wait a little, or write a few; whether the thread ends, which is settled before another one may be started."""
        if not self._closed:
            if (left := self._last + _AFTER_S - time.monotonic()) > 0:
                time.sleep(min(left, _LOOK_EVERY_S))
                return False
            self._look_back()
            if self._write_some():
                return False
        with self._lock:
            if self._burst and not self._closed:
                return False
            self._filling = self._failed = False
            return True

    def _look_back(self) -> None:
        """How many of which size; what is ready and has another size goes. A few small ones behind large ones change nothing."""
        gone: list[str] = []
        with self._lock:
            burst, largest, self._burst, self._largest = self._burst, self._largest, 0, 0
            if not burst:
                return
            before = self._capacity, self._wanted
            capacity = -(-largest // _ROUND_BYTES) * _ROUND_BYTES
            if capacity > self._capacity or (4 * capacity <= self._capacity and 4 * burst >= self._wanted):
                self._capacity, self._wanted = capacity, 0
                gone, self._ready = [path for path, _ in self._ready], deque()
            self._wanted = min(self._most(self._capacity), max(self._wanted, burst + burst // 4))
            after = self._capacity, self._wanted
        for path in gone:
            _unlink(path)
        if before != after:
            with contextlib.suppress(OSError):  # it is a hint
                # not what is above it: where that went, nothing may be made in its place
                self._plan.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
                self._plan.write_text(f"{after[0]} {after[1]}\n", encoding="ascii")

    def _most(self, capacity: int) -> int:
        return min(_MOST, self._budget_bytes // (capacity + PROOF_BLOCK_BYTES))

    def _write_some(self) -> bool:
        """A few more, durable before they are ready; False: there are enough, or no room for more."""
        with self._lock:
            count, capacity = min(_BATCH, self._wanted - len(self._ready)), self._capacity
        length = capacity + PROOF_BLOCK_BYTES
        if count <= 0 or not self._spare(count * length):
            return False
        made: list[str] = []
        zeros = bytes(length)
        try:
            for _ in range(count):
                self._made += 1
                path = f"{self._folder}/{self._named(f'{self._made:09d}{SLOT}')}"
                fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
                made.append(path)
                try:
                    write_all(fd, zeros)  # written, not allocated: what was never written is journaled when it is
                    os.fsync(fd)
                finally:
                    os.close(fd)
            flush_folder(self._folder)
        except BaseException:  # raised again: no file of a set that was not finished stays
            for path in made:
                _unlink(path)
            raise
        with self._lock:
            wanted = not self._closed and self._wanted > 0 and capacity == self._capacity
            if wanted:
                self._ready.extend((path, capacity) for path in made)
        for path in made:
            if not wanted:
                _unlink(path)
        return wanted


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
