"""Methods of segmentation: each marks every pixel of two held sides with a label, and is judged case by case."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.compute import Compute
from training.evaluation.segmentation import dice
from training.methods.learning import Pace, answers, learned
from training.methods.networks import SEGMENTERS, Architecture
from training.methods.shown import Shown, Side

Labels = NDArray[np.uint8]

_STRETCHES = 8
"""Of a stack, from end to end: an atlas of each."""
_SURE = (0.2, 0.3, 0.4, 0.5, 0.6)
_ROUNDS = (2, 5, 10, 20, 40)
_REACH_PX = 4
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlines:
    """The labels (N, S, S) that a method gives the pictures of two sides."""

    validation: Labels
    test: Labels
    parameters: int = 0
    epochs: int = 0


Method: TypeAlias = Callable[[Shown, Pace, Compute], Outlines]


def overlaps(found: Labels, side: Side, count: int) -> NDArray[np.float64]:
    """The Dice of each structure in each case, all its pictures together, (cases, count); NaN where it is on neither."""
    made = np.full((len(side.names), count), np.nan)
    for case in range(len(side.names)):
        those = side.case == case
        for at in range(count):
            made[case, at] = dice(found[those] == at + 1, side.truth[those] == at + 1)
    return made


def overlap(found: Labels, side: Side, count: int) -> float:
    """The mean of all of them."""
    values = overlaps(found, side, count)
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def _stretch(side: Side) -> NDArray[np.intp]:
    return np.minimum((side.place * _STRETCHES).astype(np.intp), _STRETCHES - 1)


def _shares(seen: Shown) -> NDArray[np.float64]:
    """How often each label lies at each pixel of each stretch of the training stacks, (stretches, labels, S, S)."""
    where, count = _stretch(seen.train), len(seen.channels.names)
    made = np.zeros((_STRETCHES, count, *seen.train.truth.shape[1:]))
    for at in range(_STRETCHES):
        # stacks of a few slices have none in some stretches: all of them tell then
        those = seen.train.truth[where == at] if (where == at).any() else seen.train.truth
        made[at] = [(those == label + 1).mean(axis=0) for label in range(count)]
    return made


def atlas(seen: Shown, pace: Pace, compute: Compute) -> Outlines:
    """The mean of the training labels, without a look at the picture; how sure it has to be, by the validation cases."""
    shares = _shares(seen)
    surest, commonest = shares.max(axis=1), shares.argmax(axis=1) + 1

    def at_least(sure: float) -> Outlines:
        drawn = np.where(surest >= sure, commonest, 0).astype(np.uint8)
        return Outlines(validation=drawn[_stretch(seen.validation)], test=drawn[_stretch(seen.test)])

    return _best(seen, [at_least(sure) for sure in _SURE])


def level_set(seen: Shown, pace: Pace, compute: Compute) -> Outlines:
    """From the atlas outward and inward by brightness: Chan and Vese (2001), morphological (Marquez-Neila and others 2014), of all labels
    together; each pixel then has the label that is commonest there. How long, by the validation cases."""
    shares = _shares(seen)
    begun, commonest = atlas(seen, pace, compute), shares.argmax(axis=1) + 1

    def grown(rounds: int) -> Outlines:
        both = [
            np.stack([_grown(*each, rounds) for each in zip(side.pictures.mean(axis=1), first, commonest[_stretch(side)], strict=True)])
            for side, first in ((seen.validation, begun.validation), (seen.test, begun.test))
        ]
        return Outlines(validation=both[0], test=both[1])

    return _best(seen, [grown(rounds) for rounds in _ROUNDS])


def _grown(picture: NDArray[np.float32], first: Labels, commonest: NDArray[np.intp], rounds: int) -> Labels:
    from scipy.ndimage import binary_dilation
    from skimage.segmentation import morphological_chan_vese

    inside = first > 0
    if not inside.any():
        return first
    near = binary_dilation(inside, iterations=_REACH_PX)
    # what is far from the atlas is some other organ: the picture ends where it does
    rows, columns = (slice(places.min(), places.max() + 1) for places in np.nonzero(near))
    small = np.zeros(inside.shape, dtype=np.bool_)
    small[rows, columns] = (
        morphological_chan_vese(picture[rows, columns].astype(np.float64), rounds, inside[rows, columns], smoothing=1) > 0
    )
    found: Labels = np.where(small & near, commonest, 0).astype(np.uint8)
    return found


def _best(seen: Shown, tried: list[Outlines]) -> Outlines:
    return max(tried, key=lambda one: overlap(one.validation, seen.validation, len(seen.channels.names)))


def of_network(architecture: Architecture, seen: Shown, pace: Pace, compute: Compute) -> Outlines:
    """A network, by Dice over the batch and cross-entropy together."""
    from monai.losses.dice import DiceCELoss

    made_of: Any = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    count, side = len(seen.channels.names), seen.train.pictures.shape[-1]

    def validated(network: Any) -> float:
        return overlap(_labels(network, seen.validation, compute), seen.validation, count)

    make = partial(architecture.make, seen.train.pictures.shape[1], count + 1, side)
    targets = seen.train.truth
    made = learned(
        make, seen.train.pictures, targets, lambda found, truth: made_of(found.float(), truth[:, None]), validated, pace,
        architecture.learning_rate, compute,
    )  # fmt: skip
    both = [_labels(made.network, each, compute) for each in (seen.validation, seen.test)]
    parameters = sum(each.numel() for each in made.network.parameters())
    return Outlines(validation=both[0], test=both[1], parameters=parameters, epochs=made.epochs)


def _labels(network: Any, side: Side, compute: Compute) -> Labels:
    some = [
        answers(network, side.pictures[at : at + _AT_ONCE], compute).argmax(axis=1).astype(np.uint8)
        for at in range(0, len(side.pictures), _AT_ONCE)
    ]
    return np.concatenate(some)


METHODS: Mapping[str, tuple[str, Method]] = {
    "atlas": ("atlas", atlas),
    "level-set": ("level set (Chan and Vese) from the atlas", level_set),
    **{name: (one.title, partial(of_network, one)) for name, one in SEGMENTERS.items()},
}
"""By name: the title, and what it does."""
