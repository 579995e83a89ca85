"""Parts and cavities of masks, compared with scipy, which labels every voxel where this room labels runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from inference.imaging.components import FACES, fill_holes, largest_component

CORNERS = np.ones((3, 3, 3))


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Noise of any density; thin volumes too."""
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    density = draw(st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.8, 0.97, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 2**32))).random(shape) < density


def largest_by_scipy(mask: NDArray[np.bool_], structure: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """The largest label; of equally large ones the lowest."""
    labels, found = ndimage.label(mask, structure=structure)
    if not found:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


@given(masks())
def test_the_largest_part_is_scipys(mask: NDArray[np.bool_]) -> None:
    """By corners, as the brain mask has it, and by faces alone."""
    np.testing.assert_array_equal(largest_component(mask), largest_by_scipy(mask, CORNERS))
    np.testing.assert_array_equal(largest_component(mask, touching=FACES), largest_by_scipy(mask, None))


@given(masks())
def test_filled_cavities_are_scipys(mask: NDArray[np.bool_]) -> None:
    """Cavities that hang together by faces and do not reach the border."""
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


def test_what_is_given_is_never_changed() -> None:
    """Neither by painting the largest part nor by filling."""
    mask = np.zeros((5, 5, 5), dtype=np.bool_)
    mask[1:4, 1:4, 1:4] = True
    mask[2, 2, 2] = False
    before = mask.copy()
    assert fill_holes(mask)[2, 2, 2]
    largest_component(mask)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("turn", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_masks_in_any_memory_order(turn: tuple[int, int, int]) -> None:
    """Turned views are masks like others."""
    mask = (np.random.default_rng(1).random((12, 14, 16)) < 0.4).transpose(turn)[::-1]
    np.testing.assert_array_equal(largest_component(mask), largest_by_scipy(mask, CORNERS))
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
