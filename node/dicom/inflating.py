"""Deflated data set (PS3.5 A.5): inflated as far as it is walked; of what was walked only the last part is held."""

import zlib
from mmap import MADV_DONTNEED, mmap

from inference.imaging.errors import NotDicom, UnsupportedSyntax

FAR = 1 << 62
"""Where a data set ends whose end was not met yet."""
_HELD_BYTES = 16 << 20
"""Of what was inflated, so much can be gone back to: a sequence is read when its end is known."""
_CHUNK = 1 << 16
_LET_GO_BYTES = 16 << 20
"""Of a mapped file so much is held in memory at a time."""
_LEAST_BYTES, _MOST_BYTES, _MOST_TIMES = 64 << 20, 1 << 30, 100
"""What may be inflated: so many times what came in, but no less than the first and no more than the second, which is what a worker can
hold (inference.imaging.deflated). Pixels, behind which nothing is looked for, seldom become a tenth; a bomb is a thousandth."""
_MOST_ELEMENTS = 1_000_000
"""Elements and items of all sequences whose ends must be looked for: a few kilobytes can claim many times as many."""


class Inflated:
    """The bytes of a deflated data set, to be read forwards.

    Parameters
    ----------
    file
        Part 10, with the deflated data set from `start` on.

    Raises
    ------
    NotDicom
        From any method: the stream is damaged.
    UnsupportedSyntax
        From any method: it inflates to more than may be looked through, or what is asked for was let go already.
    """

    def __init__(self, file: bytes | mmap, start: int) -> None:
        self._file = file
        self._at = start
        self._let_go = 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._deflated = b""
        self._held = bytearray()
        self._floor = self._top = 0
        self._over = False
        self._most = min(_MOST_BYTES, max(_LEAST_BYTES, _MOST_TIMES * (len(file) - start)))
        self._elements = 0

    def reach(self, position: int) -> int:
        """Inflate up to there; where the data set ends, `FAR` when that is behind."""
        while self._top < position and not self._over:
            self._more()
        return self._top if self._over else FAR

    def at(self, position: int) -> tuple[bytearray, int]:
        """What is held, and where in it the position is."""
        if position < self._floor:
            raise UnsupportedSyntax(f"it is deflated, and one of its sequences inflates to more than {_HELD_BYTES >> 20} MiB")
        return self._held, position - self._floor

    def count(self, elements: int) -> None:
        """So many more elements were walked within sequences."""
        self._elements += elements
        if self._elements > _MOST_ELEMENTS:
            raise UnsupportedSyntax(f"it is deflated, and has more than {_MOST_ELEMENTS} elements in sequences before its pixels")

    def __getitem__(self, part: slice) -> bytes:
        """A part, shorter where the data set ends."""
        self.reach(part.stop)
        held, first = self.at(part.start)
        return bytes(held[first : first + part.stop - part.start])

    def _more(self) -> None:
        if not self._deflated:
            self._deflated = self._file[self._at : self._at + _CHUNK]
            self._at += len(self._deflated)
            self._release()
        came = bool(self._deflated)
        try:
            data = self._inflate.decompress(self._deflated, _CHUNK)
        except zlib.error as damaged:
            raise NotDicom(f"the deflated data set is damaged: {damaged}") from damaged
        self._deflated = self._inflate.unconsumed_tail
        self._over = self._inflate.eof or not (came or data)
        self._top += len(data)
        if self._top > self._most:
            raise UnsupportedSyntax(
                f"it is deflated, and its header does not end in the first {self._most >> 20} MiB that it inflates to: "
                "more is not looked through"
            )
        self._held += data
        if len(self._held) > _HELD_BYTES + _CHUNK:
            self._floor += _CHUNK
            del self._held[:_CHUNK]

    def _release(self) -> None:
        if isinstance(self._file, mmap) and self._at - self._let_go > _LET_GO_BYTES:
            self._file.madvise(MADV_DONTNEED, self._let_go, _LET_GO_BYTES)  # it stays in the system's cache
            self._let_go += _LET_GO_BYTES
