"""Pixel data that goes straight into the file: it is never held twice."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, JPEGLSLossless, RLELossless

from node.results.errors import ResultTooLong
from node.results.masks.rle import rle_frames

PIXEL_DATA, FLOAT_PIXEL_DATA = b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00"
_UNDEFINED = b"\xff\xff\xff\xff"
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

    vr: str
    size: int
    write: Callable[[NDArray[np.uint8]], None]
    fragments: bool = False
    element: bytes = PIXEL_DATA

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
        file.write(self.element + self.vr.encode() + b"\0\0" + (_UNDEFINED if self.fragments else even.to_bytes(4, "little")))
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

    return Pixels(vr="OB", size=len(value), write=write, fragments=True)


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
