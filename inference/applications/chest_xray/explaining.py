"""Explanations of the network's answer: Grad-CAM and occlusion sensitivity, both in log odds, on the pixels of the radiograph.

Neither says where pneumonia is. Grad-CAM tells which cells of the last features spoke for it: 7 × 7, each fed by far more of the image
than it covers. Occlusion tells which parts the answer would miss, a blot of grey in their place; what the network looks at need not be
the lung.
"""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from inference.applications import occluding
from inference.applications.port import Infer, ModelRef

PATCH, STEP = 32, 16
"""Sides of the square that is taken away, and how far it is moved, in the network's 224 × 224 pixels."""
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


def laid_back(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A map of the network's square on the pixels of the image that was drawn to it.

    Parameters
    ----------
    values
        (cells down, cells across), each as large a part of the image; between their middles it is interpolated, beyond the outermost it
        stays as it is.
    shape
        Rows and columns of the image.
    """
    down, across = _weights(shape[0], values.shape[0]), _weights(shape[1], values.shape[1])
    laid: NDArray[np.float32] = (down @ values @ across.T).astype(np.float32)
    return laid


def _weights(size: int, cells: int) -> NDArray[np.float32]:
    """(pixels, cells): how much of each cell each pixel of a line of the image has."""
    place = np.clip((np.arange(size) + 0.5) / size * cells - 0.5, 0, cells - 1)
    weights: NDArray[np.float32] = np.clip(1 - np.abs(place[:, None] - np.arange(cells)), 0, 1).astype(np.float32)
    return weights
