"""The series that the benchmarks send is what they say that it is."""

import numpy as np

from bench.made import SIDE, voxels


def test_the_body_is_above_zero_and_the_air_is_not() -> None:
    """So that the threshold application marks the ellipsoid and nothing else."""
    made = voxels(9)
    assert made.shape == (9, SIDE, SIDE)
    assert made.dtype == np.int16
    assert made[4, SIDE // 2, SIDE // 2] > 0 > made[4, 0, 0]
    # the middle slice is an ellipse of half axes 0.8 and 0.6 in a square of side 2
    assert np.isclose((made[4] > 0).mean(), np.pi * 0.8 * 0.6 / 4, atol=0.01)


def test_another_number_of_slices_gives_other_noise() -> None:
    """Otherwise two studies of one run would share pixels."""
    assert bool((voxels(3)[0, :8, :8] != voxels(4)[0, :8, :8]).any())
