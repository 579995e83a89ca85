"""Tilted and uneven stacks on a straight grid, and what is marked there on the slices as acquired; `dcm2niix` is the other opinion."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from inference.imaging.assemble import assemble
from inference.imaging.regrid import RegriddedVolume, straightened
from inference.imaging.volume import Volume
from tests.lab import needs, tilted


def straight(volume: Volume) -> RegriddedVolume:
    """Made straight; there has to be something to do."""
    made = straightened(volume)
    assert made is not None
    return made


@pytest.mark.parametrize("degrees", [0, 4, 15, -18.5, 22, 30])
def test_a_ball_keeps_its_volume_and_shape_whatever_the_tilt(degrees: float, tmp_path: Path) -> None:
    """40 mm of radius are 268.1 cm³: area times distance along the normal on the acquired slices, and on the straight grid, within 1 %; on
    the straight grid it is as wide as deep and tall, within a voxel, and its middle is where it was put."""
    volume = assemble(tilted.ball(tmp_path, degrees))
    assert volume.tilt_degrees == pytest.approx(abs(degrees), abs=1e-3)
    assert volume.spacing_mm == pytest.approx((2.5 * np.cos(np.radians(degrees)), 0.8, 0.8), abs=1e-5)
    assert volume.volume_mm3(volume.voxels > 0) / 1000 == pytest.approx(tilted.BALL_CM3, rel=0.01)
    made = straightened(volume)
    assert (made is None) == (degrees == 0)
    upright = volume if made is None else made.volume
    mask = upright.voxels > 0
    assert int(mask.sum()) * upright.voxel_volume_mm3 / 1000 == pytest.approx(tilted.BALL_CM3, rel=0.01)
    directions = upright.affine[:3, :3] / np.array(upright.spacing_mm)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-9)
    found = np.argwhere(mask)
    extent = (np.ptp(found, axis=0) + 1) * np.array(upright.spacing_mm)
    np.testing.assert_allclose(extent, 2 * tilted.RADIUS_MM, atol=2.5)
    np.testing.assert_allclose(upright.to_patient(found.mean(axis=0)), 0, atol=0.45)


def test_what_is_marked_on_the_straight_grid_comes_back_on_the_same_pixels(tmp_path: Path) -> None:
    """No pixel is interpolated on the way: the values come back bit by bit, a mask as the same mask."""
    volume = assemble(tilted.ball(tmp_path, 20))
    made = straight(volume)
    assert made.volume.voxels.shape[1] > volume.voxels.shape[1]
    np.testing.assert_array_equal(made.back(made.volume.voxels), volume.voxels)
    np.testing.assert_array_equal(made.back(made.volume.voxels > 0), volume.voxels > 0)
    assert made.volume.voxels.min() == volume.voxels.min()
    with pytest.raises(ValueError, match="straight grid"):
        made.back(volume.voxels)


def test_what_is_marked_on_the_slices_stands_up_straight(tmp_path: Path) -> None:
    """Brought onto the straight grid a ball is marked there where it is, and brought back it is the same mask."""
    volume = assemble(tilted.ball(tmp_path, 20))
    made = straight(volume)
    upon = made.onto(volume.voxels > 0)
    np.testing.assert_array_equal(upon, made.volume.voxels > 0)
    np.testing.assert_array_equal(made.back(upon), volume.voxels > 0)
    with pytest.raises(ValueError, match="source grid"):
        made.onto(upon)


def test_every_voxel_of_a_slice_lies_within_half_a_pixel_of_its_place(tmp_path: Path) -> None:
    """By the standard's equation, from the headers: the first pixel of each file on the straight grid's own affine."""
    files = tilted.ball(tmp_path, -12)
    made = straight(assemble(files))
    for z, path in enumerate(files):
        (at,) = np.argwhere(np.array([one.sop_instance_uid for one in made.source.sources]) == pydicom.dcmread(path).SOPInstanceUID)[0]
        place = made.volume.to_patient(np.array([made.planes[at], made.rows[at], made.columns[at]]))
        off = place - [float(mm) for mm in pydicom.dcmread(path).ImagePositionPatient]
        assert np.linalg.norm(off) <= tilted.PIXEL_MM / 2 + 1e-3, z


def test_blocks_of_thin_and_thick_slices_count_as_what_they_stand_for(tmp_path: Path) -> None:
    """4 mm up to the middle and 7 mm above, 15 degrees tilted: the ball's volume within 1 % on the slices, and every slice comes back."""
    along = np.concatenate([-52 + 4.0 * np.arange(13), -4 + 5.5 + 7.0 * np.arange(8)])
    lean = np.cos(np.radians(15))
    thick = [4.0 * lean] * 13 + [7.0 * lean] * 8
    volume = assemble(tilted.ball(tmp_path, 15, along_mm=list(along), thickness_mm=thick))
    assert volume.steps is not None
    assert volume.widest_mm == pytest.approx(7 * lean, abs=1e-4)
    assert volume.volume_mm3(volume.voxels > 0) / 1000 == pytest.approx(tilted.BALL_CM3, rel=0.01)
    made = straight(volume)
    assert made.volume.spacing_mm[0] <= 4 * lean + 1e-6
    np.testing.assert_array_equal(made.back(made.volume.voxels), volume.voxels)
    for z in range(21):
        np.testing.assert_allclose(volume.to_patient(np.array([z, 79.5, 79.5])), (0, 0, along[z]), atol=1e-3)
        np.testing.assert_allclose(volume.to_indices(np.array([0, 0, along[z]])), (z, 79.5, 79.5), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "degrees", "shape"),
    [("ct_head_GE_gantrytilt.zip", 18.5, (135, 611, 512)), ("bad_geometry/gantrytilting_001.zip", 14.0, (4, 521, 512))],
)
def test_real_tilted_series(name: str, degrees: float, shape: tuple[int, int, int], real: Callable[[str], list[Path]]) -> None:
    """18.5 degrees stand in the header of the head (GantryDetectorTilt), which is not read; 14 are what dcm2niix says of the other."""
    volume = assemble(real(f"dicom/{name}"))
    assert volume.tilt_degrees == pytest.approx(degrees, abs=0.01)
    made = straight(volume)
    assert made.volume.voxels.shape == shape
    np.testing.assert_array_equal(made.back(made.volume.voxels), volume.voxels)


@pytest.mark.peers
def test_the_straight_grid_of_a_real_series_is_that_of_dcm2niix(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Four slices of 14 degrees: the same shape, the same affine, and every voxel between those of ours that lie beside it along the
    columns: dcm2niix moves slices by parts of a pixel, and interpolates."""
    import nibabel

    files = real("dicom/bad_geometry/gantrytilting_001.zip")
    theirs = nibabel.load(_dcm2niix(files, tmp_path) / "x_Tilt_1.nii")
    upright = straight(assemble(files)).volume
    ours = upright.voxels.astype(np.float64)
    # columns, rows turned, slices; RAS
    values = np.asarray(theirs.dataobj)[:, ::-1].transpose(2, 1, 0)
    assert values.shape == ours.shape
    affine = np.diag([-1, -1, 1, 1]) @ theirs.affine
    for z, y, x in np.ndindex(2, 2, 2):
        index = np.array([z, y, x]) * (np.array(ours.shape) - 1)
        place = (affine @ (index[2], ours.shape[1] - 1 - index[1], index[0], 1))[:3]
        np.testing.assert_allclose(upright.to_patient(index), place, atol=upright.spacing_mm[1])
    least, most = (f([ours, _moved(ours, 1), _moved(ours, -1)], axis=0) for f in (np.min, np.max))
    assert np.all((values >= least - 1) & (values <= most + 1))


@pytest.mark.slow
@pytest.mark.peers
def test_the_real_head_lies_where_dcm2niix_lays_it(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """The head whose slices are 4 and then 7 mm apart, which dcm2niix lays on 56 even planes: each of its voxels lies between those of our
    slices above and below, and beside it along the columns; and it is no constant that would fit anything."""
    import nibabel

    files = real("dicom/ct_head_GE_gantrytilt.zip")
    theirs = nibabel.load(_dcm2niix(files, tmp_path) / "x_Tilt_Eq_1.nii")
    made = straight(assemble(files))
    values = np.asarray(theirs.dataobj)[:, ::-1].transpose(2, 1, 0).astype(np.float64)
    assert values.shape[1:] == made.volume.voxels.shape[1:]
    slices = made.volume.voxels[made.planes].astype(np.float64)
    depth = (np.array(made.source.steps) * made.source.spacing_mm[0]).astype(np.float64)
    step_mm = float(theirs.header.get_zooms()[2])
    outside = 0
    for z, plane in enumerate(values):
        high = int(np.clip(np.searchsorted(depth, z * step_mm - 1e-3), 1, len(depth) - 1))
        beside = [_moved(slices[near], by) for near in (high - 1, high) for by in (-1, 0, 1)]
        outside += int(np.count_nonzero((plane < np.min(beside, axis=0) - 1) | (plane > np.max(beside, axis=0) + 1)))
    assert outside / values.size < 1e-4
    assert np.ptp(values) > 3000


def _moved(array: NDArray[Any], by: int) -> NDArray[Any]:
    """By one row (the last axis but one); at the end the last row again."""
    moved = np.roll(array, by, axis=-2)
    edge = 0 if by > 0 else -1
    moved[..., edge, :] = array[..., edge, :]
    return moved


def _dcm2niix(files: list[Path], folder: Path) -> Path:
    program = needs.python_program("dcm2niix", "dcm2niix")
    source = folder / "source"
    source.mkdir()
    for number, file in enumerate(files):
        (source / f"{number:04}.dcm").write_bytes(file.read_bytes())
    subprocess.run([program, "-o", folder, "-f", "x", source], check=True, capture_output=True, timeout=120)
    return folder
