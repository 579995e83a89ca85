"""Networks that learned nothing: a copy of a network with new first weights (Adebayo and others 2018, model parameter randomisation)."""

import copy
from typing import Any

import torch
from torch import nn

_FAR = 2**31
_NORMALISED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def randomised(network: Any, usual: torch.Tensor, seed: int) -> Any:
    """A copy whose weights are all drawn anew, the same for the same seed; it computes, and is not changed by what is computed.

    Weights are drawn as before a training; where a module does not say how, from the normal distribution with the deviation that they had.
    Batch normalisation sees `usual` (N, C, …) once: by statistics of other weights every answer would be one constant, and every map of it.
    """
    made = copy.deepcopy(network)
    devices = {parameter.device for parameter in made.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)), torch.no_grad():
        # seeds that people give are small: with one of theirs these would be the weights that the training began with
        torch.manual_seed(_FAR + seed)
        for module in made.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
                continue
            for parameter in module.parameters(recurse=False):
                spread = float(parameter.std()) if parameter.numel() > 1 else abs(float(parameter))
                parameter.normal_(0.0, spread or 1.0)
        made.eval()
        counting = [module for module in made.modules() if isinstance(module, _NORMALISED) and module.track_running_stats]
        if counting:
            momenta = [module.momentum for module in counting]
            for module in counting:
                module.reset_running_stats()
                module.momentum = None
                module.train()
            made(usual)
            for module, momentum in zip(counting, momenta, strict=True):
                module.momentum = momentum
    return made.eval()
