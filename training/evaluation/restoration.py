"""Figures of restoration: PSNR and SSIM of a restored image against the clean one that was degraded."""

from collections.abc import Iterator
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
    from skimage.metrics import structural_similarity

    full = _range_of(degraded)
    found = []
    for true, made, inside in _slices(restored, degraded):
        # the window of its authors (Wang and others 2004)
        like = structural_similarity(true, made, data_range=full, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True)
        found.append(float(like[1][inside].mean()))
    return {"PSNR": psnr(restored, degraded), "SSIM": np.array(found)}


def psnr(restored: NDArray[Any], degraded: Degraded) -> NDArray[np.float64]:
    """The same without SSIM, which takes longer: what a classical method is tuned by."""
    from skimage.metrics import peak_signal_noise_ratio

    full = _range_of(degraded)
    pairs = ((true[inside], made[inside]) for true, made, inside in _slices(restored, degraded))
    return np.array([float(peak_signal_noise_ratio(true, made, data_range=full)) for true, made in pairs])


def _range_of(degraded: Degraded) -> float:
    return float(np.percentile(degraded.clean[degraded.labels > 0], BRIGHTEST))


def _slices(restored: NDArray[Any], degraded: Degraded) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]]:
    for true, made, inside in zip(degraded.clean, restored.astype(np.float32), degraded.labels > 0, strict=True):
        if inside.mean() >= SHOWN:
            yield true, made, inside
