"""To a model's grid and exactly back: turns lose nothing, half voxels are where they belong, nothing is mirrored."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from inference.imaging.resample import TOWARDS, Grid, Interpolation, gather, reorientation, resample
from inference.imaging.volume import SliceSource, Volume

from .test_geometry import rotation

ORIENTATIONS = ["".join(letters) for axes in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*axes)]


def grid_towards(
    letters: str,
    shape: tuple[int, int, int] = (32, 40, 44),
    spacing: tuple[float, float, float] = (2.0, 1.7, 1.5),
    turn: NDArray[np.float64] | None = None,
) -> Grid:
    """A grid whose axes run exactly towards the letters, centred at (5, -7, 11) mm; `turn` rotates it about its centre."""
    affine = np.eye(4)
    for axis, letter in enumerate(letters):
        patient, sign = TOWARDS[letter]
        affine[:3, axis] = 0
        affine[patient, axis] = sign * spacing[axis]
    if turn is not None:
        affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = np.array([5, -7, 11]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape=shape, affine=affine)


def places(grid: Grid) -> np.ndarray:
    """(Z, Y, X, 3): where every voxel lies, mm; each column of the affine times its index, added up."""
    z, y, x = np.indices(grid.shape)
    deep, down, across, first = grid.affine[:3].T
    return np.asarray(z[..., None] * deep + y[..., None] * down + x[..., None] * across + first)


BLOBS = ((3.0, (-8, -10, 6)), (2.0, (12, 4, 8)), (1.0, (4, -16, 20)))
"""Weights and centres (mm) of three Gaussian blobs: an L with a foot, no two of its ends alike, so that a mirrored axis shows."""

CENTROID = np.array([4.0 / 6, -38.0 / 6, 54.0 / 6])
"""By hand: (3 x -8 + 2 x 12 + 4, 3 x -10 + 2 x 4 - 16, 3 x 6 + 2 x 8 + 20) / 6."""


def phantom(grid: Grid) -> np.ndarray:
    """The blobs (standard deviation 3 mm), evaluated at every voxel centre."""
    at = places(grid)
    return np.asarray(sum(weight * np.exp(-((at - centre) ** 2).sum(axis=-1) / 18) for weight, centre in BLOBS), dtype=np.float32)


def centroid(image: np.ndarray, grid: Grid) -> np.ndarray:
    """The mean place, weighted by the values, mm."""
    return np.asarray((places(grid) * image[..., None]).sum(axis=(0, 1, 2), dtype=float) / image.sum(dtype=float))


@pytest.mark.parametrize("source", ORIENTATIONS)
def test_every_orientation_turns_without_loss_and_back(source: str) -> None:
    """48 orientations to RAS: the same voxel is at the same place, the axes run as asked, and back is bit for bit."""
    grid = grid_towards(source, shape=(4, 5, 6))
    values = np.random.default_rng(0).integers(0, 1000, grid.shape)
    turn = reorientation(grid, "RAS")
    turned, there = turn.apply(values), turn.grid(grid)
    assert turned.shape == there.shape
    np.testing.assert_array_equal(turn.undo(turned), values)
    directions = there.affine[:3, :3] / np.linalg.norm(there.affine[:3, :3], axis=0)
    # RAS in LPS coordinates: right is -x, anterior is -y, superior is +z
    np.testing.assert_allclose(directions, np.diag([-1, -1, 1]), atol=1e-12)
    by_place = {tuple(np.round(at, 6)): value for at, value in zip(places(grid).reshape(-1, 3), values.reshape(-1), strict=True)}
    for at, value in zip(places(there).reshape(-1, 3), turned.reshape(-1), strict=True):
        assert by_place[tuple(np.round(at, 6))] == value


def test_reorientation_agrees_with_nibabel() -> None:
    """Oblique grids too: nibabel's closest canonical orientation of the same array."""
    nibabel = pytest.importorskip("nibabel")
    rng = np.random.default_rng(5)
    for source in ORIENTATIONS:
        grid = grid_towards(source, shape=(4, 5, 6), turn=rotation(*rng.uniform(-0.4, 0.4, 3)))
        values = rng.integers(0, 1000, grid.shape)
        theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(values.astype("i4"), np.diag([-1, -1, 1, 1]) @ grid.affine))
        turn = reorientation(grid, "RAS")
        np.testing.assert_array_equal(turn.apply(values), np.asarray(theirs.dataobj))
        np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ turn.grid(grid).affine, theirs.affine, atol=1e-5)


def test_an_orientation_names_each_axis_once() -> None:
    """Two letters of one axis, an unknown letter, too few."""
    for wrong in ("LRS", "RAX", "RA"):
        with pytest.raises(ValueError, match=wrong):
            reorientation(grid_towards("LPS"), wrong)


@pytest.mark.parametrize("source", ORIENTATIONS)
def test_a_phantom_keeps_its_place_on_the_way_there_and_back(source: str) -> None:
    """A phantom whose centroid is known by hand goes to RAS, 64 x 60 x 56 voxels over the same field of view, and back.

    Interpolated, the centroid stays within a tenth of a voxel (half a voxel is the classic mistake), there and back; nearest neighbours,
    which repeat some voxels and not others, within a third. The values are those of the phantom at the new places (0.4 of a peak of 3
    is what chords of a Gaussian leave out), so that no axis is mirrored; and a mask comes back on the source grid.
    """
    grid = grid_towards(source)
    image = phantom(grid)
    voxel = min(grid.spacing_mm)
    assert np.abs(centroid(image, grid) - CENTROID).max() < voxel / 10
    turn = reorientation(grid, "RAS")
    model = turn.grid(grid).resized((64, 60, 56))
    for by, allowed, error in ((Interpolation.LINEAR, voxel / 10, 0.4), (Interpolation.NEAREST, voxel / 3, 1.2)):
        there = resample(image, grid, model, by=by)
        assert np.abs(centroid(there, model) - CENTROID).max() < allowed
        assert np.abs(there - phantom(model)).max() < error
        back = resample(there, model, grid, by=by)
        assert back.shape == grid.shape
        assert np.abs(centroid(back, grid) - CENTROID).max() < allowed
        mask, returned = image > 0.5, resample(there > 0.5, model, grid, by=by)
        assert returned.dtype == np.bool_
        assert 2 * (mask & returned).sum() / (mask.sum() + returned.sum()) > 0.9


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-3, 3))
@example(0.8125, 0.0, 0.0)
def test_an_oblique_phantom_keeps_its_place(a: float, b: float, c: float) -> None:
    """Any rotation against the model's grid: the centroid stays within a tenth of a voxel, there and back. The nearest voxel lies up to
    half a voxel off, and where axes run alike everywhere in one direction: its measure is scipy's nearest sample."""
    grid = grid_towards("SPL", shape=(36, 41, 46), spacing=(2.0, 1.8, 1.6), turn=rotation(a, b, c))
    model = grid_towards("RAS", shape=(60, 60, 60), spacing=(1.2, 1.2, 1.2))
    image = phantom(grid)
    there = resample(image, grid, model, by=Interpolation.LINEAR)
    assert np.abs(centroid(there, model) - CENTROID).max() < 0.16
    assert np.abs(there - phantom(model)).max() < 0.45
    back = resample(there, model, grid, by=Interpolation.LINEAR)
    assert np.abs(centroid(back, grid) - CENTROID).max() < 0.16
    there = resample(image, grid, model, by=Interpolation.NEAREST)
    assert np.abs(centroid(there, model) - centroid(nearest_by_scipy(image, grid, model), model)).max() < 0.01
    assert np.abs(centroid(there, model) - CENTROID).max() < max(grid.spacing_mm) / 2


def nearest_by_scipy(image: NDArray[Any], grid: Grid, model: Grid) -> NDArray[Any]:
    """The sample of `image` that is nearest to each voxel of `model`, by another library."""
    homogeneous = np.vstack([np.indices(model.shape).reshape(3, -1), np.ones(np.prod(model.shape))])
    at = (np.linalg.inv(grid.affine) @ model.affine @ homogeneous)[:3]
    return np.asarray(ndimage.map_coordinates(image, at, order=0)).reshape(model.shape)


@pytest.mark.parametrize("angle", [0.0, -0.8031504075720777, 0.3])
def test_samples_midway_between_two_voxels_go_where_scipy_lets_them_go(angle: float) -> None:
    """Every third sample is a tie: whichever neighbour it takes moves the centroid; scipy's nearest sample moves it as far."""
    grid = grid_towards("SPL", shape=(36, 40, 46), spacing=(2.0, 1.8, 1.6), turn=rotation(0, angle, 0))
    model = grid_towards("RAS", shape=(60, 60, 60), spacing=(1.2, 1.2, 1.2))
    image = phantom(grid)
    there = resample(image, grid, model, by=Interpolation.NEAREST)
    assert np.abs(centroid(there, model) - centroid(nearest_by_scipy(image, grid, model), model)).max() < 0.01


@settings(deadline=None, max_examples=60)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 14)] * 3), st.integers(0, 100))
def test_resizing_is_what_torch_does(shape: tuple[int, int, int], wanted: tuple[int, int, int], seed: int) -> None:
    """torch's "nearest-exact", and its trilinear mode with half-voxel centres, are the reference for resizing over one field of view."""
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    grid = Grid(shape=shape, affine=np.diag([3.0, 2.0, -1.0, 1.0]))
    tensor = torch.from_numpy(values)[None, None]
    nearest = torch.nn.functional.interpolate(tensor, size=wanted, mode="nearest-exact")[0, 0].numpy()
    np.testing.assert_array_equal(resample(values, grid, grid.resized(wanted), by=Interpolation.NEAREST), nearest)
    linear = torch.nn.functional.interpolate(tensor, size=wanted, mode="trilinear", align_corners=False)[0, 0].numpy()
    np.testing.assert_allclose(resample(values, grid, grid.resized(wanted), by=Interpolation.LINEAR), linear, atol=2e-5)


def test_oblique_and_parallel_ways_agree() -> None:
    """A grid turned by a hair more than counts as parallel gives what the parallel way gives."""
    rng = np.random.default_rng(2)
    grid = grid_towards("LAI", shape=(12, 10, 9))
    values = rng.normal(size=grid.shape).astype(np.float32)
    target = grid_towards("SPR", shape=(14, 8, 11), spacing=(1.1, 2.2, 1.3))
    turned = Grid(shape=target.shape, affine=target.affine.copy())
    turned.affine[:3, :3] = rotation(2e-3, 0, 0) @ turned.affine[:3, :3]
    straight, oblique = (resample(values, grid, to, by=Interpolation.LINEAR, fill=-9) for to in (target, turned))
    inside = (straight != -9) & (oblique != -9)
    assert inside.mean() > 0.3
    assert np.abs(straight - oblique)[inside].max() < 0.1
    assert ((straight == -9) != (oblique == -9)).mean() < 0.02


def test_a_crop_and_its_extension_keep_their_place() -> None:
    """Voxels (1..3) of an axis, and two more beyond its end: what lies outside is filled."""
    grid = Grid(shape=(5, 1, 1), affine=np.diag([2.0, 1, 1, 1]))
    values = np.arange(5, dtype=np.int16).reshape(5, 1, 1) + 10
    part = grid.cropped((3, 0, 0), (7, 1, 1))
    np.testing.assert_allclose(part.affine[:3, 3], [6, 0, 0])
    got = resample(values, grid, part, by=Interpolation.NEAREST, fill=-1)
    assert got.dtype == np.int16
    assert got.ravel().tolist() == [13, 14, -1, -1]
    assert resample(values, grid, part, by=Interpolation.LINEAR, fill=-1).ravel().tolist() == [13, 14, -1, -1]


def test_a_volume_s_grid_is_its_own() -> None:
    """Same shape and affine, so that a mask resampled to it fits the source instances."""
    affine = np.diag([2.0, 1, 1, 1])
    source = SliceSource(sop_instance_uid="1.2", sop_class_uid="1.3")
    volume = Volume(
        voxels=np.zeros((2, 3, 4), np.int16),
        affine=affine,
        sources=(source, source),
        modality="MR",
        study_instance_uid="1",
        series_instance_uid="1",
        frame_of_reference_uid="1",
    )
    grid = Grid.of(volume)
    assert grid.shape == (2, 3, 4)
    assert grid.affine is affine
    with pytest.raises(ValueError, match="not on a grid"):
        resample(np.zeros((9, 9, 9)), grid, grid, by=Interpolation.NEAREST)


def test_the_input_is_never_changed() -> None:
    """Same grid, fill outside, both ways of interpolation: the array handed in stays as it was."""
    grid = Grid(shape=(3, 3, 3), affine=np.eye(4))
    values = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    before = values.copy()
    for by in Interpolation:
        resample(values, grid, grid.cropped((-1, -1, -1), (3, 3, 3)), by=by, fill=7)[...] = -1
        same = resample(values, grid, grid, by=by)
        np.testing.assert_array_equal(same, before)
        same[...] = -1
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("turn", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("back", [(0, 1, 2), (2, 1, 0), (2, 0, 1)])
def test_gathering_planes_is_indexing(turn: tuple[int, int, int], back: tuple[int, int, int]) -> None:
    """Whatever the memory order of what is read and what is written; numpy's own indexing is the judge."""
    rng = np.random.default_rng(3)
    values = rng.integers(-99, 99, (9, 11, 13), dtype=np.int16).transpose(turn)[:, ::-1]
    indices = [np.sort(rng.integers(0, size, count)) for size, count in zip(values.shape, (7, 20, 5), strict=True)]
    meant = values[np.ix_(*indices)]
    out = np.empty([meant.shape[axis] for axis in back], dtype=np.float32).transpose(np.argsort(back))
    assert gather(values, indices, out) is out
    np.testing.assert_array_equal(out, meant)


@pytest.mark.parametrize("by", list(Interpolation))
def test_values_are_put_where_they_are_wanted(by: Interpolation) -> None:
    """`out` of any strides and another dtype holds what would have been returned, the fill outside the source included."""
    values = np.random.default_rng(4).random((6, 7, 8)).astype(np.float32)
    grid = Grid(shape=(6, 7, 8), affine=np.eye(4))
    target = grid.cropped((-2, 0, 1), (5, 9, 8)).resized((10, 9, 12))
    out = np.empty(target.shape[::-1], dtype=np.float64).T
    assert resample(values, grid, target, by=by, fill=-7, out=out) is out
    np.testing.assert_array_equal(out, resample(values, grid, target, by=by, fill=-7))
    with pytest.raises(ValueError, match="does not hold a grid"):
        resample(values, grid, target, by=by, out=out.T)
