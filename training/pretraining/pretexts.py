"""Two tasks that need no labels: to draw what was covered of an image, and to know two views of one image for the same.

Covered blocks after He and others (2022), the loss over what was covered alone; two views after Chen and others (2020), with the
normalised, temperature-scaled cross-entropy over a batch. Both learn on the recipe's own network, at its window,
by its augmentation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy, interpolate, normalize

from training.pretraining.deepest import answering, deepest, features, rests_on
from training.recipe import Augment, Example

COVERED = 0.6
"""The share of the blocks of an image that is covered."""
BLOCKS = 8
"""Blocks along each axis."""
TEMPERATURE = 0.2
ERASED = 0.4
"""At most, of each side of a view, what is erased from it."""
PROJECTED = 64
_BRIGHTER = 0.4


class By(StrEnum):
    """What is learned without labels."""

    MASKED = "masked"
    CONTRASTIVE = "contrastive"


class Pretending(Protocol):
    """A recipe's network with what the task needs besides; it says which of that network's weights it learns."""

    def learned(self, images: torch.Tensor) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretext:
    """One task without labels.

    Attributes
    ----------
    figure
        What its validation is called: larger is better.
    network
        From a recipe's network and the shape (C, …) of its images.
    augment
        From the recipe's own augmentation.
    """

    figure: str
    network: Callable[[nn.Module, Sequence[int]], Any]
    augment: Callable[[Augment], Augment]
    loss: Callable[[Any, Any], Any]


class Drawing(nn.Module):
    """Draws the image: behind the answers of a network that gives as large ones, else behind its deepest map."""

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        with torch.inference_mode():
            answer = network.eval()(torch.zeros(1, *shape))
        network.train()
        convolution: Any = {3: nn.Conv2d, 4: nn.Conv3d}[len(shape)]
        self._whole = answer.shape[2:] == torch.Size(shape[1:])
        self._name = answering(network, shape) if self._whole else deepest(network, shape)
        if self._whole:
            self._drawn: nn.Module = convolution(answer.shape[1], shape[0], 1)
            return
        with torch.inference_mode():
            found = features(network, self._name, torch.zeros(1, *shape))
        steps, planes, layers = _doublings(found.shape[2:], shape[1:]), int(found.shape[1]), list[nn.Module]()
        for _ in range(steps):
            narrower = max(16, planes // 2)
            layers += [nn.Upsample(scale_factor=2), convolution(planes, narrower, 3, padding=1), nn.GroupNorm(8, narrower), nn.ReLU()]
            planes = narrower
        self._drawn = nn.Sequential(*layers, convolution(planes, shape[0], 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.network(images) if self._whole else features(self.network, self._name, images)
        drawn: torch.Tensor = self._drawn(found)
        return drawn if drawn.shape[2:] == images.shape[2:] else interpolate(drawn, size=images.shape[2:])

    def learned(self, images: torch.Tensor) -> frozenset[str]:
        names = rests_on(self.network, self.network(images) if self._whole else features(self.network, self._name, images))
        # what gives the answers learned to draw, and is drawn anew for them
        return frozenset(name for name in names if not self._whole or name.rpartition(".")[0] != self._name)


class Likening(nn.Module):
    """Two views (N, 2C, …) of each image as directions (N, 2, P) that are to be alike; of the deepest map's means."""

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self._name = deepest(network, shape)
        with torch.inference_mode():
            planes = int(features(network, self._name, torch.zeros(1, *shape)).shape[1])
        self._projection = nn.Sequential(nn.Linear(planes, planes), nn.ReLU(), nn.Linear(planes, PROJECTED))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        views = torch.cat(images.chunk(2, dim=1))
        found = features(self.network, self._name, views).flatten(2).mean(dim=2)
        return torch.stack(normalize(self._projection(found), dim=1).chunk(2), dim=1)

    def learned(self, images: torch.Tensor) -> frozenset[str]:
        return rests_on(self.network, features(self.network, self._name, images))


def covered(image: NDArray[np.float32], seed: int) -> NDArray[np.bool_]:
    """Which voxels (1, …) of an image (C, …) are covered, in blocks."""
    rng = np.random.default_rng((seed, 1))
    sides = image.shape[1:]
    counts = [min(BLOCKS, side) for side in sides]
    drawn = rng.permutation(int(np.prod(counts))).reshape(counts) < COVERED * np.prod(counts)
    for axis, (side, count) in enumerate(zip(sides, counts, strict=True)):
        drawn = np.take(drawn, np.arange(side) * count // side, axis=axis)
    found: NDArray[np.bool_] = drawn[None]
    return found


def covering(augment: Augment) -> Augment:
    """An image with covered blocks; the target is the image, and behind it what is covered: (C + 1, …)."""

    def made(example: Example, seed: int) -> Example:
        image = augment(example, seed).image
        hidden = covered(image, seed)
        return Example(
            image=np.where(hidden, np.float32(0), image), target=np.concatenate([image, hidden.astype(np.float32)]).astype(np.float32)
        )

    return made


def of_covered(drawn: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean square of what is wrong where it was covered."""
    images, hidden = targets[:, :-1], targets[:, -1:]
    found: torch.Tensor = ((drawn - images).square() * hidden).sum() / (hidden.sum() * images.shape[1]).clamp(min=1)
    return found


def twice(augment: Augment) -> Augment:
    """Two views of an image, each otherwise moved, brighter and erased in part: (2C, …); there is no target."""

    def made(example: Example, seed: int) -> Example:
        views = [_view(augment, example, int(one)) for one in np.random.default_rng((seed, 2)).integers(2**31, size=2)]
        return Example(image=np.concatenate(views), target=np.zeros(1, dtype=np.float32))

    return made


def _view(augment: Augment, example: Example, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng((seed, 3))
    image = augment(example, seed).image.copy()
    spread = float(image.std())
    image = image * np.exp(rng.uniform(-_BRIGHTER, _BRIGHTER)) + spread * rng.uniform(-_BRIGHTER, _BRIGHTER)
    # so that no edge of one view is known by its noise
    image += rng.uniform(0, 0.1) * spread * rng.standard_normal(image.shape)
    sizes = [int(side * rng.uniform(0.1, ERASED)) for side in image.shape[1:]]
    starts = [int(rng.integers(side - size + 1)) for side, size in zip(image.shape[1:], sizes, strict=True)]
    image[:, *(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))] = image.mean()
    view: NDArray[np.float32] = image.astype(np.float32)
    return view


def alike(directions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How badly each view (N, 2, P) is told from those of all others of the batch as the other one's."""
    views = torch.cat([directions[:, 0], directions[:, 1]])
    likeness = views @ views.T / TEMPERATURE
    likeness.fill_diagonal_(-torch.inf)
    count = len(directions)
    places = torch.arange(2 * count, device=views.device)
    found: torch.Tensor = cross_entropy(likeness, (places + count) % (2 * count))
    return found


def _doublings(cells: Sequence[int], sides: Sequence[int]) -> int:
    return max(0, round(float(np.log2(max(side / cell for side, cell in zip(sides, cells, strict=True))))))


PRETEXTS: Mapping[By, Pretext] = {
    By.MASKED: Pretext(figure="drawing of what was covered", network=Drawing, augment=covering, loss=of_covered),
    By.CONTRASTIVE: Pretext(figure="likeness of views", network=Likening, augment=twice, loss=alike),
}
