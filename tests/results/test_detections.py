"""Reports of detections: where things lie, to the edge of a pixel, in the form that viewers take up."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import codes
from inference.applications.port import LocationOutput, SegmentOutput
from inference.codes import Code
from inference.findings import Box, Findings, Line, Location, Measurement, Point, PointInSpace, Quality, SegmentPoint, Span
from inference.imaging.assemble import assemble
from node.results.check import check
from node.results.encode import encode
from node.results.port import ValuesDiffer
from node.results.sources import read_sources
from tests.lab import adapters, validators
from tests.results import images, made
from tests.results.reports import SIDE, SITE, comments, groups, named, number, read, referenced, reports, value

CALCIFICATION = Code("18115005", "SCT", "Pathologic calcification")
METHOD = Code("370129005", "SCT", "Measurement Method")
LENGTH = Code("410668003", "SCT", "Length")
TEXTURE = Code("C41144", "NCIt", "Texture")
PART_SOLID = Code("RID50152", "RADLEX", "part-solid pulmonary nodule")
SQUARE = made.axes((2.0, 0, 0), (0, 2.0, 0), (0, 0, 2.5))

BOX = Location(
    label="lesion 1",
    finding=made.LESION,
    shape=Box(top=2, left=3, bottom=6.5, right=8),
    image=4,
    finding_site=codes.LUNG,
    laterality=codes.LEFT,
    certainty=0.873,
    qualities=(Quality(name=TEXTURE, value=PART_SOLID),),
)
DIAMETER = Measurement(name=LENGTH, value=12.5, unit=codes.MILLIMETRE, location="lesion 1")


def instances(files: Sequence[Path]) -> dict[float, pydicom.Dataset]:
    """Headers by the z of their slice."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    return {float(header.ImagePositionPatient[2]): header for header in headers}


def test_a_box_with_a_diameter_is_two_groups_of_one_finding(tmp_path: Path) -> None:
    """Result case 17: the group that viewers take up has the box and no number; the second has the same box, the diameter and the
    certainty; both are tracked under one UID. Everything else of the finding stands in both."""
    files = made.series(tmp_path, SQUARE)
    (report,) = read(reports(made.encoding(files, Findings(locations=(BOX,), measurements=(DIAMETER,)))), "detections")
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"
    bare, measured = groups(report)
    assert {item.ContentTemplateSequence[0].TemplateIdentifier for item in (bare, measured)} == {"1410"}
    assert [item.ValueType for item in bare.ContentSequence].count("NUM") == 0
    assert number(measured, LENGTH) == (12.5, "mm")
    assert number(measured, "111012") == (87, "%")
    assert named(bare, "112040")[0].UID == named(measured, "112040")[0].UID
    for group in (bare, measured):
        assert value(group, "121071") == made.LESION.value
        assert value(group, TEXTURE) == PART_SOLID.value
        assert (value(group, SITE), value(group, SIDE)) == (codes.LUNG.value, codes.LEFT.value)
        (region,) = named(group, "111030")
        # columns 3 to 8, rows 2 to 6.5, by the outer edges of the pixels, which PS3.3 C.18.6.1.2 counts from 0.0
        assert list(region.GraphicData) == [3, 2, 8, 2, 8, 6.5, 3, 6.5, 3, 2]
        assert (region.ValueType, region.GraphicType) == ("SCOORD", "POLYLINE")
        # the fifth slice lies at 40 + 4 · 2.5 mm; a classic instance has one frame, which is not numbered
        assert referenced(region.ContentSequence[0]) == (instances(files)[50.0].SOPInstanceUID, None)


def test_without_a_number_there_is_one_group(tmp_path: Path) -> None:
    """Nothing to say beyond where: nothing stands there twice."""
    point = Location(label="calcification 1", finding=CALCIFICATION, shape=Point(row=3.5, column=4.25), image=3)
    (report,) = read(reports(made.encoding(made.series(tmp_path, SQUARE), Findings(locations=(point,)))), "detections")
    (group,) = groups(report)
    (region,) = named(group, "111030")
    assert (region.GraphicType, list(region.GraphicData)) == ("POINT", [4.25, 3.5])
    assert value(group, SITE) is None


def test_a_line_is_a_polyline_of_two_points(tmp_path: Path) -> None:
    """A diameter: from one end to the other, and the number that belongs to it."""
    line = Location(
        label="lesion 1", finding=made.LESION, shape=Line(start=Point(row=1, column=2), end=Point(row=12.5, column=10)), image=0
    )
    findings = Findings(locations=(line,), measurements=(DIAMETER,))
    (report,) = read(reports(made.encoding(made.series(tmp_path, SQUARE), findings)), "detections")
    assert [[*named(group, "111030")[0].GraphicData] for group in groups(report)] == [[2, 1, 10, 12.5]] * 2


def test_a_point_in_space_names_the_frame_of_reference(tmp_path: Path) -> None:
    """Result case 18: SCOORD3D, in mm, in the frame of reference of the images; it lies on no single image."""
    files = made.series(tmp_path, SQUARE)
    point = Location(label="lesion 1", finding=made.LESION, shape=PointInSpace(x=-12.5, y=-24.25, z=50.125), image=4, certainty=0.5)
    (report,) = read(reports(made.encoding(files, Findings(locations=(point,)))), "detections")
    for group in groups(report):
        (region,) = named(group, "111030")
        assert (region.ValueType, region.GraphicType) == ("SCOORD3D", "POINT")
        assert list(region.GraphicData) == [-12.5, -24.25, 50.125]
        assert region.ReferencedFrameOfReferenceUID == pydicom.dcmread(files[0]).FrameOfReferenceUID
        assert "ContentSequence" not in region


SQUARES = {name: affine @ np.diag([1.0, 0.75, 1.0, 1.0]) for name, affine in made.ORIENTATIONS.items()}
"""The same places, with rows 1.5 mm apart like columns."""


@pytest.mark.parametrize("name", SQUARES)
def test_a_detection_lies_on_the_slice_it_was_found_on(name: str, tmp_path: Path) -> None:
    """By position, whatever the order of files and the direction of the slices: the volume's slice 6 is the instance there."""
    files = made.series(tmp_path, SQUARES[name])
    volume = assemble(files)
    where = (volume.affine @ (6, 0, 0, 1))[:3]
    (report,) = read(reports(made.encoding(files[::-1], Findings(locations=(replace(BOX, image=6),)), volume=volume)), "detections")
    headers = {str(header.SOPInstanceUID): header for header in map(pydicom.dcmread, files)}
    for region in named(report, "111030"):
        uid, _ = referenced(region.ContentSequence[0])
        assert np.allclose(np.asarray(headers[uid].ImagePositionPatient, dtype=float), where, atol=1e-3)


@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_where_pixels_are_not_square_a_detection_lies_in_the_patient(name: str, tmp_path: Path) -> None:
    """Rows 2.0 mm apart, columns 1.5: a viewer that mixes the two up cannot. Corners by the header of the slice: position, plus the row
    direction times columns, plus the column direction times rows, half a pixel before the middle of the first."""
    files = made.series(tmp_path, made.ORIENTATIONS[name])
    volume = assemble(files)
    where = (volume.affine @ (4, 0, 0, 1))[:3]
    (header,) = [
        one for one in map(pydicom.dcmread, files) if np.allclose(np.asarray(one.ImagePositionPatient, dtype=float), where, atol=0.01)
    ]
    x, y = np.asarray(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
    origin = np.asarray(header.ImagePositionPatient, dtype=float) - x * 0.75 - y * 1.0
    corners = [origin + x * 1.5 * column + y * 2.0 * row for column, row in ((3, 2), (8, 2), (8, 6.5), (3, 6.5), (3, 2))]
    (report,) = read(reports(made.encoding(files, Findings(locations=(BOX,)), volume=volume)), "detections")
    for region in named(report, "111030"):
        assert (region.ValueType, region.GraphicType) == ("SCOORD3D", "POLYLINE")
        assert np.allclose(np.reshape(region.GraphicData, (5, 3)), corners, atol=0.01)
        assert region.ReferencedFrameOfReferenceUID == header.FrameOfReferenceUID


def test_in_images_that_name_no_frame_of_reference_places_are_pixels(tmp_path: Path) -> None:
    """A frame of reference that was made up for the volume would lead nowhere: the box is pixels though they are oblong, and the point the
    pixel it falls on: 7.5 mm and 1.5 mm a column are 5 columns from the middle of the first, 6 mm and 2 mm a row are 3 rows."""
    files = made.series(tmp_path)
    for path in files:
        dataset = pydicom.dcmread(path)
        del dataset.FrameOfReferenceUID
        dataset.save_as(path)
    point = Location(label="point", finding=made.LESION, shape=PointInSpace(x=-12.5, y=-24.0, z=50.4), image=4)
    findings = Findings(locations=(replace(BOX, certainty=None), point))
    (report,) = read(reports(made.encoding(files, findings)), "detections")
    box, pixel = named(report, "111030")
    assert [*box.GraphicData] == [3, 2, 8, 2, 8, 6.5, 3, 6.5, 3, 2]
    assert (pixel.ValueType, pixel.GraphicType, [*pixel.GraphicData]) == ("SCOORD", "POINT", [5.5, 3.5])
    of_z = instances(files)
    assert [referenced(region.ContentSequence[0]) for region in (box, pixel)] == [(of_z[50.0].SOPInstanceUID, None)] * 2


def test_of_a_multi_frame_image_the_frame_is_named(tmp_path: Path) -> None:
    """Frames of this source run from the last slice to the first: slice 4 of 9 is frame 5 of either count, slice 2 is frame 7."""
    files = made.enhanced(tmp_path, SQUARE)
    (report,) = read(reports(made.encoding(files, Findings(locations=(replace(BOX, image=2, certainty=None),)))), "detections")
    (region,) = named(report, "111030")
    assert referenced(region.ContentSequence[0]) == ("1.2.3.4.5", [7])


def test_a_detection_on_a_radiograph_and_on_a_frame_of_a_loop(tmp_path: Path) -> None:
    """No geometry is needed, and none is invented: the image, or the frame counted from 1."""
    films = [images.radiograph(tmp_path, 1, 1), images.radiograph(tmp_path, 1, 2)]
    (report,) = read(reports(images.radiographs(films, Findings(locations=(replace(BOX, image=1, certainty=None),)))), "detections")
    (region,) = named(report, "111030")
    assert referenced(region.ContentSequence[0]) == (pydicom.dcmread(films[1]).SOPInstanceUID, None)
    loop = images.loop(tmp_path)
    (report,) = read(reports(images.cine(loop, Findings(locations=(replace(BOX, image=7, certainty=None),)))), "detections")
    (region,) = named(report, "111030")
    assert referenced(region.ContentSequence[0]) == (pydicom.dcmread(loop).SOPInstanceUID, [8])
    assert not named(report, "112227")


def test_a_number_names_the_frames_it_was_taken_from(tmp_path: Path) -> None:
    """A diameter over frames 4 to 6 of a loop, of a box on frame 8: the number says 4 to 6, the box 8; a number of no span says none."""
    loop = images.loop(tmp_path)
    spanned = replace(DIAMETER, span=Span(first=3, last=5))
    (report,) = read(
        reports(images.cine(loop, Findings(locations=(replace(BOX, image=7),), measurements=(spanned, replace(DIAMETER, value=9.0))))),
        "detections",
    )
    _, measured = groups(report)
    first, second = named(measured, LENGTH)
    uid = str(pydicom.dcmread(loop).SOPInstanceUID)
    (source,) = first.ContentSequence
    assert (source.RelationshipType, referenced(source)) == ("INFERRED FROM", (uid, [4, 5, 6]))
    assert "ContentSequence" not in second
    assert comments(report) == ["Frames 4 to 6 are 0.12 s to 0.2 s from the first."]
    assert referenced(named(measured, "111030")[0].ContentSequence[0]) == (uid, [8])


CENTROID = Location(
    label="centroid of lung",
    finding=codes.LUNG,
    shape=PointInSpace(x=-12.5, y=-24.25, z=50.0),
    image=4,
    laterality=codes.LEFT,
    finding_site=codes.LUNG,
    point=SegmentPoint(
        segment="lung",
        purpose=Code("128138", "DCM", "Center of Mass"),
        method=Code("CENTROID", "99HILUM", "Centroid: mean place of the voxels, by the volume they stand for"),
    ),
)


def test_a_point_of_a_segment_says_which_point_it_is_and_is_no_finding(tmp_path: Path) -> None:
    """The group is about the lung, its purpose the centre of mass (CID 219), and its method modifies it; no conclusion names it, and where
    the segment has no voxel nothing is said to be absent for want of a point."""
    lung = made.segment("lung", made.blob(), type=codes.LUNG, laterality=codes.LEFT)
    encoding = made.encoding(made.series(tmp_path, SQUARE), Findings(segments=(lung,), locations=(CENTROID,)))
    declared = (SegmentOutput(label="lung", type=codes.LUNG), LocationOutput(finding=codes.LUNG, of_segment=True))
    encoding = replace(encoding, application=replace(encoding.application, outputs=declared))
    objects = encode(encoding)
    (report,) = read(objects, "detections")
    (group,) = groups(report)
    (finding,), (purpose,), (method,) = (named(group, name) for name in ("121071", "130400", METHOD))
    assert [one.ConceptCodeSequence[0].CodeValue for one in (finding, purpose, method)] == [codes.LUNG.value, "128138", "CENTROID"]
    assert (purpose.RelationshipType, method.RelationshipType) == ("CONTAINS", "HAS CONCEPT MOD")
    (said,) = read(objects, "sr")
    assert str(named(said, "121077")[0].TextValue).startswith("Left lung: outlined. By ")
    empty = replace(lung, mask=np.zeros_like(lung.mask))
    (report,) = read(reports(replace(encoding, findings=Findings(segments=(empty,)))), "sr")
    assert len(groups(report)) == 1


def test_a_report_that_calls_a_point_something_else_does_not_leave(tmp_path: Path) -> None:
    """The check reads back which point it is."""
    encoding = made.encoding(made.series(tmp_path, SQUARE), Findings(locations=(CENTROID,)))
    (made_of_it,) = [one for one in encode(encoding) if one.kind == "detections"]
    assert CENTROID.point is not None
    other = replace(CENTROID, point=replace(CENTROID.point, purpose=codes.VOLUME))
    with pytest.raises(ValuesDiffer, match=r"'128138', 'DCM'.* found was .*'118565006'"):
        check([made_of_it], replace(encoding, findings=Findings(locations=(other,))), read_sources(encoding))


def test_two_findings_are_tracked_apart_and_remarks_stand_in_the_report(tmp_path: Path) -> None:
    """Equal findings at two places have two tracking UIDs; which part of the series it was, and what the quality gate said, is there."""
    findings = Findings(locations=(BOX, replace(BOX, label="lesion 2")), remarks=("Slices are 2.5 mm apart.",))
    (report,) = read(reports(made.encoding(made.series(tmp_path, SQUARE), findings, part="b 1000 s/mm2")), "detections")
    uids = [named(group, "112040")[0].UID for group in groups(report)]
    assert uids[0] == uids[1] != uids[2] == uids[3]
    assert comments(report) == ["Analysed of the series: b 1000 s/mm2.", "Slices are 2.5 mm apart."]


FOUND = Findings(
    locations=(
        BOX,
        Location(label="calcification 1", finding=CALCIFICATION, shape=Point(row=3.5, column=4.25), image=3),
        Location(label="line", finding=made.LESION, shape=Line(start=Point(row=1, column=2), end=Point(row=5, column=9)), image=0),
        Location(label="point", finding=made.LESION, shape=PointInSpace(x=-12.5, y=-24.25, z=50.0), image=4, certainty=0.5),
    ),
    measurements=(DIAMETER, replace(DIAMETER, location="line")),
    remarks=("Slices are 2.5 mm apart.",),
)


@pytest.mark.peers
@pytest.mark.slow
def test_validators_find_nothing_in_detections(tmp_path: Path) -> None:
    """Result case 17, 18: dciodvfy, DCMTK and PixelMed (TID 1410) hold nothing against boxes, points, lines and points in space."""
    objects = encode(made.encoding(made.series(tmp_path / "source", SQUARE), FOUND))
    assert made.kinds(objects) == ["detections", "sc"]
    path = made.save(objects, tmp_path / "results")[0]
    assert validators.faults_of(path, report=True) == []
    _, tree = validators.dsrdump(path)
    assert tree.count('NUM:(410668003,SCT,"Length")="12.5" (mm,UCUM,"millimeter")') == 2
    assert "SCOORD3D:(111030" in tree
    assert tree.count('CODE:(C41144,NCIt,"Texture")=(RID50152,RADLEX,"part-solid pulmonary nodule")') == 2


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize("row_mm", [2.0, 3.0], ids=["square pixels", "rows further apart"])
def test_the_viewer_takes_up_boxes_and_points_where_they_were_found(row_mm: float, tmp_path: Path) -> None:
    """Result case 17, 18: OHIF's adapter makes a rectangle of the box and probes of the points, once each, to a hundredth of a mm; of
    pixels on an image only where they are square: of others it swaps the distances of rows and of columns."""
    files = made.series(tmp_path / "source", made.axes((2.0, 0, 0), (0, row_mm, 0), (0, 0, 2.5)))
    path = made.save(reports(made.encoding(files, FOUND)), tmp_path / "results")[0]
    found = adapters.measurements_of(path, files)
    assert sorted(one.tool for one in found) == ["Probe", "Probe", "RectangleROI"]
    of_label = {one.tracking_uid: one for one in found}
    uids = {named(group, "112039")[0].TextValue: named(group, "112040")[0].UID for group in groups(pydicom.dcmread(path))}
    rectangle, probe, in_space = (of_label[uids[f"mr-brain {label}"]] for label in ("lesion 1", "calcification 1", "point"))
    # the middle of the first pixel is at (-20, -30): an edge at 3 columns is 2.5 pixels of 2 mm further
    x, y = [-20 + 2.0 * (column - 0.5) for column in (3, 8)], [-30 + row_mm * (row - 0.5) for row in (2, 6.5)]
    corners = {(round(a, 3), round(b, 3), round(c, 3)) for a, b, c in rectangle.points_mm.tolist()}
    assert corners == {(a, b, 50.0) for a in x for b in y}
    assert np.allclose(probe.points_mm, [(-20 + 2.0 * 3.75, -30 + row_mm * 3.0, 47.5)], atol=0.01)
    assert np.allclose(in_space.points_mm, [(-12.5, -24.25, 50.0)], atol=0.01)
    assert (rectangle.finding[0], rectangle.sites) == (made.LESION.value, (codes.LUNG.value,))
    frame_of_reference = str(pydicom.dcmread(files[0]).FrameOfReferenceUID)
    assert in_space.frame_of_reference == frame_of_reference
    if row_mm == 2.0:
        assert rectangle.image == (str(instances(files)[50.0].SOPInstanceUID), 1)
    else:
        assert (rectangle.image, rectangle.frame_of_reference) == (None, frame_of_reference)
