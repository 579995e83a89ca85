"""Clipping, standardising and windowing, against arithmetic done by hand."""

import numpy as np
import pytest

from inference.imaging.intensity import clip_percentiles, standardise, window


def test_percentiles_clip_both_ends():
    """Of 0 … 100 the 5th percentile is 5, the 90th is 90."""
    clipped = clip_percentiles(np.arange(101, dtype=np.int16), 5, 90)
    assert clipped.dtype == np.float32
    assert (clipped.min(), clipped.max(), clipped[50]) == (5, 90, 50)


def test_percentiles_within_a_mask():
    """Only the head counts, not the air around it; an empty mask has none."""
    values = np.array([0, 0, 0, 0, 10, 20], dtype=np.int16)
    assert clip_percentiles(values, 0, 50, within=values > 0).max() == 15
    with pytest.raises(ValueError, match="no voxel"):
        clip_percentiles(values, 0, 50, within=values > 99)


def test_standardising():
    """2, 4, 6 have mean 4 and (population) standard deviation sqrt(8/3); an even image is not divided by zero."""
    np.testing.assert_allclose(standardise(np.array([2, 4, 6], dtype=np.int16)), np.array([-2, 0, 2]) / np.sqrt(8 / 3), rtol=1e-6)
    assert standardise(np.full(5, 7, dtype=np.int16)).tolist() == [0] * 5
    masked = standardise(np.array([100.0, 1, 3]), within=np.array([False, True, True]))
    assert masked.tolist() == [98, -1, 1]


def test_a_window_maps_to_zero_and_one():
    """Centre 40, width 400: -160 HU is black, 240 HU white, 40 HU in the middle."""
    assert window(np.array([-1000, -160, 40, 240, 3000], dtype=np.int16), centre=40, width=400).tolist() == [0, 0, 0.5, 1, 1]
    with pytest.raises(ValueError, match="above zero"):
        window(np.zeros(1), centre=0, width=0)
