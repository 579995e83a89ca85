"""OHIF's adapters under Node: they see what another program segmented where that program put it, and they see it when it is spoilt."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from tests.lab import adapters, validators
from tests.lab.needs import data

pytestmark = pytest.mark.slow


@pytest.fixture
def liver() -> Path:
    """A segmentation of the liver on three CT slices, written by dcmqi."""
    return data("dicom", "ct_liver3_SEG", "liver.dcm")


@pytest.fixture
def slices() -> list[Path]:
    """The three slices."""
    return sorted(data("dicom", "ct_liver3_SEG", "ct-3slice").glob("*.dcm"))


def points_mm(found: adapters.Segments, slices: list[Path], number: int) -> NDArray[np.float64]:
    """Where a segment lies in the patient, from the slices' own headers."""
    points = []
    for path, mask in zip(slices, found.masks[number], strict=True):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        row, column = np.argwhere(mask).T
        across, down = np.asarray(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
        between_rows, between_columns = (float(value) for value in header.PixelSpacing)
        place = np.asarray(header.ImagePositionPatient, dtype=float)
        points.append(place + np.outer(column * between_columns, across) + np.outer(row * between_rows, down))
    return np.concatenate(points)


def in_order(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sorted points, in hundredths of a millimetre."""
    rounded = points.round(2) + 0.0
    return rounded[np.lexsort(rounded.T)]


def test_a_segmentation_lies_where_its_writer_put_it(liver: Path, slices: list[Path]) -> None:
    """Adapters and dcmqi, which share no code, give the same points of the patient; in whatever order the slices are given."""
    (meant,) = validators.segimage2itkimage(liver)
    for order in (slices, slices[::-1]):
        found = adapters.segments_of(liver, order)
        assert [uid for uid, _ in found.images] == [pydicom.dcmread(path).SOPInstanceUID for path in order]
        assert np.allclose(in_order(points_mm(found, order, 1)), in_order(meant.points_mm()), atol=0.02)
        assert not found.overlapping


def test_a_mask_that_was_turned_over_lies_elsewhere(liver: Path, slices: list[Path], tmp_path: Path) -> None:
    """The check can fail: the same frames upside down are other points, and as many of them."""
    spoilt = pydicom.dcmread(liver)
    frames = spoilt.pixel_array[:, ::-1]
    spoilt.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
    spoilt.save_as(tmp_path / "turned.dcm")
    good, turned = adapters.segments_of(liver, slices), adapters.segments_of(tmp_path / "turned.dcm", slices)
    assert good.masks[1].sum() == turned.masks[1].sum()
    assert not np.allclose(in_order(points_mm(good, slices, 1)), in_order(points_mm(turned, slices, 1)), atol=1)


def test_a_segmentation_of_other_slices_shows_nothing(liver: Path, slices: list[Path], tmp_path: Path) -> None:
    """Frames that refer to instances which the viewer does not hold are dropped in silence: no mask is what one sees."""
    spoilt = pydicom.dcmread(liver)
    for frame in spoilt.PerFrameFunctionalGroupsSequence:
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 100
    spoilt.save_as(tmp_path / "elsewhere.dcm")
    assert adapters.segments_of(tmp_path / "elsewhere.dcm", slices).masks == {}


def test_frames_of_another_size_are_refused(liver: Path, slices: list[Path], tmp_path: Path) -> None:
    """Rows and Columns other than the source's: the viewer throws."""
    spoilt = pydicom.dcmread(liver)
    frames = spoilt.pixel_array[:, ::2, ::2]
    spoilt.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
    spoilt.Rows, spoilt.Columns = frames.shape[1:]
    spoilt.save_as(tmp_path / "small.dcm")
    with pytest.raises(adapters.AdaptersRefused, match="different geometry dimensions"):
        adapters.segments_of(tmp_path / "small.dcm", slices)


def report(path: Path, slices: list[Path], *, number_too: bool) -> Path:
    """A planar ROI with a box on the middle slice, written by highdicom; with a measurement in the same group or without."""
    evidence = [pydicom.dcmread(one) for one in slices]
    for one in evidence:
        one.SpecificCharacterSet, one.PatientName = "ISO_IR 100", "Doe^Jane"
    box = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array([[100, 50], [140, 50], [140, 90], [100, 90], [100, 50]], dtype=float),
        source_image=hd.sr.SourceImageForRegion(evidence[1].SOPClassUID, evidence[1].SOPInstanceUID),
    )
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid="1.2.826.0.1.1", identifier="box"),
        referenced_region=box,
        finding_type=codes.SCT.Lesion,
        finding_sites=[hd.sr.FindingSite(codes.SCT.Liver)],
        measurements=[hd.sr.Measurement(name=codes.SCT.Diameter, value=30.0, unit=codes.UCUM.Millimeter)] if number_too else None,
    )
    device = hd.sr.DeviceObserverIdentifyingAttributes(uid="1.2.826.0.1.2")
    observer = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    context = hd.sr.ObservationContext(observer_device_context=observer)
    content = hd.sr.MeasurementReport(
        observation_context=context, procedure_reported=codes.LN.CTUnspecifiedBodyRegion, imaging_measurements=[group]
    )
    made = hd.sr.Comprehensive3DSR(
        evidence=evidence,
        content=content,
        series_instance_uid="1.2.826.0.1.3",
        series_number=1,
        sop_instance_uid="1.2.826.0.1.4",
        instance_number=1,
        manufacturer="test",
    )
    made.save_as(path)
    return path


def test_a_box_becomes_a_rectangle_at_its_corners(slices: list[Path], tmp_path: Path) -> None:
    """Corners by hand: column c and row r, counted at the outer edge, are half a pixel before the middle of pixel (r, c)."""
    (one,) = adapters.measurements_of(report(tmp_path / "sr.dcm", slices, number_too=False), slices)
    header = pydicom.dcmread(slices[1], stop_before_pixels=True)
    assert one.tool == "RectangleROI"
    assert one.image == (header.SOPInstanceUID, 1)
    assert (one.tracking_uid, one.finding[:2], one.sites) == ("1.2.826.0.1.1", ("52988006", "SCT"), ("10200004",))
    x, y, z = (float(value) for value in header.ImagePositionPatient)
    rows, columns = (float(value) for value in header.PixelSpacing)
    meant = [(x + (c - 0.5) * columns, y + (r - 0.5) * rows, z) for c, r in ((100, 50), (140, 50), (100, 90), (140, 90))]
    assert one.points_mm == pytest.approx(np.array(meant), abs=0.01)


def test_a_box_with_a_number_in_its_group_becomes_nothing(slices: list[Path], tmp_path: Path) -> None:
    """The adapter looks for the region under the number, does not find it, and drops the group: so results have two groups."""
    assert adapters.measurements_of(report(tmp_path / "sr.dcm", slices, number_too=True), slices) == []
