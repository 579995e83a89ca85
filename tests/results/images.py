"""Sources that are no single volume: a prior, radiographs of two series, an ultrasound loop; and encodings of what is found on them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    OphthalmicPhotography8BitImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from inference.findings import Findings
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Affine
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.results.port import Encoding
from tests.results import made

STUDY, PRIOR_STUDY = derive_uid("study", "current"), derive_uid("study", "prior")
FRAME_MS = 40.0


def volume(folder: Path, study: str, *, affine: Affine = made.AXIAL, **extra: Any) -> list[Path]:
    """A CT series of one study; `extra` are attributes."""
    given = {"BodyPartExamined": "HEAD", "SeriesNumber": 4, "IssuerOfPatientID": "HOSPITAL", **extra}
    image = made.voxels()
    return write_series(image, affine, folder, modality="CT", patient_name="Doe^Jane", patient_id="P-1", study_uid=study, extra=given)


def pair(current: Sequence[Path], prior: Sequence[Path], findings: Findings, **more: Any) -> Encoding:
    """What is found on a series and its prior."""
    series = str(pydicom.dcmread(current[0], stop_before_pixels=True).SeriesInstanceUID)
    return _encoding(Takes.PAIR, [*current, *prior], series, findings, **more)


def radiograph(folder: Path, number: int, series: int, **extra: Any) -> Path:
    """A radiograph of 30 rows and 20 columns, image `number` of series `series`; `extra` are attributes."""
    dataset = _image(DigitalXRayImageStorageForPresentation, "DX", f"radiograph {number} of {series}", f"series {series}")
    dataset.SeriesNumber, dataset.InstanceNumber = series, number
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 30, 20, 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.ImageType, dataset.PresentationIntentType = ["ORIGINAL", "PRIMARY", ""], "FOR PRESENTATION"
    dataset.ImagerPixelSpacing, dataset.PatientOrientation = [0.2, 0.2], ["L", "F"]
    dataset.add_new("PixelData", "OW", np.arange(600, dtype=np.uint16).tobytes())
    for keyword, value in extra.items():
        setattr(dataset, keyword, value)
    return _written(dataset, folder / f"dx-{series}-{number}.dcm")


def photograph(folder: Path, pixels: NDArray[np.uint8], number: int = 1, **extra: Any) -> Path:
    """A photograph of the fundus of a left eye, (Y, X, 3) RGB, image `number`; `extra` are attributes."""
    dataset = _image(OphthalmicPhotography8BitImageStorage, "OP", f"photograph {number}", "photographs")
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.ImageLaterality = 5, number, "L"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = *pixels.shape[:2], 3, "RGB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PlanarConfiguration, dataset.ImageType, dataset.PatientOrientation = 0, ["ORIGINAL", "PRIMARY"], ["L", "F"]
    dataset.Manufacturer, dataset.BurnedInAnnotation, dataset.LossyImageCompression = "", "NO", "00"
    dataset.ContentDate, dataset.ContentTime, dataset.AcquisitionDateTime = "20240102", "101500", "20240102101500"
    dataset.NumberOfFrames, dataset.PupilDilated, dataset.AcquisitionTimeSynchronized = 1, "YES", "N"
    dataset.SynchronizationFrameOfReferenceUID, dataset.SynchronizationTrigger = derive_uid("clock", "camera"), "NO TRIGGER"
    dataset.PatientEyeMovementCommanded, dataset.RefractiveStateSequence = "NO", []
    dataset.EmmetropicMagnification = dataset.IntraOcularPressure = dataset.HorizontalFieldOfView = None
    dataset.DegreeOfDilation, dataset.MydriaticAgentSequence = None, []
    dataset.DetectorType, dataset.AnatomicRegionSequence = "CCD", [coded("81745001", "SCT", "Eye")]
    dataset.AcquisitionDeviceTypeCodeSequence = [coded("409898007", "SCT", "Fundus Camera")]
    for keyword in ("IlluminationTypeCodeSequence", "LightPathFilterTypeStackCodeSequence", "ImagePathFilterTypeStackCodeSequence"):
        setattr(dataset, keyword, [])
    dataset.LensesCodeSequence = []
    even = pixels.tobytes()
    dataset.add_new("PixelData", "OB", even + bytes(len(even) % 2))
    for keyword, value in extra.items():
        setattr(dataset, keyword, value)
    return _written(dataset, folder / f"op-{number}.dcm")


def photographs(files: Sequence[Path], findings: Findings, **more: Any) -> Encoding:
    """What is found on photographs of one series."""
    return radiographs(files, findings, **more)


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a sequence of codes."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def radiographs(files: Sequence[Path], findings: Findings, **more: Any) -> Encoding:
    """What is found on radiographs; the job is for the series of the first."""
    series = str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    return _encoding(Takes.IMAGES, files, series, findings, **more)


def loop(folder: Path, frames: int = 12) -> Path:
    """An ultrasound loop of 16 rows and 24 columns, a frame every 40 ms."""
    dataset = _image(UltrasoundMultiFrameImageStorage, "US", "loop", "loops")
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.NumberOfFrames = 3, 1, frames
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 16, 24, 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.FrameTime, dataset.FrameIncrementPointer = FRAME_MS, pydicom.tag.Tag("FrameTime")
    dataset.ImageType, dataset.LossyImageCompression = ["ORIGINAL", "PRIMARY"], "00"
    dataset.add_new("PixelData", "OB", (np.arange(frames * 16 * 24) % 251).astype(np.uint8).tobytes())
    return _written(dataset, folder / "loop.dcm")


def cine(path: Path, findings: Findings, **more: Any) -> Encoding:
    """What is found on a loop."""
    return _encoding(Takes.CINE, [path], str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID), findings, **more)


def _encoding(takes: Takes, files: Sequence[Path], series: str, findings: Findings, **more: Any) -> Encoding:
    (assembled,) = subjects(takes, "refuse", files, series)
    return replace(made.encoding(files, findings, volume=assembled.subject, **more), sources=assembled.headers)


def _image(sop_class_uid: str, modality: str, name: str, series: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, derive_uid("instance", name)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = STUDY, derive_uid("series", series), modality
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = "Doe^Jane", "P-1", "19700102", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20240102", "101500", "S1", "A1"
    dataset.ReferringPhysicianName = ""
    return dataset


def _written(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path
