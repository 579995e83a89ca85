"""Reads a registration back: where it takes the corners of the prior volume, and whose images it registers."""

import itertools

import numpy as np

from inference.imaging.subject import prior_in, volume_of
from inference.imaging.volume import Volume
from node.results.kind import Checking
from node.results.port import ReferencesDiffer, RegistrationDiffers
from node.results.registered import matrix_of, names_all
from node.results.sources import lists_all

OFF_MM = 1e-6


def check(checking: Checking) -> None:
    """The current images stay where they are; the prior's corners go where the matrix that was found takes them.

    Raises
    ------
    RegistrationDiffers, ReferencesDiffer
    """
    dataset, encoding, sources = checking.dataset, checking.encoding, checking.sources
    current_volume, prior_volume = volume_of(encoding.subject), prior_in(encoding.subject)
    found = encoding.findings.registration
    if current_volume is None or prior_volume is None or found is None:
        raise RegistrationDiffers("a registration was written where none was found")
    if dataset.FrameOfReferenceUID != current_volume.frame_of_reference_uid:
        raise RegistrationDiffers("the registered space is not that of the current images")
    current, prior = dataset.RegistrationSequence
    for item, volume, meant in ((current, current_volume, np.eye(4)), (prior, prior_volume, found.matrix)):
        (step,) = item.MatrixRegistrationSequence
        (transform,) = step.MatrixSequence
        corners = _corners(volume)
        if transform.FrameOfReferenceTransformationMatrixType != "RIGID" or np.abs((matrix_of(transform) - meant) @ corners).max() > OFF_MM:
            raise RegistrationDiffers("the matrix was written otherwise than it was found")
        if not names_all(item, volume):
            raise ReferencesDiffer("the registration is of other images than were registered")
        if item.get("FrameOfReferenceUID", volume.frame_of_reference_uid) != volume.frame_of_reference_uid:
            raise RegistrationDiffers("an item of the registration is in another frame of reference than its images")
    if not lists_all(dataset, sources):
        raise ReferencesDiffer("the registration does not list exactly the series that were registered")


def _corners(volume: Volume) -> np.ndarray:
    """(4, 8) patient coordinates of the volume's corners."""
    ends = itertools.product(*[(0, count - 1) for count in volume.voxels.shape])
    return volume.affine @ np.array([(*end, 1) for end in ends], dtype=np.float64).T
