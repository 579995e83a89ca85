"""Reads the pixels of a segmentation back, frame by frame, and compares them with the masks that were found."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGLSLossless, RLELossless

from inference.findings import Segment
from node.results.errors import MaskDiffers, ResultMalformed
from node.results.port import Encoded

_THREADS = 2
_TOGETHER = 16
_DECODERS = {RLELossless: "pylibjpeg", JPEGLSLossless: "pyjpegls"}


def compare_bits(one: Encoded, dataset: Dataset, numbers: Sequence[int], slices: Sequence[int], meant: Sequence[Segment]) -> None:
    """Packed bits, least significant first, frames following each other without padding (PS3.5 8.1.1), against the masks.

    Raises
    ------
    MaskDiffers
        A voxel differs, or SegmentsOverlap contradicts the masks.
    """
    size = dataset.Rows * dataset.Columns
    bits = _native(one, dataset, -(-len(slices) * size // 8))

    def frame(index: int) -> NDArray[np.uint8]:
        first, last = index * size // 8, -(-(index + 1) * size // 8)
        skipped = index * size - first * 8
        return np.unpackbits(bits[first:last], bitorder="little")[skipped : skipped + size]

    def compare(index: int) -> None:
        segment = meant[numbers[index] - 1]
        if not np.array_equal(frame(index), np.ravel(segment.mask[slices[index]])):
            raise MaskDiffers(f'slice {slices[index]} of "{segment.label}" was written otherwise than it was found')

    _each(compare, len(slices))
    # what is packed alike can be compared as it is packed
    packed = (lambda index: bits[index * size // 8 : (index + 1) * size // 8]) if size % 8 == 0 else frame
    _overlapping(dataset, slices, packed)


def compare_fractions(one: Encoded, dataset: Dataset, numbers: Sequence[int], slices: Sequence[int], meant: Sequence[Segment]) -> None:
    """A byte a voxel, the greatest value where the segment is and 0 elsewhere, against the masks.

    Raises
    ------
    MaskDiffers
        A voxel differs, or SegmentsOverlap contradicts the masks.
    """
    frame, full = _frames(one, dataset, len(slices)), int(dataset.MaximumFractionalValue)

    def compare(index: int) -> None:
        segment = meant[numbers[index] - 1]
        if not np.array_equal(frame(index), np.where(segment.mask[slices[index]], full, 0)):
            raise MaskDiffers(f'slice {slices[index]} of "{segment.label}" was written otherwise than it was found')

    _each(compare, len(slices))
    _overlapping(dataset, slices, frame)


def compare_labels(one: Encoded, dataset: Dataset, slices: Sequence[int], meant: Sequence[Segment]) -> None:
    """Segment numbers, decompressed where need be, against the masks: each voxel is of its segment, and of none where none was found.

    Raises
    ------
    MaskDiffers
        A voxel differs, or the label map claims that segments overlap.
    """
    frame = _frames(one, dataset, len(slices))

    def compare(index: int) -> None:
        z, values = slices[index], frame(index)
        rest = np.count_nonzero(values)
        for number, segment in enumerate(meant, 1):
            # looking whether there is any takes a twentieth of comparing
            if (here := np.count_nonzero(segment.mask[z])) and not np.array_equal(values == number, segment.mask[z]):
                raise MaskDiffers(f'slice {z} of "{segment.label}" was written otherwise than it was found')
            rest -= here
        if rest:
            raise MaskDiffers(f"slice {z} has {rest} voxels of segments that were not found there")

    _each(compare, len(slices))
    if dataset.SegmentsOverlap != "NO":
        raise MaskDiffers(f"SegmentsOverlap is {dataset.SegmentsOverlap}, which a label map cannot hold")


def _native(one: Encoded, dataset: Dataset, size: int) -> NDArray[np.uint8]:
    """The pixels where they stand: inflated with the data set, else as the last element of the object, taken apart by hand."""
    even = size + size % 2
    if "PixelData" in dataset:
        value = dataset.PixelData
    else:
        begins = len(one.data) - even
        vr = b"OW" if dataset.BitsAllocated == 16 else b"OB"
        if one.data[begins - 12 : begins] != b"\xe0\x7f\x10\x00" + vr + b"\0\0" + even.to_bytes(4, "little"):
            raise ResultMalformed("the object does not end with the pixels of its frames")
        value = memoryview(one.data)[begins:]
    if len(value) != even or any(value[size:]):
        raise MaskDiffers(f"the segmentation has {len(value)} bytes of pixels, where {even} are meant")
    return np.frombuffer(value, dtype=np.uint8)


def _frames(one: Encoded, dataset: Dataset, count: int) -> Callable[[int], NDArray[Any]]:
    """What gives the values of each frame, (row, column)."""
    syntax = dataset.file_meta.TransferSyntaxUID
    shape, dtype = (count, dataset.Rows, dataset.Columns), np.dtype(f"<u{dataset.BitsAllocated // 8}")
    if syntax not in _DECODERS:
        native = _native(one, dataset, int(np.prod(shape)) * dtype.itemsize)[: int(np.prod(shape)) * dtype.itemsize]
        values = native.view(dtype).reshape(shape)
        return lambda index: np.asarray(values[index])
    decoder = get_decoder(syntax)
    return lambda index: np.asarray(decoder.as_array(dataset, index=index, decoding_plugin=_DECODERS[syntax])[0])


def _overlapping(dataset: Dataset, slices: Sequence[int], frame: Callable[[int], NDArray[Any]]) -> None:
    """SegmentsOverlap, against the frames that lie on one slice."""
    by_slice: dict[int, list[int]] = {}
    for index, z in enumerate(slices):
        by_slice.setdefault(z, []).append(index)
    overlaps = any(_overlap([frame(index) for index in here]) for here in by_slice.values() if len(here) > 1)
    if dataset.SegmentsOverlap != ("YES" if overlaps else "NO"):
        raise MaskDiffers(f"SegmentsOverlap is {dataset.SegmentsOverlap}, which the masks contradict")


def _overlap(frames: Sequence[NDArray[np.uint8]]) -> bool:
    """Whether any bit is set in more than one of these frames of one slice."""
    taken = np.zeros_like(frames[0])
    for bits in frames:
        if np.bitwise_and(bits, taken).any():
            return True
        np.bitwise_or(bits, taken, out=taken)
    return False


def _each(compare: Callable[[int], None], count: int) -> None:
    """Numpy leaves the interpreter to the other thread while it compares."""

    def lot(first: int) -> None:
        for index in range(first, min(first + _TOGETHER, count)):
            compare(index)

    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="compare") as pool:
        for _ in pool.map(lot, range(0, count, _TOGETHER)):
            pass
