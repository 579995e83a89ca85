"""Radiograph check: compares an image with frontal chest radiographs, whole, bright meaning dense, head up, by a small learned model.

It has two signs. The mean and the principal components of 24 x 24 pixels of frontal chests: what is far from all of them is something else.
And two layers that tell an upright chest from the same chest in manners it should not be in. Learned, and its bounds fixed, by
`python -m training.chest_likeness` from one half of the persons of Kermany, Zhang, Goldbaum (Cell 2018; CC BY 4.0).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from inference.imaging.judge.doubt import Bounds, Doubt
from inference.imaging.subject import Image
from inference.translatable import say

FILE = Path(__file__).with_name("chest_likeness.npz")
SIDE = 24
PERCENTILES = (1, 99)
SPREAD = 0.3
"""Residual of an ordinary chest, by which residuals are measured."""

Floats = NDArray[np.float32]


class Manner(StrEnum):
    """In which manner a chest is shown; the order is that of the model's last layer."""

    UPRIGHT = "upright"
    UPSIDE_DOWN = "upside down"
    ON_ITS_SIDE = "on its side"
    NEGATIVE = "negative"
    CUT = "cut"


_SAID = {
    Manner.UPSIDE_DOWN: say("it looks like one that is upside down"),
    Manner.ON_ITS_SIDE: say("it looks like one that lies on its side"),
    Manner.NEGATIVE: say("it looks like the negative of one"),
    Manner.CUT: say("it looks like a part of one"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChestLikeness:
    """The learned model.

    Attributes
    ----------
    mean, components, deviations
        (SIDE * SIDE,), (n, SIDE * SIDE), and (n,) the deviation of each component over the chests.
    layers
        Weights (outputs, inputs) and bias (outputs,) of two layers, the first one rectified; the last has an output for each `Manner`.
    usual, possible
        The most that the distance, and the least that the margin of manner may be.
    """

    mean: Floats
    components: Floats
    deviations: Floats
    layers: tuple[tuple[Floats, Floats], ...]
    usual: tuple[float, float]
    possible: tuple[float, float]

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "ChestLikeness":
        """From arrays by name, as `arrays` gives them."""
        held = {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
        return cls(
            mean=held["mean"],
            components=held["components"],
            deviations=held["deviations"],
            layers=((held["weights_0"], held["bias_0"]), (held["weights_1"], held["bias_1"])),
            usual=(float(held["usual"][0]), float(held["usual"][1])),
            possible=(float(held["possible"][0]), float(held["possible"][1])),
        )

    def arrays(self) -> dict[str, Floats]:
        """Arrays by name, as they are kept in a file."""
        (first, first_bias), (last, last_bias) = self.layers
        return {
            "mean": self.mean,
            "components": self.components,
            "deviations": self.deviations,
            "weights_0": first,
            "bias_0": first_bias,
            "weights_1": last,
            "bias_1": last_bias,
            "usual": np.array(self.usual, dtype=np.float32),
            "possible": np.array(self.possible, dtype=np.float32),
        }

    def distance(self, row: Floats) -> float:
        """How far a row (SIDE * SIDE,) is from all chests: squared residual and squared place among them, in ordinary ones."""
        away = row - self.mean
        place = self.components @ away
        residual = away - place @ self.components
        return float(np.mean(residual**2) / SPREAD**2 + np.mean((place / self.deviations) ** 2))

    def manner(self, row: Floats) -> tuple[float, Manner]:
        """By how much a row is nearer to an upright chest than to the other manner that it is nearest to (log odds), and that manner."""
        (first, first_bias), (last, last_bias) = self.layers
        said = last @ np.maximum(first @ row + first_bias, 0) + last_bias
        other = 1 + int(np.argmax(said[1:]))
        return float(said[0] - said[other]), tuple(Manner)[other]


def flattened(square: Floats) -> Floats:
    """A square as one row of mean 0 and deviation 1."""
    row = square.reshape(-1)
    return np.asarray((row - row.mean()) / (row.std() + 1e-6), dtype=np.float32)


def square_of(pixels: NDArray[np.generic], window: tuple[float, float] | None = None) -> Floats | None:
    """The middle square of an image (Y, X) in SIDE x SIDE pixels from 0 to 1; None of one that is in colour or even."""
    if pixels.ndim != 2:
        return None
    values = np.nan_to_num(pixels.astype(np.float32))
    if window is not None:
        values = np.clip(values, *window).astype(np.float32)
    rows, columns = values.shape
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    middle = Picture.fromarray(np.ascontiguousarray(values[top : top + side, left : left + side]))
    small = np.asarray(middle.resize((SIDE, SIDE), Picture.Resampling.BOX), dtype=np.float32)
    low, high = np.percentile(small, PERCENTILES)
    if not high > low:
        return None
    return np.asarray(np.clip((small - low) / (high - low), 0, 1), dtype=np.float32)


@cache
def learned() -> ChestLikeness:
    """The model that comes with hilum."""
    with np.load(FILE, allow_pickle=False) as held:
        return ChestLikeness.of({name: held[name] for name in held.files})


def chest_doubts(image: Image) -> list[Doubt]:
    """What speaks against a frontal radiograph of the chest."""
    square = square_of(image.pixels, image.window)
    if square is None:
        return [Doubt(said=say("it is in colour, or even"), impossible=True)]
    row, likeness = flattened(square), learned()
    distance, (margin, other) = likeness.distance(row), likeness.manner(row)
    far = Bounds(usual=(None, likeness.usual[0]), possible=(None, likeness.possible[0]))
    manner = Bounds(usual=(likeness.usual[1], None), possible=(likeness.possible[1], None))
    numbers = {"distance": f"{distance:.1f}", "most": f"{likeness.usual[0]:.1f}"}
    return [
        *far.doubt(distance, say("its distance from known chests is {distance}, at most {most} as a rule", **numbers)),
        *manner.doubt(margin, _SAID[other]),
    ]
