"""Views of a window, slightly turned and scaled: the network marks each by itself, and what counts is their mean (test-time averaging).

A network of single slices is right about most of a border and wrong about some of it, and about another part of it in each view.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.left_ventricle.preparing import WINDOW

TURNS_DEGREES = (0.0, -10.0, 10.0)
SCALES = (1.0, 1 / 1.1, 1.1)

Images = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Where each pixel of a window lies in another one, and how to read it there (bilinear).

    Attributes
    ----------
    shares
        (row · column, row · column), sparse: what each pixel takes of its four neighbours.
    there
        (row, column) whether it lies inside; beside, the nearest pixels of the border are read.
    """

    shares: Any
    there: NDArray[np.bool_]

    def of(self, images: Images) -> Images:
        """Images (N, row, column), read at these places."""
        made = self.shares @ images.reshape(len(images), -1).T
        return np.ascontiguousarray(made.T).reshape(images.shape)


def sampled(turn_degrees: float, scale: float) -> Sampled:
    """Of the window, turned and scaled around its middle."""
    from scipy.sparse import csr_array

    sides = np.array(WINDOW)
    angle = np.radians(turn_degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    middle = (sides[:, None] - 1) / 2
    places = matrix @ (np.mgrid[: WINDOW[0], : WINDOW[1]].reshape(2, -1) - middle) + middle
    most = sides[:, None] - 1
    # a quarter turn of nothing has to hit pixels exactly
    there: NDArray[np.bool_] = np.all((places > -1e-6) & (places < most + 1e-6), axis=0).reshape(WINDOW)
    places = np.clip(places, 0, most)
    low = np.minimum(np.floor(places).astype(np.intp), most - 1)
    share = places - low
    at, weights = [], []
    for down, across in product((0, 1), (0, 1)):
        at.append((low[0] + down) * WINDOW[1] + low[1] + across)
        weights.append(np.abs(1 - down - share[0]) * np.abs(1 - across - share[1]))
    pixels = places.shape[1]
    rows = np.arange(0, 4 * pixels + 1, 4)
    shares = csr_array((np.stack(weights, axis=1).astype(np.float32).ravel(), np.stack(at, axis=1).ravel(), rows), shape=(pixels, pixels))
    return Sampled(shares=shares, there=there)


def mean_of_views(images: Images, marked: Callable[[Images], Images]) -> Images:
    """What `marked` says of images (N, row, column), pixel by pixel, in the mean of the views that show the pixel; the first view is the
    images as they are."""
    total, count = marked(images), np.ones(WINDOW, dtype=np.float32)
    for there, back in _turned():
        total = total + back.of(marked(there.of(images))) * back.there
        count += back.there
    return total / count


@cache
def _turned() -> tuple[tuple[Sampled, Sampled], ...]:
    """The views but the first, there and back."""
    views = [(turn, scale) for turn, scale in product(TURNS_DEGREES, SCALES) if (turn, scale) != (0.0, 1.0)]
    return tuple((sampled(turn, scale), sampled(-turn, 1 / scale)) for turn, scale in views)
