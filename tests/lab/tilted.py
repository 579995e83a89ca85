"""A ball in air as a tilted gantry scans it: leaned slices, each moved along the table alone. Nothing of ours places them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from inference.imaging.write_series import write_series

PIXEL_MM, SIDE, RADIUS_MM = 0.8, 160, 40.0
INSIDE, OUTSIDE = 60, -1000
BALL_CM3 = 4 / 3 * np.pi * RADIUS_MM**3 / 1000


def ball(
    folder: Path,
    degrees: float,
    *,
    along_mm: Sequence[float] = tuple(np.arange(40) * 2.5 - 48.75),
    thickness_mm: Sequence[float] | None = None,
) -> list[Path]:
    """The files of a series, a ball of `RADIUS_MM` in its middle.

    Parameters
    ----------
    degrees
        The gantry's tilt, about the patient's left-right axis.
    along_mm
        Where along the table each slice is, from the feet to the head; the ball's middle is at 0.
    thickness_mm
        SliceThickness of each, across the slice; by default the distance of two.
    """
    lean = np.radians(degrees)
    across, down = np.array([1.0, 0.0, 0.0]), np.array([0.0, np.cos(lean), -np.sin(lean)])
    middle = (SIDE - 1) / 2 * PIXEL_MM
    rows, columns = np.mgrid[:SIDE, :SIDE] * PIXEL_MM - middle
    in_plane: NDArray[np.float64] = rows[..., None] * down + columns[..., None] * across
    voxels = np.stack([np.linalg.norm(in_plane + np.array([0, 0, z]), axis=-1) <= RADIUS_MM for z in along_mm])
    straight = np.eye(4)
    straight[:3, :3] = np.stack([np.cross(across, down), down * PIXEL_MM, across * PIXEL_MM], axis=1)
    files = write_series(np.where(voxels, INSIDE, OUTSIDE).astype(np.int16), straight, folder, modality="CT", series_description="ball")
    step = float(np.diff(along_mm).mean() * np.cos(lean))
    for number, (path, z) in enumerate(zip(files, along_mm, strict=True)):
        dataset = pydicom.dcmread(path)
        corner = np.array([0.0, 0.0, z]) - middle * (down + across)
        dataset.ImagePositionPatient = [f"{mm:.5f}" for mm in corner]
        dataset.SliceThickness = f"{step if thickness_mm is None else thickness_mm[number]:.4f}"
        dataset.GantryDetectorTilt = f"{degrees:.1f}"
        dataset.save_as(path)
    return files
