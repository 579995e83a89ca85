"""Methods that tell what moved a classifier's answer on one image, each as a map on the image's grid, in log odds.

Grad-CAM is computed here; integrated gradients, occlusion, SHAP and LIME by captum, with the numbers of steps and samples that stand here.
"""

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.applications.bundle.explaining import WINDOWS
from inference.applications.occluding import OCCLUSION
from training.networks.grad_cam import grad_cam

GRAD_CAM, INTEGRATED, SHAP, LIME = "Grad-CAM", "Integrated gradients", "Gradient SHAP", "LIME"

STEPS = 16
"""Of the integral from the image of one grey to the image."""
DRAWS = 24
"""Of gradient SHAP: images that were usual, each at some place on the way to the image."""
SAMPLES = 150
"""Of LIME: images with about half of their cells in grey."""
WINDOWS_OF_VOLUMES = 4
"""How many squares of occlusion, and cells of LIME, lie side by side along an axis of a volume; of a single image `WINDOWS`."""
KERNEL = 0.25
"""Of LIME: how fast an image counts less the more of it is grey (Ribeiro and others 2016)."""
RIDGE = 1.0
_AT_ONCE = 64

Map: TypeAlias = NDArray[np.float32]


class LogOdds(nn.Module):
    """The log odds (N, 1) of one answer: of a class among others, or of a finding by itself, which is its logit.

    `network` gives logits (N, K), or (N,) where it has one answer.
    """

    def __init__(self, network: Any, channel: int, exclusive: bool) -> None:
        super().__init__()
        self.network, self._channel, self._exclusive = network, channel, exclusive

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(images)
        if logits.ndim == 1:
            return logits[:, None]
        own = logits[:, self._channel : self._channel + 1]
        if not self._exclusive:
            return own
        others = torch.cat([logits[:, : self._channel], logits[:, self._channel + 1 :]], dim=1)
        return own - others.logsumexp(dim=1, keepdim=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenImage:
    """One image (C, …) as the network sees it, images (N, C, …) that are usual, and a seed for what is drawn."""

    image: NDArray[np.float32]
    usual: torch.Tensor
    seed: int


Explain: TypeAlias = Callable[[LogOdds, SeenImage], Map]
"""The map (…) of what moved the log odds on an image (C, …)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One of them."""

    label: str
    explain: Explain
    captum: bool = True

    @property
    def absent(self) -> bool:
        """Whether what computes it is not installed."""
        return self.captum and importlib.util.find_spec("captum") is None


def of_pooling(pooling: str) -> Method:
    """Grad-CAM of a network whose module of this name has the last features as its input."""
    return Method(label=GRAD_CAM, explain=lambda odds, shown: grad_cam(odds, f"network.{pooling}", shown.image, 0), captum=False)


def _integrated(odds: LogOdds, shown: SeenImage) -> Map:
    """Sundararajan and others 2017, from an image of the mean grey."""
    from captum.attr import IntegratedGradients

    image = _batch(shown.image)
    return _summed(
        IntegratedGradients(odds).attribute(image, baselines=_grey(image), target=0, n_steps=STEPS, internal_batch_size=_AT_ONCE)
    )


def _occluded(odds: LogOdds, shown: SeenImage) -> Map:
    """Zeiler and Fergus 2014: how far the log odds fall where a square has the mean grey, the mean of the squares that covered a pixel."""
    from captum.attr import Occlusion

    image = _batch(shown.image)
    axes = shown.image.shape[1:]
    single = len(axes) == 2
    sides = tuple(max(1, side // _windows(axes)) for side in axes)
    # squares of a single image overlap by half; in volumes there would be thousands
    steps = tuple(max(1, side // 2) if single else side for side in sides)
    channels = shown.image.shape[0]
    with torch.inference_mode():
        found = Occlusion(odds).attribute(
            image,
            sliding_window_shapes=(channels, *sides),
            strides=(channels, *steps),
            baselines=_grey(image),
            target=0,
            perturbations_per_eval=_AT_ONCE,
        )
    fell: Map = _summed(found) / channels
    return fell


def _expected(odds: LogOdds, shown: SeenImage) -> Map:
    """Gradient SHAP (Lundberg and Lee 2017): Shapley values over usual images, to first order."""
    from captum.attr import GradientShap

    with _drawing(shown.seed):
        found = GradientShap(odds).attribute(_batch(shown.image), baselines=shown.usual, target=0, n_samples=DRAWS, stdevs=0.0)
    return _summed(found)


def _linear(odds: LogOdds, shown: SeenImage) -> Map:
    """Ribeiro and others 2016: a linear model of the log odds over which cells of the image are grey."""
    from captum.attr import Lime

    image = _batch(shown.image)
    mask = torch.from_numpy(cells(shown.image.shape[1:]))[None, None].expand(image.shape)
    lime = Lime(odds, interpretable_model=_Ridge(), similarity_func=_near)
    with _drawing(shown.seed), torch.inference_mode():
        found = lime.attribute(
            image, baselines=_grey(image), target=0, feature_mask=mask, n_samples=SAMPLES, perturbations_per_eval=_AT_ONCE
        )
    weights: Map = _summed(found) / shown.image.shape[0]
    return weights


METHODS: Final[Sequence[Method]] = (
    Method(label=INTEGRATED, explain=_integrated),
    Method(label=OCCLUSION, explain=_occluded),
    Method(label=SHAP, explain=_expected),
    Method(label=LIME, explain=_linear),
)
"""Those that any network with a gradient has."""


def cells(axes: tuple[int, ...]) -> NDArray[np.int64]:
    """The number of the cell that each pixel of an image of this shape lies in, from 0 on."""
    many = _windows(axes)
    counts = tuple(min(many, side) for side in axes)
    places = [np.arange(side) * count // side for side, count in zip(axes, counts, strict=True)]
    found: NDArray[np.int64] = np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), counts).astype(np.int64)
    return found


class _Ridge:
    """Ridge regression as captum asks for it: `fit` over batches of (cells, log odds, weight), then its coefficients."""

    def __init__(self) -> None:
        self._found = torch.zeros(0)

    def fit(self, train_data: Any, **_: Any) -> Mapping[str, float]:
        x, y, weight = (torch.cat([each.double() for each in column]) for column in zip(*train_data, strict=True))
        y, share = y.reshape(-1), (weight / weight.sum()).reshape(-1)
        x, y = x - share @ x, y - share @ y
        weighed = x.T * weight.reshape(-1)
        self._found = torch.linalg.solve(weighed @ x + RIDGE * torch.eye(x.shape[1], dtype=x.dtype), weighed @ y)
        return {}

    def representation(self) -> torch.Tensor:
        return self._found.float()


def _near(original: torch.Tensor, changed: torch.Tensor, kept: torch.Tensor, **_: Any) -> float:
    """How much a changed image counts, by the cosine between which cells it kept and all."""
    distance = 1 - math.sqrt(float(kept.double().mean()))
    return math.exp(-(distance**2) / KERNEL**2)


def _windows(axes: tuple[int, ...]) -> int:
    return WINDOWS if len(axes) == 2 else WINDOWS_OF_VOLUMES


def _batch(image: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image[None]))


def _grey(image: torch.Tensor) -> torch.Tensor:
    """Of each channel its mean."""
    return image.mean(dim=tuple(range(2, image.ndim)), keepdim=True).expand(image.shape).contiguous()


def _summed(found: torch.Tensor) -> Map:
    """Over the channels of one image."""
    values: Map = found.detach()[0].sum(dim=0).numpy().astype(np.float32)
    return values


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """What is drawn inside is the same for the same seed: captum draws by torch's generator and by numpy's, which are both everybody's."""
    before = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            yield
    finally:
        np.random.set_state(before)
