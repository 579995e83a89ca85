"""Grad-CAM of a network whose features are pooled to their mean: which of its cells moved one answer (Selvaraju and others 2017)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def grad_cam(network: Any, pooling: str, image: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
    """How much each pixel's cell moved logit `channel`, (Y, X) on the grid of the image (1, Y, X), or (Z, Y, X) of (1, Z, Y, X).

    `pooling` names the module whose input are the last features (1, K, cells down, cells across). The parts of all cells sum up to what
    moves the logit to first order; where one linear layer follows the pooling, they and its bias are the logit. Nothing is cut off at 0:
    what speaks against is negative.
    """
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])

    hook = network.get_submodule(pooling).register_forward_pre_hook(keep)
    try:
        with torch.enable_grad():
            logit = network(torch.from_numpy(image[None]))[0, channel]
            (features,) = seen
            (gradient,) = torch.autograd.grad(logit, features)
    finally:
        hook.remove()
    # one weight a feature: its gradient, the same in every cell behind a mean
    axes = tuple(range(2, features.ndim))
    parts = (gradient.mean(dim=axes, keepdim=True) * features).sum(dim=1, keepdim=True).detach()
    # nearest would draw the cells as if they had edges
    mode = "bilinear" if len(axes) == 2 else "trilinear"
    large = nn.functional.interpolate(parts, size=image.shape[1:], mode=mode, align_corners=False)
    found: NDArray[np.float32] = large[0, 0].numpy().astype(np.float32)
    return found
