"""Diameters of a mask: from outer edge to outer edge, with the ends of the longest where a reader would put them."""

import numpy as np
import pytest

from inference.imaging.diameters import axes_mm, axes_of


def test_a_bar_ends_at_its_outer_edges() -> None:
    """Seven pixels of 1 mm along a row: 7 mm long, 1 mm wide, from the left edge of the first to the right edge of the last."""
    plane = np.zeros((9, 12), dtype=np.bool_)
    plane[4, 3:10] = True
    axes = axes_of(plane, (1.0, 1.0))
    assert (axes.long_mm, axes.short_mm) == pytest.approx((7, 1))
    assert sorted([axes.start, axes.end]) == [pytest.approx((4.5, 3)), pytest.approx((4.5, 10))]


def test_ends_lie_as_far_apart_as_the_diameter_says() -> None:
    """Across a slope, on pixels that are not square; the short one is across it in mm, not in pixels."""
    plane = np.zeros((20, 20), dtype=np.bool_)
    plane[np.arange(3, 15), np.arange(3, 15)] = True
    spacing = (0.6, 1.2)
    axes = axes_of(plane, spacing)
    assert np.linalg.norm((np.array(axes.end) - axes.start) * spacing) == pytest.approx(axes.long_mm)
    assert axes.short_mm == pytest.approx((0.6 * 1.2) ** 0.5)
    assert axes_mm(plane, spacing) == (axes.long_mm, axes.short_mm)


def test_one_pixel_is_as_long_as_it_is_wide() -> None:
    """And nothing has no diameter."""
    plane = np.zeros((3, 3), dtype=np.bool_)
    assert axes_mm(plane, (0.5, 0.5)) == (0, 0)
    plane[1, 1] = True
    axes = axes_of(plane, (0.5, 0.5))
    assert (axes.long_mm, axes.short_mm, axes.start, axes.end) == (0.5, 0.5, (1.5, 1.0), (1.5, 2.0))
