"""Derived images, read by SimpleITK, dciodvfy and by hand: values within half a step, where they were computed, and how they came to be."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import NuclearMedicineImageStorage

from inference import codes
from inference.codes import Code
from inference.findings import DerivedImage, Findings, Registration
from inference.imaging.assemble import assemble
from inference.imaging.subject import pair_of
from inference.imaging.volume import Affine
from inference.imaging.write_series import write_series
from node.dicom.header import read_header
from node.domain.profile import Kind
from node.results.check import check
from node.results.derived.image import stored
from node.results.encode import encode
from node.results.port import DerivedDiffers, Encoded, Encoding, NotDerivable, ReferencesDiffer
from node.results.sources import read_sources
from tests.lab.itk import read_image, read_series
from tests.lab.validators import dcentvfy, dciodvfy
from tests.results import made

SMOOTHING = Code("113087", "DCM", "Smoothing")


def denoised(voxels: NDArray[Any], **more: Any) -> DerivedImage:
    """Values between the whole ones of the source."""
    given = {
        "label": "denoised",
        "voxels": (voxels * np.float32(0.7) + np.float32(0.123)).astype(np.float32),
        "derivation": SMOOTHING,
        **more,
    }
    return DerivedImage(**given)


def encoding_of(files: Sequence[Path], *images: DerivedImage, **more: Any) -> Encoding:
    return made.encoding(files, Findings(derived=images), volume=assemble(files), **more)


def derived(encoding: Encoding) -> list[Encoded]:
    return [one for one in encode(encoding) if one.kind == Kind.DERIVED]


def read(one: Encoded) -> Dataset:
    return pydicom.dcmread(BytesIO(one.data))


def step_of(one: Encoded) -> float:
    return float(read(one).RescaleSlope)


def finer(affine: Affine) -> Affine:
    """A grid of half the spacing over the same field of view: its first voxel lies a quarter of a voxel before the first of the other."""
    half = affine.copy()
    half[:3, :3] /= 2
    half[:3, 3] = (affine @ (-0.25, -0.25, -0.25, 1))[:3]
    return half


@pytest.mark.peers
@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_simpleitk_reads_the_values_where_they_were_computed(tmp_path: Path, name: str) -> None:
    """SimpleITK gives back every value within half a step, at its point in the patient, on the source's grid and on a finer one."""
    files = made.series(tmp_path / "in", made.ORIENTATIONS[name])
    volume = assemble(files)
    same = denoised(volume.voxels)
    grown = np.repeat(np.repeat(np.repeat(same.voxels, 2, axis=0), 2, axis=1), 2, axis=2)
    grown = grown + np.linspace(0, 1, grown.size, dtype=np.float32).reshape(grown.shape)
    sharper = DerivedImage(label="twice as fine", voxels=grown, derivation=codes.SPATIAL_RESAMPLING, affine=finer(volume.affine))
    objects = derived(encoding_of(files, same, sharper))
    series = list(dict.fromkeys(one.series_instance_uid for one in objects))
    for uid, image, affine in zip(series, (same, sharper), (volume.affine, finer(volume.affine)), strict=True):
        own = [one for one in objects if one.series_instance_uid == uid]
        paths = made.save(own, tmp_path / uid)
        back = read_series(tmp_path / uid)
        half = step_of(own[0]) / 2 * (1 + 1e-6)
        for z, y, x in np.ndindex(*image.voxels.shape):
            if (z * 7 + y * 3 + x) % 11 == 0:
                assert abs(back.at((affine @ (z, y, x, 1))[:3]) - image.voxels[z, y, x]) <= half
        assert [fault for path in paths for fault in dciodvfy(path)] == []
        assert dcentvfy([*files, *paths]) == []


def test_a_derived_image_says_how_it_came_to_be(tmp_path: Path) -> None:
    """DERIVED, SECONDARY; the operation in a code and in words with the step; each slice its own source; scanner and node as equipment."""
    files = made.series(tmp_path)
    encoding = encoding_of(files, denoised(assemble(files).voxels))
    headers = {str(one.SOPInstanceUID): one for one in encoding.sources}
    for one in derived(encoding):
        dataset = read(one)
        assert list(dataset.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert dataset.DerivationCodeSequence[0].CodeValue == SMOOTHING.value
        assert f"steps of {dataset.RescaleSlope}" in dataset.DerivationDescription
        (source,) = dataset.SourceImageSequence
        header = headers[source.ReferencedSOPInstanceUID]
        assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert list(map(float, dataset.ImagePositionPatient)) == pytest.approx(list(map(float, header.ImagePositionPatient)), abs=1e-6)
        assert (dataset.InstanceNumber, dataset.KVP) == (header.InstanceNumber, header.KVP)
        assert (dataset.WindowCenter, dataset.WindowWidth) == (header.WindowCenter, header.WindowWidth)
        assert (dataset.IssuerOfPatientID, dataset.StudyDescription, dataset.Manufacturer) == ("HOSPITAL", "CT head", "hilum")
        purposes = [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in dataset.ContributingEquipmentSequence]
        assert purposes == ["109102", "109101"]
        assert dataset.ContributingEquipmentSequence[1].ManufacturerModelName == "write_series"
        assert dataset.FrameOfReferenceUID == header.FrameOfReferenceUID


def test_whole_values_are_kept_as_they_are(tmp_path: Path) -> None:
    """An int16 image needs no steps: slope 1, intercept 0, and the description says so."""
    files = made.series(tmp_path)
    volume = assemble(files)
    image = DerivedImage(label="mirrored", voxels=volume.voxels[:, :, ::-1].astype(np.int16), derivation=SMOOTHING)
    objects = derived(encoding_of(files, image))
    for z, one in enumerate(objects):
        dataset = read(one)
        assert (float(dataset.RescaleSlope), float(dataset.RescaleIntercept)) == (1.0, 0.0)
        assert "stored exactly" in dataset.DerivationDescription
        assert np.array_equal(dataset.pixel_array, image.voxels[z])


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-1024.0, 3071.5), (0.0, 4e-9), (-3e8, 5.0), (-1e-12, 7e5), (100000.25, 100000.75), (-32768.0, 32767.0)]
)
def test_nothing_is_clipped_and_nothing_off_by_more_than_half_a_step(low: float, high: float) -> None:
    """The largest and the smallest value fit, whatever the range; 0 stays exactly 0."""
    voxels = np.linspace(low, high, 3 * 64 * 64).reshape(3, 64, 64).astype(np.float32)
    voxels[0, 0, 1] = 0.0
    values = stored(voxels)
    assert len(values.slope) <= 16
    off = np.abs(values.pixels.astype(np.float64) * float(values.slope) - voxels.astype(np.float64))
    assert off.max() <= float(values.slope) * 0.5 * (1 + 1e-9)
    assert off[0, 0, 1] == 0


@pytest.mark.peers
def test_an_enhanced_source_gives_one_enhanced_instance(tmp_path: Path) -> None:
    """Same class as the source, one multi-frame instance; SimpleITK reads every value; each frame names the frame that it was made from."""
    (file,) = files = made.enhanced(tmp_path)
    dataset = pydicom.dcmread(file)
    dataset.ApplicableSafetyStandardAgency = "IEC"
    dataset.save_as(file)
    volume = assemble(files)
    image = denoised(volume.voxels)
    (one,) = derived(encoding_of(files, image))
    assert one.sop_class_uid == dataset.SOPClassUID
    (path,) = made.save([one], tmp_path / "out")
    assert dciodvfy(path) == []
    written = read(one)
    back, step = read_image(path), float(written.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleSlope)
    for z, y, x in np.ndindex(*image.voxels.shape):
        assert abs(back.at((volume.affine @ (z, y, x, 1))[:3]) - image.voxels[z, y, x]) <= step / 2 * (1 + 1e-6)
    numbers = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber for frame in written.PerFrameFunctionalGroupsSequence
    ]
    assert numbers == [source.frame for source in volume.sources]


@pytest.mark.peers
def test_values_between_0_and_1_have_a_window(tmp_path: Path) -> None:
    """A window narrower than 1 needs the function that allows it; the source's own window shows nothing of such values."""
    files = made.series(tmp_path / "in")
    volume = assemble(files)
    rising = np.linspace(100, 100.9, volume.voxels.size, dtype=np.float32).reshape(volume.voxels.shape) * np.float32(5)
    for path, one in zip(made.save(objects := derived(encoding_of(files, denoised(rising / 700 + 4))), tmp_path), objects, strict=True):
        dataset = read(one)
        low, high = (float(dataset.WindowCenter) + sign * float(dataset.WindowWidth) / 2 for sign in (-1, 1))
        assert dciodvfy(path) == []
        assert low < high


def test_other_classes_are_refused(tmp_path: Path) -> None:
    """An object of another class than its source would not say what it is."""
    files = made.series(tmp_path)
    volume = assemble(files)
    sources = tuple(replace(source, sop_class_uid=NuclearMedicineImageStorage) for source in volume.sources)
    encoding = made.encoding(files, Findings(derived=(denoised(volume.voxels),)), volume=replace(volume, sources=sources))
    with pytest.raises(NotDerivable, match="class"):
        encode(encoding)


def test_a_sheared_grid_is_refused(tmp_path: Path) -> None:
    """No stack of images lies like that; viewers would straighten it in silence."""
    files = made.series(tmp_path)
    volume = assemble(files)
    sheared = volume.affine.copy()
    sheared[1, 0] += 0.5
    with pytest.raises(NotDerivable, match="sheared"):
        encode(encoding_of(files, denoised(volume.voxels, affine=sheared)))


def test_once_lossy_for_ever_lossy(tmp_path: Path) -> None:
    """What was lost before is stated of what was made from it (PS3.3 C.7.6.1.1.5)."""
    files = made.series(tmp_path, LossyImageCompression="01", LossyImageCompressionRatio="12", LossyImageCompressionMethod="ISO_10918_1")
    for one in derived(encoding_of(files, denoised(assemble(files).voxels))):
        dataset = read(one)
        assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 12)


def test_windows_of_single_slices_become_one(tmp_path: Path) -> None:
    """A series whose slices were each windowed for themselves would flicker with other values: one window is computed for all."""
    files = made.series(tmp_path)
    for number, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        dataset.WindowWidth = 300 + number
        dataset.save_as(path)
    windows = {(one.WindowCenter, one.WindowWidth) for one in map(read, derived(encoding_of(files, denoised(assemble(files).voxels))))}
    assert len(windows) == 1


def test_what_is_burned_in_stays_burned_in(tmp_path: Path) -> None:
    """Writing in one source may be in any derived slice; where the source says nothing, nobody knows."""
    for said, expected in (("YES", "YES"), ("NO", "NO"), (None, None)):
        more: dict[str, Any] = {"BurnedInAnnotation": "NO"} if said else {}
        files = made.series(tmp_path / str(said), **more)
        if said == "YES":
            dataset = pydicom.dcmread(files[2])
            dataset.BurnedInAnnotation = "YES"
            dataset.save_as(files[2])
        objects = derived(encoding_of(files, denoised(assemble(files).voxels)))
        assert {read(one).get("BurnedInAnnotation") for one in objects} == {expected}


@pytest.mark.peers
def test_a_resampled_prior_lies_in_the_current_study(tmp_path: Path) -> None:
    """Made from the prior's instances and dated so in words; study, patient and frame of reference are the current ones, and the sources
    are found where they belong: in the other study. A marked point of the prior comes to lie where the registration takes it."""
    current = made.series(tmp_path / "a")
    shifted = made.AXIAL.copy()
    shifted[:3, 3] += (3.0, -4.0, 5.0)
    extra = {"StudyDate": "20230109", "SeriesNumber": 7, "BodyPartExamined": "HEAD", "IssuerOfPatientID": "HOSPITAL"}
    prior = write_series(made.voxels(), shifted, tmp_path / "b", modality="CT", patient_name="Doe^Jane", patient_id="P-1", extra=extra)
    pair = pair_of(current=assemble(current), prior=assemble(prior))
    matrix = np.eye(4)
    matrix[:3, 3] = -3.0, 4.0, -5.0
    voxels = np.full(made.SHAPE, -1000, dtype=np.int16)
    voxels[4, 6, 5] = 1234
    image = DerivedImage(label="prior aligned", voxels=voxels, derivation=codes.SPATIAL_RESAMPLING, of_prior=True)
    findings = Findings(derived=(image,), registration=Registration(matrix=matrix))
    objects = derived(made.encoding([*current, *prior], findings, volume=pair))
    paths = made.save(objects, tmp_path / "out")
    uids = {path: str(pydicom.dcmread(path).SOPInstanceUID) for path in prior}
    for z, one in enumerate(objects):
        dataset = read(one)
        assert dataset.StudyInstanceUID == pair.reference.study_instance_uid
        assert dataset.FrameOfReferenceUID == pair.reference.frame_of_reference_uid
        assert "prior images of 20230109" in dataset.DerivationDescription
        assert {item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence} <= set(uids.values())
        # taken back by the registration, a slice lies on the prior's slice of the same number
        assert pair["prior"].sources[z].sop_instance_uid in {item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence}
        (study,) = dataset.StudiesContainingOtherReferencedInstancesSequence
        assert study.StudyInstanceUID == pair["prior"].study_instance_uid
        assert "ReferencedSeriesSequence" not in dataset
    back = read_series(tmp_path / "out")
    assert back.at((pair.reference.affine @ (4, 6, 5, 1))[:3]) == 1234
    assert [fault for path in paths for fault in dciodvfy(path)] == []
    assert dcentvfy([*current, *paths]) == []


def test_instance_numbers_run_as_the_sources_do(tmp_path: Path) -> None:
    """Who sorts by InstanceNumber sees a finer grid from the same end as the source."""
    files = made.series(tmp_path)
    for number, path in enumerate(reversed(files), start=1):
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = number
        dataset.save_as(path)
    volume = assemble(files)
    image = denoised(np.repeat(volume.voxels, 2, axis=0), affine=volume.affine @ np.diag([0.5, 1, 1, 1]))
    by_number = sorted(map(read, derived(encoding_of(files, image))), key=lambda one: int(one.InstanceNumber))
    heights = [float(one.ImagePositionPatient[2]) for one in by_number]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mr_enhanced_xa30_T1", "mr_enhanced_xa30_ADC", "mr_hippocrop_Study1", "mr_t1_sag_HFS_decubitus"])
def test_real_series_give_valid_ones(real: Callable[[str], list[Path]], tmp_path: Path, name: str) -> None:
    """Scanners' own headers, classic and enhanced: what is derived from them is valid, and SimpleITK reads the values where they lie."""
    files = real(f"dicom/{name}.zip")
    volume = assemble(files)
    image = denoised(volume.voxels)
    paths = made.save(derived(encoding_of(files, image)), tmp_path / "out")
    assert [fault for path in (paths[0], paths[-1]) for fault in dciodvfy(path)] == []
    back = read_image(paths[0]) if len(paths) == 1 else read_series(tmp_path / "out")
    assert back.values.shape == volume.voxels.shape
    for place in np.argwhere(np.random.default_rng(1).random(volume.voxels.shape) > 0.9999):
        z, y, x = place
        step = max(float(np.abs(image.voxels).max()) / 32767, 1e-9)
        assert abs(back.at((volume.affine @ (z, y, x, 1))[:3]) - image.voxels[z, y, x]) <= step


def test_equal_encodings_give_equal_bytes(tmp_path: Path) -> None:
    """No clock and no dice, slice by slice; UIDs differ between the slices, and from the source's."""
    files = made.series(tmp_path)
    encoding = encoding_of(files, denoised(assemble(files).voxels))
    first, again = derived(encoding), derived(encoding)
    assert [one.data for one in first] == [one.data for one in again]
    assert len({one.sop_instance_uid for one in first}) == len(files)
    assert len({one.series_instance_uid for one in first}) == 1


def test_the_node_knows_its_own_series_again(tmp_path: Path) -> None:
    """A PACS that forwards everything sends derived images back, of an ordinary class: they are results, and open no arrival."""
    files = made.series(tmp_path)
    assert not read_header(files[0])[0].made_by_hilum
    assert all(read_header(one.data)[0].made_by_hilum for one in derived(encoding_of(files, denoised(assemble(files).voxels))))


def test_an_image_that_was_written_otherwise_does_not_leave(tmp_path: Path) -> None:
    """A value that is off by a step, a slice that lies elsewhere, a stranger as source, a slice that is missing: each is found."""
    files = made.series(tmp_path)
    encoding = encoding_of(files, denoised(assemble(files).voxels))
    objects, sources = derived(encoding), read_sources(encoding)
    check(objects, encoding, sources)

    def changed(**values: Any) -> list[Encoded]:
        dataset = read(objects[3])
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return [*objects[:3], replace(objects[3], data=file.getvalue()), *objects[4:]]

    pixels = read(objects[3]).pixel_array.copy()
    pixels[2, 2] += 1
    with pytest.raises(DerivedDiffers, match="half a step"):
        check(changed(PixelData=pixels.tobytes()), encoding, sources)
    x, y, z = read(objects[3]).ImagePositionPatient
    with pytest.raises(DerivedDiffers, match="does not lie"):
        check(changed(ImagePositionPatient=[x, y, z + 0.01]), encoding, sources)
    stranger = Dataset()
    stranger.ReferencedSOPClassUID, stranger.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    with pytest.raises(ReferencesDiffer):
        check(changed(SourceImageSequence=[stranger]), encoding, sources)
    with pytest.raises(DerivedDiffers, match="slices"):
        check(objects[:-1], encoding, sources)
