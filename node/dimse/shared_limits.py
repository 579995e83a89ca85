"""Shared limits: seats for associations and buckets for rates, counted over all receive processes.

In shared memory that the supervisor makes (ADR-0009), one row for each receive process: what a process had open when it died is
forgotten when its row is blanked, by the supervisor or by its successor. A lock of the kernel guards it, which a process that dies
cannot keep.
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
from enum import Enum
from hashlib import blake2b

from node.settings.config import Config

_HEAD = struct.Struct("=3Q")  # rows, seats for associations in each, buckets
_KEY_BYTES = 16
_EMPTY = bytes(_KEY_BYTES)
_BUCKET = struct.Struct("=16sdd")  # whose, how much may still pass, when that was so (monotonic, seconds)
_BUCKETS = 512
_PEERS, _STRANGERS = b"\1", b"\2"
"""How the keys of seats begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What one association holds until it is given back."""

    at: int


class Of(Enum):
    """Whose seats are full."""

    ALL = "all"
    ONE = "one"  # the sender's own
    STRANGERS = "strangers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """No seat was left; so many stand."""

    of: Of
    stand: int


class SharedLimits:
    """Seats and buckets. Called from many threads and several processes at once; `clock` is monotonic and the same for all of them."""

    def __init__(self, memory: mmap.mmap, *, descriptor: int | None, row: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._descriptor = descriptor
        self._row = row
        self._clock = clock
        self._threads = threading.Lock()
        self._rows, self._associations, self._buckets = _HEAD.unpack_from(memory)
        self._row_bytes = self._associations * _KEY_BYTES

    @classmethod
    def make(cls, config: Config, *, rows: int) -> "SharedLimits":
        """The supervisor's: room for so many receive processes, which attach by `descriptor` and the number of its row."""
        descriptor = os.memfd_create("hilum-limits") if hasattr(os, "memfd_create") else _unlinked()
        content = _blank(config, rows)
        os.write(descriptor, content)
        return cls(mmap.mmap(descriptor, len(content)), descriptor=descriptor, row=0)

    @classmethod
    def attach(cls, descriptor: int, row: int) -> "SharedLimits":
        """A receive process's: the region behind an inherited descriptor. What an earlier process left in its row is forgotten."""
        made = cls(mmap.mmap(descriptor, os.fstat(descriptor).st_size), descriptor=descriptor, row=row)
        made.blank(row)
        return made

    @classmethod
    def alone(cls, config: Config, *, clock: Callable[[], float] = time.monotonic) -> "SharedLimits":
        """For the only process that there is."""
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
            start = self._start(row)
            self._memory[start : start + self._row_bytes] = bytes(self._row_bytes)

    def enter(self, who: str, *, most: int, most_in_all: int, most_strangers: int | None = None) -> Seat | Full:
        """A seat for an association of `who`, or what is full. `most_strangers`: it is a stranger's, of whom so many may stand together."""
        kind = _PEERS if most_strangers is None else _STRANGERS
        key = kind + _key("association", who)[len(kind) :]
        with self._locked():
            taken = list(self._seated())
            own = sum(1 for one in taken if one == key)
            if len(taken) >= most_in_all:
                return Full(of=Of.ALL, stand=len(taken))
            if own >= most:
                return Full(of=Of.ONE, stand=own)
            strangers = sum(1 for one in taken if one.startswith(_STRANGERS))
            if most_strangers is not None and strangers >= most_strangers:
                return Full(of=Of.STRANGERS, stand=strangers)
            return self._sit(key) or Full(of=Of.ALL, stand=len(taken))

    def leave(self, seat: Seat) -> None:
        """An association has ended."""
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
    def _seated(self) -> Iterator[bytes]:
        for row in range(self._rows):
            start = self._start(row)
            block = self._memory[start : start + self._row_bytes]
            for at in range(0, len(block), _KEY_BYTES):
                if (one := block[at : at + _KEY_BYTES]) != _EMPTY:
                    yield one

    def _sit(self, key: bytes) -> Seat | None:
        start = self._start(self._row)
        for at in range(start, start + self._row_bytes, _KEY_BYTES):
            if self._memory[at : at + _KEY_BYTES] == _EMPTY:
                self._memory[at : at + _KEY_BYTES] = key
                return Seat(at=at)
        return None

    def _start(self, row: int) -> int:
        return int(_HEAD.size + row * self._row_bytes)

    def _bucket(self, key: bytes, *, rate: float, burst: float) -> tuple[int, float]:
        """Where a bucket is, and what may pass now. One that nobody asked for longest makes room for a new one, which is full."""
        start, now = self._start(self._rows), self._clock()
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
class TransferRate:
    """What slows a peer down to its rates: the thread that serves it waits. What was begun is never refused for it."""

    shared: SharedLimits
    who: str
    bytes_per_second: int | None
    instances_per_second: int | None
    sleep: Callable[[float], None] = time.sleep

    def fragment(self, size_bytes: int) -> None:
        """After so many bytes of a data set were taken: wait until more may be read; meanwhile TCP holds the sender back."""
        if self.bytes_per_second is not None:
            self._wait(self.shared.wait_s(f"bytes {self.who}", size_bytes, per_second=self.bytes_per_second))

    def instance(self) -> None:
        """Before an instance is answered."""
        if self.instances_per_second is not None:
            self._wait(self.shared.wait_s(f"instances {self.who}", 1, per_second=self.instances_per_second))

    def _wait(self, wait_s: float) -> None:
        if wait_s > 0:
            self.sleep(wait_s)


def _blank(config: Config, rows: int) -> bytes:
    # any one process may come to hold all associations
    associations = config.node.max_associations
    head = _HEAD.pack(rows, associations, _BUCKETS)
    return head + bytes(rows * associations * _KEY_BYTES + _BUCKETS * _BUCKET.size)


def _key(kind: str, name: str) -> bytes:
    return blake2b(f"{kind} {name}".encode("utf-8", "surrogateescape"), digest_size=_KEY_BYTES).digest()


def _unlinked() -> int:
    """A file without a name, where the system has no memory files."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
