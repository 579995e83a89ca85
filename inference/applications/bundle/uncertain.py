"""How unsure the network of an application without code is of each voxel: of which manifests that can be told, and by what."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.finish import Activation, Finishing, voxelwise
from inference.applications.bundle.inferer import Inferer, SlidingWindow, Whole
from inference.applications.bundle.steps import ImageOnGrid
from inference.applications.entropy import entropy
from inference.imaging.resample import Interpolation

Blended: TypeAlias = Callable[[Callable[[NDArray[np.float32]], NDArray[Any]]], NDArray[Any]]
"""What the inferer makes of the whole image: given what is made of channels (C, …), such channels."""


def told(finish: Sequence[Finishing], inferer: Inferer, channels: int) -> bool:
    """Whether the probabilities that decide are there to be asked for: of one activation, in windows or of the whole image."""
    activations = [each for each in finish if isinstance(each, Activation)]
    one = len(activations) == 1 and activations[0].softmax != activations[0].sigmoid and (activations[0].sigmoid or channels > 1)
    return one and isinstance(inferer, SlidingWindow | Whole)


def entropies(seen: ImageOnGrid, finish: Sequence[Finishing], blended: Blended) -> NDArray[np.float32]:
    """(Z, Y, X) on the grid of the volume, or of the reference: 0 where the network is sure, 1 where all its channels are as likely.

    Shannon's entropy, over the logarithm of the number of channels; of channels that are decided one by one, the largest of any. Windows
    are blended as in serving, and probabilities brought to the grid before the entropy is taken, one channel after the other.
    """
    activations = [each for each in finish if isinstance(each, Activation)]

    def probable(values: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = voxelwise(values, activations)
        return found

    channels = blended(probable)
    return entropy((seen.undo(one, Interpolation.LINEAR) for one in channels), len(channels), exclusive=activations[0].softmax)
