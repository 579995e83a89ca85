"""The studies of the soak: what five modalities send in a day, each study with identifiers of its own and the pixels of one noise."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
)

_ROOT = "1.2.826.0.1.3680043.8.498.4711"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of study: how many instances of how many pixels, and how often it comes among a hundred."""

    name: str
    sop_class_uid: str
    instances: int
    rows: int
    columns: int
    share: int
    frames: int = 1
    colours: int = 1

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the pixels of one instance."""
        return self.rows * self.columns * self.frames * (3 if self.colours == 3 else 2)


KINDS = (
    Kind(name="CT", sop_class_uid=CTImageStorage, instances=300, rows=512, columns=512, share=30),
    Kind(name="MR", sop_class_uid=MRImageStorage, instances=150, rows=256, columns=256, share=25),
    Kind(name="MG", sop_class_uid=DigitalMammographyXRayImageStorageForPresentation, instances=4, rows=4608, columns=3328, share=10),
    Kind(name="US", sop_class_uid=UltrasoundMultiFrameImageStorage, instances=1, rows=480, columns=640, frames=60, colours=3, share=10),
    Kind(name="DX", sop_class_uid=DigitalXRayImageStorageForPresentation, instances=1, rows=3056, columns=2544, share=25),
)
SMALL_KINDS = (
    Kind(name="CT", sop_class_uid=CTImageStorage, instances=30, rows=128, columns=128, share=30),
    Kind(name="MR", sop_class_uid=MRImageStorage, instances=15, rows=128, columns=128, share=25),
    Kind(name="MG", sop_class_uid=DigitalMammographyXRayImageStorageForPresentation, instances=4, rows=1024, columns=768, share=10),
    Kind(name="US", sop_class_uid=UltrasoundMultiFrameImageStorage, instances=1, rows=120, columns=160, frames=20, colours=3, share=10),
    Kind(name="DX", sop_class_uid=DigitalXRayImageStorageForPresentation, instances=1, rows=512, columns=512, share=25),
)
_NOISE = np.random.default_rng(4711).integers(0, 200, (64 << 20) // 2, dtype=np.uint16).tobytes()


@dataclass(slots=True)
class Study:
    """A study to be sent, and what became of it.

    Attributes
    ----------
    acknowledged
        SOP Instance UID → SHA-256 of the data set, of what 0x0000 was answered for.
    answers
        When each 0x0000 came, by the sender's clock, in seconds since 1970.
    last_answer
        When the last 0x0000 came; 0 until all have.
    disturbed
        Something was killed or restarted, or the machine stood still, while it was on its way.
    """

    number: int
    kind: Kind
    acknowledged: dict[str, str] = field(default_factory=dict)
    answers: list[float] = field(default_factory=list)
    last_answer: float = 0.0
    delivered: float = 0.0
    disturbed: bool = False

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return f"{_ROOT}.{self.number}"

    def instance_uid(self, index: int) -> str:
        """SOP Instance UID of one instance, from 0."""
        return f"{_ROOT}.{self.number}.1.{index + 1}"

    def instance(self, index: int) -> tuple[bytes | memoryview, ...]:
        """The data set of one instance, in explicit little endian: all before the pixels, and the pixels."""
        kind = self.kind
        start = (self.number * 7919 + index * 4099) % 65536 * 2
        pixels = memoryview(_NOISE)[start : start + kind.pixel_bytes]
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, self.header(index))
        element = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB" if kind.colours == 3 else b"OW", 0, kind.pixel_bytes)
        return buffer.getvalue() + element, pixels

    def header(self, index: int) -> Dataset:
        """The data set of one instance before its pixels."""
        kind, made = self.kind, Dataset()
        made.SOPClassUID, made.SOPInstanceUID = kind.sop_class_uid, self.instance_uid(index)
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = self.uid, f"{self.uid}.1", f"{self.uid}.9"
        made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if kind.name in ("CT", "MR") else ["ORIGINAL", "PRIMARY"]
        made.StudyDate = made.SeriesDate = made.ContentDate = "20260310"
        made.StudyTime = made.SeriesTime = made.ContentTime = "101112"
        made.AccessionNumber, made.Modality, made.Manufacturer = f"A{self.number}", kind.name, "soak"
        made.ReferringPhysicianName, made.StudyDescription = "", f"{kind.name} study"
        made.PatientName, made.PatientID = f"Soak^{self.number}", f"SOAK-{self.number}"
        made.PatientBirthDate, made.PatientSex, made.StudyID = "", "O", "1"
        made.SeriesNumber, made.InstanceNumber = 1, index + 1
        made.SamplesPerPixel = kind.colours
        made.PhotometricInterpretation = "RGB" if kind.colours == 3 else "MONOCHROME2"
        made.Rows, made.Columns = kind.rows, kind.columns
        made.BitsAllocated = made.BitsStored = 8 if kind.colours == 3 else 16
        made.HighBit, made.PixelRepresentation = made.BitsStored - 1, 0
        if kind.colours == 3:
            made.PlanarConfiguration = 0
        if kind.frames > 1:
            made.NumberOfFrames, made.FrameTime, made.FrameIncrementPointer = kind.frames, "33", 0x00181063
        if kind.name in ("CT", "MR"):
            made.PatientPosition = "HFS"
            made.ImagePositionPatient, made.ImageOrientationPatient = [-100, -100, float(index)], [1, 0, 0, 0, 1, 0]
            made.PixelSpacing, made.SliceThickness = [0.5, 0.5], 1
        if kind.name == "CT":
            made.RescaleIntercept, made.RescaleSlope, made.KVP = -1024, 1, 120
        if kind.name in ("MG", "DX"):
            made.ImageLaterality, made.ImagerPixelSpacing = "LR"[index % 2] if kind.name == "MG" else "U", [0.1, 0.1]
            made.ViewPosition = ("CC", "CC", "MLO", "MLO")[index] if kind.name == "MG" else "AP"
            made.PixelIntensityRelationship, made.PresentationIntentType = "LOG", "FOR PRESENTATION"
        return made

    def digest(self, index: int) -> str:
        """SHA-256 of the data set."""
        digest = hashlib.sha256()
        for part in self.instance(index):
            digest.update(part)
        return digest.hexdigest()


def studies(kinds: tuple[Kind, ...], seed: int = 1) -> Iterator[Study]:
    """Studies without end, in the mix that the shares say."""
    chosen = np.random.default_rng(seed)
    shares = np.array([kind.share for kind in kinds]) / sum(kind.share for kind in kinds)
    number = 0
    while True:
        # every kind early: a short run must see all of them
        yield Study(number + 1, kinds[number] if number < len(kinds) else kinds[int(chosen.choice(len(kinds), p=shares))])
        number += 1
