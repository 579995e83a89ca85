"""What a process needs to write and read encrypted files: the keys, and (where it reads) the place in memory where they lie decrypted."""

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from node.blobs.sealing.keys import Keys
from node.blobs.sealing.opened import Opened
from node.blobs.sealing.reader import opened
from node.blobs.sealing.writer import Sealer


class Sealing:
    """The keys of one node, and its place in memory, which is made when the first file is opened.

    Parameters
    ----------
    memory
        Makes the place; OpenedOnDisk where it is none.
    """

    def __init__(self, keys: Keys, memory: Callable[[], Opened]) -> None:
        self.keys = keys
        self.sealer = Sealer(keys.first)
        self._memory = memory

    @cached_property
    def memory(self) -> Opened:
        """Where files lie decrypted."""
        return self._memory()

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[Path]:
        """A file with the content of `path`, for the time of the block: itself, where it is not encrypted.

        Raises
        ------
        SealBroken, KeyUnknown, OpenedFull
            There is none.
        """
        parts = opened(path, self.keys)
        if parts is None:
            yield path
            return
        with contextlib.closing(parts), self.memory.once(parts, os.stat(path)) as copy:
            yield copy
