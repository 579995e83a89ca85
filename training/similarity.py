"""A loss of images: how far off on average (L1), and how unlike in structure (SSIM; Wang and others 2004)."""

import torch
from torch import nn


class Faithful:
    """L1, and a share of what SSIM lacks of 1; slice by slice, over the whole piece.

    Parameters
    ----------
    weight
        Of what SSIM lacks, beside L1 in the images' units.
    """

    def __init__(self, weight: float) -> None:
        from monai.losses.ssim_loss import SSIMLoss

        self._weight = weight
        self._unlike = SSIMLoss(spatial_dims=2, data_range=1.0)

    def __call__(self, made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        slices, truth = made.flatten(0, 2)[:, None], true.flatten(0, 2)[:, None]
        # the range of a head cannot be seen in a piece: its brightest voxel stands for it
        full = truth.flatten(1).amax(1).clamp(min=1)[:, None, None, None]
        loss: torch.Tensor = nn.functional.l1_loss(made, true) + self._weight * self._unlike(slices / full, truth / full)
        return loss
