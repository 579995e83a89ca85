"""A U-Net that marks a structure on one image, and learns by the way which phase of the beat the image is of.

Ronneberger and others (2015), at the image's full resolution, with instance normalisation. In training it tells besides what two coarser
levels would mark (deep supervision, Lee and others 2015) and the phase; served, it marks alone.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, interpolate

LEVELS = 3
"""Whose masks are learned from: the image's own resolution, a half and a quarter."""
WEIGHTS = (1.0, 0.5, 0.25)
"""Of their losses."""
OF_PHASE = 0.2
"""Weight of the phase's loss."""
SYSTOLE = 2
"""The bit of a target's labels that says end-systole, on every pixel; the lowest bit is the structure."""


class MaskAndPhase(nn.Module):
    """(N, 1, Y, X) images with sides that are multiples of 2 to the number of levels but one.

    Evaluated it gives (N, 2, Y, X), the scores of background and structure. In training (N, 2 · LEVELS + 2, Y, X): these scores level by
    level, the coarser ones enlarged, and on each pixel the scores of end-diastole and end-systole.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        before = (1, *channels)
        self._down = nn.ModuleList(_block(before[level], one, 2 if level else 1) for level, one in enumerate(channels))
        pairs = list(pairwise(channels))
        self._up = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, 2) for high, low in pairs)
        self._join = nn.ModuleList(_block(2 * high, high, 1) for high, _ in pairs)
        self._mask = nn.ModuleList(nn.Conv2d(one, 2, 1) for one in channels[:LEVELS])
        self._phase = nn.Linear(channels[-1], 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kept, x = [], images
        for down in self._down:
            x = down(x)
            kept.append(x)
        phase = self._phase(x.mean(dim=(2, 3)))
        masks: list[torch.Tensor] = []
        for level in range(len(self._up) - 1, -1, -1):
            x = self._join[level](torch.cat([self._up[level](x), kept[level]], dim=1))
            if level < len(self._mask):
                masks.insert(0, self._mask[level](x))
        if not self.training:
            return masks[0]
        sides = images.shape[2:]
        coarser = [interpolate(one, size=sides, mode="bilinear", align_corners=False) for one in masks[1:]]
        return torch.cat([masks[0], *coarser, phase[:, :, None, None].expand(-1, -1, *sides)], dim=1)


def _block(before: int, after: int, stride: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for first, last, by in ((before, after, stride), (after, after, 1)):
        parts += [nn.Conv2d(first, last, 3, by, 1, bias=False), nn.InstanceNorm2d(last, affine=True), nn.LeakyReLU(0.01)]
    return nn.Sequential(*parts)


def mask_and_phase_loss() -> Any:
    """Dice over the batch and cross-entropy of each level's mask, and cross-entropy of the phase; of what `MaskAndPhase` gives in training
    and (N, 1, Y, X) labels of two bits."""
    from monai.losses.dice import DiceCELoss

    # over the batch: images without the structure count as well
    of_mask: Any = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)

    def loss(answer: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        structure, systole = labels & 1, (labels[:, 0, 0, 0] // SYSTOLE).long()
        masks = [weight * of_mask(answer[:, 2 * level : 2 * level + 2], structure) for level, weight in enumerate(WEIGHTS)]
        return torch.stack(masks).sum() + OF_PHASE * cross_entropy(answer[:, -2:].mean(dim=(2, 3)), systole)

    return loss
