"""What every method sees of a recipe's data: pictures of one small size, the same for all, and the truth about them.

Pictures are made of the recipe's own examples, which the code that serves prepares: of a single image the image; of a volume to be
classified its three middle planes, as channels; of one to be segmented every slice, and of phases every drawn slice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from training.data.cases import Case, Split
from training.errors import UnfitData, UnfitSetting
from training.progress import Step
from training.recipe import Example, Recipe
from training.tasks.answers import Answerer
from training.tasks.classification import Classifier
from training.tasks.phases import PhaseSegmenter
from training.tasks.segmentation import Segmenter

SIDES = (32, 256)
"""Pixels of a picture, at least and at most; the networks halve it five times."""
_PLACES = (0.25, 0.5, 0.75)

Pictures: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """The pictures of one side of a split.

    Attributes
    ----------
    pictures
        (N, C, S, S), each channel by mean and deviation of the training pictures.
    truth
        (N, K) of classes or findings, 1 where it is so; (N, S, S) of labels.
    case
        Of each picture, the place of its case in `names`, (N,).
    place
        Of each picture, where it lies in its case, from 0 to 1, (N,).
    names, patients
        Of the cases.
    """

    pictures: Pictures
    truth: NDArray[np.uint8]
    case: NDArray[np.intp]
    place: NDArray[np.float64]
    names: tuple[str, ...]
    patients: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """What the truth is about.

    Attributes
    ----------
    names
        Of classes or findings, by channel; of structures, from label 1 on.
    answered
        The channels whose ranking is judged; () of structures.
    exclusive
        Whether a case is of exactly one class.
    """

    names: tuple[str, ...]
    answered: tuple[int, ...] = ()
    exclusive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """Three sides as every method sees them."""

    train: Side
    validation: Side
    test: Side
    channels: Channels


def channels(recipe: Recipe) -> Channels:
    """What the truth of a recipe's data is about.

    Raises
    ------
    UnfitSetting
        The recipe is of another task than classification or segmentation.
    """
    if isinstance(recipe, Answerer):
        answered = tuple(answer.channel for answer in recipe.manifest.answers)
        return Channels(names=recipe.names, answered=answered, exclusive=recipe.exclusive)
    if isinstance(recipe, Classifier):
        return Channels(names=(recipe.finding.meaning,), answered=(0,))
    if isinstance(recipe, Segmenter | PhaseSegmenter):
        return Channels(names=tuple(f"label {label}" for label in range(1, recipe.channels)))
    raise UnfitSetting(f'--methods compares methods of classification and of segmentation; recipe "{recipe.name}" is of {recipe.task}')


def shown(recipe: Recipe, sides: Split, side: int, step: Step) -> Shown:
    """All three sides of a recipe's data.

    Raises
    ------
    UnfitSetting
        The recipe is of another task, or the side is out of bounds.
    UnfitData
    """
    if not SIDES[0] <= side <= SIDES[1]:
        raise UnfitSetting(f"--side {side}: from {SIDES[0]} to {SIDES[1]} pixels")
    about = channels(recipe)
    picture = _whole if about.answered else _slices(recipe)
    total = len(sides.train) + len(sides.validation) + len(sides.test)
    read = [_read(recipe, cases, picture, side, step, total) for cases in (sides.train, sides.validation, sides.test)]
    train = read[0].pictures
    middle, spread = train.mean(axis=(0, 2, 3), keepdims=True), train.std(axis=(0, 2, 3), keepdims=True)
    for each in read:
        each.pictures[...] = (each.pictures - middle) / np.where(spread > 1e-6, spread, 1)
    return Shown(train=read[0], validation=read[1], test=read[2], channels=about)


_Cut: TypeAlias = Callable[[Example], tuple[Pictures, NDArray[np.uint8]]]
"""The pictures (N, C, Y, X) of an example, and the truth about each: (N, K) or (N, Y, X)."""


def _read(recipe: Recipe, cases: Sequence[Case], cut: _Cut, side: int, step: Step, total: int) -> Side:
    pictures, truth, of, places = [], [], [], []
    for at, case in enumerate(cases):
        some, said = cut(recipe.example(case.load()))
        pictures.append(_sized(some, side))
        truth.append(said if said.ndim == 2 else _nearest(said, side))
        of.append(np.full(len(some), at))
        places.append((np.arange(len(some)) + 0.5) / len(some))
        step(case.name, total)
    if len({each.shape[1:] for each in pictures}) != 1:
        raise UnfitData("the images of the cases have different numbers of channels: no picture can be made of all")
    return Side(
        pictures=np.concatenate(pictures),
        truth=np.concatenate(truth),
        case=np.concatenate(of),
        place=np.concatenate(places),
        names=tuple(case.name for case in cases),
        patients=tuple(case.patient for case in cases),
    )


def _whole(example: Example) -> tuple[Pictures, NDArray[np.uint8]]:
    image = example.image
    if image.ndim == 4:
        # volumes (C, Z, Y, X): the planes at their quarters
        image = image[:, [int(place * image.shape[1]) for place in _PLACES]].reshape(-1, *image.shape[2:])
    return image[None], example.target.astype(np.uint8)[None]


def _slices(recipe: Recipe) -> _Cut:
    window = recipe.window

    def cut(example: Example) -> tuple[Pictures, NDArray[np.uint8]]:
        image, target = example.image.swapaxes(0, 1), example.target[0].astype(np.uint8)
        if isinstance(recipe, PhaseSegmenter):
            # the other bits are what its network learns besides (`networks.over_time`)
            target = target & 1
        if len(window) == 2:
            # of slices that are learned from by windows, the middle one, which serving shows
            inner = tuple(slice((have - want) // 2, (have - want) // 2 + want) for have, want in zip(target.shape[1:], window, strict=True))
            image, target = image[:, :, *inner], target[:, *inner]
        return image, target

    return cut


def _sized(pictures: Pictures, side: int) -> Pictures:
    found = torch.from_numpy(np.ascontiguousarray(pictures))
    larger = side > max(found.shape[2:])
    found = (
        interpolate(found, size=(side, side), mode="bilinear", align_corners=False)
        if larger
        else interpolate(found, (side, side), mode="area")
    )
    values: Pictures = found.numpy().astype(np.float32)
    return values


def _nearest(labels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = (
        interpolate(torch.from_numpy(labels[:, None].astype(np.float32)), (side, side), mode="nearest-exact")[:, 0].numpy().astype(np.uint8)
    )
    return found
