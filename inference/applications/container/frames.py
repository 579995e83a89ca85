"""Frames of what a container wrote (segmentations, maps): their functional groups, codes, and on which image of the series each lies."""

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from inference.applications.container.described import ContainerManifest
from inference.applications.container.output import refuse
from inference.imaging.volume import Volume

_OFF = 0.05
"""Share of a voxel by which a frame may lie beside its slice: rounding of decimal strings."""


def slice_of(manifest: ContainerManifest, volume: Volume, frame: Dataset, shared: Dataset, shown: str) -> int:
    """The slice on which a frame lies, voxel on voxel.

    Raises
    ------
    ContainerOutputRefused
        It lies on none.
    """
    cosines = np.array(group_of(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient, dtype=np.float64)
    rows_mm, columns_mm = (float(one) for one in group_of(frame, shared, "PixelMeasuresSequence").PixelSpacing)
    position = np.array(group_of(frame, shared, "PlanePositionSequence").ImagePositionPatient, dtype=np.float64)
    steps = np.stack([cosines[3:] * rows_mm, cosines[:3] * columns_mm], axis=1)
    # over the whole image it may not drift by more than a share of a pixel
    drift = np.abs(steps - volume.affine[:3, 1:3]) * np.array(volume.voxels.shape[1:])
    at = volume.to_indices(position)
    z = round(float(at[0]))
    # asked so, what is no number lies nowhere
    lies = drift.max() <= _OFF * min(volume.spacing_mm[1:]) and np.abs(at - [z, 0, 0]).max() <= _OFF
    if not lies or not 0 <= z < len(volume.voxels):
        refuse(manifest, f"{shown} has a frame that lies on no image of the series, pixel on pixel")
    return z


def demand_same_frames(manifest: ContainerManifest, volume: Volume, dataset: Dataset, shown: str) -> None:
    """Refuse what has frames of another size than the images.

    Raises
    ------
    ContainerOutputRefused
    """
    if (dataset.Rows, dataset.Columns) != volume.voxels.shape[1:]:
        raised = _by(volume.voxels.shape[1:])
        refuse(manifest, f"{shown} has frames of {dataset.Rows} × {dataset.Columns} pixels, the images {raised}")


def group_of(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    """A functional group of a frame: its own, else that of all frames."""
    found: Dataset = (frame if name in frame else shared)[name].value[0]
    return found


def coded(item: Dataset) -> tuple[str, str]:
    """Value and scheme of a code."""
    return str(item.CodeValue), str(item.CodingSchemeDesignator)


def _by(sides: Sequence[int]) -> str:
    return " × ".join(str(side) for side in sides)
