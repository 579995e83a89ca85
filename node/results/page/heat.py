"""A map laid over a picture in colours from dark red over orange to white: the more, the brighter and the less of the picture shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_COLOURS = ((0.0, (40, 0, 0)), (0.4, (200, 30, 10)), (0.75, (255, 170, 30)), (1.0, (255, 255, 220)))
_FAINTEST, _STRONGEST = 0.08, 0.75
"""Below this share of the largest value nothing is laid over; at it, this much of the picture is covered."""


def heated(image: Image.Image, share: NDArray[Any]) -> Image.Image:
    """Lay a map over an RGB picture of the same extent.

    Parameters
    ----------
    share
        (row, column) 0 to 1; resampled to the picture.
    """
    fine = Image.fromarray(np.ascontiguousarray(share, dtype=np.float32)).resize(image.size, Image.Resampling.BILINEAR)
    values = np.clip(np.asarray(fine), 0, 1)
    places = [place for place, _ in _COLOURS]
    colours = np.stack([np.interp(values, places, [rgb[channel] for _, rgb in _COLOURS]) for channel in range(3)], axis=-1)
    weight = (np.clip((values - _FAINTEST) / (1 - _FAINTEST), 0, 1) ** 0.5 * _STRONGEST)[..., None]
    return Image.fromarray((np.asarray(image) * (1 - weight) + colours * weight).astype(np.uint8))
