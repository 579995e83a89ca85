"""The check catches: objects are spoilt in their bytes, one way at a time, and each is named."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from node.results.check import check
from node.results.encode import encode
from node.results.port import (
    Encoded,
    Encoding,
    MaskDiffers,
    PageDiffers,
    ReferencesDiffer,
    ResultMalformed,
    ResultMisidentified,
    ValuesDiffer,
)
from node.results.sources import read_sources
from tests.results import made

Spoil = Callable[[Dataset], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoding, list[Encoded]]:
    """An encoding, and its objects as they should be."""
    encoding = made.encoding(made.series(tmp_path_factory.mktemp("series")), made.one_segment(made.AXIAL))
    return encoding, encode(encoding)


def flip_a_voxel(seg: Dataset) -> None:
    pixels = bytearray(seg.PixelData)
    pixels[len(pixels) // 2] ^= 0b00010000
    seg.PixelData = bytes(pixels)


def swap_two_frames(seg: Dataset) -> None:
    first, second = seg.PerFrameFunctionalGroupsSequence[0], seg.PerFrameFunctionalGroupsSequence[1]
    first.DerivationImageSequence, second.DerivationImageSequence = second.DerivationImageSequence, first.DerivationImageSequence


def move_a_frame(seg: Dataset) -> None:
    seg.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient = ["0", "0", "0"]


def drop_a_frame(seg: Dataset) -> None:
    size = seg.Rows * seg.Columns
    assert size * seg.NumberOfFrames // 8 < len(seg.PixelData)
    seg.PerFrameFunctionalGroupsSequence = seg.PerFrameFunctionalGroupsSequence[:-1]
    seg.NumberOfFrames = len(seg.PerFrameFunctionalGroupsSequence)


def refer_to_a_stranger(seg: Dataset) -> None:
    item = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    item.ReferencedSOPInstanceUID = "1.2.3"


def number_a_single_frame(seg: Dataset) -> None:
    seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 1


def claim_overlap(seg: Dataset) -> None:
    seg.SegmentsOverlap = "YES"


def call_it_lung(seg: Dataset) -> None:
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "39607008"


def forget_a_source(seg: Dataset) -> None:
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[1:]


def another_patient(dataset: Dataset) -> None:
    dataset.PatientID = "P-2"


def another_study(dataset: Dataset) -> None:
    dataset.StudyInstanceUID = "1.2.3"


def no_equipment(dataset: Dataset) -> None:
    del dataset.ContributingEquipmentSequence


def bad_uid(dataset: Dataset) -> None:
    dataset.ContributingEquipmentSequence[0].add(pydicom.DataElement("InstanceCreatorUID", "UI", "1.02.3"))


def group(report: Dataset) -> Dataset:
    found: Dataset = report.ContentSequence[-1].ContentSequence[0]
    return found


def item(report: Dataset, kind: str) -> Dataset:
    found: Dataset = next(each for each in group(report).ContentSequence if each.ValueType == kind)
    return found


def ten_times_the_volume(report: Dataset) -> None:
    measured = item(report, "NUM").MeasuredValueSequence[0]
    measured.NumericValue, measured.FloatingPointValue = f"{float(measured.NumericValue) * 10:g}", measured.FloatingPointValue * 10


def two_values_of_one(report: Dataset) -> None:
    item(report, "NUM").MeasuredValueSequence[0].NumericValue = "3"


def millilitres_by_name_only(report: Dataset) -> None:
    item(report, "NUM").MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "ml"


def track_another(report: Dataset) -> None:
    item(report, "UIDREF").UID = "1.2.3"


def second_segment(report: Dataset) -> None:
    item(report, "IMAGE").ReferencedSOPSequence[0].ReferencedSegmentNumber = 2


def no_segmentation_in_evidence(report: Dataset) -> None:
    study = report.CurrentRequestedProcedureEvidenceSequence[0]
    study.ReferencedSeriesSequence = study.ReferencedSeriesSequence[:1]


def verified(report: Dataset) -> None:
    report.VerificationFlag = "VERIFIED"


def blank(page: Dataset) -> None:
    page.PixelData = bytes(len(page.PixelData))


def cut(page: Dataset) -> None:
    page.PixelData = page.PixelData[:-2]


@pytest.mark.parametrize(
    ("kind", "spoil", "error"),
    [
        ("seg", flip_a_voxel, MaskDiffers),
        ("seg", swap_two_frames, MaskDiffers),
        ("seg", move_a_frame, MaskDiffers),
        ("seg", drop_a_frame, MaskDiffers),
        ("seg", claim_overlap, MaskDiffers),
        ("seg", call_it_lung, MaskDiffers),
        ("seg", refer_to_a_stranger, ReferencesDiffer),
        ("seg", number_a_single_frame, ReferencesDiffer),
        ("seg", forget_a_source, ReferencesDiffer),
        ("seg", another_patient, ResultMisidentified),
        ("sr", another_study, ResultMisidentified),
        ("sc", another_patient, ResultMisidentified),
        ("sc", no_equipment, ResultMalformed),
        ("seg", bad_uid, ResultMalformed),
        ("sr", ten_times_the_volume, ValuesDiffer),
        ("sr", two_values_of_one, ValuesDiffer),
        ("sr", millilitres_by_name_only, ValuesDiffer),
        ("sr", track_another, ValuesDiffer),
        ("sr", second_segment, ReferencesDiffer),
        ("sr", no_segmentation_in_evidence, ReferencesDiffer),
        ("sr", verified, ResultMalformed),
        ("sc", blank, PageDiffers),
        ("sc", cut, PageDiffers),
    ],
)
def test_a_spoilt_object_may_not_leave(good: tuple[Encoding, list[Encoded]], kind: str, spoil: Spoil, error: type[Exception]) -> None:
    """One thing is wrong in one object: the check says which kind of thing."""
    encoding, objects = good
    spoilt = []
    for one in objects:
        if one.kind == kind:
            dataset = pydicom.dcmread(BytesIO(one.data))
            spoil(dataset)
            file = BytesIO()
            dataset.save_as(file)
            one = replace(one, data=file.getvalue())
        spoilt.append(one)
    with pytest.raises(error):
        check(spoilt, encoding, read_sources(encoding))


def test_good_objects_pass(good: tuple[Encoding, list[Encoded]]) -> None:
    """The same check lets through what is right."""
    encoding, objects = good
    check(objects, encoding, read_sources(encoding))


def test_a_truncated_object_may_not_leave(good: tuple[Encoding, list[Encoded]], tmp_path: Path) -> None:
    """Half a file is named as unreadable, not as a stack trace."""
    encoding, objects = good
    with pytest.raises(ResultMalformed):
        check([replace(objects[0], data=objects[0].data[:1000]), *objects[1:]], encoding, read_sources(encoding))
