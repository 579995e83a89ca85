"""A written series is what a scanner would send: valid to dciodvfy, in place to highdicom and nibabel, the same bytes every time."""

import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
import pytest

from inference.imaging.assemble import assemble
from inference.imaging.write_series import from_nifti, write_series

from .test_geometry import rotation
from .test_resample import ORIENTATIONS, grid_towards, places

AXIAL = np.array([[0, 0, 0.8, -10], [0, 0.9, 0, -20], [3.0, 0, 0, 5], [0, 0, 0, 1]])


def gradient(shape: tuple[int, int, int] = (5, 6, 7), low: int = -1000) -> np.ndarray:
    """Every voxel another value."""
    return (np.arange(np.prod(shape)).reshape(shape) + low).astype(np.int16)


@pytest.mark.peers
@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("extra", [{}, {"BodyPartExamined": "HEAD", "StudyDescription": "MR HEAD", "ProtocolName": "T1 3D"}])
def test_dciodvfy_finds_no_error(modality: Literal["CT", "MR"], extra: dict[str, str], tmp_path: Path) -> None:
    """All modules of the CT and MR Image IODs, types and conditions."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian dicom3tools) is not installed")
    paths = write_series(gradient(low=0), AXIAL, tmp_path, modality=modality, series_description="T1", extra=extra)
    said = subprocess.run(["dciodvfy", paths[2]], capture_output=True, text=True, check=False)
    assert "Error" not in said.stderr + said.stdout
    assert said.returncode == 0


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_what_is_written_is_assembled_again(modality: Literal["CT", "MR"], tmp_path: Path) -> None:
    """Values, affine and order survive, for an oblique series too; DS of 16 characters costs less than 1e-6 mm."""
    affine = AXIAL.copy()
    affine[:3, :3] = rotation(0.3, -0.2, 0.5) @ affine[:3, :3]
    volume = assemble(write_series(gradient(), affine, tmp_path, modality=modality))
    np.testing.assert_array_equal(volume.voxels, gradient())
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert volume.modality == modality


def test_a_stack_written_from_head_to_foot_is_turned_not_mirrored(tmp_path: Path) -> None:
    """The affine's slice axis runs against the normal: assembled, the order turns round and every voxel keeps its place."""
    affine = AXIAL.copy()
    affine[2, 0] = -3
    volume = assemble(write_series(gradient(), affine, tmp_path, modality="CT"))
    np.testing.assert_array_equal(volume.voxels, gradient()[::-1])
    np.testing.assert_allclose((volume.affine @ (4, 0, 0, 1))[:3], affine[:3, 3])


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller", "ImageComments": "Größe"},
        {"InstanceNumber": 7, "SOPInstanceUID": "1.2.3", "SmallestImagePixelValue": 3},
    ],
    ids=["plain", "another character set", "attributes that differ from slice to slice otherwise"],
)
def test_every_slice_is_written_as_pydicom_writes_it(extra: dict[str, object], tmp_path: Path) -> None:
    """The first and the others, byte by byte; what is given is in all of them."""
    for number, path in enumerate(write_series(gradient(low=0), AXIAL, tmp_path, modality="MR", extra=extra)):
        read = pydicom.dcmread(path)
        for name, value in extra.items():
            assert read[name].value == value
        assert read["InstanceNumber"].value == extra.get("InstanceNumber", number + 1)
        again = BytesIO()
        read.decode()
        read.save_as(again, enforce_file_format=True)
        assert again.getvalue() == path.read_bytes()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """UIDs are derived: another voxel, another series; another description, another series of the same study."""
    first, second = (write_series(gradient(), AXIAL, tmp_path / name, modality="CT") for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    named = pydicom.dcmread(write_series(gradient(), AXIAL, tmp_path / "c", modality="CT", series_description="late")[0])
    other = pydicom.dcmread(write_series(gradient() + 1, AXIAL, tmp_path / "d", modality="CT")[0])
    original = pydicom.dcmread(first[0])
    assert named.StudyInstanceUID == original.StudyInstanceUID != other.StudyInstanceUID
    assert len({named.SeriesInstanceUID, original.SeriesInstanceUID, other.SeriesInstanceUID}) == 3
    assert len({str(pydicom.dcmread(path).SOPInstanceUID) for path in first}) == 5
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in (original.SOPInstanceUID, original.FrameOfReferenceUID))


def test_given_uids_and_extra_attributes_are_kept(tmp_path: Path) -> None:
    """Also a name in Chinese, in the character set that the caller chose; a misspelt keyword is refused."""
    paths = write_series(
        gradient(),
        AXIAL,
        tmp_path,
        modality="MR",
        study_uid="1.2.3",
        series_uid="1.2.4",
        patient_name="Wang^XiaoDong=王^小东",
        extra={"SpecificCharacterSet": "GB18030", "SliceThickness": "5"},
    )
    written = pydicom.dcmread(paths[0])
    assert (written.StudyInstanceUID, written.SeriesInstanceUID, written.SliceThickness) == ("1.2.3", "1.2.4", 5)
    assert written.PatientName.ideographic == "王^小东"
    with pytest.raises(ValueError, match="Modalty"):
        write_series(gradient(), AXIAL, tmp_path, modality="MR", extra={"Modalty": "MR"})


def test_hounsfield_units_are_kept_and_mr_fractions_stretched(tmp_path: Path) -> None:
    """-3024 HU (outside the field of view) and 31000 fit; 0 … 1 in MR becomes 0 … 4095; a HU beyond 16 bits is refused."""
    voxels = np.array([-3024, -1000, 0, 31000]).reshape(2, 2, 1)
    assert assemble(write_series(voxels, AXIAL, tmp_path / "ct", modality="CT")).voxels.ravel().tolist() == [-3024, -1000, 0, 31000]
    fractions = np.array([0, 0.5, 0.25, 1]).reshape(2, 2, 1)
    assert assemble(write_series(fractions, AXIAL, tmp_path / "mr", modality="MR")).voxels.ravel().tolist() == [0, 2048, 1024, 4095]
    with pytest.raises(ValueError, match="do not fit"):
        write_series(voxels * 100, AXIAL, tmp_path, modality="CT")


def test_a_sheared_affine_is_refused(tmp_path: Path) -> None:
    """No DICOM slice can lie like that."""
    affine = AXIAL.copy()
    affine[0, 1] = 0.3
    with pytest.raises(ValueError, match="sheared"):
        write_series(gradient(), affine, tmp_path, modality="CT")


@pytest.mark.parametrize("source", ORIENTATIONS)
def test_a_nifti_of_any_orientation_becomes_axial_slices_in_place(source: str, tmp_path: Path) -> None:
    """The affine goes to the file in RAS, as NIfTI wants; every voxel comes back at the place that the file says, in LPS."""
    nibabel = pytest.importorskip("nibabel")
    grid = grid_towards(source, shape=(4, 5, 6), turn=rotation(0.1, 0.2, -0.1))
    values = np.random.default_rng(0).permutation(120).reshape(grid.shape).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1, -1, 1, 1]) @ grid.affine), tmp_path / "a.nii.gz")
    voxels, affine = from_nifti(tmp_path / "a.nii.gz")
    # slices towards the head, rows (axis 1) towards the back, columns (axis 2) towards the left: within the turn of 0.3 rad
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    assert min(directions[2, 0], directions[1, 1], directions[0, 2]) > 0.9
    place_of = dict(zip(values.ravel().tolist(), places(grid).reshape(-1, 3), strict=True))
    for index in np.ndindex(voxels.shape):
        np.testing.assert_allclose((affine @ (*index, 1))[:3], place_of[int(voxels[index])], atol=1e-4)


def test_a_published_thorax_ct_keeps_its_place(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """HU and world coordinates of the corners, against nibabel's own reading of the file."""
    nibabel = pytest.importorskip("nibabel")
    path = real("labelled/ct_thorax_pulm/ct_cropped.nii.gz")[0]
    voxels, affine = from_nifti(path)
    volume = assemble(write_series(voxels, affine, tmp_path, modality="CT"))
    image = nibabel.load(path)
    theirs = np.asanyarray(image.dataobj)
    to_index = np.linalg.inv(np.diag([-1, -1, 1, 1]) @ image.affine)
    rng = np.random.default_rng(0)
    for z, y, x in rng.integers(0, volume.voxels.shape, (500, 3)):
        i, j, k, _ = np.rint(to_index @ volume.affine @ (z, y, x, 1)).astype(int)
        assert volume.voxels[z, y, x] == theirs[i, j, k]
