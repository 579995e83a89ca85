"""Deformable Spatial Registrations: which way they go, by the clause's formula and by SimpleITK; validated by dciodvfy."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import Deformation, Findings, Registration
from inference.imaging.assemble import assemble
from inference.imaging.registration.field import folded, stretch
from inference.imaging.subject import pair_of, prior_in
from node.domain.profile import Kind
from node.results.check import check
from node.results.encode import encode
from node.results.page.figures import pair_figure
from node.results.port import DeformationDiffers, DeformationFolds, DeformationTooLarge, Encoded, Encoding
from node.results.sources import read_sources
from tests.lab.validators import dcentvfy, dciodvfy
from tests.results import made
from tests.results.test_registration import MATRIX, pair

AFFINE = np.array([[0, 0, 5.0, -40], [0, 6.0, 0, -50], [7.0, 0, 0, 20], [0, 0, 0, 1]])
"""Of the grid, along the patient's axes: 5, 6 and 7 mm along x, y and z."""


def bump(height_mm: float = 3.0) -> NDArray[np.float32]:
    """(6, 8, 9, 3): a smooth hill of offsets, unlike along each axis."""
    z, y, x = np.mgrid[-1:1:6j, -1:1:8j, -1:1:9j]
    hill = np.exp(-3 * (x**2 + y**2 + z**2))[..., None] * np.array([1.0, -0.5, 0.25])
    offsets: NDArray[np.float32] = (height_mm * hill).astype(np.float32)
    return offsets


def encoding_of(current: Sequence[Path], prior: Sequence[Path], offsets: NDArray[np.float32] | None = None) -> Encoding:
    subject = pair_of(current=assemble(current), prior=assemble(prior))
    found = Deformation(matrix=MATRIX, offsets=bump() if offsets is None else offsets, affine=AFFINE)
    return made.encoding([*current, *prior], Findings(deformation=found), volume=subject)


def deformation(encoding: Encoding) -> Encoded:
    (found,) = (one for one in encode(encoding) if one.kind == Kind.DEFORMABLE_REGISTRATION)
    return found


def read(one: Encoded) -> Dataset:
    return pydicom.dcmread(BytesIO(one.data))


def transform_of(item: Dataset) -> sitk.CompositeTransform:
    """The object for another program: SimpleITK takes a point of the fixed image to the moving one, last transform first."""
    (grid,) = item.DeformableRegistrationGridSequence
    orientation = np.array(grid.ImageOrientationPatient, dtype=float).reshape(2, 3)
    values = np.frombuffer(grid.VectorGridData, "<f4").reshape(*map(int, reversed(grid.GridDimensions)), 3)
    field = sitk.GetImageFromArray(values.astype(float), isVector=True)
    field.SetOrigin([float(number) for number in grid.ImagePositionPatient])
    field.SetSpacing([float(number) for number in grid.GridResolution])
    field.SetDirection(np.stack([*orientation, np.cross(*orientation)], axis=1).ravel().tolist())
    steps = [item.PostDeformationMatrixRegistrationSequence[0], item.PreDeformationMatrixRegistrationSequence[0]]
    after, before = (sitk.AffineTransform(3) for _ in steps)
    for transform, step in zip((after, before), steps, strict=True):
        matrix = np.array([float(number) for number in step.FrameOfReferenceTransformationMatrix]).reshape(4, 4)
        transform.SetMatrix(matrix[:3, :3].ravel().tolist())
        transform.SetTranslation(matrix[:3, 3].tolist())
    return sitk.CompositeTransform([after, sitk.DisplacementFieldTransform(field), before])


@pytest.mark.peers
def test_a_place_of_the_current_images_goes_to_the_prior_by_hand_and_by_another_program(tmp_path: Path) -> None:
    """The node (2, 3, 4) of the grid lies at (-20, -32, 34), where the hill moves it by an offset that follows on paper; then the rigid
    motion is undone. SimpleITK, given the attributes of the prior's item, takes it there; the current images' item says of no move."""
    current, prior = pair(tmp_path)
    one = deformation(encoding_of(current, prior))
    dataset = read(one)
    here, there = dataset.DeformableRegistrationSequence
    headers = [pydicom.dcmread(path) for path in (current[0], prior[0])]
    assert [here.SourceFrameOfReferenceUID, there.SourceFrameOfReferenceUID] == [one.FrameOfReferenceUID for one in headers]
    assert dataset.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert "DeformableRegistrationGridSequence" not in here
    # z 2 of 0..5 is -0.2, y 3 of 0..7 is -1/7, x 4 of 0..8 is 0: 3 exp(-3 (0.04 + 1/49)) = 2.50307
    height = 3 * np.exp(-3 * (0.04 + 1 / 49))
    moved = np.array([-20 + height, -32 - height / 2, 34 + height / 4])
    # 8 degrees back after the shift was taken off
    cosine, sine = np.cos(np.radians(8)), np.sin(np.radians(8))
    x, y, z = moved - (12.5, -7.25, 31.0)
    expected = (cosine * x + sine * y, -sine * x + cosine * y, z)
    assert transform_of(there).TransformPoint((-20.0, -32.0, 34.0)) == pytest.approx(expected, abs=1e-4)
    (path,) = made.save([one], tmp_path / "out")
    assert dciodvfy(path) == []
    assert dcentvfy([*current, path]) == []


def offset_turned(item: Dataset) -> None:
    grid = item.DeformableRegistrationGridSequence[0]
    grid.VectorGridData = (-np.frombuffer(grid.VectorGridData, "<f4")).tobytes()


def slowest_first(item: Dataset) -> None:
    grid = item.DeformableRegistrationGridSequence[0]
    grid.VectorGridData = bump().transpose(2, 1, 0, 3).tobytes()


def matrix_forward(item: Dataset) -> None:
    step = item.PostDeformationMatrixRegistrationSequence[0]
    step.FrameOfReferenceTransformationMatrix = [f"{number:.10f}" for number in MATRIX.ravel()]


def one_node_less(item: Dataset) -> None:
    item.DeformableRegistrationGridSequence[0].GridDimensions = [8, 8, 6]


@pytest.mark.parametrize("spoil", [offset_turned, slowest_first, matrix_forward, one_node_less])
def test_a_deformation_the_wrong_way_round_does_not_leave(tmp_path: Path, spoil: Callable[[Dataset], None]) -> None:
    """Validators read all of these: the check does not pass one."""
    encoding = encoding_of(*pair(tmp_path))
    one, sources = deformation(encoding), read_sources(encoding)
    check([one], encoding, sources)
    dataset = read(one)
    spoil(dataset.DeformableRegistrationSequence[1])
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    with pytest.raises(DeformationDiffers):
        check([replace(one, data=file.getvalue())], encoding, sources)


def test_what_folds_does_not_leave(tmp_path: Path) -> None:
    """A hill of 40 mm in a grid of 5 mm: places change their order."""
    current, prior = pair(tmp_path)
    with pytest.raises(DeformationFolds, match="folds space in"):
        encode(encoding_of(current, prior, bump(40.0)))


def test_a_grid_that_is_too_large_is_told_as_such(tmp_path: Path) -> None:
    """64 MiB of offsets and a layer more: nothing folds in it."""
    current, prior = pair(tmp_path)
    offsets = np.broadcast_to(np.float32(0), ((64 << 20) // 120_000 + 1, 100, 100, 3))
    with pytest.raises(DeformationTooLarge, match=r"the offsets of the deformation take 6[45] MiB, more than 64"):
        encode(encoding_of(current, prior, offsets))


def test_folding_is_told_by_the_slopes_between_nodes() -> None:
    """On paper: x moves by -1.2 of the distance to the next node and turns over; by -0.8 it is squeezed to a fifth."""
    for slope, least in ((-0.8, 0.2), (-1.2, -0.2)):
        offsets = np.zeros((3, 3, 5, 3), dtype=np.float32)
        offsets[:, :, 2, 0] = slope * 5.0
        found = Deformation(matrix=np.eye(4), offsets=offsets, affine=AFFINE)
        # between node 1 and 2 the slope is that, between 2 and 3 the same uphill
        assert stretch(found)[0, 0].tolist() == pytest.approx([1, least, 2 - least, 1])
        assert folded(found) == (0.5 if least < 0 else 0.0)


def test_equal_encodings_give_equal_bytes(tmp_path: Path) -> None:
    """No clock and no dice."""
    encoding = encoding_of(*pair(tmp_path))
    assert deformation(encoding).data == deformation(encoding).data


def test_the_page_says_of_its_pictures_that_the_prior_was_bent(tmp_path: Path) -> None:
    """They show it as the grid bends it: "aligned" stands over a prior that was moved alone."""
    encoding = encoding_of(*pair(tmp_path))
    current, prior, found = encoding.volume, prior_in(encoding.subject), encoding.findings
    assert prior is not None
    for findings, said in ((found, "prior, bent"), (Findings(registration=Registration(matrix=MATRIX)), "prior, aligned")):
        figure = pair_figure(current, prior, findings, [""] * len(current.voxels))
        assert {str(tile.name) for tile in figure.tiles[1::3]} == {said}
