"""Non-local means in three dimensions (Buades and others 2005; scikit-image), tuned on validation cases: what a restorer has to beat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from inference.applications.mr_denoise.preparing import prepare
from inference.imaging.volume import Volume
from training.data.cases import Case
from training.data.heads import Degraded
from training.evaluation.restoration import psnr

NAME = "non-local means"
PATCHES, STRENGTHS = (3, 5), (0.3, 0.45, 0.6, 0.8, 1.0)
DISTANCE = 3
"""Voxels to either side in which like patches are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSetting:
    """How it is set.

    Attributes
    ----------
    patch
        Voxels along the side of what is compared.
    strength
        h, as a multiple of the estimated noise.
    corrected
        Whether what Rician noise adds on average is taken off again: the root of the square less the noise's.
    """

    patch: int
    strength: float
    corrected: bool

    def __str__(self) -> str:
        return (
            f"patches of {self.patch} voxels, looked for {DISTANCE} voxels around, h {self.strength:g} times the noise, "
            f"{'less' if self.corrected else 'without'} the Rician bias"
        )


def nonlocal_means(volume: Volume, setting: FilterSetting) -> NDArray[np.float32]:
    """The volume without noise, in its units; how strong that is comes from the estimate that the network goes by."""
    prepared = prepare(volume)
    smooth = _smooth(prepared.image, setting.patch, setting.strength)
    return _unbiased(smooth, setting.corrected) * np.float32(prepared.sigma)


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedFilter:
    """The setting for all levels, and the mean PSNR that it reached."""

    setting: FilterSetting
    reached: float

    def restore(self, volume: Volume) -> NDArray[np.float32]:
        """The volume without noise."""
        return nonlocal_means(volume, self.setting)

    def __str__(self) -> str:
        return str(self.setting)


def tuned(cases: Sequence[Case]) -> TunedFilter:
    """The setting of the greatest mean PSNR over the cases."""
    found: dict[FilterSetting, list[float]] = {}
    for case in cases:
        degraded = case.load()
        assert isinstance(degraded, Degraded), "a restorer's validation cases are"
        for setting, restored in _all(degraded.volume):
            found.setdefault(setting, []).append(float(psnr(restored, degraded).mean()))
    best = max(found, key=lambda setting: float(np.mean(found[setting])))
    return TunedFilter(setting=best, reached=float(np.mean(found[best])))


def _all(volume: Volume) -> Iterator[tuple[FilterSetting, NDArray[np.float32]]]:
    prepared = prepare(volume)
    for patch, strength in product(PATCHES, STRENGTHS):
        smooth = _smooth(prepared.image, patch, strength)
        for corrected in (False, True):
            setting = FilterSetting(patch=patch, strength=strength, corrected=corrected)
            yield setting, _unbiased(smooth, corrected) * np.float32(prepared.sigma)


def _smooth(image: NDArray[np.float32], patch: int, strength: float) -> NDArray[np.float32]:
    from skimage.restoration import denoise_nl_means

    smooth: NDArray[np.float32] = denoise_nl_means(
        image, patch_size=patch, patch_distance=DISTANCE, h=strength, sigma=1.0, fast_mode=True, preserve_range=True
    )
    return smooth


def _unbiased(smooth: NDArray[np.float32], corrected: bool) -> NDArray[np.float32]:
    return np.sqrt(np.maximum(smooth**2 - 1, 0)) if corrected else smooth
