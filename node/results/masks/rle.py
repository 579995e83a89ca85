"""RLE Lossless frames (PS3.5 G) of label maps, whose rows are a few long runs: all runs of many frames are found at once.

No general encoder: where every voxel differs from its neighbour it writes twice the bytes. Libraries take each byte in turn, and the
fastest of them ends the process at frames with an odd number of pixels.
"""

import struct
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONGEST = 128
_OFFSETS = 15


def rle_frames(frames: NDArray[Any]) -> list[bytes]:
    """Encode frames (frame, row, column) of unsigned 8 or 16-bit values; each is a header and one segment a byte of its values."""
    count = len(frames)
    # the most significant byte comes first (PS3.5 G.2)
    planes = frames.astype(frames.dtype.newbyteorder(">"), copy=False).view(np.uint8).reshape(*frames.shape, frames.dtype.itemsize)
    segments = [_segments(np.ascontiguousarray(planes[..., place])) for place in range(frames.dtype.itemsize)]
    return [_header([each[index] for each in segments]) + b"".join(each[index] for each in segments) for index in range(count)]


def _header(segments: list[bytes]) -> bytes:
    """How many segments there are, and where each begins, counted from the header's own first byte (PS3.5 G.5)."""
    begins = [4 * (_OFFSETS + 1) + sum(map(len, segments[:number])) for number in range(len(segments))]
    return struct.pack(f"<{_OFFSETS + 1}I", len(segments), *begins, *[0] * (_OFFSETS - len(begins)))


def _segments(plane: NDArray[np.uint8]) -> list[bytes]:
    """One byte of all values, (frame, row, column): the runs of each frame.

    Runs end with their row (PS3.5 G.3.1). Each takes two bytes: a run of n is 257 - n and its value, a single value 0 and itself.
    """
    count, rows, columns = plane.shape
    begins = np.ones(plane.shape, dtype=np.bool_)
    np.not_equal(plane[..., 1:], plane[..., :-1], out=begins[..., 1:])
    at = np.flatnonzero(begins)
    lengths = np.diff(at, append=plane.size)
    pieces = -(-lengths // _LONGEST)
    last = np.cumsum(pieces) - 1
    written = np.empty((int(last[-1]) + 1, 2), dtype=np.uint8)
    written[:, 0] = 257 - _LONGEST
    rest = lengths - _LONGEST * (pieces - 1)
    written[last, 0] = np.where(rest > 1, 257 - rest, 0)
    written[:, 1] = np.repeat(plane.reshape(-1)[at], pieces)
    ends = np.searchsorted(at, np.arange(1, count + 1) * rows * columns)
    bounds = [0, *(2 * (last[ends - 1] + 1)).tolist()]
    flat = written.reshape(-1)
    return [flat[low:high].tobytes() for low, high in pairwise(bounds)]
