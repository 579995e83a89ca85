"""Reports made and checked without the other objects of a job, and walked by hand."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from inference.codes import Code
from node.results.check import check
from node.results.detections.make import make as detections
from node.results.kind import Making
from node.results.measurements.make import make as about_images
from node.results.port import Encoded, Encoding
from node.results.sources import read_sources

SITE = Code("363698007", "SCT", "Finding Site")
SIDE = Code("272741003", "SCT", "Laterality")
SOURCE = Code("260753009", "SCT", "Source")


def making(encoding: Encoding) -> Making:
    """What makers are handed, when they are the first and nothing was begun for them."""
    return Making(encoding=encoding, sources=read_sources(encoding), made=(), begun=lambda: None)


def reports(encoding: Encoding) -> list[Encoded]:
    """The reports that need no segmentation, as they may leave."""
    sources = read_sources(encoding)
    encoded = [*about_images(making(encoding)), *detections(making(encoding))]
    check(encoded, encoding, sources)
    return encoded


def read(objects: Sequence[Encoded], kind: str) -> list[Dataset]:
    """The objects of a kind, parsed."""
    return [pydicom.dcmread(BytesIO(one.data)) for one in objects if one.kind == kind]


def walk(item: Dataset) -> Iterator[Dataset]:
    """All content items below this one."""
    for child in item.get("ContentSequence") or ():
        yield child
        yield from walk(child)


def named(item: Dataset, name: str | Code) -> list[Dataset]:
    """Content items below, by the code of their concept name; a value without a scheme is one of DICOM's own (DCM)."""
    code = (name, "DCM") if isinstance(name, str) else (name.value, name.scheme)
    return [child for child in walk(item) if _code(child.ConceptNameCodeSequence[0]) == code]


def _code(item: Dataset) -> tuple[str, str]:
    """Value and scheme; values of more than 16 characters stand in an attribute of their own (PS3.3 8.1)."""
    return str(item.get("CodeValue") or item.LongCodeValue), str(item.CodingSchemeDesignator)


def groups(report: Dataset) -> list[Dataset]:
    """Measurement groups."""
    return named(report, "125007")


def value(item: Dataset, name: str | Code) -> str | None:
    """The code value of the one CODE item of this name below; None when there is none."""
    found = [child for child in named(item, name) if child.ValueType == "CODE"]
    assert len(found) < 2, found
    return str(found[0].ConceptCodeSequence[0].CodeValue) if found else None


def number(item: Dataset, name: str | Code) -> tuple[float, str]:
    """Value and unit of the one number of this name below."""
    (found,) = named(item, name)
    measured = found.MeasuredValueSequence[0]
    return float(measured.NumericValue), str(measured.MeasurementUnitsCodeSequence[0].CodeValue)


def comments(report: Dataset) -> list[str]:
    """The sentences for the reader."""
    return [str(item.TextValue) for item in named(report, "121106")]


def referenced(item: Dataset) -> tuple[str, Any]:
    """The instance that an IMAGE item refers to, and the frames (None: it names none)."""
    reference = item.ReferencedSOPSequence[0]
    frames = reference.get("ReferencedFrameNumber")
    return str(reference.ReferencedSOPInstanceUID), None if frames is None else [frames] if isinstance(frames, int) else list(frames)


def listed(report: Dataset, keyword: str = "CurrentRequestedProcedureEvidenceSequence") -> dict[str, dict[str, list[str]]]:
    """Study → series → instances of one of the sequences of references."""
    return {
        str(study.StudyInstanceUID): {
            str(series.SeriesInstanceUID): [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence]
            for series in study.ReferencedSeriesSequence
        }
        for study in report.get(keyword) or ()
    }
