"""Reads a deformation back: where it takes places of the current images, by the clause's own arithmetic, and whose images it registers."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import Deformation
from inference.imaging.registration.field import places_in_prior
from inference.imaging.subject import prior_in, volume_of
from node.results.kind import Checking
from node.results.port import DeformationDiffers, ReferencesDiffer
from node.results.registered import matrix_of, names_all
from node.results.sources import lists_all

OFF_MM = 1e-3
"""Offsets are numbers of single precision."""


def check(checking: Checking) -> None:
    """The current images stay where they are; every node of the grid goes where the deformation that was found takes it.

    Raises
    ------
    DeformationDiffers, ReferencesDiffer
    """
    dataset, encoding, sources = checking.dataset, checking.encoding, checking.sources
    current_volume, prior_volume = volume_of(encoding.subject), prior_in(encoding.subject)
    found = encoding.findings.deformation
    if current_volume is None or prior_volume is None or found is None:
        raise DeformationDiffers("a deformation was written where none was found")
    if dataset.FrameOfReferenceUID != current_volume.frame_of_reference_uid:
        raise DeformationDiffers("the registered space is not that of the current images")
    current, prior = dataset.DeformableRegistrationSequence
    for item, volume in ((current, current_volume), (prior, prior_volume)):
        if item.SourceFrameOfReferenceUID != volume.frame_of_reference_uid:
            raise DeformationDiffers("an item of the deformation is in another frame of reference than its images")
        if not names_all(item, volume):
            raise ReferencesDiffer("the deformation is of other images than were registered")
    if "DeformableRegistrationGridSequence" in current or "PostDeformationMatrixRegistrationSequence" in current:
        raise DeformationDiffers("the current images do not stay where they are")
    _at_the_nodes(prior, found)
    if not lists_all(dataset, sources):
        raise ReferencesDiffer("the deformation does not list exactly the series that were registered")


def _at_the_nodes(item: Dataset, found: Deformation) -> None:
    """From the start of the grid along its axes: the matrix before, the offset, the matrix after (C.20.3.1.1)."""
    (grid,) = item.DeformableRegistrationGridSequence
    across, down, deep = (int(count) for count in grid.GridDimensions)
    if (deep, down, across, 3) != found.offsets.shape or len(grid.VectorGridData) != 4 * found.offsets.size:
        raise DeformationDiffers("the grid has another number of nodes than was found")
    row, column = (np.array(grid.ImageOrientationPatient[at : at + 3], dtype=np.float64) for at in (0, 3))
    axes = np.stack([row, column, np.cross(row, column)], axis=1) * np.array(grid.GridResolution, dtype=np.float64)
    z, y, x = np.indices((deep, down, across)).reshape(3, -1)
    start = np.array(grid.ImagePositionPatient, dtype=np.float64)
    # the nodes as the object has them, to where the object takes them, and to where the findings do
    nodes = start + np.stack([x, y, z], axis=1) @ axes.T
    offsets = np.frombuffer(grid.VectorGridData, dtype="<f4").reshape(-1, 3)
    written = _after(_after(nodes, item.PreDeformationMatrixRegistrationSequence) + offsets, item.PostDeformationMatrixRegistrationSequence)
    if np.abs(written - places_in_prior(found, nodes)).max() > OFF_MM:
        raise DeformationDiffers("the deformation was written otherwise than it was found")


def _after(places: NDArray[np.float64], sequence: list[Dataset]) -> NDArray[np.float64]:
    (step,) = sequence
    if step.FrameOfReferenceTransformationMatrixType != "RIGID":
        raise DeformationDiffers("a matrix of the deformation is not called rigid")
    matrix = matrix_of(step)
    moved: NDArray[np.float64] = places @ matrix[:3, :3].T + matrix[:3, 3]
    return moved
