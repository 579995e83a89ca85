"""Diameters: those of a mesh by marching cubes, of all pairs of pixels, and of bodies whose diameters are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from skimage.measure import marching_cubes

from inference.imaging.measures.lengths import AxialDiameter, LongestDiameter
from tests.unit.applications.bundle.images import blobs, volume
from tests.unit.imaging.measures.segments import refusal, results, segment

SPACING = (2.5, 0.7, 0.9)


def bent(shape: tuple[int, int, int] = (16, 44, 40)) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Several parts without any symmetry, away from the borders."""
    mask = np.zeros(shape, np.bool_)
    mask[2:-2, 3:-3, 3:-3] = blobs(shape, seed=4)[2:-2, 3:-3, 3:-3] > 260
    return mask


def test_the_longest_diameter_is_that_of_a_mesh() -> None:
    """scikit-image's marching cubes and every pair of its vertices; a turned patient makes no difference."""
    mask = bent()
    vertices, *_ = marching_cubes(mask.astype(np.float64), 0.5)
    image = volume(np.zeros(mask.shape, np.int16), SPACING, tilt=0.4)
    (found,) = results(LongestDiameter(segments=("a",)), image, segment("a", mask))
    assert (found.name.value, found.name.scheme, found.unit.value) == ("L0JK", "IBSI", "mm")
    assert found.value == pytest.approx(pdist(vertices * np.array(SPACING)).max(), rel=1e-9)


def test_a_single_voxel_and_a_plane_have_diameters() -> None:
    """From face to face of one voxel along its longest side, and of a square sheet along its diagonal."""
    one, sheet = np.zeros((5, 12, 12), np.bool_), np.zeros((5, 12, 12), np.bool_)
    one[2, 4, 5] = sheet[2, 1:11, 1:11] = True
    image = volume(np.zeros(one.shape, np.int16), (3.0, 1.0, 1.0))
    assert results(LongestDiameter(segments=("a",)), image, segment("a", one))[0].value == pytest.approx(3.0)
    # from a corner pixel's face to that of the one opposite: 10 and 9 along the two axes
    assert results(LongestDiameter(segments=("a",)), image, segment("a", sheet))[0].value == pytest.approx(np.hypot(10, 9))


def test_the_axial_diameter_is_that_of_the_farthest_pixels_of_any_slice() -> None:
    """Every pair of pixels of every slice, and from the middles of the two to their outer edges; a ball of 20 mm is 20 mm across."""
    mask = bent()
    image = volume(np.zeros(mask.shape, np.int16), SPACING)
    long, short = results(AxialDiameter(segments=("a",)), image, segment("a", mask))
    farthest = max(cdist(at, at).max() for plane in mask if len(at := np.argwhere(plane) * np.array(SPACING[1:])))
    assert (long.name.value, short.name.value) == ("103339001", "103340004")
    assert long.value == pytest.approx(farthest + np.sqrt(SPACING[1] * SPACING[2]))
    z, y, x = np.ogrid[:25, :60, :60]
    ball = ((z - 12) * 1.0) ** 2 + ((y - 30) * 0.5) ** 2 + ((x - 30) * 0.5) ** 2 <= 10**2
    fine = volume(np.zeros(ball.shape, np.int16), (1.0, 0.5, 0.5))
    assert [one.value for one in results(AxialDiameter(segments=("a",)), fine, segment("a", ball))] == pytest.approx([20, 20], abs=0.6)
    (space,) = results(LongestDiameter(segments=("a",)), fine, segment("a", ball))
    # the poles are whole voxels of 1 mm
    assert 20 <= space.value <= 21


def test_slices_that_are_not_axial_have_no_axial_diameter() -> None:
    """Coronal ones: the report says so; the diameter in space is the same."""
    image = volume(np.zeros((16, 44, 40), np.int16), SPACING)
    coronal = replace(image, affine=image.affine[[0, 2, 1, 3]])
    one = segment("a", bent())
    assert refusal(AxialDiameter(segments=("a",)), coronal, one) == "Not measured: the axial diameter, because the slices are not axial."
    lengths = [results(LongestDiameter(segments=("a",)), each, one)[0].value for each in (image, coronal)]
    assert lengths[0] == pytest.approx(lengths[1])
