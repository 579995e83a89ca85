"""Pixel data that goes straight into the file, and its compression without loss: it is never held twice."""

import struct
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, JPEGLSLossless, RLELossless

from node.dicom.elements import UNDEFINED, element_head
from node.results.port import ResultTooLong

_LONGEST_RUN = 128
_OFFSETS = 15


def rle_frames(frames: NDArray[Any]) -> list[bytes]:
    """RLE Lossless (PS3.5 G) of frames (frame, row, column) of unsigned 8 or 16-bit values: each a header, and a segment for each byte.

    For label maps, whose rows are a few long runs: all runs of many frames are found at once. Where every voxel differs from its neighbour
    it writes twice the bytes. Libraries take each byte in turn, and the fastest of them ends the process at frames with an odd number of
    pixels.
    """
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
    pieces = -(-lengths // _LONGEST_RUN)
    last = np.cumsum(pieces) - 1
    written = np.empty((int(last[-1]) + 1, 2), dtype=np.uint8)
    written[:, 0] = 257 - _LONGEST_RUN
    rest = lengths - _LONGEST_RUN * (pieces - 1)
    written[last, 0] = np.where(rest > 1, 257 - rest, 0)
    written[:, 1] = np.repeat(plane.reshape(-1)[at], pieces)
    ends = np.searchsorted(at, np.arange(1, count + 1) * rows * columns)
    bounds = [0, *(2 * (last[ends - 1] + 1)).tolist()]
    flat = written.reshape(-1)
    return [flat[low:high].tobytes() for low, high in pairwise(bounds)]


PIXEL_DATA, FLOAT_PIXEL_DATA = 0x7FE00010, 0x7FE00008
_END_OF_FRAGMENTS = b"\xfe\xff\xdd\xe0\0\0\0\0"
_LONGEST = 2**32 - 2
_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """The value of Pixel Data (7FE0,0010), or of Float Pixel Data (7FE0,0008).

    Attributes
    ----------
    size
        Bytes of the value, without the one that makes their number even.
    write
        Fills an array of `size` zeros with the value.
    fragments
        Whether the value is fragments of compressed frames, their delimiters included (PS3.5 A.4).
    """

    vr: bytes
    size: int
    write: Callable[[NDArray[np.uint8]], None]
    fragments: bool = False
    tag: int = PIXEL_DATA

    def append_to(self, file: BytesIO) -> None:
        """Write the element at the end of a file in Explicit VR Little Endian.

        Raises
        ------
        ResultTooLong
            No element is that long.
        """
        if self.size > _LONGEST:
            raise ResultTooLong(f"the frames of the segmentation need {self.size} bytes, and an element has room for {_LONGEST}")
        even = self.size + self.size % 2
        file.seek(0, 2)
        file.write(element_head(self.tag, self.vr, UNDEFINED if self.fragments else even))
        begins = file.tell()
        # the file grows once, to its final size, all zeros
        file.seek(even - 1, 1)
        file.write(b"\0")
        with file.getbuffer() as whole, whole[begins : begins + self.size] as part:
            self.write(np.frombuffer(part, dtype=np.uint8))


def encapsulated(lots: Iterable[Callable[[], NDArray[Any]]], syntax: UID) -> Pixels:
    """Frames, each compressed without loss and in a fragment of its own, behind an offset table.

    Parameters
    ----------
    lots
        What makes some frames, (frame, row, column) of unsigned values; a few lots are held at a time.
    """

    def compressed(make: Callable[[], NDArray[Any]]) -> list[bytes]:
        return rle_frames(make()) if syntax == RLELossless else _jpeg_ls(make())

    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="compress") as pool:
        value = encapsulate([frame for lot in pool.map(compressed, lots) for frame in lot]) + _END_OF_FRAGMENTS

    def write(out: NDArray[np.uint8]) -> None:
        out[:] = np.frombuffer(value, dtype=np.uint8)

    return Pixels(vr=b"OB", size=len(value), write=write, fragments=True)


def _jpeg_ls(frames: NDArray[Any]) -> list[bytes]:
    _, rows, columns = frames.shape
    encoder = get_encoder(JPEGLSLossless)
    described = {
        "rows": rows,
        "columns": columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "pixel_representation": 0,
        "bits_allocated": 8 * frames.dtype.itemsize,
        "bits_stored": 8 * frames.dtype.itemsize,
        "photometric_interpretation": "MONOCHROME2",
    }
    return [encoder.encode(frame, encoding_plugin="pyjpegls", **described) for frame in frames]
