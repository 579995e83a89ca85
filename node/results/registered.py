"""What rigid and deformable registrations have in common as objects: whose spaces they join, their codes and words, and what stands before
their matrices (PS3.3 C.20.2, C.20.3)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.codes import Code
from inference.imaging.volume import Volume
from node.results.identity import LONGEST_LO, ResultIdentity
from node.results.normalise import decimal, text
from node.results.page.words import PAGE_WORDS
from node.results.port import Encoding
from node.results.sources import Sources, instances

IMAGE_CONTENT = Code("125024", "DCM", "Image Content-based Alignment")
IDENTITY = Code("125021", "DCM", "Frame of Reference Identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationWords:
    """What the whole registration is, in front of the application's title, and what each of its two sets of images is."""

    whole: str
    current: str
    prior: str


def begun(encoding: Encoding, sources: Sources, identity: ResultIdentity, sop_class_uid: str, label: str, whole: str) -> Dataset:
    """A registration without its items: its space is the current images' (FrameOfReferenceUID)."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = sop_class_uid, identity.sop_instance_uid, "REG"
    made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber = identity.series_instance_uid, identity.series_number, 1
    made.FrameOfReferenceUID = encoding.volume.frame_of_reference_uid
    made.PositionReferenceIndicator = text(sources.first, "PositionReferenceIndicator")
    made.ContentLabel, made.ContentCreatorName = label, ""
    title = PAGE_WORDS[encoding.language].title(encoding.application.name, encoding.application.title)
    made.ContentDescription = f"{whole}{title}"[:LONGEST_LO]
    return made


def images_of(volume: Volume) -> list[Dataset]:
    """The images of one item, each once, in the volume's order: two series of one visit share a frame of reference, and are told apart by
    them."""
    return instances(dict.fromkeys((one.sop_class_uid, one.sop_instance_uid) for one in volume.sources))


def rigid(matrix: NDArray[np.float64]) -> Dataset:
    """An item with a rigid matrix (4, 4) in mm."""
    made = Dataset()
    made.FrameOfReferenceTransformationMatrixType = "RIGID"
    made.FrameOfReferenceTransformationMatrix = [decimal(float(number)) for number in matrix.reshape(16)]
    return made


def matrix_of(item: Dataset) -> NDArray[np.float64]:
    """The same read back, (4, 4)."""
    return np.array([float(number) for number in item.FrameOfReferenceTransformationMatrix]).reshape(4, 4)


def names_all(item: Dataset, volume: Volume) -> bool:
    """Whether an item names exactly the volume's images."""
    said = [str(one.ReferencedSOPInstanceUID) for one in item.ReferencedImageSequence]
    return said == list(dict.fromkeys(one.sop_instance_uid for one in volume.sources))
