"""How the networks of a comparison learn: all alike, in memory on the device, until validation gets no better or their minutes are over."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.compute import Compute
from training.methods.shown import Pictures

_SEEN = 256
_TURNED, _SCALED, _MOVED, _BRIGHTER = 0.2, 0.1, 0.08, 0.2
"""At most: radians, shares of the size, of the side, and of the deviation."""
WEIGHT_DECAY = 1e-4

Answer = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long and how fast: at most so many epochs and minutes, and epochs without a better validation."""

    epochs: int = 40
    batch: int = 32
    patience: int = 10
    minutes: float = 10.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A network with its best weights by validation, and how many epochs it had."""

    network: Any
    epochs: int


def learned(
    make: Callable[[], Any],
    pictures: Pictures,
    targets: NDArray[np.generic] | None,
    loss: Callable[[Any, Any], Any],
    validated: Callable[[Any], float],
    pace: Pace,
    rate: float,
    compute: Compute,
) -> Learned:
    """Train what `make` makes; `targets` are of the pictures, (N, …), and turned with them where they are as large; None where the picture
    itself, as it is shown, is the target.

    `validated` gives a figure of a network, larger being better.
    """
    torch.manual_seed(pace.seed)
    network = make().to(compute.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    seen = compute.tensor(pictures)
    wanted = compute.tensor(np.zeros(len(pictures), dtype=np.float32) if targets is None else targets)
    generator = torch.Generator().manual_seed(pace.seed)
    best, best_epoch, weights, epoch = -math.inf, 0, copy.deepcopy(network.state_dict()), 0
    until = time.monotonic() + 60 * pace.minutes
    while epoch < pace.epochs and epoch - best_epoch <= pace.patience and (epoch == 0 or time.monotonic() < until):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * epoch / pace.epochs))
        network.train()
        order = torch.randperm(len(seen), generator=generator).to(compute.device)
        for start in range(0, len(order), pace.batch):
            those = order[start : start + pace.batch]
            if len(those) < 2 < len(order) or (start and time.monotonic() > until):
                break
            images, truth = moved(seen[those], wanted[those], generator)
            with compute.autocast():
                found = loss(network(images), images if targets is None else truth)
            optimizer.zero_grad(set_to_none=True)
            found.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        epoch += 1
        figure = validated(network)
        if figure > best or epoch == 1:
            best, best_epoch = figure if math.isfinite(figure) else -math.inf, epoch
            weights = copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    return Learned(network=network.eval(), epochs=epoch)


def moved(images: torch.Tensor, truth: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, C, S, S) a little turned, scaled, moved and brighter or darker; labels (N, S, S) with them, each pixel the nearest one."""
    draws = (2 * torch.rand(len(images), 5, generator=generator) - 1).to(images.device)
    angle, scale = _TURNED * draws[:, 0], 1 + _SCALED * draws[:, 1]
    turned = torch.stack([torch.cos(angle) * scale, -torch.sin(angle) * scale, 2 * _MOVED * draws[:, 2]], dim=1)
    other = torch.stack([torch.sin(angle) * scale, torch.cos(angle) * scale, 2 * _MOVED * draws[:, 3]], dim=1)
    grid = nn.functional.affine_grid(torch.stack([turned, other], dim=1), list(images.shape), align_corners=False)
    seen = nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    seen = seen * (1 + _BRIGHTER * draws[:, 4]).reshape(-1, 1, 1, 1)
    if truth.ndim < 3:
        return seen, truth
    labels = nn.functional.grid_sample(truth[:, None].to(images.dtype), grid, mode="nearest", padding_mode="border", align_corners=False)
    return seen, labels[:, 0].to(truth.dtype)


def answers(network: Any, pictures: Pictures, compute: Compute) -> Answer:
    """What a network says of pictures: (N, …)."""
    network.eval()
    with torch.inference_mode():
        some = [network(compute.tensor(pictures[at : at + _SEEN])).float().cpu().numpy() for at in range(0, len(pictures), _SEEN)]
    found: Answer = np.concatenate(some)
    return found
