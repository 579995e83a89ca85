"""Explanations of the network's answer: Grad-CAM and occlusion sensitivity, both in log odds, on the pixels of the radiograph.

Neither says where pneumonia is. Grad-CAM tells which cells of the last features spoke for it: as few as 2 × 2, each fed by all of the
image. Occlusion tells which parts the answer would miss, a blot of grey in their place; what the network looks at need not be the lung.
"""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from inference.applications import occluding
from inference.applications.port import Infer, ModelRef

PATCH, STEP = 4, 2
"""Sides of the square that is taken away, and how far it is moved, in the network's 28 × 28 pixels."""
AT_ONCE = 64
"""Images in one call of a model that was exported with its cells; an older one takes one."""
CELLS = "OUTPUT__1"

_CERTAIN = 1e-6
"""Probabilities nearer to 0 or 1 are counted as this one: beyond it their single precision has no digits left."""


def gradient_weighted(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grad-CAM (Selvaraju and others 2017) from what each cell (down, across) adds to the log odds: what speaks against is 0."""
    return np.maximum(cells, 0).astype(np.float32)


def occlusion(image: NDArray[np.float32], model: ModelRef, infer: Infer, at_once: int) -> NDArray[np.float32]:
    """Occlusion sensitivity of one prepared image (Y, X), on its pixels."""

    def odds(images: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
        waiting, found = iter(images), []
        while lot := list(itertools.islice(waiting, at_once)):
            found.append(infer(model, {"INPUT__0": np.stack(lot)})["OUTPUT__0"][:, -1])
        probability = np.clip(np.concatenate(found).astype(np.float64), _CERTAIN, 1 - _CERTAIN)
        told: NDArray[np.float64] = np.log(probability / (1 - probability))
        return told

    return occluding.occlusion(image[None], (PATCH, PATCH), (STEP, STEP), odds)


def laid_back(values: NDArray[np.float32], shape: tuple[int, ...], square: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """A map of the network's square on the pixels of the image that the square was cut from; 0 outside of it.

    Parameters
    ----------
    values
        (cells down, cells across), each as large a part of the square; between their middles it is interpolated, beyond the outermost it
        stays as it is.
    shape
        Rows and columns of the image.
    square
        (left, top, right, bottom) on the image, by the edges of pixels.
    """
    left, top, right, bottom = square
    down, across = _weights(shape[0], top, bottom, values.shape[0]), _weights(shape[1], left, right, values.shape[1])
    laid: NDArray[np.float32] = (down @ values @ across.T).astype(np.float32)
    return laid


def _weights(size: int, first: float, last: float, cells: int) -> NDArray[np.float32]:
    """(pixels, cells): how much of each cell each pixel of a line of the image has; a pixel whose middle the square leaves out, nothing."""
    middles = np.arange(size) + 0.5
    place = np.clip((middles - first) / (last - first) * cells - 0.5, 0, cells - 1)
    weights: NDArray[np.float32] = np.clip(1 - np.abs(place[:, None] - np.arange(cells)), 0, 1).astype(np.float32)
    weights[(middles < first) | (middles > last)] = 0
    return weights
