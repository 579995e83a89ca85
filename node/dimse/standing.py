"""What stands and how fast it comes, counted over all receive processes: open connections and associations, and buckets for rates.

In memory that the supervisor lends (ADR-0009), one row for each receive process: what a process had open when it died is forgotten when its
row is blanked, by the supervisor or by its successor. A lock of the kernel guards it, which a process that dies cannot keep.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from node.settings.config import Config

HALF_OPEN = 128
"""Connections of one process that are not admitted yet: a handshake and an A-ASSOCIATE-RQ take milliseconds, or somebody stalls."""
_HEAD = struct.Struct("=4Q")  # rows, seats for associations and for connections in each, buckets
_KEY_BYTES = 16
_EMPTY = bytes(_KEY_BYTES)
_BUCKET = struct.Struct("=16sdd")  # whose, how much may still pass, when that was so (monotonic, seconds)
_BUCKETS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What one connection or association holds until it is given back."""

    at: int


class Standing:
    """Seats and buckets. Called from many threads and several processes at once; `clock` is monotonic and the same for all of them."""

    def __init__(self, memory: mmap.mmap, *, descriptor: int | None, row: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._descriptor = descriptor
        self._row = row
        self._clock = clock
        self._threads = threading.Lock()
        self._rows, self._associations, self._connections, self._buckets = _HEAD.unpack_from(memory)
        self._row_bytes = (self._associations + self._connections) * _KEY_BYTES

    @classmethod
    def make(cls, config: Config, *, rows: int) -> "Standing":
        """The supervisor's: room for so many receive processes, to be lent to each by `descriptor` and the number of its row."""
        descriptor = os.memfd_create("hilum-standing") if hasattr(os, "memfd_create") else _unlinked()
        content = _blank(config, rows)
        os.write(descriptor, content)
        return cls(mmap.mmap(descriptor, len(content)), descriptor=descriptor, row=0)

    @classmethod
    def attach(cls, descriptor: int, row: int) -> "Standing":
        """A receive process's: the region behind a lent descriptor. What an earlier process left in its row is forgotten."""
        made = cls(mmap.mmap(descriptor, os.fstat(descriptor).st_size), descriptor=descriptor, row=row)
        made.blank(row)
        return made

    @classmethod
    def alone(cls, config: Config, *, clock: Callable[[], float] = time.monotonic) -> "Standing":
        """For one process that nobody shares with."""
        content = _blank(config, 1)
        memory = mmap.mmap(-1, len(content))
        memory[:] = content
        return cls(memory, descriptor=None, row=0, clock=clock)

    @property
    def descriptor(self) -> int:
        """What a child attaches to."""
        assert self._descriptor is not None, "this region is for one process alone"
        return self._descriptor

    def blank(self, row: int) -> None:
        """Forget what the process of a row had open: it is dead."""
        with self._locked():
            start = _HEAD.size + row * self._row_bytes
            self._memory[start : start + self._row_bytes] = bytes(self._row_bytes)

    def connect(self, address: str, *, most: int) -> Seat | None:
        """A seat for a connection that shows nothing but its address; None when `most` of that address stand, or every seat is taken."""
        key = _key("address", address)
        with self._locked():
            if sum(1 for one in self._seated(connections=True) if one == key) >= most:
                return None
            return self._sit(key, connections=True)

    def linger(self, *, most: int) -> Seat | None:
        """A seat for a connection whose association is over; None when `most` of them stand. It counts for no address."""
        key = _key("lingering", "")
        with self._locked():
            if sum(1 for one in self._seated(connections=True) if one == key) >= most:
                return None
            return self._sit(key, connections=True)

    def enter(self, who: str, *, most: int, most_in_all: int) -> Seat | int:
        """A seat for an association; else how many stand: of `who`, or in all where that is what is full (`most_in_all` at least)."""
        key = _key("association", who)
        with self._locked():
            taken = list(self._seated(connections=False))
            if len(taken) >= most_in_all:
                return len(taken)
            own = sum(1 for one in taken if one == key)
            if own >= most:
                return own
            return self._sit(key, connections=False) or max(len(taken), most_in_all)

    def leave(self, seat: Seat) -> None:
        """A connection or association has ended."""
        with self._locked():
            self._memory[seat.at : seat.at + _KEY_BYTES] = _EMPTY

    def allows(self, what: str, *, per_minute: int) -> bool:
        """Whether one more of `what` may begin now: `per_minute` at once, then one as often as they fit into a minute."""
        with self._locked():
            at, level = self._bucket(_key("rate", what), rate=per_minute / 60, burst=per_minute)
            if level < 1:
                return False
            self._put(at, level - 1)
            return True

    def wait_s(self, what: str, amount: float, *, per_second: float) -> float:
        """How long to wait after `amount` of `what`, so that no more than `per_second` passes; a second's worth may come at once."""
        with self._locked():
            at, level = self._bucket(_key("rate", what), rate=per_second, burst=per_second)
            self._put(at, level - amount)
            return max(0.0, (amount - level) / per_second)

    # ---- under the lock
    def _seated(self, *, connections: bool) -> Iterator[bytes]:
        for row in range(self._rows):
            start, seats = self._seats(row, connections=connections)
            block = self._memory[start : start + seats * _KEY_BYTES]
            for at in range(0, len(block), _KEY_BYTES):
                if (one := block[at : at + _KEY_BYTES]) != _EMPTY:
                    yield one

    def _sit(self, key: bytes, *, connections: bool) -> Seat | None:
        start, seats = self._seats(self._row, connections=connections)
        for at in range(start, start + seats * _KEY_BYTES, _KEY_BYTES):
            if self._memory[at : at + _KEY_BYTES] == _EMPTY:
                self._memory[at : at + _KEY_BYTES] = key
                return Seat(at=at)
        return None

    def _seats(self, row: int, *, connections: bool) -> tuple[int, int]:
        start = _HEAD.size + row * self._row_bytes
        return (start + self._associations * _KEY_BYTES, self._connections) if connections else (start, self._associations)

    def _bucket(self, key: bytes, *, rate: float, burst: float) -> tuple[int, float]:
        """Where a bucket is, and what may pass now. One that nobody asked for longest makes room for a new one, which is full."""
        start, now = _HEAD.size + self._rows * self._row_bytes, self._clock()
        oldest, oldest_at = start, float("inf")
        for at in range(start, start + self._buckets * _BUCKET.size, _BUCKET.size):
            whose, level, then = _BUCKET.unpack_from(self._memory, at)
            if whose == key:
                return at, min(burst, level + max(0.0, now - then) * rate)
            if then < oldest_at:
                oldest, oldest_at = at, then
            if whose == _EMPTY:
                break
        self._memory[oldest : oldest + _KEY_BYTES] = key
        return oldest, burst

    def _put(self, at: int, level: float) -> None:
        _BUCKET.pack_into(self._memory, at, self._memory[at : at + _KEY_BYTES], level, self._clock())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            if self._descriptor is None:
                yield
                return
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What slows a peer down to its rates: the thread that serves it waits. What was begun is never refused for it."""

    standing: Standing
    who: str
    bytes_per_second: int | None
    instances_per_second: int | None
    sleep: Callable[[float], None] = time.sleep

    def fragment(self, size_bytes: int) -> None:
        """After so many bytes of a data set were taken: wait until more may be read; meanwhile TCP holds the sender back."""
        if self.bytes_per_second is not None:
            self._wait(self.standing.wait_s(f"bytes {self.who}", size_bytes, per_second=self.bytes_per_second))

    def instance(self) -> None:
        """Before an instance is answered."""
        if self.instances_per_second is not None:
            self._wait(self.standing.wait_s(f"instances {self.who}", 1, per_second=self.instances_per_second))

    def _wait(self, wait_s: float) -> None:
        if wait_s > 0:
            self.sleep(wait_s)


def _blank(config: Config, rows: int) -> bytes:
    # any one process may come to hold all associations
    associations = config.node.max_associations
    head = _HEAD.pack(rows, associations, HALF_OPEN, _BUCKETS)
    return head + bytes(rows * (associations + HALF_OPEN) * _KEY_BYTES + _BUCKETS * _BUCKET.size)


def _key(kind: str, name: str) -> bytes:
    return blake2b(f"{kind} {name}".encode("utf-8", "surrogateescape"), digest_size=_KEY_BYTES).digest()


def _unlinked() -> int:
    """A file without a name, where the system has no memory files."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
