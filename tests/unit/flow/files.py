"""Part 10 files for the tests of header and index, written by pydicom and by hand."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

LITTLE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def slice_of(number: int = 1, *, pixel: int = 0, **attributes: Any) -> Dataset:
    """A CT slice of 4 × 4 pixels, all of them `pixel`, that says little more than it must."""
    slice_ = Dataset()
    slice_.SOPClassUID = CTImageStorage
    slice_.SOPInstanceUID = f"1.2.3.4.{number}"
    slice_.StudyInstanceUID = "1.2.3"
    slice_.SeriesInstanceUID = "1.2.3.4"
    slice_.Modality = "CT"
    slice_.PatientName = "Doe^Jane"
    slice_.PatientID = "4711"
    slice_.InstanceNumber = number
    slice_.ImagePositionPatient = [0, 0, float(number)]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.PixelSpacing = [0.5, 0.5]
    slice_.SamplesPerPixel = 1
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.Rows = slice_.Columns = 4
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit = 15
    slice_.PixelRepresentation = 0
    slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
    slice_.PixelData = np.full((4, 4), pixel, np.uint16).tobytes()
    for keyword, value in attributes.items():
        setattr(slice_, keyword, value)
    slice_["PixelData"].VR = "OW"
    return slice_


def data_set(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The bytes of a data set as an association carries them."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def part10(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A file, written by pydicom."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(dataset.get("SOPInstanceUID", "1.2.3.4.99"))
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID("1.2.3.4.5")
    dataset.file_meta = meta
    buffer = BytesIO()
    dataset.save_as(
        buffer, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian
    )
    return buffer.getvalue()


def by_hand(elements: bytes, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> bytes:
    """A file whose data set is written by hand, behind the UIDs that every instance has (Explicit VR Little Endian)."""
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta + elements


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """One element, Explicit VR Little Endian; `length` may lie."""
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"UV", b"SV")
    return head + (struct.pack("<HI", 0, size) if long else struct.pack("<H", size)) + value


UIDS = (
    element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0")
    + element(0x00080018, b"UI", b"1.2.3.4.1\0")
    + element(0x00080060, b"CS", b"CT")
)
PLACE = element(0x0020000D, b"UI", b"1.2.3\0") + element(0x0020000E, b"UI", b"1.2.3.4\0")
DEFLATED = DeflatedExplicitVRLittleEndian
BIG = ExplicitVRBigEndian
