"""Structured pruning: the channels whose filters have the least L1 norm are taken out of a trained network, coupled ones together
(Li and others 2017, "Pruning filters for efficient ConvNets"); what is left is a smaller network of the same layers, to be fine-tuned."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.compressing.coupled import CoupledChannels, spaces
from training.compressing.widths import Widths


def thinned(network: Any, shape: tuple[int, ...], keep: float, costly: float = 0.0) -> tuple[dict[str, torch.Tensor], Widths]:
    """What is left of a network's tensors where each space keeps a share of its channels, at least one (of each group that is normalised).

    Parameters
    ----------
    shape
        Of the images, with the batch.
    keep
        More than 0, less than 1.
    costly
        Only spaces whose images have at least such a share of the largest one's pixels or voxels get thinner: deep layers hold most weights
        and cost little time. 0: all do.
    """
    state = {name: values.detach().clone() for name, values in network.state_dict().items()}
    features: dict[str, int] = {}
    chosen: dict[tuple[str, int], list[tuple[int, int, NDArray[np.intp]]]] = {}
    found = spaces(network, shape)
    largest = max(space.places for space in found)
    for space in found:
        stays = space.fixed or space.places < costly * largest
        stay = np.arange(space.width) if stays else _strongest(space, state, keep)
        features |= dict.fromkeys(space.features, len(stay))
        for name, axis, begin in space.uses:
            chosen.setdefault((name, axis), []).append((begin, space.width, stay))
    for (name, axis), parts in chosen.items():
        index = np.concatenate([begin + stay for begin, _, stay in sorted(parts, key=lambda part: part[0])])
        state[name] = state[name].index_select(axis, torch.from_numpy(index))
    return state, Widths(tensors={name: tuple(values.shape) for name, values in state.items()}, features=features)


def _strongest(space: CoupledChannels, state: Mapping[str, torch.Tensor], keep: float) -> NDArray[np.intp]:
    """The channels that stay, in their order."""
    norms = np.zeros(space.width)
    for name, axis in space.made:
        filters = state[name].float().abs().movedim(axis, 0).reshape(space.width, -1).sum(dim=1).numpy()
        # layers that are added have scales of their own
        norms += filters / max(float(filters.mean()), 1e-12)
    parts = space.parts or 1
    each = space.width // parts
    stay = max(1, round(keep * each))
    order = np.argsort(-norms.reshape(parts, each), axis=1, kind="stable")[:, :stay] + each * np.arange(parts)[:, None]
    return np.sort(order.ravel())


def digest_of(network: Any) -> str:
    """The first digits of the SHA-256 of a network's tensors."""
    content = b"".join(values.cpu().contiguous().numpy().tobytes() for values in network.state_dict().values())
    return hashlib.sha256(content).hexdigest()[:16]
