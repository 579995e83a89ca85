"""Real images where they are present, and instances made by hand, byte for byte, without the code under test."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from inference.imaging.subject import Cine, Images, Phases, Subject, VolumeSet
from inference.imaging.volume import Volume

Kind = TypeVar("Kind", Volume, VolumeSet, Phases, Images, Cine)


def one_instance(pixels: NDArray[Any], number: int = 1, *, syntax: UID = ExplicitVRLittleEndian, **attributes: Any) -> Dataset:
    """A minimal MR instance of stored values (Y, X) at (0, 0, number) mm; keywords replace or (None) remove attributes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = f"1.2.3.4.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    dataset.Modality = "MR"
    dataset.ImagePositionPatient = [0, 0, number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [1, 1]
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    if "BitsStored" in attributes and "HighBit" not in attributes:
        attributes["HighBit"] = attributes["BitsStored"] - 1
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    return dataset


def as_a(kind: type[Kind], subject: Subject) -> Kind:
    """The subject, which must be of this kind."""
    assert isinstance(subject, kind)
    return subject


def save(dataset: Dataset, path: Path) -> Path:
    """Write it as a Part 10 file."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def enhanced(pixels: NDArray[Any], positions: NDArray[np.float64], slopes: list[float] | None = None) -> Dataset:
    """An Enhanced MR instance: frames (F, Y, X) at `positions` (F, 3); orientation and spacing shared, position (and rescale) per frame."""
    dataset = one_instance(pixels[0], ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    dataset.SOPClassUID = EnhancedMRImageStorage
    dataset.NumberOfFrames = len(pixels)
    dataset.PixelData = pixels.tobytes()
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing = [1, 1]
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for frame, position in enumerate(positions):
        group, place, transformation = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [float(mm) for mm in position]
        group.PlanePositionSequence = Sequence([place])
        if slopes is not None:
            transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = slopes[frame], 0, "US"
            group.PixelValueTransformationSequence = Sequence([transformation])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return dataset
