"""Registration of the prior images with the current patient space, as a rigid Spatial Registration (PS3.3 A.39.1, C.20.2)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SpatialRegistrationStorage

from inference.codes import Code
from inference.findings import Registration
from inference.imaging.subject import prior_in
from inference.imaging.volume import Volume
from node.domain.profile import Kind, Language
from node.results.identity import ResultIdentity, encoded, identify, stamp
from node.results.kind import Making
from node.results.port import Encoded, Encoding, NotRigid
from node.results.registered import IDENTITY, IMAGE_CONTENT, RegistrationWords, begun, images_of, rigid
from node.results.sources import Sources, common_references, item

RIGID_TOLERANCE = 1e-6
"""How far a rotation may be from orthonormal: 0.5 µm at the far end of a patient."""

_WORDS: Mapping[Language, RegistrationWords] = {
    Language.ENGLISH: RegistrationWords(
        whole="Prior to current: ",
        current="Current images: their space is the registered one",
        prior="Prior images to the current patient coordinates",
    ),
    Language.CHINESE: RegistrationWords(whole="既往图像至本次图像：", current="本次图像：其空间为配准空间", prior="既往图像至本次患者坐标"),
}


def make(making: Making) -> list[Encoded]:
    """The registration of a pair, if one was found.

    Raises
    ------
    NotRigid
    """
    encoding, sources = making.encoding, making.sources
    found, prior = encoding.findings.registration, prior_in(encoding.subject)
    if found is None or prior is None:
        return []
    identity = identify(encoding, sources, Kind.REGISTRATION, "registration of the prior")
    return [encoded(Kind.REGISTRATION, registration(encoding, sources, prior, found, identity), identity)]


def registration(encoding: Encoding, sources: Sources, prior: Volume, found: Registration, identity: ResultIdentity) -> Dataset:
    """Encode the registration: the space of the object is the current images' (its FrameOfReferenceUID), the matrix of each item takes the
    coordinates of that item's images there (C.20.2.1.1).

    Both items name their images: the standard tells sets of images apart by them where the two share one frame of reference, as two series
    of one visit do. A frame of reference is then stated for neither item, for it would say of both that they are already aligned; where
    they differ, it is stated, and the matrix holds for whatever else lies in the prior's space.
    """
    _rigid(found.matrix)
    current = encoding.volume
    words = _WORDS[encoding.language]
    made = begun(encoding, sources, identity, SpatialRegistrationStorage, "REGISTRATION", words.whole)
    apart = current.frame_of_reference_uid != prior.frame_of_reference_uid
    made.RegistrationSequence = [
        _registered(current, np.eye(4), IDENTITY, words.current, stated=apart),
        _registered(prior, found.matrix, IMAGE_CONTENT, words.prior, stated=apart),
    ]
    common_references(made, sources, sources.series)
    stamp(made, encoding, sources, identity)
    return made


def _registered(volume: Volume, matrix: NDArray[np.float64], how: Code, words: str, *, stated: bool) -> Dataset:
    """One set of images with the matrix that takes it to the registered space."""
    made, step = Dataset(), Dataset()
    if stated:
        made.FrameOfReferenceUID = volume.frame_of_reference_uid
    made.ReferencedImageSequence = images_of(volume)
    step.FrameOfReferenceTransformationComment = words
    step.RegistrationTypeCodeSequence = [item(how)]
    step.MatrixSequence = [rigid(matrix)]
    made.MatrixRegistrationSequence = [step]
    return made


def _rigid(matrix: NDArray[np.float64]) -> None:
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise NotRigid("the registration is no matrix of 4 x 4 finite numbers")
    rotation = matrix[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > RIGID_TOLERANCE or np.linalg.det(rotation) < 0:
        raise NotRigid("the matrix from the prior to the current images is no rotation with a shift")
    if not np.array_equal(matrix[3], (0, 0, 0, 1)):
        raise NotRigid("the last row of the matrix from the prior to the current images is not 0 0 0 1")
