"""Perturbations: noise, blur and missing slices, on the source images, before anything that serving does with them.

Each is a function of (case, kind, level) alone: the same images come out whenever they are asked for.
"""

import hashlib
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from training.data.cases import Labelled

_FWHM = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian of deviation 1."""
_RANGE = (1, 99)


class Disturbance(Enum):
    """What is done, and in which unit its level is.

    Gaps between slices are not among them: a node refuses such a series before any application sees it (HLM-3019).
    """

    NOISE = ("noise", "% of the image's range", "Gaussian noise of this standard deviation; of MR in both channels, as in magnitude images")
    BLUR = ("blur", "mm", "Gaussian blur of this full width at half maximum along all three axes")
    THINNED = ("missing slices, evenly", "slices kept: one in", "every n-th slice alone is there, so that slices are n times as far apart")
    CUT = ("missing slices, at one end", "% of the slices", "so many slices are absent at one end, the same for a case at every level")

    def __init__(self, title: str, unit: str, says: str) -> None:
        self.title, self.unit, self.says = title, unit, says


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """One disturbance of one strength."""

    kind: Disturbance
    level: float

    @property
    def name(self) -> str:
        """What its rows are kept under."""
        return f"{self.kind.name.lower()} {self.level:g}"


PERTURBATIONS = tuple(
    Perturbation(kind=kind, level=level)
    for kind, levels in (
        (Disturbance.NOISE, (5, 10, 20)),
        (Disturbance.BLUR, (1, 2, 3)),
        (Disturbance.THINNED, (2, 3)),
        (Disturbance.CUT, (10, 20, 30)),
    )
    for level in levels
)


def perturbed(labelled: Labelled, by: Perturbation, case: str) -> Labelled:
    """The case as it would have come; where slices are absent, so is the truth about them."""
    if by.kind is Disturbance.NOISE:
        return _seen(labelled, _noisy(labelled, by.level / 100, _rng(case, by.name)))
    if by.kind is Disturbance.BLUR:
        return _seen(labelled, _blurred(labelled, by.level))
    count = len(labelled.labels)
    if by.kind is Disturbance.THINNED:
        return _sliced(labelled, slice(0, count, int(by.level)))
    absent = round(count * by.level / 100)
    return _sliced(labelled, slice(absent, count) if _rng(case, by.kind.name).random() < 0.5 else slice(0, count - absent))


def _noisy(labelled: Labelled, share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    voxels = labelled.volume.voxels.astype(np.float32)
    low, high = np.percentile(voxels, _RANGE)
    real = voxels + rng.normal(0, share * (high - low), voxels.shape)
    # magnitude images have noise in two channels: it lifts what is dark (Rice's distribution)
    if labelled.volume.modality == "MR" and low >= 0:
        real = np.hypot(real, rng.normal(0, share * (high - low), voxels.shape))
    noisy: NDArray[np.float32] = real.astype(np.float32)
    return noisy


def _blurred(labelled: Labelled, width_mm: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    deviations = [width_mm / _FWHM / step for step in labelled.volume.spacing_mm]
    blurred: NDArray[np.float32] = gaussian_filter(labelled.volume.voxels.astype(np.float32), deviations, mode="nearest")
    return blurred


def _seen(labelled: Labelled, voxels: NDArray[np.float32]) -> Labelled:
    return replace(labelled, volume=replace(labelled.volume, voxels=voxels))


def _sliced(labelled: Labelled, kept: slice) -> Labelled:
    volume = labelled.volume
    affine = volume.affine.copy()
    affine[:3, 3] += kept.start * affine[:3, 0]
    affine[:3, 0] *= kept.step or 1
    voxels = np.ascontiguousarray(volume.voxels[kept])
    return replace(
        labelled, volume=replace(volume, voxels=voxels, affine=affine, sources=volume.sources[kept]), labels=labelled.labels[kept]
    )


def _rng(*of: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256("\0".join(of).encode()).digest()[:8]))
