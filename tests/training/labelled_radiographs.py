"""Made radiographs with a table of labels: fine spots or broad ones over a ground that differs from patient to patient."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

ROOT = "2.25.4711"
ROWS, COLUMNS = 64, 48


def ground(seed: int) -> NDArray[np.float64]:
    """What every picture of one patient shows: soft shapes of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    picture = 900 + rng.normal(0, 30, (ROWS, COLUMNS))
    for _ in range(6):
        down, across, wide = rng.uniform(0, ROWS), rng.uniform(0, COLUMNS), rng.uniform(8, 18)
        picture += rng.choice((-350, 350)) * np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * wide**2))
    return picture


def spotted(seed: int, fine: bool) -> NDArray[np.uint16]:
    """The ground with spots: fine ones and broad ones give as much light."""
    rng = np.random.default_rng(1000 + seed)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    picture = ground(seed)
    variance = 1.2 if fine else 6.0
    for _ in range(10):
        down, across = rng.uniform(6, ROWS - 6), rng.uniform(6, COLUMNS - 6)
        picture += 1800 / variance * np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * variance))
    return np.clip(picture, 0, 4095).astype(np.uint16)


def radiograph(path: Path, pixels: NDArray[np.uint16], number: int, **said: Any) -> str:
    """A DX image of a study and a series of its own; its SOP Instance UID is its series' with .1 behind it. Its Study Instance UID."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    study = f"{ROOT}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = study, f"{study}.1", f"{study}.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = f"P{number:03d}", f"Doe^{number}", "", "O"
    dataset.Modality, dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "DX", "20250102", "101112", f"A{number}"
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber, dataset.ReferringPhysicianName = str(number), 1, 1, ""
    dataset.ImageType, dataset.PresentationIntentType = ["ORIGINAL", "PRIMARY", ""], "FOR PRESENTATION"
    dataset.BodyPartExamined, dataset.ViewPosition, dataset.Manufacturer = "CHEST", "PA", "Made"
    dataset.ImagerPixelSpacing, dataset.PatientOrientation, dataset.BurnedInAnnotation = [0.2, 0.2], ["L", "F"], "NO"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.add_new("PixelData", "OW", pixels.tobytes())
    for keyword, value in said.items():
        setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return study


def write_labelled(folder: Path, count: int, classes: Sequence[str] = ("fine", "broad")) -> Path:
    """`count` patients of one radiograph each, and labels.csv beside them, the table."""
    lines = [{"StudyInstanceUID": radiograph(folder / f"{number}.dcm", spotted(number, not number % 2), number)} for number in range(count)]
    return write_table(folder / "labels.csv", [{**line, "Spots": classes[number % 2]} for number, line in enumerate(lines)])


def write_table(file: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Lines of one form as CSV."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return file
