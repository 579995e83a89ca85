"""Deformable registration of the prior images, as a Deformable Spatial Registration (PS3.3 A.39.2, C.20.3)."""

from collections.abc import Mapping

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import DeformableSpatialRegistrationStorage

from inference.codes import Code
from inference.findings import Deformation
from inference.imaging.registration.field import MOST_FOLDED, folded
from inference.imaging.subject import prior_in
from inference.imaging.volume import Volume
from node.domain.profile import Kind, Language
from node.results.identity import ResultIdentity, encoded, identify, stamp
from node.results.kind import Making
from node.results.normalise import decimal
from node.results.port import DeformationFolds, DeformationTooLarge, Encoded, Encoding
from node.results.registered import IDENTITY, IMAGE_CONTENT, RegistrationWords, begun, images_of, rigid
from node.results.sources import Sources, common_references, item

MOST_BYTES = 64 << 20
"""Of the offsets: 4 mm nodes around a whole body are 20 MiB."""

_WORDS: Mapping[Language, RegistrationWords] = {
    Language.ENGLISH: RegistrationWords(
        whole="Prior bent to current: ",
        current="Current images: their space is the registered one",
        prior="Current patient coordinates to those of the prior images",
    ),
    Language.CHINESE: RegistrationWords(
        whole="既往图像形变至本次图像：", current="本次图像：其空间为配准空间", prior="本次患者坐标至既往图像坐标"
    ),
}


def make(making: Making) -> list[Encoded]:
    """The deformation of a pair, if one was found.

    Raises
    ------
    DeformationFolds, DeformationTooLarge
    """
    encoding, sources = making.encoding, making.sources
    found, prior = encoding.findings.deformation, prior_in(encoding.subject)
    if found is None or prior is None:
        return []
    identity = identify(encoding, sources, Kind.DEFORMABLE_REGISTRATION, "deformation of the prior")
    return [encoded(Kind.DEFORMABLE_REGISTRATION, deformation(encoding, sources, prior, found, identity), identity)]


def deformation(encoding: Encoding, sources: Sources, prior: Volume, found: Deformation, identity: ResultIdentity) -> Dataset:
    """Encode the deformation. The registered space is the current images' (the object's FrameOfReferenceUID); an item says where its places
    lie in the space of that item's images: unlike in a Spatial Registration, whose matrix goes from the images to the registered space.

    From a place of the registered space: the matrix before, the offset at that place, the matrix after (C.20.3.1.1). Nothing is done
    before, and the matrix after is the inverse of the rigid motion. The identity before is written out: readers take it for granted.
    """
    _fit(found)
    current = encoding.volume
    words = _WORDS[encoding.language]
    made = begun(encoding, sources, identity, DeformableSpatialRegistrationStorage, "DEFORMATION", words.whole)
    here, there = _of(current, IDENTITY, words.current), _of(prior, IMAGE_CONTENT, words.prior)
    there.DeformableRegistrationGridSequence = [_grid(found)]
    there.PreDeformationMatrixRegistrationSequence = [rigid(np.eye(4))]
    there.PostDeformationMatrixRegistrationSequence = [rigid(np.linalg.inv(found.matrix).astype(np.float64))]
    made.DeformableRegistrationSequence = [here, there]
    common_references(made, sources, sources.series)
    stamp(made, encoding, sources, identity)
    return made


def _of(volume: Volume, how: Code, words: str) -> Dataset:
    """The images of one item. Both name theirs: two series of one visit share a frame of reference, and are told apart by them."""
    made = Dataset()
    made.SourceFrameOfReferenceUID = volume.frame_of_reference_uid
    made.ReferencedImageSequence = images_of(volume)
    made.FrameOfReferenceTransformationComment = words
    made.RegistrationTypeCodeSequence = [item(how)]
    return made


def _grid(found: Deformation) -> Dataset:
    """Nodes with x fastest and z slowest, the three offsets of each one after the other (C.20.3.1.3)."""
    made = Dataset()
    spacing = np.linalg.norm(found.affine[:3, :3], axis=0)
    directions = found.affine[:3, :3] / spacing
    made.ImagePositionPatient = [decimal(float(number)) for number in found.affine[:3, 3]]
    made.ImageOrientationPatient = [decimal(float(number)) for number in (*directions[:, 2], *directions[:, 1])]
    made.GridDimensions = list(found.offsets.shape[2::-1])
    made.GridResolution = [float(step) for step in spacing[::-1]]
    made.VectorGridData = np.ascontiguousarray(found.offsets, dtype="<f4").tobytes()
    return made


def _fit(found: Deformation) -> None:
    if found.offsets.nbytes > MOST_BYTES:
        raise DeformationTooLarge(f"the offsets of the deformation take {found.offsets.nbytes >> 20} MiB, more than {MOST_BYTES >> 20}")
    if (share := folded(found)) > MOST_FOLDED:
        raise DeformationFolds(
            f"the deformation folds space in {100 * share:.2g} % of the cells that move, more than {100 * MOST_FOLDED:g} %"
        )
