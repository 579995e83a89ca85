"""Pre-processing: brings a radiograph to the network's 224 × 224 pixels; training and serving both go through here.

The whole film is drawn to a square, by cubic interpolation: how tall and how wide it was is lost, as in the copies of the set at this size
that are learned from, and nothing of it is cut off. Those are 8-bit JPEGs that somebody had windowed; to be independent of that somebody,
and of the 12 to 16 bits of a detector, values are stretched between their own percentiles afterwards, in training as in serving.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from inference.errors import InputError
from inference.imaging.subject import Image

SIDE = 224
PERCENTILES = (1, 99)


class NotARadiograph(InputError):
    """An image is in colour, or shows nothing within its window."""

    code = "HLM-3195"
    remedy = (
        "Look at the image; cancel the job, or narrow the route to greyscale radiographs of the chest. A wrong VOI window empties an image."
    )


def prepare(image: Image) -> NDArray[np.float32]:
    """The image as (SIDE, SIDE) values from 0 to 1, bright meaning dense.

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
    whole = Picture.fromarray(np.ascontiguousarray(values))
    small = np.asarray(whole.resize((SIDE, SIDE), Picture.Resampling.BICUBIC), dtype=np.float32)
    low, high = np.percentile(small, PERCENTILES)
    if not high > low:
        raise NotARadiograph(f"{image.source.sop_instance_uid} is even within its window")
    stretched: NDArray[np.float32] = np.clip((small - low) / (high - low), 0, 1).astype(np.float32)
    return stretched
