"""Late fusion: an encoder for each image of a case, whose features are averaged over the images that are there."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class LateFusion(nn.Module):
    """(N, C, …) images, a channel each, one that is missing being 0 everywhere; (N, K) from a linear layer over the mean features.

    Each of `encoders` makes (N, features) of (N, 1, …).
    """

    def __init__(self, encoders: Sequence[Any], features: int, channels: int) -> None:
        super().__init__()
        self._encoders = nn.ModuleList(encoders)
        self._head = nn.Linear(features, channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        there = (images.abs().flatten(2).amax(dim=2) > 0).to(images.dtype)
        each = torch.stack([encoder(images[:, at : at + 1]) for at, encoder in enumerate(self._encoders)], dim=1)
        mean = (each * there[..., None]).sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1)
        found: torch.Tensor = self._head(mean)
        return found
