"""Masks in all their forms, as tools see them that share no code with the node: dcmqi (Slicer), OHIF's adapters, DCMTK, dicom3tools."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import structlog
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from inference import codes
from inference.findings import Findings, Segment
from inference.imaging.assemble import assemble
from inference.imaging.resample import Grid, Interpolation, resample
from node.dimse.requestor.outgoing import outgoing, transcoded
from node.domain.profile import Compression, Form, MaskEncoding, Profile
from node.results.check import check
from node.results.encode import encode
from node.results.port import Encoded
from node.results.segmentation import make
from node.results.segmentation.frames import numbered
from node.results.sources import read_sources
from tests.lab import adapters, validators
from tests.lab.needs import program
from tests.results import made

PROFILES = [
    Profile(name=f"{masks}, {compression}", masks=masks, compression=compression, empty_masks=True)
    for masks in (MaskEncoding.BINARY, MaskEncoding.LABELMAP)
    for compression in Compression
] + [Profile(name="whole bytes", masks=MaskEncoding.WHOLE_BYTES, empty_masks=True)]
"""Between them they want every form."""

BY_DCMQI = (Form.BINARY, Form.BINARY_DEFLATE, Form.LABELMAP, Form.LABELMAP_RLE, Form.LABELMAP_DEFLATE)
"""dcmqi refuses JPEG-LS, which it takes for lossy; DCMTK decodes that below. Of fractions it gives the value for the segment's number."""

WHOLE_BYTES = (9, 16, 12)
"""A series whose frames are whole bytes, an even number of them. Of others the viewer's reader may take each frame for padded to one."""

LABEL_MAPS = (Form.LABELMAP, Form.LABELMAP_RLE, Form.LABELMAP_JPEG_LS, Form.LABELMAP_DEFLATE)


def masks_of(
    files: Sequence[Path], findings: Findings, folder: Path, profiles: Sequence[Profile] = PROFILES, **more: Any
) -> dict[Form, Path]:
    """The checked segmentation in every form that these profiles want, as files; reports of it, which refer to each form, are not made."""
    encoding = made.encoding(files, findings, profiles=profiles, **more)
    sources = read_sources(encoding)
    each = {form: mask for form, mask, _ in make.masks(encoding, sources, numbered(findings))}
    check(list(each.values()), encoding, sources)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {form: folder / f"{form}.dcm" for form in each}
    for form, path in paths.items():
        path.write_bytes(each[form].data)
    return paths


def neighbours(affine: np.ndarray = made.AXIAL) -> tuple[Segment, ...]:
    """Three segments that touch and do not overlap, one of them in every slice."""
    mask = made.blob()
    beside = np.roll(mask, 1, axis=2) & ~mask
    column = np.zeros_like(mask)
    column[:, 11, 1] = True
    return (
        made.segment("right lung", mask, type=codes.LUNG, laterality=codes.RIGHT),
        made.segment("left lung", beside, type=codes.LUNG, laterality=codes.LEFT),
        made.segment("spine", column & ~mask & ~beside),
    )


def same_points(path: Path, segments: Sequence[Segment], affine: np.ndarray) -> None:
    """dcmqi gives every segment's voxels where they were found, in mm."""
    found = {one.number: one for one in validators.segimage2itkimage(path)}
    assert sorted(found) == list(range(1, len(segments) + 1))
    for number, segment in enumerate(segments, 1):
        meant = made.points_mm(segment.mask, affine)
        assert np.allclose(made.in_order(found[number].points_mm()), meant, atol=0.03), segment.label


@pytest.mark.peers
@pytest.mark.slow
def test_every_form_is_voxel_equal_in_slicer_and_in_the_viewer(tmp_path: Path) -> None:
    """Result case 1: an axial CT; each mask as dcmqi and as OHIF's adapters read it, with labels and tracking."""
    files = made.series(tmp_path / "source")
    segments = neighbours()
    paths = masks_of(files, made.measured(*segments, affine=made.AXIAL), tmp_path / "masks")
    assert set(paths) == set(Form) - {Form.EMPTY, Form.NO_MASKS}
    for form in BY_DCMQI:
        same_points(paths[form], segments, made.AXIAL)
    for path in paths.values():
        seen = adapters.segments_of(path, files)
        assert seen.labels == {number: segment.label for number, segment in enumerate(segments, 1)}
        assert len(set(seen.tracking.values())) == len(segments)
        for number, segment in enumerate(segments, 1):
            assert np.array_equal(seen.masks[number], segment.mask)


@pytest.mark.peers
@pytest.mark.slow
def test_slicer_finds_the_voxels_of_each_segment(tmp_path: Path) -> None:
    """dcmqi knows no fractions: it gives the right voxels of each segment in its file, and the number of the first to all."""
    files = made.series(tmp_path / "source")
    segments = neighbours()
    one = masks_of(files, made.measured(segments[0], affine=made.AXIAL), tmp_path / "one")
    same_points(one[Form.FRACTIONAL], segments[:1], made.AXIAL)
    several = masks_of(files, made.measured(*segments, affine=made.AXIAL), tmp_path / "several")
    same_points(several[Form.FRACTIONAL], segments, made.AXIAL)


@pytest.mark.slow
def test_every_form_of_a_shuffled_series_is_the_same(tmp_path: Path) -> None:
    """Result case 2: files and headers in another order give the very same bytes, in every form."""
    files = made.series(tmp_path)
    findings = made.measured(*neighbours(), affine=made.AXIAL)
    shuffled = [files[z] for z in (4, 0, 8, 2, 6, 1, 7, 3, 5)]
    one, other = (encode(made.encoding(each, findings, profiles=PROFILES)) for each in (files, shuffled))
    assert [each.form for each in one if each.kind == "seg"] == [form for form in Form if form not in (Form.EMPTY, Form.NO_MASKS)]
    assert [each.data for each in one] == [each.data for each in other]


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_every_orientation_lies_right_in_every_form(name: str, tmp_path: Path) -> None:
    """Result case 3: sagittal, coronal, oblique, prone, feet first; the points in the patient, from dcmqi's own geometry."""
    affine = made.ORIENTATIONS[name]
    files = made.series(tmp_path / "source", affine)
    volume = assemble(files)
    thought = neighbours()
    segments = [replace(segment, mask=made.oriented(volume, segment.mask, affine)) for segment in thought]
    paths = masks_of(files, made.measured(*segments, affine=affine), tmp_path / "masks")
    for form in (Form.BINARY, Form.LABELMAP_RLE):
        same_points(paths[form], thought, affine)


@pytest.mark.slow
def test_irregular_slices_keep_the_positions_of_their_source(tmp_path: Path) -> None:
    """Result case 6: in every form, each frame has the very strings of the instance that it refers to, and claims no even spacing."""
    files = made.series(tmp_path / "source")
    sent = {}
    for number, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = ["-20", "-30", f"{40 + 2.5 * number + (0.1 if number % 2 else -0.05):.3f}"]
        dataset.save_as(path)
        sent[dataset.SOPInstanceUID] = list(dataset.ImagePositionPatient)
    paths = masks_of(files, made.measured(*neighbours(), affine=made.AXIAL), tmp_path / "masks")
    for path in paths.values():
        seg = pydicom.dcmread(path)
        assert "DimensionOrganizationType" not in seg
        for groups in seg.PerFrameFunctionalGroupsSequence:
            (image,) = groups.DerivationImageSequence[0].SourceImageSequence
            assert list(groups.PlanePositionSequence[0].ImagePositionPatient) == sent[image.ReferencedSOPInstanceUID]


@pytest.mark.peers
@pytest.mark.slow
def test_overlapping_organs_are_both_shown(tmp_path: Path) -> None:
    """Result case 10: SegmentsOverlap YES, both masks whole in dcmqi and in the viewer; no label map is made, and it is said why."""
    files = made.series(tmp_path / "source", made.AXIAL, WHOLE_BYTES)
    mask = made.blob(WHOLE_BYTES)
    segments = (made.segment("a", mask), made.segment("b", np.roll(mask, 1, axis=0), type=codes.LUNG))
    with structlog.testing.capture_logs() as events:
        paths = masks_of(files, made.measured(*segments, affine=made.AXIAL), tmp_path / "masks")
    assert set(paths) == {Form.BINARY, Form.BINARY_DEFLATE}
    said = [(one["event"], one["form"], one["reason"]) for one in events]
    assert said == [("results.form_left_out", form, "segments overlap") for form in sorted(LABEL_MAPS)]
    for path in paths.values():
        assert pydicom.dcmread(path).SegmentsOverlap == "YES"
        same_points(path, segments, made.AXIAL)
        seen = adapters.segments_of(path, files)
        assert seen.overlapping
        for number, segment in enumerate(segments, 1):
            assert np.array_equal(seen.masks[number], segment.mask)


@pytest.mark.slow
def test_a_mask_that_would_be_too_long_is_of_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte a voxel is eight times as much as a bit: above a bound it is left out, and said; up to it, it is made."""
    files = made.series(tmp_path / "source")
    segments = neighbours()
    shape = segments[0].mask.shape
    needed = sum(int(one.mask.any(axis=(1, 2)).sum()) for one in segments) * shape[1] * shape[2]
    findings = made.measured(*segments, affine=made.AXIAL)
    for most, there in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(make, "MOST_FRACTIONAL_BYTES", most)
        with structlog.testing.capture_logs() as events:
            paths = masks_of(files, findings, tmp_path / str(there))
        assert (Form.FRACTIONAL in paths, Form.BINARY in paths) == (there, True)
        left_out = [one["form"] for one in events if one["event"] == "results.form_left_out" and one["reason"] == "too long"]
        assert left_out == ([] if there else [Form.FRACTIONAL])


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize("name", ["axial", "oblique"])
def test_a_mask_from_a_model_s_grid_comes_on_the_source_s(name: str, tmp_path: Path) -> None:
    """Result case 12: found on a coarser grid, brought back: the source's rows, columns and positions, the ball in its place."""
    affine = made.ORIENTATIONS[name]
    shape = (18, 26, 22)
    files = made.series(tmp_path / "source", affine, shape)
    volume = assemble(files)
    source = Grid.of(volume)
    model = source.resized((10, 11, 12))
    centre_mm = (affine @ (9.0, 12.0, 11.0, 1.0))[:3]
    points = np.stack(np.meshgrid(*map(np.arange, model.shape), indexing="ij"), axis=-1) @ model.affine[:3, :3].T + model.affine[:3, 3]
    ball = np.linalg.norm(points - centre_mm, axis=-1) < 11.0
    mask = resample(ball, model, source, by=Interpolation.NEAREST).astype(np.bool_)
    paths = masks_of(files, made.measured(made.segment("ball", mask), affine=volume.affine), tmp_path / "masks")
    sources = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, files)}
    for form, path in paths.items():
        seg = pydicom.dcmread(path)
        assert (seg.Rows, seg.Columns) == shape[1:]
        for groups in seg.PerFrameFunctionalGroupsSequence:
            (image,) = groups.DerivationImageSequence[0].SourceImageSequence
            position = sources[image.ReferencedSOPInstanceUID].ImagePositionPatient
            assert groups.PlanePositionSequence[0].ImagePositionPatient == position
        if form in BY_DCMQI:
            (found,) = validators.segimage2itkimage(path)
            assert np.allclose(found.centroid_mm, centre_mm, atol=1.5)


BITS_OF = {Form.BINARY: (1, 1, 0), Form.BINARY_DEFLATE: (1, 1, 0), Form.FRACTIONAL: (8, 8, 7)}


@pytest.mark.peers
@pytest.mark.slow
def test_three_hundred_labels(tmp_path: Path) -> None:
    """Result case 14: a label map of 16 bits, and 300 segments in BINARY; dcmqi gives each of them back, the validator passes both."""
    files = made.series(tmp_path / "source")
    labels = np.arange(np.prod(made.SHAPE)).reshape(made.SHAPE) // 4 + 1
    segments = [made.segment(f"part {number}", labels == number) for number in range(1, 301)]
    paths = masks_of(files, made.measured(*segments, affine=made.AXIAL), tmp_path / "masks")
    assert set(paths) == set(Form) - {Form.EMPTY, Form.NO_MASKS}
    for form, path in paths.items():
        seg = pydicom.dcmread(path)
        assert (seg.BitsAllocated, seg.BitsStored, seg.HighBit) == BITS_OF.get(form, (16, 16, 15))
        assert sum(item.SegmentNumber > 0 for item in seg.SegmentSequence) == 300
        if not seg.file_meta.TransferSyntaxUID.is_deflated:  # dicom3tools does not inflate
            assert validators.judge_modules(path, newest=True).faults == []
    same_points(paths[Form.BINARY], segments, made.AXIAL)
    for form in (Form.LABELMAP, Form.LABELMAP_RLE):
        same_points(paths[form], segments, made.AXIAL)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "bits"), [(255, 8), (256, 16)])
def test_a_byte_holds_255_labels(count: int, bits: int, tmp_path: Path) -> None:
    """The background takes the 256th value: one segment more needs 16 bits."""
    files = made.series(tmp_path / "source")
    labels = np.arange(np.prod(made.SHAPE)).reshape(made.SHAPE) // 4 + 1
    segments = [made.segment(f"part {number}", labels == number) for number in range(1, count + 1)]
    profile = Profile(name="label maps", masks=MaskEncoding.LABELMAP)
    paths = masks_of(files, made.measured(*segments, affine=made.AXIAL), tmp_path / "masks", [profile])
    seg = pydicom.dcmread(paths[Form.LABELMAP])
    assert seg.BitsAllocated == bits
    values = np.zeros(made.SHAPE, dtype=int)
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in files]
    for plane, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        values[uids.index(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)] = plane
    assert np.array_equal(values, np.where(labels <= count, labels, 0))


@pytest.mark.slow
def test_same_run_same_bytes_new_version_new_series(tmp_path: Path) -> None:
    """Result case 24: every form again, byte for byte; a new version, or a new model, has other UIDs and other series in every form."""
    files = made.series(tmp_path)
    findings = made.measured(*neighbours(), affine=made.AXIAL)

    def run(**more: Any) -> Mapping[str, Encoded]:
        return {one.form: one for one in encode(made.encoding(files, findings, profiles=PROFILES, **more)) if one.kind == "seg"}

    first, again = run(), run()
    assert {form: one.data for form, one in first.items()} == {form: one.data for form, one in again.items()}
    for changed in (run(application=made.application(version="1.2.4")), run(model_digest="f" * 64)):
        assert changed.keys() == first.keys()
        for form, one in changed.items():
            assert one.sop_instance_uid != first[form].sop_instance_uid
            assert one.series_instance_uid != first[form].series_instance_uid
    everything = [one.sop_instance_uid for one in first.values()] + [one.series_instance_uid for one in first.values()]
    assert len(set(everything)) == len(everything)


@pytest.mark.slow
def test_what_is_made_depends_on_the_profiles_and_nothing_else_does(tmp_path: Path) -> None:
    """A form's bytes are the same whoever else wants whatever: a job may be encoded again after a sink was added."""
    files = made.series(tmp_path)
    findings = made.measured(*neighbours(), affine=made.AXIAL)
    everything = {(one.kind, one.form): one.data for one in encode(made.encoding(files, findings, profiles=PROFILES))}
    for profile in PROFILES:
        for one in encode(made.encoding(files, findings, profiles=[profile])):
            assert one.data == everything[one.kind, one.form]
    (only,) = (one for one in encode(made.encoding(files, findings, profiles=())) if one.kind == "seg")
    assert only.form == "binary"


@pytest.mark.peers
@pytest.mark.slow
def test_an_empty_mask_describes_what_was_looked_for(tmp_path: Path) -> None:
    """Result case 11, where a sink wants it: segments described, zeros on the first and the last slice, and a viewer shows none."""
    files = made.series(tmp_path / "source", made.AXIAL, WHOLE_BYTES)
    nothing = np.zeros(WHOLE_BYTES, dtype=bool)
    segments = (made.segment("lesion", nothing, type=made.LESION), made.segment("bleeding", nothing))
    paths = masks_of(files, Findings(segments=segments), tmp_path / "masks")
    assert set(paths) == {Form.EMPTY}
    seg = pydicom.dcmread(paths[Form.EMPTY])
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["lesion", "bleeding"]
    assert not seg.pixel_array.any()
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in files]
    lie = [
        uids.index(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    assert lie == [8, 0, 8, 0]
    assert validators.dciodvfy(paths[Form.EMPTY]) == []
    assert validators.segimage2itkimage(paths[Form.EMPTY]) == []
    assert adapters.segments_of(paths[Form.EMPTY], files).masks == {}
    without = [Profile(name="viewer")]
    assert not any(one.kind == "seg" for one in encode(made.encoding(files, Findings(segments=segments), profiles=without)))


@pytest.mark.peers
@pytest.mark.slow
def test_validators_find_nothing_in_any_form(tmp_path: Path) -> None:
    """dciodvfy of 2026 and of 2022, one segment and several; deflated ones are inflated by DCMTK first, for dicom3tools cannot."""
    files = made.series(tmp_path / "source")
    for count in (1, 3):
        paths = masks_of(files, made.measured(*neighbours()[:count], affine=made.AXIAL), tmp_path / f"{count}")
        for form, path in paths.items():
            subject = path
            if form in (Form.BINARY_DEFLATE, Form.LABELMAP_DEFLATE):
                subject = tmp_path / f"{count}" / "inflated.dcm"
                subprocess.run([program("dcmconv", "dcmtk"), "+te", path, subject], check=True)
            assert validators.judge_modules(subject, newest=True).faults == [], form
            about = "label map" if form in LABEL_MAPS else ""
            assert validators.judge_modules(subject, about).faults == [], form


@pytest.mark.peers
@pytest.mark.slow
def test_dcmtk_decodes_jpeg_ls_to_the_same_labels(tmp_path: Path) -> None:
    """What dcmqi will not take: DCMTK's own CharLS gives the native label map's pixels."""
    files = made.series(tmp_path / "source")
    paths = masks_of(files, made.measured(*neighbours(), affine=made.AXIAL), tmp_path / "masks")
    plain = tmp_path / "plain.dcm"
    subprocess.run([program("dcmdjpls", "dcmtk"), paths[Form.LABELMAP_JPEG_LS], plain], check=True)
    assert pydicom.dcmread(plain).PixelData == pydicom.dcmread(paths[Form.LABELMAP]).PixelData


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_peers_without_compression_get_the_same_pixels(syntax: str, tmp_path: Path) -> None:
    """Each compressed form, decoded on its way out: the very pixels and frames of the plain form, under the same UIDs."""
    files = made.series(tmp_path / "source")
    paths = masks_of(files, made.measured(*neighbours(), affine=made.AXIAL), tmp_path / "masks")
    for form, path in paths.items():
        plain = pydicom.dcmread(paths[Form.LABELMAP if form in LABEL_MAPS else form if form is Form.FRACTIONAL else Form.BINARY])
        sent = BytesIO(transcoded(outgoing(path), syntax))
        got = pydicom.filereader.read_dataset(sent, is_implicit_VR=syntax == ImplicitVRLittleEndian, is_little_endian=True)
        assert got.PixelData == plain.PixelData
        assert got.SOPInstanceUID == pydicom.dcmread(path).SOPInstanceUID
        assert len(got.PerFrameFunctionalGroupsSequence) == got.NumberOfFrames == plain.NumberOfFrames


@pytest.mark.slow
def test_the_background_is_described_last(tmp_path: Path) -> None:
    """PS3.3 C.8.20.2.3.3: every value in the pixels has an item, 0 too; behind the others, for viewers that take the n-th for segment n."""
    files = made.series(tmp_path)
    objects = encode(made.encoding(files, made.measured(*neighbours(), affine=made.AXIAL), profiles=PROFILES))
    seg = next(pydicom.dcmread(BytesIO(one.data)) for one in objects if (one.kind, one.form) == ("seg", "labelmap"))
    assert [item.SegmentNumber for item in seg.SegmentSequence] == [1, 2, 3, 0]
    background = seg.SegmentSequence[-1]
    (kind,) = background.SegmentedPropertyTypeCodeSequence
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("125040", "DCM")
    assert seg.PixelPaddingValue == 0
    assert set(np.unique(seg.pixel_array)) == {item.SegmentNumber for item in seg.SegmentSequence}
    for groups in seg.PerFrameFunctionalGroupsSequence:
        assert "SegmentIdentificationSequence" not in groups


@pytest.mark.slow
def test_a_report_refers_to_the_masks_of_its_own_form(tmp_path: Path) -> None:
    """TID 1411: class and instance of the segmentation that goes with it, never of another form."""
    files = made.series(tmp_path)
    objects = encode(made.encoding(files, made.measured(*neighbours(), affine=made.AXIAL), profiles=PROFILES))
    masks = {one.form: one for one in objects if one.kind == "seg"}
    reports = {one.form: pydicom.dcmread(BytesIO(one.data)) for one in objects if one.kind == "sr"}
    assert reports.keys() == masks.keys()
    for form, report in reports.items():
        evidence = {
            (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
            for study in report.CurrentRequestedProcedureEvidenceSequence
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        assert (masks[form].sop_class_uid, masks[form].sop_instance_uid) in evidence
        others = {one.sop_instance_uid for one in masks.values()} - {masks[form].sop_instance_uid}
        assert not others & {uid for _, uid in evidence}


ODD = [(9, 5, 8), (9, 9, 8), (20, 13, 11), (24, 7, 9), (40, 15, 10)]
"""Grids of an odd number of bytes a frame, and of bits that are no whole bytes: 230 × 230 is one in the clinic."""


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize("shape", ODD)
def test_frames_of_odd_sizes_are_read_by_the_viewer_too(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """Result case 1: empty frames are added until the number of bytes says how the bits follow each other; without them the viewer's reader
    refuses every other mask of such a grid, or shifts its slices. dcmqi and pydicom read the same, before and after."""
    files = made.series(tmp_path / "source", made.AXIAL, shape)
    for held in (1, 2, 3, 6):
        mask = np.zeros(shape, dtype=bool)
        mask[1 : 1 + held, 1:4, 2:5] = True
        mask[1, 1, 1] = True
        segments = [made.segment("brain", mask), made.segment("lung", np.roll(mask, 1, axis=2), type=codes.LUNG)]
        for some in (segments[:1], segments):
            folder = tmp_path / f"{held}-{len(some)}"
            path = masks_of(files, made.measured(*some, affine=made.AXIAL), folder, PROFILES[:1])[Form.BINARY]
            read = adapters.segments_of(path, files).masks
            for number, segment in enumerate(some, 1):
                assert np.array_equal(read[number], segment.mask), (held, len(some))
            same_points(path, some, made.AXIAL)


@pytest.mark.peers
@pytest.mark.slow
def test_a_few_frames_of_odd_bits_are_misread_by_the_viewer_alone(tmp_path: Path) -> None:
    """A limit of OHIF's adapters 5.14, not of the object: five frames of 143 bits need 90 bytes, as if each were padded; nine slices
    are too few for the empty frames that would tell.

    They then take them for padded, and shift each frame by a voxel more. dcmqi reads them right, and the viewer what has a byte a voxel.
    When this fails, the viewer is mended: compare the one-segment mask above on any shape.
    """
    files = made.series(tmp_path / "source")
    segment = made.segment("brain", made.blob())
    paths = masks_of(files, made.measured(segment, affine=made.AXIAL), tmp_path / "masks")
    assert len(pydicom.dcmread(paths[Form.BINARY]).PixelData) == 90
    same_points(paths[Form.BINARY], [segment], made.AXIAL)
    assert not np.array_equal(adapters.segments_of(paths[Form.BINARY], files).masks[1], segment.mask)
    for form in (Form.LABELMAP, Form.FRACTIONAL):
        assert np.array_equal(adapters.segments_of(paths[form], files).masks[1], segment.mask)
