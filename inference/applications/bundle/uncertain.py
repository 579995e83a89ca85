"""How sure a network that marks structures is of each voxel: the entropy of the probabilities that decide."""

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.finish import Activation, voxelwise
from inference.applications.bundle.manifest import BundleManifest, prepared
from inference.applications.port import Infer, ModelRef
from inference.imaging.resample import Interpolation
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume


def entropies(manifest: BundleManifest, model: ModelRef, subject: Volume | VolumeSet, infer: Infer) -> NDArray[np.float32]:
    """(Z, Y, X) on the grid of the volume, or of the reference: 0 where the network is sure, 1 where all its channels are as likely.

    Shannon's entropy, over the logarithm of the number of channels; of channels that are decided one by one, the largest of any. `model` is
    the version that is asked. Windows are blended as in serving, and probabilities brought to the grid before the entropy is taken.
    """
    activations = [each for each in manifest.finish if isinstance(each, Activation)]
    image = prepared(manifest, subject)

    def probable(values: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = voxelwise(values, activations)
        return found

    channels = manifest.inferer(infer, model, image.values, manifest.input, manifest.output, probable)
    returned = np.stack([image.undo(channel, Interpolation.LINEAR) for channel in channels])
    return entropy(returned, exclusive=any(each.softmax for each in activations))


def entropy(probabilities: NDArray[np.float32], *, exclusive: bool) -> NDArray[np.float32]:
    """Of probabilities (C, …), as a share of the largest that there can be, (…)."""
    p = np.clip(probabilities.astype(np.float64), 0, 1)
    if exclusive:
        found: NDArray[np.float32] = (-_plogp(p).sum(axis=0) / np.log(len(p))).astype(np.float32)
    else:
        found = ((-_plogp(p) - _plogp(1 - p)).max(axis=0) / np.log(2)).astype(np.float32)
    return found


def _plogp(p: NDArray[np.float64]) -> NDArray[np.float64]:
    # 0 · log 0 is 0
    found: NDArray[np.float64] = p * np.log(np.where(p > 0, p, 1))
    return found
