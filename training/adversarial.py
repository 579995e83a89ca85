"""Adversarial loss: the distance to the truth, and whether a discriminator takes the image for a clean one."""

from typing import Any

import torch
from torch import nn

from training.errors import UnfitSetting


class Adversarial:
    """L1, and a share of what a small PatchGAN says (least squares); each call teaches the discriminator one step first.

    The discriminator is each process's own, so that several would not learn what one does: this takes one process.

    Parameters
    ----------
    weight
        Of the discriminator's word beside L1.
    scale
        What images are divided by before it sees them.
    """

    def __init__(self, weight: float, scale: float, channels: int = 16, learning_rate: float = 2e-4) -> None:
        from monai.losses.adversarial_loss import PatchAdversarialLoss
        from monai.networks.nets.patchgan_discriminator import PatchDiscriminator

        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            raise UnfitSetting("a discriminator learns in one process: train this recipe without torchrun")
        self._weight, self._scale = weight, scale
        self._judge: Any = PatchDiscriminator(spatial_dims=2, channels=channels, in_channels=1, num_layers_d=2, norm="INSTANCE")
        self._optimizer = torch.optim.Adam(self._judge.parameters(), lr=learning_rate, betas=(0.5, 0.999))
        self._says = PatchAdversarialLoss(criterion="least_squares")

    def __call__(self, made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        of_true, of_made = self._judged(true), self._judged(made.detach())
        lesson = (self._says(of_true, True, True) + self._says(of_made, False, True)) / 2
        lesson.backward()
        self._optimizer.step()
        loss: torch.Tensor = nn.functional.l1_loss(made, true) + self._weight * self._says(self._judged(made), True, False)
        return loss

    def to(self, device: torch.device) -> None:
        """Have the discriminator there, too."""
        self._judge.to(device)

    def state_dict(self) -> dict[str, Any]:
        """What has to be kept for going on."""
        return {"judge": self._judge.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._judge.load_state_dict(state["judge"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _judged(self, volumes: torch.Tensor) -> Any:
        """Slice by slice, patch by patch."""
        return self._judge(volumes.flatten(0, 2)[:, None] / self._scale)[-1]
