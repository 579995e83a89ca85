"""Interpolation between slices and iterative back-projection (Irani and Peleg 1991) along their axis, tuned on validation cases: what
super-resolution has to beat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from inference.applications.mr_super_resolution.preparing import Matrix, along, back_projection, lanczos, prepare
from inference.imaging.volume import Volume
from training.data.cases import Case
from training.data.heads import Degraded
from training.evaluation.restoration import psnr

NAME = "back-projection"
ROUNDS = (0, 1, 2, 3, 5, 8, 13, 21)
"""0: interpolation alone."""
KERNELS = ("cubic spline", "Lanczos")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackProjection:
    """How it is set: what interpolates, and how often what the result's thick slices lack is laid onto it."""

    kernel: str
    rounds: int

    def __str__(self) -> str:
        return f"{self.kernel}, {self.rounds} rounds"


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedBackProjection:
    """The setting of each level, by the slices that a thick one is replaced by; and the mean PSNR that they reached."""

    settings: Mapping[int, BackProjection]
    reached: float

    def restore(self, volume: Volume) -> NDArray[np.float32]:
        """The volume on the finer grid."""
        steps = prepare(volume).steps
        nearest = min(self.settings, key=lambda known: abs(known - steps))
        return back_projected(volume, self.settings[nearest])

    def __str__(self) -> str:
        return "; ".join(f"{steps} mm: {setting}" for steps, setting in self.settings.items())


def tuned(cases: Sequence[Case]) -> TunedBackProjection:
    """For every level the setting of the greatest mean PSNR over its cases."""
    found: dict[int, dict[BackProjection, list[float]]] = {}
    for case in cases:
        degraded = case.load()
        assert isinstance(degraded, Degraded), "a restorer's validation cases are"
        of_level = found.setdefault(prepare(degraded.volume).steps, {})
        for kernel, rounds in product(KERNELS, ROUNDS):
            setting = BackProjection(kernel=kernel, rounds=rounds)
            of_level.setdefault(setting, []).append(float(psnr(back_projected(degraded.volume, setting), degraded).mean()))
    best = {steps: max(tried, key=lambda setting: float(np.mean(tried[setting]))) for steps, tried in sorted(found.items())}
    reached = [value for steps, setting in best.items() for value in found[steps][setting]]
    return TunedBackProjection(settings=best, reached=float(np.mean(reached)))


def interpolated(volume: Volume) -> NDArray[np.float32]:
    """Linear interpolation: what a viewer shows of a reformatted stack."""
    steps, slices = prepare(volume).steps, len(volume.voxels)
    fine = np.arange((slices - 1) * steps + 1) / steps
    return along(np.maximum(1 - np.abs(fine[:, None] - np.arange(slices)[None]), 0), volume.voxels.astype(np.float32))


def back_projected(volume: Volume, setting: BackProjection) -> NDArray[np.float32]:
    """The volume on the finer grid; all rounds are one matrix."""
    stack, slices = prepare(volume), len(volume.voxels)
    up = spline(slices, stack.steps) if setting.kernel == "cubic spline" else lanczos(slices, stack.steps)
    made = back_projection(up, stack.steps, stack.thickness, setting.rounds)
    return np.maximum(along(made, volume.voxels.astype(np.float32)), 0)


def spline(slices: int, steps: int) -> Matrix:
    """From thick slices to finer ones by the cubic spline through all."""
    from scipy.interpolate import make_interp_spline

    fine = np.arange((slices - 1) * steps + 1) / steps
    return np.asarray(make_interp_spline(np.arange(slices), np.eye(slices), k=min(3, slices - 1))(fine), dtype=np.float64)
