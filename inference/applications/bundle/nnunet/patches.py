"""Calls of a network of nnU-Net: patch by patch over the image, each mirrored as its checkpoint allows, the logits averaged."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.errors import TooLittleMemory
from inference.applications.bundle.inferer import Finish, Floats
from inference.applications.bundle.nnunet.returning import SlabLabels
from inference.applications.port import Infer, ModelRef
from inference.engines.calling import refuse_not_finite
from inference.engines.errors import WrongTensors
from inference.engines.port import Tensors
from inference.engines.processors import usable_memory
from inference.engines.tiling import infer_in_slabs, infer_tiled

_HALF = 2
"""Bytes of one blended logit."""

_SINGLE = 4
"""Bytes of one voxel of an image, or of what the network gives for it."""

_VOLUMES_AT_ONCE = 3
"""Of single numbers on the image's grid, besides images and logits: the weights, one channel that comes back, the best one so far."""

_PATCHES_AT_ONCE = 3
"""What the network gives for patches, in single precision: the two calls that are under way at least, and the mean over mirrored ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """Patches of `side` voxels, half a patch apart or less, weighted by a Gaussian; smaller images are filled up with 0.

    Attributes
    ----------
    mirrored
        Axes along which a patch is mirrored: each set of them is computed, and the mean is taken.
    channels
        Of one fold's logits: what is held of them is said before it is computed.
    folds
        Whose logits the network gives behind each other; their mean is taken once each is blended.
    """

    side: tuple[int, int, int]
    channels: int
    folds: int = 1
    mirrored: tuple[int, ...] = ()
    overlap: float = 0.5

    def __call__(self, infer: Infer, model: ModelRef, values: Floats, input: str, output: str, finish: Finish | None) -> NDArray[Any]:
        depth, *plane = values.shape[-3:]
        self.demand_memory(values.shape, (self.channels * _HALF + _VOLUMES_AT_ONCE * values.itemsize) * depth * math.prod(plane))
        logits = infer_tiled(
            self._calls(infer, input, output),
            model,
            values.reshape(-1, *values.shape[-3:]),
            input=input,
            output=output,
            window=self.side,
            overlap=self.overlap,
            as_nnunet=True,
            finish=lambda blended: self._mean(model, blended, finish),
        )
        refuse_not_finite(model, logits)
        return logits

    def labels(self, infer: Infer, model: ModelRef, values: Floats, input: str, output: str, made: SlabLabels, held: int) -> None:
        """The network's logits to labels, slab by slab; of the whole image there are no more than labels.

        Parameters
        ----------
        held
            Bytes that are there besides while it computes.
        """
        self.demand_memory(values.shape, made.nbytes + held)

        def take(blended: NDArray[Any]) -> None:
            mean = self._mean(model, blended, None)
            refuse_not_finite(model, mean)
            made.take(mean)

        infer_in_slabs(
            self._calls(infer, input, output),
            model,
            values.reshape(-1, *values.shape[-3:]),
            input=input,
            output=output,
            window=self.side,
            overlap=self.overlap,
            as_nnunet=True,
            take=take,
        )

    def _calls(self, infer: Infer, input: str, output: str) -> "Infer | _Mirrored":
        return _Mirrored(infer, self.mirrored, input, output) if self.mirrored else infer

    def window(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return self.side

    def sides(self, window: tuple[int, int, int]) -> tuple[int, ...]:
        return window

    def _mean(self, model: ModelRef, blended: NDArray[Any], finish: Finish | None) -> NDArray[Any]:
        """The mean over folds of (folds times channels, …), in the precision that they have."""
        if len(blended) != self.folds * self.channels:
            expected = f"{self.folds} times {self.channels}"
            raise WrongTensors(f'model "{model.name}" gives {len(blended)} channels, its plans and folds say {expected}')
        total = blended[: self.channels]
        for fold in range(1, self.folds):
            total += blended[fold * self.channels : (fold + 1) * self.channels]
        if self.folds > 1:
            total /= self.folds
        return total if finish is None else finish(total)

    def demand_memory(self, shape: tuple[int, ...], beside: int) -> None:
        """Refuse what this machine cannot hold before it is begun.

        Parameters
        ----------
        shape
            Of what the network sees, (Z, Y, X) or (C, Z, Y, X).
        beside
            Bytes of what is there besides, and of what becomes of the blended logits.

        Raises
        ------
        TooLittleMemory
        """
        depth, *plane = shape[-3:]
        # the logits of every fold, and the sum of their weights, are there for the slices that patches still reach
        blended = (self.folds * self.channels + 1) * min(self.side[0], depth) * math.prod(plane) * _HALF
        answers = _PATCHES_AT_ONCE * self.folds * self.channels * math.prod(self.side) * _SINGLE
        needed = math.prod(shape) * _SINGLE + blended + beside + answers
        there = usable_memory()
        if needed > there:
            voxels = " × ".join(map(str, shape[-3:]))
            folds = f" from {self.folds} folds" if self.folds > 1 else ""
            needs = f"{self.channels} channels of {voxels} voxels{folds} take {needed / 2**30:.1f} GB"
            raise TooLittleMemory(f"{needs}, this machine or its container has {there / 2**30:.1f}")


@dataclass(frozen=True, slots=True)
class _Mirrored:
    """Calls whose patches are mirrored along every set of axes; the mean of what comes back, mirrored back."""

    infer: Infer
    axes: tuple[int, ...]
    input: str
    output: str

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        patches = tensors[self.input]
        total = self._called(model, tensors).astype(np.float32)
        sets = self._sets()
        for axes in sets:
            turned = np.ascontiguousarray(np.flip(patches, axes))
            total += np.flip(self._called(model, {**tensors, self.input: turned}), axes)
        total /= np.float32(len(sets) + 1)
        return {self.output: total}

    def at_once(self, model: ModelRef) -> int:
        """As many as the engine says of its own calls."""
        return self.infer.at_once(model)

    def _called(self, model: ModelRef, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        answer: NDArray[Any] = self.infer(model, tensors)[self.output]
        return answer

    def _sets(self) -> list[tuple[int, ...]]:
        """All but the empty one."""
        # behind the batch and the channels
        places = [axis + 2 for axis in self.axes]
        return [axes for count in range(1, len(places) + 1) for axes in itertools.combinations(places, count)]
