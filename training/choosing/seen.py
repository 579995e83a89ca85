"""What a trained network makes of images without labels: how unsure it is of them, and what it sees in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr

from training.compute import Compute
from training.data.cases import Case
from training.errors import UnfitSetting
from training.infer import NetworkInfer, naming
from training.pretraining.deepest import deepest
from training.recipe import Recipe
from training.tasks.answers import Answerer
from training.tasks.segmentation import Segmenter


class NetworkView:
    """A recipe's network that is asked of cases.

    Parameters
    ----------
    network
        On the processor; it is brought to where `compute` says.

    Raises
    ------
    UnfitSetting
        The recipe is of a task, or marks structures in a way, of which entropy is not known.
    """

    def __init__(self, recipe: Recipe, network: Any, compute: Compute) -> None:
        if not isinstance(recipe, Segmenter | Answerer) or (isinstance(recipe, Segmenter) and recipe.application.unsure is None):
            raise UnfitSetting(
                f'recipe "{recipe.name}" is of {recipe.task}: how unsure its network is of an image is not known. Recipes segmentation, '
                "classification and hippocampus tell"
            )
        self._recipe: Segmenter | Answerer = recipe
        self._deepest = deepest(network, (recipe.images, *recipe.window))
        self._network = network.to(compute.device).eval()

    def of(self, cases: Sequence[Case]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How unsure the network is of each case, (N,) from 0 to 1, and the means of its deepest map of features, (N, K).

        Of classes it is the entropy of their probabilities as a share of the largest there can be; of findings that of each, of which the
        mean is taken; of structures the mean over all voxels. Features of several windows are averaged.

        Raises
        ------
        HilumError
            One cannot be read, or prepared.
        """
        if isinstance(self._recipe, Answerer):
            with self._means() as found:
                probable = self._recipe.probable(self._recipe.logits(self._network, cases))
            return _entropies(probable, self._recipe.exclusive), np.concatenate(found)
        each = [self._of_structures(self._recipe, case) for case in cases]
        return np.array([unsure for unsure, _ in each]), np.stack([features for _, features in each])

    def _of_structures(self, recipe: Segmenter, case: Case) -> tuple[float, NDArray[np.float64]]:
        assert recipe.application.unsure is not None, "asked before"
        with self._means() as found, naming(case):
            (told, *_) = recipe.application.unsure(case.load().subject, NetworkInfer(self._network))
        return float(told.values.mean(dtype=np.float64)), np.concatenate(found).mean(axis=0)

    @contextmanager
    def _means(self) -> Iterator[list[NDArray[np.float64]]]:
        """The means (windows, K) of what goes through the deepest map meanwhile."""
        found: list[NDArray[np.float64]] = []

        def keep(module: Any, given: Any, seen: torch.Tensor) -> None:
            found.append(seen.flatten(2).mean(dim=2).float().cpu().numpy().astype(np.float64))

        handle = self._network.get_submodule(self._deepest).register_forward_hook(keep)
        try:
            yield found
        finally:
            handle.remove()


def _entropies(probable: NDArray[np.float64], exclusive: bool) -> NDArray[np.float64]:
    """Of probabilities (N, K), as a share of the largest there can be, (N,)."""
    each = entr(probable).sum(axis=1) if exclusive else (entr(probable) + entr(1 - probable)).mean(axis=1)
    found: NDArray[np.float64] = each / np.log(probable.shape[1] if exclusive else 2)
    return found
