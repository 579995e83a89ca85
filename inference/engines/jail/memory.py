"""Shared memory and copies that a warm model keeps from call to call: pages that are there cost nothing again."""

import mmap
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.jail import messages

KEPT = 256 * 2**20
"""Bytes that a warm model keeps between calls: of inputs, of outputs, and of the copies of outputs, each."""


class KeptSharedMemory:
    """Shared memory for the inputs of a model's process, or for its outputs, kept and kept mapped from call to call as long as it is large
    enough.

    The process can write into both at any time. Nothing here decides by what lies there before it was copied.
    """

    def __init__(self) -> None:
        self._place: int | None = None
        self._memory: mmap.mmap | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    @property
    def memory(self) -> mmap.mmap:
        """The memory that `of` has shared, mapped here."""
        assert self._memory is not None, "memory is shared before it is used"
        return self._memory

    @property
    def size(self) -> int:
        """Bytes that are shared."""
        memory = self._memory
        return 0 if memory is None else len(memory)

    def of(self, size: int) -> int:
        """A descriptor of at least so many bytes."""
        if self._place is None or self._memory is None or len(self._memory) < size:
            self.give_back()
            self._place = messages.shared_memory(size)
            self._finalizer = weakref.finalize(self, os.close, self._place)
            self._memory = messages.mapped(self._place, size)
        return self._place

    def shrink(self) -> None:
        """Give back what is too much to be kept between calls."""
        if self._memory is not None and len(self._memory) > KEPT:
            self.give_back()

    def give_back(self) -> None:
        """Let it go; the next call takes other memory."""
        # arrays of a failed call may still refer to the mapping: the collector closes it with them
        self._memory = None
        if self._finalizer is not None:
            self._finalizer()
        self._place, self._finalizer = None, None


class Copies:
    """Memory of this process alone, into which answers are copied; taken again for the next answer once nobody holds the last one.

    A copy of 134 MB in fresh memory made the kernel look for pages of 2 MiB each time, for up to 0.4 s of processor time.
    """

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._last: weakref.ref[NDArray[np.uint8]] | None = None

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        memory = self._memory
        return 0 if memory is None else len(memory)

    def of(self, memory: mmap.mmap, rows: Sequence[Mapping[str, Any]], size: int) -> dict[str, NDArray[Any]]:
        """The arrays that lie in shared memory as `rows` say, copied."""
        free = self._last is None or self._last() is None
        if self._memory is None or len(self._memory) < size or not free:
            self._memory = mmap.mmap(-1, max(1, size), flags=mmap.MAP_PRIVATE)
        # every array refers to this one, and to nothing else of the memory
        whole = np.frombuffer(self._memory, np.uint8)
        self._last = weakref.ref(whole)
        copies: dict[str, NDArray[Any]] = {}
        for row, (name, array) in zip(rows, messages.arrays(memory, rows).items(), strict=True):
            at = row["at"]
            copies[name] = whole[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
            np.copyto(copies[name], array)
        return copies

    def shrink(self) -> None:
        """Do not keep what is too much to be kept between calls."""
        if self._memory is not None and len(self._memory) > KEPT:
            self.give_back()

    def give_back(self) -> None:
        """Let it go; an answer that somebody holds keeps its memory."""
        self._memory, self._last = None, None
