"""Each column of the matrix can fail: an object that is spoilt in what the validator looks at is held against it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.results import matrix
from tests.results.kinds import ROWS, Encodings

pytestmark = [pytest.mark.peers, pytest.mark.slow]


@pytest.fixture(scope="module")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> Encodings:
    """The objects, made once."""
    return Encodings(tmp_path_factory.mktemp("kinds"))


def without(keyword: str) -> Callable[[Dataset], None]:
    """The object lacks an attribute."""
    return lambda dataset: delattr(dataset, keyword)


def another_patient(dataset: Dataset) -> None:
    """The object names somebody else."""
    dataset.PatientName, dataset.PatientID = "Other^Name", "P-2"


def upside_down(dataset: Dataset) -> None:
    """The frames of a segmentation are turned over."""
    frames = np.unpackbits(np.frombuffer(dataset.PixelData, dtype=np.uint8), bitorder="little")
    size = dataset.NumberOfFrames * dataset.Rows * dataset.Columns
    turned = frames[:size].reshape(dataset.NumberOfFrames, dataset.Rows, dataset.Columns)[:, ::-1]
    packed = np.packbits(turned.ravel(), bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)


def values_moved(dataset: Dataset) -> None:
    """The values of a map move by one column."""
    values = np.frombuffer(dataset.FloatPixelData, dtype="<f4").reshape(-1, dataset.Columns)
    dataset.FloatPixelData = np.roll(values, 1, axis=1).tobytes()


def _items(dataset: Dataset, code: str) -> list[Dataset]:
    found = []
    for item in dataset.get("ContentSequence", ()):
        names = item.get("ConceptNameCodeSequence")
        if names and names[0].CodeValue == code:
            found.append(item)
        found += _items(item, code)
    return found


def number_without_unit(dataset: Dataset) -> None:
    """A number says nothing of its unit, which PS3.3 C.18.1 requires."""
    del _items(dataset, "118565006")[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def box_moved(dataset: Dataset) -> None:
    """Each box of a report moves by half a pixel."""
    for region in _items(dataset, "111030"):
        if region.ValueType == "SCOORD":
            region.GraphicData = [value + 0.5 for value in region.GraphicData]


def box_on_another_image(dataset: Dataset) -> None:
    """The regions of a report lie on an image that nobody has."""
    for region in _items(dataset, "111030"):
        if region.ValueType == "SCOORD":
            region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.4.5"


def evidence_left_out(dataset: Dataset) -> None:
    """All but one of the instances that a report refers to are missing in its evidence."""
    (series,) = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    series.ReferencedSOPSequence = series.ReferencedSOPSequence[:1]


def no_tracking(dataset: Dataset) -> None:
    """The groups lack their tracking identifiers, and have an item that no template knows."""
    for group in _items(dataset, "125007"):
        for item in group.ContentSequence:
            if item.ConceptNameCodeSequence[0].CodeValue == "112039":
                item.ConceptNameCodeSequence[0].CodeValue = "112040"
                item.ConceptNameCodeSequence[0].CodeMeaning = "Tracking Unique Identifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoilt:
    """Which column of the matrix (by number: there are two dciodvfy) finds what in the object of which row."""

    column: int
    row: str
    how: Callable[[Dataset], None]
    says: str


SPOILT = (
    Spoilt(column=0, row="Segmentation, binary", how=without("SegmentationType"), says="SegmentationType"),
    Spoilt(column=1, row="Label map", how=without("SegmentationType"), says="SegmentationType"),
    Spoilt(column=1, row="Parametric map", how=without("ContentLabel"), says="ContentLabel"),
    Spoilt(column=0, row="Derived PET image", how=without("Units"), says="Units"),
    Spoilt(column=0, row="Spatial registration", how=without("RegistrationSequence"), says="RegistrationSequence"),
    Spoilt(column=0, row="Deformable registration", how=without("DeformableRegistrationSequence"), says="DeformableRegistrationSequence"),
    Spoilt(column=0, row="PDF, Chinese", how=without("MIMETypeOfEncapsulatedDocument"), says="MIMEType"),
    Spoilt(column=0, row="Summary page", how=without("ConversionType"), says="ConversionType"),
    Spoilt(
        column=2,
        row="Report of places (TID 1410)",
        how=another_patient,
        says="Different PatientID",
    ),
    Spoilt(column=3, row="Report of measurements (TID 1411)", how=number_without_unit, says="Reading content item NUM"),
    Spoilt(column=4, row="Report of measurements (TID 1411)", how=no_tracking, says="Content Item not in template"),
    Spoilt(column=5, row="Segmentation, binary", how=upside_down, says="elsewhere"),
    Spoilt(column=5, row="Parametric map", how=values_moved, says="values differ"),
    Spoilt(column=6, row="Segmentation, binary", how=upside_down, says="elsewhere"),
    Spoilt(column=6, row="Parametric map", how=values_moved, says="other values"),
    Spoilt(column=6, row="Report of places (TID 1410)", how=box_moved, says="no RectangleROI"),
    Spoilt(column=6, row="Report of places (TID 1410)", how=box_on_another_image, says="no RectangleROI"),
)


@pytest.mark.parametrize("spoilt", SPOILT, ids=lambda one: f"{matrix.COLUMNS[one.column].name}, {one.row}")
def test_a_spoilt_object_is_held_against_it(spoilt: Spoilt, encodings: Encodings, tmp_path: Path) -> None:
    """The one thing that was spoilt is found by the one validator that looks at it."""
    (row,) = (row for row in ROWS if row.name == spoilt.row)
    good = matrix.look(row, encodings.of(row.case))
    dataset = pydicom.dcmread(good.path)
    spoilt.how(dataset)
    path = tmp_path / "spoilt.dcm"
    dataset.save_as(path)
    _, faults, _ = matrix.cell(matrix.COLUMNS[spoilt.column], good.at(path))
    assert any(spoilt.says in fault for fault in faults), faults
