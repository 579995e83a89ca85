"""widths.json: how wide the layers of a run's network are that is a thinner one; by it the network is built before its weights are read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.checkpoint import save_json
from training.errors import BrokenRun
from training.recipe import Recipe

WIDTHS = "widths.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """How wide the layers of a thinner network are: shapes of its tensors, and channels of modules that have none, by name."""

    tensors: Mapping[str, tuple[int, ...]]
    features: Mapping[str, int]

    def begin(self, run: Path) -> bool:
        """Keep them in the run's folder; whether they are those that lie there, where some do.

        Raises
        ------
        BrokenRun, FullDisk
        """
        there = read(run)
        if there is None:
            save_json(run / WIDTHS, asdict(self))
        return there in (None, self)


def read(run: Path) -> Widths | None:
    """How wide the network of a run is; None where it is as wide as the recipe's.

    Raises
    ------
    BrokenRun
    """
    path = run / WIDTHS
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Widths(
            tensors={str(name): tuple(map(int, shape)) for name, shape in said["tensors"].items()},
            features={str(name): int(count) for name, count in said["features"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as broken:
        raise BrokenRun(f"{path} does not say how wide a network is: {broken!r}") from broken


def as_wide(recipe: Recipe, run: Path) -> Recipe:
    """The recipe with the network that a run has: a thinner one where widths.json says so.

    Raises
    ------
    BrokenRun
    """
    widths = read(run)
    return recipe if widths is None else replace(recipe, network=partial(narrower, recipe.network, widths))


def narrower(network: Callable[[], Any], widths: Widths) -> Any:
    """The recipe's network with layers as wide as those of a thinner one; its weights mean nothing yet."""
    made = network()
    for name, wanted in widths.tensors.items():
        path, _, own = name.rpartition(".")
        module = made.get_submodule(path)
        there = getattr(module, own)
        if tuple(there.shape) == wanted:
            continue
        empty = torch.zeros(wanted, dtype=there.dtype)
        setattr(module, own, nn.Parameter(empty) if isinstance(there, nn.Parameter) else empty)
        _tell(module)
    for path, count in widths.features.items():
        module = made.get_submodule(path)
        if hasattr(module, "num_features"):
            module.num_features = count
    return made


def _tell(module: Any) -> None:
    """A layer says by its attributes how wide it is, and computes by some of them."""
    shape: tuple[int, ...] = tuple(module.weight.shape)
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        module.in_channels, module.out_channels = shape[:2]
    elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        # of a filter a channel there are as many groups as channels
        module.groups = shape[0] if module.groups > 1 else 1
        module.in_channels, module.out_channels = shape[1] * module.groups, shape[0]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape[:2]
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = shape[0]
