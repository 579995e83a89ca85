"""The segmentation, read back by pydicom, by highdicom and by hand: every voxel where it was found, on the source's own slices."""

from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from inference import codes
from inference.findings import Findings
from inference.imaging.assemble import assemble
from node.results.encode import encode
from tests.results import made


def seg_of(files: list[Path], findings: Findings) -> Dataset:
    """The segmentation that comes out, parsed by pydicom."""
    return pydicom.dcmread(BytesIO(encode(made.encoding(files, findings))[0].data))


def frames_by_source(seg: Dataset) -> dict[tuple[int, str, int | None], np.ndarray]:
    """(segment, referenced instance, referenced frame) → pixels, as pydicom unpacks them."""
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns).astype(bool)
    found = {}
    for plane, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        (image,) = groups.DerivationImageSequence[0].SourceImageSequence
        shared = seg.SharedFunctionalGroupsSequence[0]
        identification = groups.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        found[identification[0].ReferencedSegmentNumber, image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber")] = plane
    return found


@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_every_voxel_lies_where_it_was_found(name: str, tmp_path: Path) -> None:
    """From position, orientation and spacing in the object alone, by hand: the same points in the patient as by the affine."""
    affine = made.ORIENTATIONS[name]
    files = made.series(tmp_path, affine)
    volume = assemble(files)
    mask = made.oriented(volume, made.blob(), affine)
    seg = seg_of(files, made.measured(made.segment("brain", mask), affine=affine))
    shared = seg.SharedFunctionalGroupsSequence[0]
    row_spacing, column_spacing = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    cosines = [float(each) for each in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    right, down = np.array(cosines[:3]), np.array(cosines[3:])
    points = [
        np.array([float(mm) for mm in groups.PlanePositionSequence[0].ImagePositionPatient])
        + column * column_spacing * right
        + row * row_spacing * down
        for plane, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True)
        for row, column in np.argwhere(plane)
    ]
    assert np.allclose(made.in_order(np.array(points)), made.points_mm(made.blob(), affine), atol=0.02)


def test_frames_are_those_of_their_source_instances(tmp_path: Path) -> None:
    """Each frame names the instance whose slice it masks; slices without a voxel have no frame; no frame number on single-frame sources."""
    files = made.series(tmp_path)
    seg = seg_of(files, made.one_segment(made.AXIAL))
    by_source = frames_by_source(seg)
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in files]
    mask = made.blob()
    assert set(by_source) == {(1, uids[z], None) for z in range(len(mask)) if mask[z].any()}
    for (_, uid, _), plane in by_source.items():
        assert np.array_equal(plane, mask[uids.index(uid)])
    assert "ReferencedFrameNumber" not in str(seg)


def test_highdicom_reads_the_same_mask(tmp_path: Path) -> None:
    """A reader that places frames by geometry gives the mask on the source's grid."""
    files = made.series(tmp_path)
    data = encode(made.encoding(files, made.one_segment(made.AXIAL)))[0].data
    seg = hd.seg.segread(BytesIO(data))
    volume = seg.get_volume(combine_segments=True)
    sources = hd.get_volume_from_series([pydicom.dcmread(path) for path in files])
    assert np.array_equal(volume.match_geometry(sources).array.astype(bool), _as(sources, made.blob()))


def _as(volume: hd.Volume, mask: np.ndarray) -> np.ndarray:
    """The mask in the order of slices that highdicom gives the series."""
    first = float(volume.affine[2, 3])
    return mask if first == pytest.approx(made.AXIAL[2, 3]) else mask[::-1]


def test_the_order_of_arrival_changes_nothing(tmp_path: Path) -> None:
    """Headers in any order, files in any order: the same bytes."""
    files = made.series(tmp_path)
    shuffled = [files[z] for z in (4, 0, 8, 2, 6, 1, 7, 3, 5)]
    one = encode(made.encoding(files, made.one_segment(made.AXIAL)))
    other = encode(made.encoding(shuffled, made.one_segment(made.AXIAL)))
    assert [each.data for each in one] == [each.data for each in other]


def test_positions_are_the_very_strings_of_the_source(tmp_path: Path) -> None:
    """Slices that lie a little off an even spacing keep their own positions; nothing is snapped to the grid."""
    files = made.series(tmp_path)
    sent = {}
    for number, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = ["-20", "-30", f"{40 + 2.5 * number + (0.1 if number % 2 else -0.05):.3f}"]
        dataset.save_as(path)
        sent[dataset.SOPInstanceUID] = list(dataset.ImagePositionPatient)
    seg = seg_of(files, made.one_segment(made.AXIAL))
    for groups in seg.PerFrameFunctionalGroupsSequence:
        (image,) = groups.DerivationImageSequence[0].SourceImageSequence
        assert list(groups.PlanePositionSequence[0].ImagePositionPatient) == sent[image.ReferencedSOPInstanceUID]


def test_long_decimal_strings_of_a_careless_sender_are_shortened(tmp_path: Path) -> None:
    """PS3.5 6.2: a decimal string has 16 characters at most; the value stays."""
    files = made.series(tmp_path)
    for path in files:
        dataset = pydicom.dcmread(path)
        with pytest.warns(UserWarning, match="DS"):
            dataset.add(pydicom.DataElement("PixelSpacing", "DS", ["2.00000000000000004441", "1.50000000000000000001"]))
        dataset.save_as(path)
    seg = seg_of(files, made.one_segment(made.AXIAL))
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(each) for each in spacing] == [2.0, 1.5]
    assert all(len(str(each)) <= 16 for each in spacing)


def test_a_localizer_in_the_series_is_no_source(tmp_path: Path) -> None:
    """Headers of instances that the volume left out are referred to nowhere."""
    files = made.series(tmp_path)
    localizer = pydicom.dcmread(files[0])
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    localizer.SOPInstanceUID = localizer.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.999")
    localizer.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    localizer.save_as(tmp_path / "localizer.dcm")
    objects = encode(made.encoding([tmp_path / "localizer.dcm", *files], made.one_segment(made.AXIAL)))
    assert made.kinds(objects) == ["seg", "sr", "sc"]
    for one in objects:
        assert b"1.2.3.999" not in one.data


@pytest.mark.parametrize("name", ["axial", "sagittal", "oblique"])
def test_enhanced_sources_are_referred_to_frame_by_frame(name: str, tmp_path: Path) -> None:
    """Frame numbers count from one in the instance's own order, which here runs against the slices."""
    affine = made.ORIENTATIONS[name]
    files = made.enhanced(tmp_path, affine)
    volume = assemble(files)
    mask = made.oriented(volume, made.blob(), affine)
    seg = seg_of(files, made.measured(made.segment("brain", mask), affine=affine))
    thought = made.blob()
    depth = len(thought)
    by_source = frames_by_source(seg)
    assert {frame for _, _, frame in by_source} == {depth - z for z in range(depth) if thought[z].any()}
    for (_, uid, frame), plane in by_source.items():
        assert uid == "1.2.3.4.5"
        assert np.array_equal(plane, thought[depth - int(frame or 0)])
    (series,) = seg.ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == ["1.2.3.4.5"]


def test_overlapping_organs_keep_all_their_voxels(tmp_path: Path) -> None:
    """SegmentsOverlap says YES, and both masks come back whole."""
    files = made.series(tmp_path)
    first = made.blob()
    second = np.roll(first, 1, axis=0)
    seg = seg_of(files, made.measured(made.segment("a", first), made.segment("b", second, type=codes.LUNG), affine=made.AXIAL))
    assert seg.SegmentsOverlap == "YES"
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in files]
    by_source = frames_by_source(seg)
    for number, mask in ((1, first), (2, second)):
        back = np.zeros_like(mask)
        for (segment, uid, _), plane in by_source.items():
            if segment == number:
                back[uids.index(uid)] = plane
        assert np.array_equal(back, mask)


def test_segments_apart_do_not_overlap(tmp_path: Path) -> None:
    """SegmentsOverlap says NO, and an empty segment between them takes no number."""
    files = made.series(tmp_path)
    first, second = made.blob(), np.zeros(made.SHAPE, dtype=bool)
    second[7, 1, 1] = True
    empty = made.segment("nothing", np.zeros(made.SHAPE, dtype=bool), type=made.LESION)
    seg = seg_of(files, made.measured(made.segment("a", first), empty, made.segment("b", second, type=codes.LUNG), affine=made.AXIAL))
    assert seg.SegmentsOverlap == "NO"
    assert [(item.SegmentNumber, item.SegmentLabel) for item in seg.SegmentSequence] == [(1, "a"), (2, "b")]
    assert sum(plane.sum() for (number, _, _), plane in frames_by_source(seg).items() if number == 2) == 1


def test_a_segment_says_what_it_is_and_who_drew_it(tmp_path: Path) -> None:
    """Codes, side, algorithm, tracking and colour (PS3.3 C.8.20.4)."""
    files = made.series(tmp_path)
    lung = made.segment("right lung", made.blob(), type=codes.LUNG, laterality=codes.RIGHT, finding_site=codes.CHEST, rgb=(255, 0, 0))
    seg = seg_of(files, made.measured(lung, affine=made.AXIAL))
    (described,) = seg.SegmentSequence
    assert described.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = described.SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("mr-brain", "1.2.3")
    assert described.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
    (kind,) = described.SegmentedPropertyTypeCodeSequence
    assert (kind.CodeValue, kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue) == ("39607008", "24028007")
    assert described.AnatomicRegionSequence[0].CodeValue == "51185008"
    # sRGB red is L* 53.2, a* 80.1, b* 67.2 (D65; published); D50 shifts it a little: PS3.3 C.10.7.1.1 scales to 16 bits
    lightness, a, b = described.RecommendedDisplayCIELabValue
    assert lightness / 65535 * 100 == pytest.approx(53.5, abs=1.5)
    assert a / 65535 * 255 - 128 == pytest.approx(80, abs=3)
    assert b / 65535 * 255 - 128 == pytest.approx(68, abs=3)
    assert described.TrackingUID
    assert described.TrackingID == "mr-brain right lung"
