"""Distillation: a smaller network learns what the one says that it is to take the place of, beside the recipe's own loss (Hinton and others
2015, "Distilling the knowledge in a neural network")."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

SOFTENED = 2.0
"""Temperature: logits are divided by it before they are compared."""


def taught(network: nn.Module, teacher: nn.Module) -> nn.Module:
    """The smaller network; in training it gives its answer and the larger one's, side by side along the channels, for `taught_loss`."""
    teacher.eval().requires_grad_(False)

    def beside(student: nn.Module, images: tuple[torch.Tensor, ...], answer: torch.Tensor) -> torch.Tensor | None:
        if not student.training:
            return None
        with torch.no_grad():
            told = teacher.to(answer.device)(*images)
        return torch.cat([answer, told.to(answer.dtype)], dim=1)

    # a hook, and no network around it: what is kept is the smaller network's state alone
    network.register_forward_hook(beside)
    return network


def taught_loss(own: Callable[[], Callable[[Any, Any], Any]], channels: int, *, exclusive: bool) -> Callable[[Any, Any], Any]:
    """The recipe's loss, and how far the smaller network's softened probabilities are from the larger one's (Kullback-Leibler).

    Parameters
    ----------
    channels
        Of the answer.
    exclusive
        Whether they are of one softmax; else each is a probability of its own.
    """
    made = own()

    def loss(both: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        answer, told = both[:, :channels], both[:, channels:]
        softened, wanted = answer / SOFTENED, told / SOFTENED
        if exclusive:
            apart = nn.functional.kl_div(softened.log_softmax(dim=1), wanted.log_softmax(dim=1), reduction="none", log_target=True)
            apart = apart.sum(dim=1).mean()
        else:
            # the teacher's own entropy is no matter of what is learned
            apart = nn.functional.binary_cross_entropy_with_logits(softened, wanted.sigmoid())
            apart = apart - nn.functional.binary_cross_entropy_with_logits(wanted, wanted.sigmoid())
        found: torch.Tensor = made(answer, targets) + SOFTENED**2 * apart
        return found

    return loss
