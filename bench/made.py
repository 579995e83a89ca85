"""The series that the benchmarks send: a made thorax-like CT, 512 x 512, int16, with noise so that nothing compresses away."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 512
_ROW_MM, _SLICE_MM = 0.7, 1.0
_SOFT_HU, _AIR_HU, _NOISE_HU = 60, -1000, 20


def voxels(slices: int) -> NDArray[np.int16]:
    """(Z, Y, X) in HU: an ellipsoid of soft tissue in air."""
    noise = np.random.default_rng(slices).integers(-_NOISE_HU, _NOISE_HU, (SIDE * 2, SIDE * 2), dtype=np.int16)
    y, x = np.ogrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    made = np.empty((slices, SIDE, SIDE), np.int16)
    for index, z in enumerate(np.linspace(-1, 1, slices)):
        # a different window of the same noise for each slice: drawing it anew takes longer than what is measured
        row, column = index * 97 % SIDE, index * 61 % SIDE
        body = (x / 0.8) ** 2 + (y / 0.6) ** 2 + (z / 1.2) ** 2 < 1
        made[index] = np.where(body, _SOFT_HU, _AIR_HU) + noise[row : row + SIDE, column : column + SIDE]
    return made


def series(folder: Path, slices: int, number: int = 0) -> list[Path]:
    """Written as classic CT images, explicit little endian, one file a slice; another `number` is another patient and study."""
    from inference.imaging.write_series import write_series

    # axes (z, y, x) to LPS: slices towards the head, rows towards the back, columns to the left
    start_mm = -_ROW_MM * (SIDE - 1) / 2
    affine = np.array([[0, 0, _ROW_MM, start_mm], [0, _ROW_MM, 0, start_mm], [_SLICE_MM, 0, 0, 0], [0, 0, 0, 1]])
    return write_series(voxels(slices), affine, folder, modality="CT", patient_id=f"BENCH-{slices}-{number}")
