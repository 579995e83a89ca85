"""Figures of restoration: PSNR and SSIM of a restored image against the clean one that was degraded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.heads import Degraded

SHOWN = 0.02
"""A slice counts where the head is at least this share of it."""
BRIGHTEST = 99.5
"""The percentile of the clean head that counts as its range."""


def likeness(restored: NDArray[Any], degraded: Degraded) -> dict[str, NDArray[np.float64]]:
    """PSNR (dB) and SSIM of every slice that shows enough of the head, (N,) each; both count within the head alone."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    head, clean = degraded.labels > 0, degraded.clean
    full = float(np.percentile(clean[head], BRIGHTEST))
    found: dict[str, list[float]] = {"PSNR": [], "SSIM": []}
    for true, made, inside in zip(clean, restored.astype(np.float32), head, strict=True):
        if inside.mean() < SHOWN:
            continue
        found["PSNR"].append(float(peak_signal_noise_ratio(true[inside], made[inside], data_range=full)))
        # the window of its authors (Wang and others 2004)
        like = structural_similarity(true, made, data_range=full, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True)
        found["SSIM"].append(float(like[1][inside].mean()))
    return {name: np.array(values) for name, values in found.items()}
