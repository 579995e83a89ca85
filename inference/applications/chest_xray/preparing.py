"""Pre-processing: brings a radiograph to the network's 28 × 28 pixels; training and serving both go through here.

As PneumoniaMNIST was made, as far as its paper says (Yang and others 2023): the middle of the image as a square of its shorter side,
brought to 28 × 28 by cubic interpolation. Its pictures are 8-bit JPEGs that somebody had windowed; to be independent of that somebody, and
of the 12 to 16 bits of a detector, values are stretched between their own percentiles afterwards, in training as in serving.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from inference.errors import InputError
from inference.imaging.subject import Image

SIDE = 28
PERCENTILES = (1, 99)


class NotARadiograph(InputError):
    """An image is in colour, or shows nothing within its window."""

    code = "HLM-3195"
    remedy = (
        "Look at the image; cancel the job, or narrow the route to greyscale radiographs of the chest. A wrong VOI window empties an image."
    )


def prepare(image: Image) -> NDArray[np.float32]:
    """The image as (28, 28) values from 0 to 1, bright meaning dense.

    The header's window is applied first, where there is one: what it cuts off (collimators, markers) is not to set the percentiles.

    Raises
    ------
    NotARadiograph
        It is in colour, or even within its window.
    """
    if image.pixels.ndim != 2:
        raise NotARadiograph(f"{image.source.sop_instance_uid} is in colour")
    values = np.nan_to_num(image.pixels.astype(np.float32))
    if image.window is not None:
        values = np.clip(values, *image.window).astype(np.float32)
    left, top, right, bottom = square(image)
    first_row, first_column = math.floor(top), math.floor(left)
    # cropped before it is made smaller: the kernel would look beyond the square
    middle = Picture.fromarray(np.ascontiguousarray(values[first_row : math.ceil(bottom), first_column : math.ceil(right)]))
    box = (left - first_column, top - first_row, right - first_column, bottom - first_row)
    small = np.asarray(middle.resize((SIDE, SIDE), Picture.Resampling.BICUBIC, box=box), dtype=np.float32)
    low, high = np.percentile(small, PERCENTILES)
    if not high > low:
        raise NotARadiograph(f"{image.source.sop_instance_uid} is even within its window")
    stretched: NDArray[np.float32] = np.clip((small - low) / (high - low), 0, 1).astype(np.float32)
    return stretched


def square(image: Image) -> tuple[float, float, float, float]:
    """The middle square of the image in mm as (left, top, right, bottom) in pixels, which need not be square themselves."""
    rows, columns = image.pixels.shape
    down_mm, across_mm = image.spacing_mm or (1.0, 1.0)
    side_mm = min(rows * down_mm, columns * across_mm)
    # rounding must not reach beyond the image by a last bit
    tall, wide = min(side_mm / down_mm, rows), min(side_mm / across_mm, columns)
    return ((columns - wide) / 2, (rows - tall) / 2, (columns + wide) / 2, (rows + tall) / 2)
