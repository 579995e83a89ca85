"""A small network of frames with a recurrent head that has no first frame: a beat repeats, so its last frame is before its first.

Each frame becomes features by a few convolutions. Then two layers of a minimal gated recurrent unit (Feng and others 2024, "Were RNNs all
we needed?"), both ways in time: h(t) = (1 - z(t)) h(t - 1) + z(t) c(t), where gate z and candidate c are of the frame alone. Of frames that
repeat for ever this has one solution in closed form, which is what is computed: products of the gates between any two frames, and no loop.
So any number of frames goes through one graph on every engine, and frames that are numbered from another one give the same answer, as much
later.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import log_softmax, logsigmoid, softplus


class PeriodicGate(nn.Module):
    """One such layer, forwards and backwards: (N, T, F) to (N, T, 2 H)."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self._gates, self._candidates = (nn.Linear(features, 2 * hidden) for _ in range(2))
        # kept for some frames at first
        nn.init.constant_(self._gates.bias, -0.5)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        gate = self._gates(frames)
        taken, kept = torch.sigmoid(gate) * self._candidates(frames), logsigmoid(-gate)
        forwards, backwards = kept.chunk(2, dim=2)
        ahead, behind = taken.chunk(2, dim=2)
        index = torch.arange(frames.shape[1], device=frames.device)
        # (t, j): whether frame j is one of this beat before t, or after it, and not one of the beat before
        before, after = (index[None] <= index[:, None])[None, :, :, None], (index[None] >= index[:, None])[None, :, :, None]
        whole_forwards, whole_backwards = forwards.sum(dim=1)[:, None, None], backwards.sum(dim=1)[:, None, None]
        sums, sums_before = forwards.cumsum(dim=1), backwards.cumsum(dim=1) - backwards
        of_forwards = sums[:, :, None] - sums[:, None] + torch.where(before, 0.0, whole_forwards)
        of_backwards = sums_before[:, None] - sums_before[:, :, None] + torch.where(after, 0.0, whole_backwards)
        both = (
            (of_forwards.exp() * ahead[:, None]).sum(dim=2) / (1 - whole_forwards[:, :, 0].exp()),
            (of_backwards.exp() * behind[:, None]).sum(dim=2) / (1 - whole_backwards[:, :, 0].exp()),
        )
        return torch.cat(both, dim=2)


class BeatPhases(nn.Module):
    """(N, 1, T, Y, X) frames of N slices to (N, 2, T): how much each frame looks like end-diastole, and like end-systole.

    Sides are multiples of 16.
    """

    def __init__(self, side: int, channels: Sequence[int], hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((1, *channels), channels, strict=False):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self._look = nn.Sequential(*layers)
        self._features = nn.Linear(channels[-1] * (side // 2 ** len(channels)) ** 2, hidden)
        self._first, self._second = PeriodicGate(2 * hidden, hidden), PeriodicGate(2 * hidden, hidden)
        self._scores = nn.Linear(2 * hidden, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        slices, _, frames, rows, columns = images.shape
        seen = self._look(images.reshape(slices * frames, 1, rows, columns)).flatten(1)
        each = self._features(seen).reshape(slices, frames, -1)
        # what does not change over the beat says nothing of its phases
        each = each - each.mean(dim=1, keepdim=True)
        # where it is, and where it comes from
        each = torch.cat([each, each - torch.cat([each[:, -1:], each[:, :-1]], dim=1)], dim=2)
        hidden = softplus(self._first(each))
        hidden = hidden - hidden.mean(dim=1, keepdim=True)
        scores: torch.Tensor = self._scores(self._second(hidden)).transpose(1, 2)
        return scores


def phases_loss() -> Any:
    """Cross-entropy over the frames, of what `BeatPhases` gives and (N, 2, T) shares of 1 that frames have in either phase."""

    def loss(scores: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        return -(log_softmax(scores, dim=2) * shares).sum(dim=2).mean()

    return loss
