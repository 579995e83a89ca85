"""What a network makes of images inside: its deepest map of features, and which of its weights that rests on.

Every network of a recipe has such a map: of a residual network the features before they are pooled, of a U-Net those at its turn.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn


class _Reached(Exception):
    """The module is through: what comes behind it is not computed."""


def deepest(network: nn.Module, shape: Sequence[int]) -> str:
    """The name of the last module whose map has fewest cells, of an image of `shape` (C, …); what is pooled to one cell is no map."""
    cells: dict[str, int] = {}
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}

    def seen(module: nn.Module, given: Any, found: Any) -> None:
        if isinstance(found, torch.Tensor) and found.ndim == len(shape) + 1 and (count := math.prod(found.shape[2:])) > 1:
            # named anew, so that of equal ones the last to be through is the last
            cells.pop(names[module], None)
            cells[names[module]] = count

    with _hooked(list(names), seen), torch.inference_mode():
        network.eval()(torch.zeros(1, *shape))
    network.train()
    fewest = min(cells.values())
    return [name for name, count in cells.items() if count == fewest][-1]


def features(network: nn.Module, name: str, images: torch.Tensor) -> torch.Tensor:
    """The map (N, K, …) of the module of that name; nothing behind it is computed."""
    kept: list[torch.Tensor] = []

    def seen(module: nn.Module, given: Any, found: torch.Tensor) -> None:
        kept.append(found)
        raise _Reached

    with _hooked([network.get_submodule(name)], seen), suppress(_Reached):
        network(images)
    return kept[0]


def answering(network: nn.Module, shape: Sequence[int]) -> str:
    """The name of the last module with weights of its own that an image of `shape` goes through: it gives the answers."""
    last: list[nn.Module] = []
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    weighted = [module for module in names if list(module.parameters(recurse=False))]
    with _hooked(weighted, lambda module, *_: last.append(module)), torch.inference_mode():
        network.eval()(torch.zeros(1, *shape))
    network.train()
    return names[last[-1]]


def rests_on(network: nn.Module, found: torch.Tensor) -> frozenset[str]:
    """The names of the weights that `found`, which the network made, depends on."""
    named = dict(network.named_parameters())
    gradients = torch.autograd.grad(found.float().square().sum(), list(named.values()), allow_unused=True)
    return frozenset(name for name, gradient in zip(named, gradients, strict=True) if gradient is not None)


@contextmanager
def _hooked(modules: Sequence[nn.Module], hook: Any) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
