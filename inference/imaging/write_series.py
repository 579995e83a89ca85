"""Writes voxels as a classic CT or MR series, as a scanner would send it; for demonstrations and tests, not for results.

Every attribute that the CT and MR Image IODs ask for is there (PS3.3 A.3, A.4); UIDs, dates and bytes depend on the input alone.
"""

import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.charset import default_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from inference.imaging.geometry import DIRECTION_TOLERANCE
from inference.imaging.resample import Grid, reorientation
from inference.imaging.volume import Affine

Voxels: TypeAlias = NDArray[Any]

NAMESPACE = uuid.UUID("0d8a4c3e-2f0b-5e57-8a0a-54a6f0f6a7b1")
CT_INTERCEPT = -1024
DATE, TIME = "20240102", "101112"
MR_LARGEST = 4095
"""Twelve bits, what scanners fill; MR values have no unit, so fractional ones are stretched over them."""

_OF_EACH = ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", "PixelData")
"""What differs from slice to slice."""

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def from_nifti(path: Path) -> tuple[Voxels, Affine]:
    """A NIfTI image as (Z, Y, X) with its affine to LPS mm; axes turned, not resampled, towards head, back and left.

    Slices are then as axial as turning makes them; rows run to the patient's left and columns to the back, as viewers show a patient
    who lies head first on the back.

    Raises
    ------
    ValueError
        The image is not three-dimensional.
    """
    import nibabel

    image = nibabel.load(path)
    voxels = np.asanyarray(image.dataobj)
    if voxels.ndim != 3:
        raise ValueError(f"{path.name} has {voxels.ndim} dimensions, not three")
    first, second, third = voxels.shape
    source = Grid(shape=(first, second, third), affine=RAS_TO_LPS @ image.affine)
    turn = reorientation(source, "SPL")
    return np.ascontiguousarray(turn.apply(voxels)), turn.grid(source).affine


def write_series(
    voxels: Voxels,
    affine: Affine,
    folder: Path,
    *,
    modality: Literal["CT", "MR"],
    study_uid: str | None = None,
    series_uid: str | None = None,
    patient_name: str = "Test^Head",
    patient_id: str = "HILUM-TEST",
    series_description: str = "",
    extra: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write one file per slice, in explicit little endian.

    Parameters
    ----------
    voxels
        (Z, Y, X). CT: HU, rounded to whole ones. MR: whole numbers that fit 16 bits are kept; others are stretched over 12 bits.
    affine
        (4, 4), array indices (z, y, x, 1) to LPS mm; any orientation, its columns perpendicular.
    study_uid, series_uid
        Derived from voxels, affine, patient and description unless given.
    extra
        More attributes of every instance by DICOM keyword; they replace what is written otherwise.

    Returns
    -------
    list of Path
        In the order of axis 0.

    Raises
    ------
    ValueError
        The affine is sheared, a HU does not fit 16 bits, or `extra` names no DICOM keyword.
    """
    stored = _stored_ct(voxels) if modality == "CT" else _stored_mr(voxels)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    if np.abs(directions.T @ directions - np.eye(3)).max() > DIRECTION_TOLERANCE:
        raise ValueError("the affine is sheared: its columns are not perpendicular, and no DICOM slice can lie like that")
    seed = hashlib.sha256(np.ascontiguousarray(stored).tobytes() + affine.tobytes() + f"{modality}\n{patient_id}\n".encode()).hexdigest()
    study_uid = study_uid or _uid(f"study {seed}")
    series_uid = series_uid or _uid(f"series {study_uid} {seed} {series_description}")
    folder.mkdir(parents=True, exist_ok=True)
    dataset = _shared(modality, spacing, directions)
    dataset.PatientName, dataset.PatientID = patient_name, patient_id
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
    dataset.FrameOfReferenceUID = _uid(f"frame of reference {series_uid}")
    dataset.SeriesDescription = series_description
    dataset.WindowCenter, dataset.WindowWidth = _window(stored, modality)
    given = {**(extra or {})}
    rest: _Rest | None = None
    paths = []
    for z, plane in enumerate(stored):
        dataset.SOPInstanceUID = _uid(f"instance {series_uid} {z}")
        dataset.InstanceNumber = z + 1
        dataset.ImagePositionPatient = [format_number_as_ds(float(mm)) for mm in (affine @ (z, 0, 0, 1))[:3]]
        if rest is None:
            _set_shape(dataset, plane)
        dataset.PixelData = np.ascontiguousarray(plane, dtype=plane.dtype.newbyteorder("<")).tobytes()
        for keyword, value in given.items():
            if tag_for_keyword(keyword) is None:
                raise ValueError(f'"{keyword}" is no DICOM keyword')
            setattr(dataset, keyword, value)
        if "BodyPartExamined" not in dataset:
            # Type 2C: with no body part named it may be one of a pair, and nobody knows which
            dataset.Laterality = ""
        # the others are set once and for all slices
        given = {keyword: value for keyword, value in given.items() if keyword in _OF_EACH}
        paths.append(folder / f"{modality}.{z + 1:04d}.dcm")
        if rest is None:
            _save(dataset, paths[-1])
            rest = _Rest(dataset)
        else:
            rest.save(paths[-1])
    return paths


class _Rest:
    """The slices behind the first, which was written: what is the same in all of them is encoded once.

    Parameters
    ----------
    dataset
        As it was written; before each slice the caller gives it that slice's attributes (`_OF_EACH`).
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._characters = dataset.get("SpecificCharacterSet", default_encoding)
        self._tags = sorted(tag for keyword in _OF_EACH if (tag := tag_for_keyword(keyword)) is not None)
        ends = [0x00080000, *(tag + 1 for tag in self._tags)], [*self._tags, None]
        self._between = [self._encoded(dataset[start:end]) for start, end in zip(*ends, strict=True)]

    def save(self, path: Path) -> None:
        """Write the slice whose attributes the data set has."""
        dataset = self._dataset
        assert dataset.file_meta is not None
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        written = DicomBytesIO()
        written.is_implicit_VR, written.is_little_endian = False, True
        written.write(bytes(128) + b"DICM")
        write_file_meta_info(written, dataset.file_meta)
        for between, tag in zip(self._between, self._tags, strict=False):
            written.write(between + self._encoded(dataset[tag : tag + 1]))
        path.write_bytes(written.getvalue() + self._between[-1])

    def _encoded(self, part: Dataset) -> bytes:
        encoded = DicomBytesIO()
        encoded.is_implicit_VR, encoded.is_little_endian = False, True
        write_dataset(encoded, part, self._characters)
        return encoded.getvalue()


def _stored_ct(voxels: Voxels) -> NDArray[np.int16]:
    shifted = np.rint(voxels).astype(np.int64) - CT_INTERCEPT
    limits = np.iinfo(np.int16)
    if shifted.min() < limits.min or shifted.max() > limits.max:
        raise ValueError(f"HU from {voxels.min()} to {voxels.max()} do not fit 16 bits")
    return shifted.astype(np.int16)


def _stored_mr(voxels: Voxels) -> NDArray[Any]:
    low, high = float(voxels.min()), float(voxels.max())
    whole = voxels.dtype.kind in "iub" or bool(np.all(voxels == np.rint(voxels)))
    if whole and low >= 0 and high <= np.iinfo(np.uint16).max:
        return voxels.astype(np.uint16)
    if whole and low >= np.iinfo(np.int16).min and high <= np.iinfo(np.int16).max:
        return voxels.astype(np.int16)
    return np.rint((voxels - low) / ((high - low) or 1.0) * MR_LARGEST).astype(np.uint16)


def _window(stored: NDArray[Any], modality: str) -> tuple[str, str]:
    if modality == "CT":
        return "40", "400"
    # every eighth voxel of each axis is sample enough for a display window
    low, high = np.percentile(stored[::8, ::8, ::8], (1, 99))
    return format_number_as_ds(float((low + high) / 2)), format_number_as_ds(max(float(high - low), 1.0))


def _shared(modality: str, spacing: NDArray[np.float64], directions: NDArray[np.float64]) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL" if modality == "CT" else "OTHER"]
    dataset.Modality = modality
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = TIME
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.PatientPosition = "HFS"
    dataset.Manufacturer, dataset.ManufacturerModelName = "hilum", "write_series"
    dataset.PositionReferenceIndicator = ""
    dataset.SeriesNumber, dataset.AcquisitionNumber = 1, 1
    dataset.ImageOrientationPatient = [format_number_as_ds(float(each)) for each in (*directions[:, 2], *directions[:, 1])]
    dataset.PixelSpacing = [format_number_as_ds(float(spacing[1])), format_number_as_ds(float(spacing[2]))]
    dataset.SliceThickness = format_number_as_ds(float(spacing[0]))
    if modality == "CT":
        dataset.KVP = "120"
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(CT_INTERCEPT), "1", "HU"
    else:
        dataset.SpacingBetweenSlices = format_number_as_ds(float(spacing[0]))
        # nobody knows how these voxels were acquired; a made-up echo time would be taken for a contrast
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "RM", "NONE", ""
        dataset.MRAcquisitionType = "3D"
        dataset.RepetitionTime, dataset.EchoTime = "", ""
        dataset.EchoTrainLength, dataset.MagneticFieldStrength = "", ""
    return dataset


def _set_shape(dataset: Dataset, plane: NDArray[Any]) -> None:
    dataset.Rows, dataset.Columns = plane.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(plane.dtype.kind == "i")


def _save(dataset: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.save_as(path, enforce_file_format=True)


def _uid(seed: str) -> str:
    return f"2.25.{uuid.uuid5(NAMESPACE, seed).int}"
