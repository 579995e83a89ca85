"""Frames of a Part 10 file as modality values (HU and the like): rescale, MONOCHROME1, and int16 wherever that loses nothing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.imaging import tags
from inference.imaging.bounds import refuse_values
from inference.imaging.errors import MissingAttribute
from inference.imaging.groups import Rescale
from inference.imaging.header import Instance, read_instance
from inference.imaging.stored import StoredFrames, Values

INT16 = np.iinfo(np.int16)


def decode(path: Path) -> Values:
    """All frames of an instance as modality values.

    Returns
    -------
    numpy.ndarray
        (F, Y, X), or (F, Y, X, 3) for colour: int16 where the rescale is integral and the values fit, else float32 (colour: uint8 or
        uint16, RGB). MONOCHROME1 is inverted (small is dark) where the values have no unit of their own: HU stay HU.

    Raises
    ------
    InputError
        Any of `inference.imaging.errors` about the file or its pixels.
    """
    instance = read_instance(path)
    instance.refuse_half_a_place()
    stored = StoredFrames(instance)
    shape = (instance.pixels.rows, instance.pixels.columns)
    if instance.pixels.samples > 1:
        return np.stack([stored.rgb(frame) for frame in range(instance.pixels.frames)])
    for dtype in candidate_dtypes([instance]):
        values = np.empty((instance.pixels.frames, *shape), dtype=dtype)
        if all(modality_values(stored, frame, values[frame]) for frame in range(instance.pixels.frames)):
            return values
    raise AssertionError("float32 takes every value")


def candidate_dtypes(instances: Iterable[Instance]) -> tuple[np.dtype[Any], ...]:
    """int16 first where every rescale is whole, then float32: int16 is tried and given up at the first value that does not fit."""
    whole = all(
        instance.pixels.tag == tags.PIXEL_DATA
        and all(rescale.slope.is_integer() and rescale.intercept.is_integer() for rescale in instance.rescale)
        for instance in instances
    )
    float32 = np.dtype(np.float32)
    return (np.dtype(np.int16), float32) if whole else (float32,)


def modality_values(stored: "StoredFrames", frame: int, out: Values) -> bool:
    """Write one frame's modality values to `out` (Y, X; int16 or float32, C-contiguous).

    Parameters
    ----------
    frame
        0-based.

    Returns
    -------
    bool
        False when `out` is int16 and a value does not fit; `out` then holds nothing of use.

    Raises
    ------
    MissingAttribute
        It is a localizer of which it is not known what the values mean.
    """
    instance = stored.instance
    if instance.unscaled:
        raise MissingAttribute(instance.unscaled)
    pixels, rescale = instance.pixels, instance.rescale[frame]
    if out.dtype == np.int16 and pixels.bits_allocated == 16:
        # one array from the disk to the volume: the stored values take the place of the modality values
        values = out if pixels.signed else out.view(np.uint16)
        stored.read(frame, values)
    else:
        values = stored.read(frame, None)
    if pixels.photometric == "MONOCHROME1" and not instance.physical and values.dtype.kind in "iu":
        # (2^bits - 1) - v, and -1 - v for signed values: all stored bits turn over
        np.bitwise_xor(values, values.dtype.type(-1 if pixels.signed else (1 << pixels.bits_stored) - 1), out=values)
    if out.dtype == np.int16:
        return _to_int16(values, rescale, out)
    if values.dtype.kind == "f":
        refuse_values(values, instance.sop_instance_uid)
    np.multiply(values, rescale.slope, out=out, casting="same_kind")
    out += np.float32(rescale.intercept)
    if values.dtype.kind == "f":
        refuse_values(out, instance.sop_instance_uid)
    return True


def _to_int16(values: Values, rescale: Rescale, out: NDArray[np.int16]) -> bool:
    slope, intercept = int(rescale.slope), int(rescale.intercept)
    ends = sorted((int(values.min()) * slope + intercept, int(values.max()) * slope + intercept))
    if ends[0] < INT16.min or ends[1] > INT16.max:
        return False
    if values.dtype.itemsize != 2:
        np.add(values.astype(np.int64) * slope, intercept, out=out, casting="unsafe")
        return True
    # modulo 2^16 the sum is right wherever its true value fits
    wrapped = out.view(np.uint16)
    if not np.may_share_memory(values, out):
        wrapped[...] = values.view(np.uint16)
    if slope != 1:
        np.multiply(wrapped, np.uint16(slope % 65536), out=wrapped)
    if intercept:
        np.add(wrapped, np.uint16(intercept % 65536), out=wrapped)
    return True
