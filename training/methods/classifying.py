"""Methods of classification: each learns from training pictures, chooses by validation pictures, and scores both held sides."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.compute import Compute
from training.evaluation.classification import auc
from training.methods.classical import Features, Standard, clusters, mixture, radiomics, sizes, vector_machine
from training.methods.learning import Pace, answers, learned
from training.methods.networks import CLASSIFIERS, Architecture
from training.methods.shown import Shown
from training.tabled.features import logistic

_PENALTIES, _WIDTHS = (0.3, 1.0, 3.0, 10.0, 30.0), (0.25, 1.0, 4.0)
"""Of the support vector machine, tried on the validation pictures; widths as multiples of one over the number of features."""
_CLUSTERS = (4, 8, 16, 32)
_MIXED = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankedSides:
    """What a method says of the pictures of two sides, (N, A) a column for each answered channel, higher meaning it is so."""

    validation: Features
    test: Features
    parameters: int = 0
    epochs: int = 0


Method: TypeAlias = Callable[[Shown, Pace, Compute], RankedSides]


def ranked(scores: Features, truth: NDArray[Any]) -> float:
    """The area under the ROC curve, the mean over the columns that have both; NaN where none has."""
    areas = [auc(one, other > 0) for one, other in zip(scores.T, truth.T, strict=True) if 0 < np.count_nonzero(other) < len(other)]
    return float(np.mean(areas)) if areas else math.nan


def _asked(seen: Shown) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The truth of the answered channels, (N, A), of training and validation."""
    channels = list(seen.channels.answered)
    return seen.train.truth[:, channels] > 0, seen.validation.truth[:, channels] > 0


def size_logistic(seen: Shown, pace: Pace, compute: Compute) -> RankedSides:
    """A logistic model over how large the dark and the bright is."""
    model = logistic(sizes(seen.train.pictures), seen.train.truth > 0, seen.channels.exclusive and seen.train.truth.shape[1] > 1)
    channels = list(seen.channels.answered)
    return RankedSides(validation=model(sizes(seen.validation.pictures))[:, channels], test=model(sizes(seen.test.pictures))[:, channels])


def _measured(seen: Shown) -> tuple[Features, Features, Features]:
    raw = [radiomics(side.pictures) for side in (seen.train, seen.validation, seen.test)]
    even = Standard.of(raw[0])
    return even(raw[0]), even(raw[1]), even(raw[2])


def radiomics_machine(seen: Shown, pace: Pace, compute: Compute) -> RankedSides:
    """A support vector machine over radiomics features, its penalty and width by the validation pictures."""
    train, validation, test = _measured(seen)
    known, chosen = _asked(seen)
    columns = []
    for at in range(known.shape[1]):
        tried = [vector_machine(train, known[:, at], penalty, width / train.shape[1]) for penalty in _PENALTIES for width in _WIDTHS]
        best = max(tried, key=partial(_good, validation, chosen[:, at]))
        columns.append((best(validation), best(test)))
    return RankedSides(validation=np.stack([one for one, _ in columns], axis=1), test=np.stack([two for _, two in columns], axis=1))


def _good(features: Features, positive: NDArray[np.bool_], model: Callable[[Features], Features]) -> float:
    figure = ranked(model(features)[:, None], positive[:, None])
    return figure if math.isfinite(figure) else -math.inf


def k_means(seen: Shown, pace: Pace, compute: Compute) -> RankedSides:
    """Clusters of radiomics features that no label made; each says how many of its training pictures have the finding."""
    train, validation, test = _measured(seen)
    known, chosen = _asked(seen)
    found = []
    for count in _CLUSTERS:
        if count > len(train) // 2:
            continue
        middles, of = clusters(train, count, pace.seed)
        inside = np.bincount(of, minlength=count)
        # a cluster of few says little: it begins at what all say
        share = np.stack([(np.bincount(of, each, count) + each.mean()) / (inside + 1) for each in known.T.astype(np.float64)], axis=1)
        of_both = [share[((side[:, None] - middles) ** 2).sum(axis=2).argmin(axis=1)] for side in (validation, test)]
        found.append(RankedSides(validation=of_both[0], test=of_both[1]))
    return max(found, key=lambda one: ranked(one.validation, chosen))


def gaussian_mixture(seen: Shown, pace: Pace, compute: Compute) -> RankedSides:
    """Of radiomics features a mixture of Gaussians with the finding and one without: how much likelier the one is."""
    train, validation, test = _measured(seen)
    known, chosen = _asked(seen)
    found = []
    for parts in _MIXED:
        columns = []
        for positive in known.T:
            both = [train[positive], train[~positive]]
            if min(map(len, both)) < 2 * parts:
                break
            with_it, without = (mixture(each, parts, pace.seed) for each in both)
            columns.append([with_it(side) - without(side) for side in (validation, test)])
        else:
            found.append(
                RankedSides(validation=np.stack([one for one, _ in columns], axis=1), test=np.stack([two for _, two in columns], axis=1))
            )
    return max(found, key=lambda one: ranked(one.validation, chosen))


class Encoder(nn.Module):
    """An autoencoder with a narrow middle: what it never saw it cannot draw."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        steps = (channels, 16, 32, 64, 16)
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for come, go in itertools.pairwise(steps):
            down += [nn.Conv2d(come, go, 4, 2, 1), nn.BatchNorm2d(go), nn.LeakyReLU(0.1)]
            up = [nn.Upsample(scale_factor=2), nn.Conv2d(go, come, 3, 1, 1), nn.BatchNorm2d(come), nn.LeakyReLU(0.1), *up]
        self._whole = nn.Sequential(*down, *up[:-2])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = nn.functional.interpolate(self._whole(images), size=images.shape[2:])
        return found


def autoencoder(seen: Shown, pace: Pace, compute: Compute) -> RankedSides:
    """Learns to draw pictures without the finding; the finding is where it draws badly. No picture with it is learned from."""
    known, chosen = _asked(seen)
    train, validation, test = seen.train.pictures, seen.validation.pictures, seen.test.pictures
    columns, epochs, parameters = [], 0, 0
    for at in range(known.shape[1]):
        without, apart = train[~known[:, at]], validation[~chosen[:, at]]
        # with no validation picture of this kind those of training choose
        judged = apart if len(apart) else without

        def drawn(network: Any, judged: Any = judged) -> float:
            return -float(_missed(network, judged, compute).mean())

        made = learned(partial(Encoder, train.shape[1]), without, None, nn.functional.mse_loss, drawn, pace, 2e-3, compute)
        columns.append([_missed(made.network, side, compute) for side in (validation, test)])
        epochs, parameters = made.epochs, _counted(made.network)
    both = [np.stack([one[side] for one in columns], axis=1) for side in (0, 1)]
    return RankedSides(validation=both[0], test=both[1], parameters=parameters, epochs=epochs)


def _missed(network: Any, pictures: NDArray[np.float32], compute: Compute) -> Features:
    found: Features = ((answers(network, pictures, compute) - pictures) ** 2).mean(axis=(1, 2, 3)).astype(np.float64)
    return found


def _counted(network: Any) -> int:
    return sum(each.numel() for each in network.parameters())


def of_network(architecture: Architecture, seen: Shown, pace: Pace, compute: Compute) -> RankedSides:
    """A network, its loss weighed so that all classes, or both sides of a finding, count alike."""
    train, channels = seen.train, list(seen.channels.answered)
    count = train.truth.sum(axis=0).astype(np.float64)
    exclusive = seen.channels.exclusive and len(count) > 1
    alike = len(train.truth) / (len(count) * np.maximum(count, 1)) if exclusive else (len(train.truth) - count) / np.maximum(count, 1)
    weights = compute.tensor(np.clip(alike, 0.1, 10).astype(np.float32))

    def loss(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        if exclusive:
            return nn.functional.cross_entropy(found, truth.argmax(dim=1), weight=weights)
        return nn.functional.binary_cross_entropy_with_logits(found.float(), truth.float(), pos_weight=weights)

    _, chosen = _asked(seen)

    def validated(network: Any) -> float:
        return ranked(_scores(answers(network, seen.validation.pictures, compute), exclusive)[:, channels], chosen)

    side, inputs = train.pictures.shape[-1], train.pictures.shape[1]
    make = partial(architecture.make, inputs, len(count), side)
    made = learned(make, train.pictures, train.truth, loss, validated, pace, architecture.learning_rate, compute)
    both = [_scores(answers(made.network, each.pictures, compute), exclusive)[:, channels] for each in (seen.validation, seen.test)]
    return RankedSides(validation=both[0], test=both[1], parameters=_counted(made.network), epochs=made.epochs)


def _scores(logits: NDArray[np.float32], exclusive: bool) -> Features:
    """How far each class is ahead of the likeliest of the others; of findings, the logits."""
    found = logits.astype(np.float64)
    if not exclusive:
        return found
    others = np.stack([np.logaddexp.reduce(np.delete(found, at, axis=1), axis=1) for at in range(found.shape[1])], axis=1)
    ahead: Features = found - others
    return ahead


METHODS: Mapping[str, tuple[str, Method]] = {
    "size-logistic": ("logistic on size", size_logistic),
    "radiomics-svm": ("radiomics + SVM", radiomics_machine),
    "k-means": ("k-means of radiomics", k_means),
    "gaussian-mixture": ("Gaussian mixtures of radiomics", gaussian_mixture),
    "autoencoder": ("autoencoder, as an anomaly", autoencoder),
    **{name: (one.title, partial(of_network, one)) for name, one in CLASSIFIERS.items()},
}
"""By name: the title, and what it does."""
