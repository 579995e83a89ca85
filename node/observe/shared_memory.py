"""Numbers that outlive the process that counts them: float64 cells in shared memory, which the supervisor makes and reads.

No file backs them, so a full disk cannot touch them (a store into a memory-mapped file that has no room ends its process by SIGBUS), and
no message carries them, so that a process killed by SIGKILL loses none. The next process of the same member counts on in the same memory.
"""

import mmap
import os
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator

_SIZE = 512 * 1024
"""Bytes of one region: about 3,000 series of one histogram each."""
_HEAD = 2  # in units of 8 bytes: how many units are used, how many series found no room
_UNIT = 8
_RECORD = struct.Struct("=II")  # bytes of the key, number of cells; then the key, padded, then the cells
_WORD = struct.Struct("=Q")


class SharedCells:
    """One region: series of cells, each found by its key. Many threads of one process may write; any other process may read meanwhile."""

    def __init__(self, memory: mmap.mmap, descriptor: int | None = None) -> None:
        self._memory = memory
        self._descriptor = descriptor
        self._numbers = memoryview(memory).cast("d")
        self._lock = threading.Lock()
        self._places = {key: place for key, place, _ in self._records()}

    @classmethod
    def make(cls) -> "SharedCells":
        """A region that a child attaches to by its `descriptor`; its pages are taken now, so that no later store can fail."""
        descriptor = os.memfd_create("hilum-metrics") if hasattr(os, "memfd_create") else _unlinked()
        os.write(descriptor, bytes(_SIZE))
        made = cls(mmap.mmap(descriptor, _SIZE), descriptor)
        made._store(0, _HEAD)
        return made

    @classmethod
    def attach(cls, descriptor: int) -> "SharedCells":
        """The region behind a descriptor that was inherited."""
        return cls(mmap.mmap(descriptor, os.fstat(descriptor).st_size), descriptor)

    @classmethod
    def alone(cls) -> "SharedCells":
        """A region that nobody else sees."""
        made = cls(mmap.mmap(-1, _SIZE))
        made._store(0, _HEAD)
        return made

    @property
    def descriptor(self) -> int:
        """What a child attaches to."""
        assert self._descriptor is not None, "this region is for one process alone"
        return self._descriptor

    @property
    def refused(self) -> int:
        """How many series found no room: a label that takes ever new values, mostly."""
        return self._load(1)

    def place(self, key: bytes, cells: int) -> int | None:
        """Where the cells of a series begin, made if need be; None when there is no room for it."""
        with self._lock:
            found = self._places.get(key)
            if found is not None:
                return found
            used, key_units = self._load(0), -(-len(key) // _UNIT)
            place = used + 1 + key_units
            if (place + cells) * _UNIT > len(self._memory):
                self._store(1, self._load(1) + 1)
                return None
            at = used * _UNIT
            _RECORD.pack_into(self._memory, at, len(key), cells)
            self._memory[at + _UNIT : at + _UNIT + len(key)] = key
            for cell in range(place, place + cells):
                self._numbers[cell] = 0.0
            # last, and in one store: a process killed before it has written nothing that anybody reads
            self._store(0, place + cells)
            self._places[key] = place
            return place

    def add(self, place: int, value: float) -> None:
        """Add to one cell; one that an earlier process left blank begins at 0."""
        with self._lock:
            before = self._numbers[place]
            self._numbers[place] = value if before != before else before + value

    def add_two(self, place: int, value: float, other: int, other_value: float) -> None:
        """Add to two cells, for which one turn at the lock is enough."""
        with self._lock:
            self._numbers[place] += value
            self._numbers[other] += other_value

    def put(self, place: int, value: float) -> None:
        """Set one cell."""
        self._numbers[place] = value

    def get(self, place: int) -> float:
        """What one cell holds."""
        return self._numbers[place]

    def read(self) -> Iterator[tuple[bytes, tuple[float, ...]]]:
        """Every series as it stands: its key and its cells."""
        for key, place, cells in self._records():
            yield key, tuple(self._numbers[place : place + cells])

    def blank(self, which: Callable[[bytes], bool]) -> None:
        """Make the cells of some series NaN: what they said of a process is over with it."""
        for key, place, cells in self._records():
            if which(key):
                for cell in range(place, place + cells):
                    self._numbers[cell] = float("nan")

    def put_first(self, which: Callable[[bytes], bool], value: float) -> None:
        """Set the first cell of some series."""
        for key, place, _ in self._records():
            if which(key):
                self._numbers[place] = value

    def _records(self) -> Iterator[tuple[bytes, int, int]]:
        unit, used = _HEAD, self._load(0)
        while unit < used:
            length, cells = _RECORD.unpack_from(self._memory, unit * _UNIT)
            begin = (unit + 1) * _UNIT
            place = unit + 1 + -(-length // _UNIT)
            yield bytes(self._memory[begin : begin + length]), place, cells
            unit = place + cells

    def _load(self, unit: int) -> int:
        number: int = _WORD.unpack_from(self._memory, unit * _UNIT)[0]
        return number

    def _store(self, unit: int, value: int) -> None:
        _WORD.pack_into(self._memory, unit * _UNIT, value)


def _unlinked() -> int:
    """A file without a name, where the system has no memory files."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
