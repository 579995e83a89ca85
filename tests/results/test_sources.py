"""Sources of every shape through the whole encoder: what refers to which frame, where it lies, what is left out and what is refused."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, EnhancedCTImageStorage, ExplicitVRLittleEndian, NuclearMedicineImageStorage
from scipy.spatial import cKDTree

from inference import codes, findings_file
from inference.errors import InputError
from inference.findings import Box, Evaluation, Findings, Location, Measurement
from inference.imaging.errors import DuplicatePosition, GantryTilt, Gap, IrregularSpacing, MixedFrameOfReference, MixedOrientation
from inference.imaging.subject import Takes
from inference.imaging.subjects import Assembled, subjects
from inference.imaging.volume import Volume
from node.dicom.uid import derive_uid
from node.domain.profile import Form
from node.results.encode import encode
from node.results.port import Encoded, Encoding
from tests.lab import validators
from tests.results import images, made


def encoding(assembled: Assembled, findings: Findings) -> Encoding:
    """As the node makes it from what was read and what was found."""
    return Encoding(
        application=made.application(),
        findings=findings,
        sources=assembled.headers,
        subject=assembled.subject,
        part=assembled.part,
        at=made.AT,
        input_digest=hashlib.sha256(b"inputs").hexdigest(),
        model_digest=hashlib.sha256(b"model").hexdigest(),
        findings_digest=findings_file.digest(findings),
        parameters="{}",
        device_uid=derive_uid("device", "of the test"),
    )


def in_the_middle(volume: Volume) -> NDArray[np.bool_]:
    """A box off the middle on every axis, so that a flip shows."""
    mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    sides: tuple[int, ...] = mask.shape
    firsts = [int(side * (0.3 + 0.05 * axis)) for axis, side in enumerate(sides)]
    mask[tuple(slice(first, max(int(side * 0.7), first + 1)) for first, side in zip(firsts, sides, strict=True))] = 1
    return mask


def a_volume(assembled: Assembled) -> Volume:
    """The volume that the files make."""
    assert isinstance(assembled.subject, Volume)
    return assembled.subject


def segmented(assembled: Assembled) -> list[Encoded]:
    """All objects about a box in the volume."""
    volume = assembled.subject
    assert isinstance(volume, Volume)
    mask = in_the_middle(volume)
    cm3 = float(mask.sum()) * volume.voxel_volume_mm3 / 1000
    measured = Measurement(name=codes.VOLUME, value=cm3, unit=codes.CUBIC_CENTIMETRE, segment="box")
    return encode(encoding(assembled, Findings(segments=(made.segment("box", mask),), measurements=(measured,))))


def segmentation(objects: Sequence[Encoded], folder: Path) -> Path:
    """The file of the segmentation in bits; on grids of no whole bytes there is one of fractions beside it."""
    (one,) = (each for each in objects if each.kind == "seg" and each.form == Form.BINARY)
    return made.save([one], folder)[0]


def frames_of(path: Path) -> list[tuple[str, int, list[float], NDArray[np.bool_]]]:
    """(source instance, source frame, position, mask) of each frame, read with pydicom alone."""
    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns).astype(bool)
    found = []
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        position = [float(mm) for mm in group.PlanePositionSequence[0].ImagePositionPatient]
        found.append((str(source.ReferencedSOPInstanceUID), int(source.ReferencedFrameNumber), position, pixels[number]))
    return found


def same_points(path: Path, volume: Volume) -> bool:
    """Whether 3D Slicer's converter finds every voxel of the mask where it was meant, within a twentieth of a millimetre, and no other."""
    (segment,) = validators.segimage2itkimage(path)
    found, meant = segment.points_mm(), made.points_mm(in_the_middle(volume), volume.affine)
    distance, nearest = cKDTree(found).query(meant)
    return len(found) == len(meant) == len(set(nearest)) and float(distance.max()) < 0.05


def enhanced_ct(folder: Path) -> Path:
    """One Enhanced CT: frames from last to first; an orientation a frame, shared spacing, a rescale that some frames share."""
    affine, image = made.ORIENTATIONS["oblique"], made.voxels()
    classic = pydicom.dcmread(made.series(folder / "classic", affine)[0], stop_before_pixels=True)
    dataset = Dataset()
    for keyword in (
        "PatientName",
        "PatientID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "StudyDate",
        "IssuerOfPatientID",
    ):
        setattr(dataset, keyword, classic[keyword].value)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = EnhancedCTImageStorage, "1.2.3.4.5", "CT"
    dataset.ImageType, dataset.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], len(image)
    dataset.Rows, dataset.Columns = image.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [float(spacing[1]), float(spacing[2])], float(spacing[0])
    shared.PixelMeasuresSequence = [measures]
    transformation = Dataset()
    transformation.RescaleIntercept, transformation.RescaleSlope, transformation.RescaleType = -2000, 1, "HU"
    shared.PixelValueTransformationSequence = [transformation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    stored, groups = [], []
    for z in reversed(range(len(image))):
        group, place, orientation = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [float(mm) for mm in (affine @ (z, 0, 0, 1))[:3].round(6)]
        orientation.ImageOrientationPatient = [*(affine[:3, 2] / spacing[2]).round(9), *(affine[:3, 1] / spacing[1]).round(9)]
        group.PlanePositionSequence, group.PlaneOrientationSequence = [place], [orientation]
        # of one slope, two intercepts in one CT would be refused
        intercept, slope = (-1024, 0.5) if z % 2 else (-2000, 1)
        if z % 2:
            own = Dataset()
            own.RescaleIntercept, own.RescaleSlope, own.RescaleType = intercept, slope, "HU"
            group.PixelValueTransformationSequence = [own]
        stored.append(((image[z].astype(int) - intercept) / slope).astype("u2"))
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.PixelData = np.stack(stored).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder / "enhanced.dcm"


def spect(folder: Path, step_mm: float) -> Path:
    """A tomogram of nuclear medicine: its first slice lies at z = 40 mm."""
    image = np.abs(made.voxels()).astype("u2")
    dataset = pydicom.dcmread(made.series(folder / "classic")[0], stop_before_pixels=True)
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = [-20, -30, 40], [1, 0, 0, 0, 1, 0]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"):
        delattr(dataset, keyword)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = NuclearMedicineImageStorage, "1.2.3.4.6", "NM"
    dataset.ImageType, dataset.NumberOfFrames = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"], len(image)
    dataset.DetectorInformationSequence, dataset.SpacingBetweenSlices = [detector], step_mm
    dataset.SliceVector, dataset.FrameIncrementPointer = list(range(1, len(image) + 1)), 0x00540080
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 0
    dataset.PixelData = image.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.save_as(folder / "spect.dcm", enforce_file_format=True)
    return folder / "spect.dcm"


@pytest.mark.peers
@pytest.mark.slow
def test_an_enhanced_ct_with_shared_and_own_groups(tmp_path: Path) -> None:
    """Result case 16: each frame of the segmentation names the frame of the source that lies where it lies; dcmqi finds the mask there."""
    source = enhanced_ct(tmp_path)
    (assembled,) = subjects(Takes.VOLUME, "refuse", [source])
    volume = a_volume(assembled)
    np.testing.assert_array_equal(volume.voxels, made.oriented(volume, made.voxels(), made.ORIENTATIONS["oblique"]))
    path = segmentation(segmented(assembled), tmp_path / "out")
    sent = pydicom.dcmread(source, stop_before_pixels=True)
    numbers = []
    for uid, frame, position, mask in frames_of(path):
        assert uid == "1.2.3.4.5"
        assert mask.any()
        place = sent.PerFrameFunctionalGroupsSequence[frame - 1].PlanePositionSequence[0]
        assert position == pytest.approx([float(mm) for mm in place.ImagePositionPatient])
        numbers.append(frame)
    assert len(set(numbers)) == len(numbers) == int(in_the_middle(volume).any(axis=(1, 2)).sum())
    assert same_points(path, volume)
    assert [fault for one in made.save(segmented(assembled), tmp_path / "all") for fault in validators.dciodvfy(one)] == []


@pytest.mark.peers
@pytest.mark.parametrize("name", ["mr_enhanced_xa30_T1", "mr_enhanced_xa30_TRACEW", "mr_enhanced_xa30_ADC"])
def test_real_enhanced_instances(name: str, real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Result case 16, on published enhanced MR: frame numbers by position, points by dcmqi."""
    files = real(f"dicom/{name}.zip")
    (assembled,) = subjects(Takes.VOLUME, "refuse", files)
    path = segmentation(segmented(assembled), tmp_path)
    sent = pydicom.dcmread(files[0], stop_before_pixels=True)
    for _, frame, position, _ in frames_of(path):
        place = sent.PerFrameFunctionalGroupsSequence[frame - 1].PlanePositionSequence[0]
        assert position == pytest.approx([float(mm) for mm in place.ImagePositionPatient], abs=1e-4)
    assert same_points(path, a_volume(assembled))


@pytest.mark.peers
@pytest.mark.slow
def test_one_time_point_of_twenty(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Result case 7: of a BOLD series with 20 images at every place each volume has its own results, which name its own instance alone."""
    files = real("dicom/mr_enhanced_xa30_BOLD4D.zip")
    parts = subjects(Takes.VOLUME, "each", files)
    seen = set()
    for part in (parts[0], parts[7]):
        objects = segmented(part)
        path = segmentation(objects, tmp_path / part.part)
        (header,) = part.headers
        assert {uid for uid, *_ in frames_of(path)} == {header.SOPInstanceUID}
        (series,) = pydicom.dcmread(path).ReferencedSeriesSequence
        assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == [header.SOPInstanceUID]
        assert all(f"[{part.part}]" in one.description for one in objects)
        seen |= {one.sop_instance_uid for one in objects}
        assert same_points(path, a_volume(part))
    assert len(seen) == 2 * len(objects)


@pytest.mark.peers
@pytest.mark.parametrize("step_mm", [2.5, -2.5])
def test_a_tomogram_of_nuclear_medicine(step_mm: float, tmp_path: Path) -> None:
    """Its header gives one place for all frames; the segmentation has one for each, with the frame's number, and dcmqi agrees."""
    (assembled,) = subjects(Takes.VOLUME, "refuse", [spect(tmp_path, step_mm)])
    path = segmentation(segmented(assembled), tmp_path / "out")
    for uid, frame, position, _ in frames_of(path):
        assert uid == "1.2.3.4.6"
        assert position == pytest.approx([-20, -30, 40 + step_mm * (frame - 1)])
    assert same_points(path, a_volume(assembled))
    assert validators.dciodvfy(path) == []


@pytest.mark.peers
@pytest.mark.parametrize("name", ["GH184.dcm", "1.dcm", "GH610.dcm"])
def test_positron_emission(name: str, real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """One real slice each, of fractional slopes down to 6e-8: activity as ITK reads it, and results that no validator objects to."""
    import SimpleITK

    (file,) = real(f"dicom/xa_nm_pt_mr_misc/{name}")
    (assembled,) = subjects(Takes.VOLUME, "refuse", [file])
    theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
    np.testing.assert_allclose(a_volume(assembled).voxels, theirs, rtol=1e-5, atol=float(theirs.max()) * 1e-6)
    for one in made.save(segmented(assembled), tmp_path):
        assert validators.dciodvfy(one) == []


def test_localizers_among_the_slices(tmp_path: Path) -> None:
    """Result case 8: three scouts in the series are no slices, are named by no result, and the reader is told."""
    files = made.series(tmp_path)
    scouts = []
    for number in range(3):
        dataset = pydicom.dcmread(files[number])
        dataset.SOPInstanceUID = f"1.2.3.99.{number}"
        dataset.ImageType, dataset.ImageOrientationPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], [0, 1, 0, 0, 0, -1]
        scouts.append(tmp_path / f"scout-{number}.dcm")
        dataset.save_as(scouts[-1])
    (assembled,) = subjects(Takes.VOLUME, "refuse", [*scouts, *files])
    assert assembled.remarks == (f"3 of {len(files) + 3} instances are localizers and were not looked at.",)
    for one in segmented(assembled):
        assert b"1.2.3.99" not in one.data


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        # Result case 5: a missing slice
        ("dicom/bad_geometry/sliceincrement_001.zip", Gap, "1 slice is missing"),
        # Result case 8, of a scout that does not call itself one
        ("dicom/bad_geometry/sliceorientation_001.zip", MixedOrientation, "90.0 degrees apart"),
    ],
)
def test_real_geometry_that_is_refused(name: str, error: type[InputError], said: str, real: Callable[[str], list[Path]]) -> None:
    """Result case 5 and 8: refused with the reason, the instances, a code and what to do; no mask is shifted in silence."""
    with pytest.raises(error, match=said) as caught:
        subjects(Takes.VOLUME, "each", real(name))
    assert caught.value.code.startswith("HLM-30")
    assert caught.value.remedy
    assert not caught.value.retry


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        # Result case 4, beyond what a gantry can tilt
        (lambda z, ds: _move(ds, y=2.5 * z * np.tan(np.radians(40))), GantryTilt, r"40\.0 degrees"),
        # Result case 6: z that is not even
        (lambda z, ds: _move(ds, z=0.3 * z * z), IrregularSpacing, "the distance between slices varies"),
        # Result case 7: one image is there twice
        (lambda z, ds: _move(ds, z=-2.5 if z == 4 else 0), DuplicatePosition, "1 of 8 positions hold several images"),
        # Result case 9: one image in a space of its own
        (lambda z, ds: setattr(ds, "FrameOfReferenceUID", "1.2.9") if z == 4 else None, MixedFrameOfReference, "2 frames of reference"),
    ],
)
def test_made_geometry_that_is_refused(change: Callable[[int, Dataset], None], error: type[InputError], said: str, tmp_path: Path) -> None:
    """Result cases 4, 6, 7 and 9: never a mask in the wrong place, whether parts are taken or not."""
    files = made.series(tmp_path)
    for path in files:
        dataset = pydicom.dcmread(path)
        change(round((float(dataset.ImagePositionPatient[2]) - 40) / 2.5), dataset)
        dataset.save_as(path)
    for parts in ("refuse", "each"):
        with pytest.raises(error, match=said):
            subjects(Takes.VOLUME, parts, files)


def _move(dataset: Dataset, *, y: float = 0, z: float = 0) -> None:
    x0, y0, z0 = map(float, dataset.ImagePositionPatient)
    dataset.ImagePositionPatient = [x0, round(y0 + y, 6), round(z0 + z, 6)]


@pytest.mark.parametrize("retired", ["1.2.840.10008.5.1.4.1.1.3", "1.2.840.113543.6.6.1.1.2"])
def test_a_loop_of_a_retired_or_private_class(retired: str, tmp_path: Path) -> None:
    """The libraries know neither; the reports are made, and name the source under its own class."""
    path = images.loop(tmp_path)
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(retired)
    dataset.save_as(path)
    (assembled,) = subjects(Takes.CINE, "refuse", [path])
    objects = encode(encoding(assembled, Findings(evaluations=(Evaluation(finding=made.LESION, value=codes.PRESENT),))))
    (report,) = (pydicom.dcmread(one) for one in made.save([one for one in objects if one.kind == "sr"], tmp_path / "out"))
    (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert [item.ReferencedSOPClassUID for item in series.ReferencedSOPSequence] == [retired]


NAMES = [
    pytest.param(["ISO_IR 100"], "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen", id="Latin-1"),
    pytest.param(
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        id="Kanji",
    ),
    pytest.param([], "Wang^XiaoDong=王^小東".encode(), "Wang^XiaoDong=王^小東", id="UTF-8 that nobody declared"),
]


@pytest.mark.parametrize("shape", ["volume", "radiograph", "loop"])
@pytest.mark.parametrize(("character_sets", "raw", "name"), NAMES)
def test_names_and_absent_attributes_of_every_shape(character_sets: list[str], raw: bytes, name: str, shape: str, tmp_path: Path) -> None:
    """Result cases 22 and 23: names intact in UTF-8, IssuerOfPatientID and StudyDescription kept, absent Type 2 attributes there and empty;
    in every object about a volume, a radiograph or a loop."""
    found: tuple[Location, ...] = (
        Location(label="spot", finding=made.LESION, shape=Box(top=1, left=2, bottom=5, right=7), image=0, certainty=0.5),
    )
    said = (Evaluation(finding=made.LESION, value=codes.PRESENT, finding_site=codes.HEAD),)
    findings = Findings(locations=found, evaluations=said)
    if shape == "volume":
        files, takes = made.series(tmp_path), Takes.VOLUME
    elif shape == "radiograph":
        files, takes = [images.radiograph(tmp_path, 1, 7)], Takes.IMAGES
    else:
        files, takes = [images.loop(tmp_path)], Takes.CINE
    for path in files:
        dataset = pydicom.dcmread(path)
        for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyTime", "ReferringPhysicianName"):
            if keyword in dataset:
                delattr(dataset, keyword)
        dataset.IssuerOfPatientID, dataset.StudyDescription = "HOSPITAL", "CT head"
        dataset.save_as(path)
        made.with_bytes(path, "PatientName", raw, character_sets)
    (assembled,) = subjects(takes, "refuse", files, str(pydicom.dcmread(files[0]).SeriesInstanceUID))
    objects = encode(encoding(assembled, findings))
    assert {"sr", "detections", "sc"} <= {str(one.kind) for one in objects}
    for path in made.save(objects, tmp_path / "out"):
        dataset = pydicom.dcmread(path)
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert str(dataset.PatientName) == name
        assert (dataset.IssuerOfPatientID, dataset.StudyDescription) == ("HOSPITAL", "CT head")
        for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyTime", "ReferringPhysicianName"):
            assert keyword in dataset
            assert not dataset[keyword].value


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "takes", "frame"),
    [
        ("dicom/mg/GH133.dcm", Takes.IMAGES, None),
        ("dicom/xr/RG3_JLSL", Takes.IMAGES, None),
        ("dicom/us_cine/examples_ybr_color.dcm", Takes.CINE, 3),
        ("dicom/xa_nm_pt_mr_misc/jpeg_baseline_8bit.dcm", Takes.CINE, 3),
    ],
)
def test_real_images_that_are_no_volumes(
    name: str, takes: Takes, frame: int | None, real: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    """A box on a mammogram, a radiograph, an ultrasound loop, an angiogram: validators take every object; the box names its frame where
    there are frames, and no geometry is made up."""
    findings = Findings(
        locations=(Location(label="spot", finding=made.LESION, shape=Box(top=10, left=20, bottom=50, right=70), image=(frame or 1) - 1),),
        evaluations=(Evaluation(finding=made.LESION, value=codes.PRESENT),),
    )
    (assembled,) = subjects(takes, "refuse", real(name))
    objects = encode(encoding(assembled, findings))
    for one, path in zip(objects, made.save(objects, tmp_path), strict=True):
        assert validators.faults_of(path, report=one.kind in {"sr", "detections"}) == []
        dataset = pydicom.dcmread(path)
        assert "FrameOfReferenceUID" not in dataset
        assert "ImagePositionPatient" not in dataset
        if one.kind == "detections":
            boxes = [item for item in dataset.iterall() if item.keyword == "ContentSequence"]
            named = [image for item in boxes for region in item.value if region.ValueType == "SCOORD" for image in region.ContentSequence]
            assert named
            assert {image.ReferencedSOPSequence[0].get("ReferencedFrameNumber") for image in named} == {frame}
