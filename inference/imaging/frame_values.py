"""Frames of images that are no slices (radiographs, ultrasound, angiograms) as modality values or RGB; VOI is left to whoever looks.

Greyscale goes through the rescale or the Modality LUT (PS3.3 C.11.1); MONOCHROME1 is turned over, so that bright means dense; palettes and
YBR become RGB. Slices of volumes, which have neither colour nor lookup tables, are read in `decode`.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.decode import candidate_dtypes, modality_values
from inference.imaging.errors import MissingAttribute, TooLarge, UnsupportedColour
from inference.imaging.header import PARSE_ERRORS, Instance
from inference.imaging.stored import StoredFrames, Values

PALETTE = "PALETTE COLOR"
GREYSCALE = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})

MOST_BYTES = 2 << 30
"""What the decoded images of one subject may take: two minutes of an ultrasound loop in colour; more is refused before it is decoded."""


def is_colour(instance: Instance) -> bool:
    """Whether frames come out as RGB.

    Raises
    ------
    MissingAttribute
        The photometric interpretation and the number of samples contradict each other.
    UnsupportedColour
        CMYK, HSV and the like, which the standard has retired; video colour spaces; one bit a pixel.
    """
    pixels, uid = instance.pixels, instance.sop_instance_uid
    expected = {**dict.fromkeys((*GREYSCALE, PALETTE), 1), **dict.fromkeys(COLOUR, 3)}.get(pixels.photometric)
    if expected is None:
        raise UnsupportedColour(f"{uid} is in {quoted(pixels.photometric)}")
    if pixels.bits_allocated == 1:
        raise UnsupportedColour(f"{uid} holds one bit a pixel: a mask, not an image")
    if pixels.samples != expected:
        raise MissingAttribute(f"{uid} has {pixels.samples} samples a pixel, {quoted(pixels.photometric)} has {expected}")
    return pixels.photometric not in GREYSCALE


def is_inverted(instance: Instance) -> bool:
    """Whether the stored values are turned over: MONOCHROME1 of values without a unit of their own."""
    return instance.pixels.photometric == "MONOCHROME1" and not instance.physical


def frames_of(instance: Instance, frames: range, *, threads: int = 2) -> Values:
    """Several frames of one instance.

    Parameters
    ----------
    frames
        0-based.

    Returns
    -------
    numpy.ndarray
        (F, Y, X, 3) uint8 RGB; or (F, Y, X): uint8 where 8 bits are stored without a rescale, else int16 where all values fit, else
        float32.

    Raises
    ------
    TooLarge
        The frames would take more than `MOST_BYTES`.
    InputError
        The frames cannot be read: `inference.imaging.errors`.
    """
    pixels = instance.pixels
    shape = (len(frames), pixels.rows, pixels.columns)
    if is_colour(instance):
        _bounded(instance, shape, 3)
        rgb = np.empty((*shape, 3), dtype=np.uint8)
        _each(instance, frames, rgb, _rgb, threads)
        return rgb
    if _plain_bytes(instance):
        _bounded(instance, shape, 1)
        grey = np.empty(shape, dtype=np.uint8)
        _each(instance, frames, grey, _bytes, threads)
        return grey
    _bounded(instance, shape, 4)
    if instance.lookup_table:
        mapped = np.empty(shape, dtype=np.float32)
        lut, first = _modality_lut(instance)
        _each(instance, frames, mapped, lambda stored, frame, out: _mapped(stored, frame, out, lut, first), threads)
        return mapped.astype(np.int16) if lut.max() <= np.iinfo(np.int16).max else mapped
    for dtype in candidate_dtypes([instance]):
        values = np.empty(shape, dtype=dtype)
        if _each(instance, frames, values, modality_values, threads):
            return values
    raise AssertionError("float32 takes every value")


def _bounded(instance: Instance, shape: tuple[int, ...], bytes_a_pixel: int) -> None:
    needed = int(np.prod(shape, dtype=np.int64)) * bytes_a_pixel
    if needed > MOST_BYTES:
        raise TooLarge(f"{instance.sop_instance_uid} holds {shape[0]} frames of {shape[2]} x {shape[1]} pixels: {needed / 2**30:.1f} GiB")


def _each(instance: Instance, frames: range, out: Values, read: Any, threads: int) -> bool:
    """Read every frame into its place; False as soon as one does not fit."""
    stored = StoredFrames(instance)
    with ThreadPoolExecutor(max_workers=max(threads, 1), thread_name_prefix="decode") as pool:
        tasks: list[Future[bool]] = [pool.submit(read, stored, frame, out[index]) for index, frame in enumerate(frames)]
        try:
            return all(task.result() for task in tasks)
        finally:
            pool.shutdown(cancel_futures=True)


def _plain_bytes(instance: Instance) -> bool:
    pixels = instance.pixels
    return (
        pixels.bits_allocated == 8
        and not pixels.signed
        and not instance.lookup_table
        and not instance.unscaled
        and all((rescale.slope, rescale.intercept) == (1.0, 0.0) for rescale in instance.rescale)
    )


def _bytes(stored: StoredFrames, frame: int, out: NDArray[np.uint8]) -> bool:
    stored.read(frame, out)
    if is_inverted(stored.instance):
        np.subtract((1 << stored.instance.pixels.bits_stored) - 1, out, out=out)
    return True


def _rgb(stored: StoredFrames, frame: int, out: NDArray[np.uint8]) -> bool:
    """A frame (0-based) as RGB, (Y, X, 3); more than 8 bits a channel are cut down to the highest 8."""
    pixels, uid = stored.instance.pixels, stored.instance.sop_instance_uid
    if pixels.photometric == PALETTE:
        indices = stored.read(frame, None)
        try:
            found = apply_color_lut(indices, stored.instance.header)
        except PARSE_ERRORS as broken:
            raise MissingAttribute(f"the colour palette of {uid} cannot be read: {quoted(broken)}") from broken
        # old writers put 8-bit colours into the low bytes of 16-bit entries
        surplus = 8 if found.dtype.itemsize > 1 and int(found.max()) > 255 else 0
    else:
        found = stored.rgb(frame)
        surplus = max(pixels.bits_stored - 8, 0)
    if found.ndim != 3 or found.shape[:2] != out.shape[:2] or found.shape[2] < 3:
        raise MissingAttribute(f"frame {frame + 1} of {uid} is {found.shape}, not {out.shape[0]} rows, {out.shape[1]} columns, 3 colours")
    out[...] = found[..., :3] >> surplus if surplus else found[..., :3]
    return True


def _modality_lut(instance: Instance) -> tuple[NDArray[np.uint16], int]:
    """The entries of the Modality LUT and the stored value that the first one stands for (PS3.3 C.11.1.1)."""
    uid = instance.sop_instance_uid
    lut = tags.items(instance.header, tags.MODALITY_LUT, uid)
    descriptor = tags.numbers(lut[0], tags.LUT_DESCRIPTOR, uid, 3) if lut else None
    if descriptor is None:
        raise MissingAttribute(f"the Modality LUT of {uid} has no descriptor")
    count, first, bits = (int(number) for number in descriptor)
    # an unsigned descriptor of signed pixels, and the other way round: the VR is ambiguous, the pixels decide (PS3.3 C.11.1.1)
    count = count % 65536 or 65536
    if instance.pixels.signed and first > 32767:
        first -= 65536
    elif not instance.pixels.signed and first < 0:
        first += 65536
    entries = _entries(lut[0], count, bits, uid)
    if instance.pixels.photometric == "MONOCHROME1" and not instance.physical:
        entries = np.uint16((1 << bits) - 1) - entries
    return entries, first


def _entries(lut: Dataset, count: int, bits: int, uid: str) -> NDArray[np.uint16]:
    try:
        value = lut[tags.LUT_DATA].value
    except PARSE_ERRORS as broken:
        raise MissingAttribute(f"the Modality LUT of {uid} cannot be read: {type(broken).__name__}") from broken
    if not 8 <= bits <= 16:
        raise MissingAttribute(f"the Modality LUT of {uid} has entries of {bits} bits")
    if isinstance(value, bytes):
        # words, or (8 bits) bytes, in the order of the file
        dtype = np.dtype("u1") if len(value) in {count, count + 1} else np.dtype(f"{'<' if lut.is_little_endian is not False else '>'}u2")
        entries = np.frombuffer(value[: len(value) // dtype.itemsize * dtype.itemsize], dtype=dtype)
    else:
        entries = np.atleast_1d(np.asarray(value, dtype=np.int64))
    if len(entries) < count:
        raise MissingAttribute(f"the Modality LUT of {uid} has {len(entries)} of {count} entries")
    return np.asarray(entries[:count] & ((1 << bits) - 1), dtype=np.uint16)


def _mapped(stored: StoredFrames, frame: int, out: NDArray[np.float32], lut: NDArray[np.uint16], first: int) -> bool:
    values = stored.read(frame, None).astype(np.int64)
    out[...] = lut[np.clip(values - first, 0, len(lut) - 1)]
    return True
