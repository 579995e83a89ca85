"""Planes become a stack by orientation and position alone; what is no stack is refused with its reason."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.imaging.errors import (
    DuplicatePosition,
    FourDimensional,
    GantryTilt,
    Gap,
    IrregularSpacing,
    MissingAttribute,
    MixedOrientation,
    MixedShape,
    ShiftedSlices,
)
from inference.imaging.geometry import Plane, series_geometry

Orientation: TypeAlias = tuple[float, float, float, float, float, float]
AXIAL: Orientation = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def plane(
    number: int,
    position: Sequence[float],
    orientation: Orientation = AXIAL,
    spacing: tuple[float, float] = (0.5, 0.5),
    rows: int = 512,
    columns: int = 512,
    thickness: float | None = None,
) -> Plane:
    """One plane named 1.<number>."""
    x, y, z = (float(mm) for mm in position)
    return Plane(
        uid=f"1.{number}",
        frame=None,
        position=(x, y, z),
        orientation=orientation,
        spacing=spacing,
        rows=rows,
        columns=columns,
        thickness=thickness,
    )


def axial(depths: Iterable[float], sideways: NDArray[Any] | None = None) -> list[Plane]:
    """Axial planes at the given z; `sideways` shifts each along y."""
    return [plane(n, (10, 20 + (sideways[n] if sideways is not None else 0), z)) for n, z in enumerate(depths)]


def rotation(a: float, b: float, c: float) -> NDArray[np.float64]:
    """Any rotation, from three angles (z, y, x)."""
    cz, sz, cy, sy, cx, sx = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return np.asarray(about_z @ about_y @ about_x)


angle = st.floats(-np.pi, np.pi)


@settings(deadline=None, max_examples=150)
@given(angle, angle, angle, st.integers(2, 40), st.floats(0.3, 8), st.floats(0.2, 3), st.floats(0.2, 3), st.randoms())
def test_any_orientation_in_any_order_gives_one_right_handed_stack(
    a: float, b: float, c: float, count: int, step: float, row_mm: float, column_mm: float, random: Random
) -> None:
    """Positions rounded as a scanner writes them; every voxel of the affine lies where the standard's equation puts it."""
    across, down, normal = rotation(a, b, c).T
    origin = np.array([-123.4, 56.7, 8.9])
    orientation: Any = tuple(round(float(v), 8) for v in (*across, *down))
    planes = [plane(n, np.round(origin + n * step * normal, 5), orientation, (row_mm, column_mm)) for n in range(count)]
    random.shuffle(planes)
    geometry = series_geometry(planes)
    assert [planes[index].uid for index in geometry.order] == [f"1.{n}" for n in range(count)]
    assert np.linalg.det(geometry.affine[:3, :3]) < 0, (
        "columns are (z, y, x): reversed, so the determinant of a right-handed stack is negative"
    )
    for z, y, x in ((0, 0, 0), (count - 1, 511, 0), (count - 1, 511, 511)):
        # PS3.3 C.7.6.2.1.1: position + row direction x column spacing x column + column direction x row spacing x row
        expected = origin + z * step * normal + across * column_mm * x + down * row_mm * y
        np.testing.assert_allclose((geometry.affine @ (z, y, x, 1))[:3], expected, atol=1e-2)


def test_the_order_of_the_files_has_no_say() -> None:
    """The affine is the same to the last bit for every order, also when direction cosines differ in the last digits."""
    planes = [plane(n, (0, 0, 2 * n), (1.0, 1e-5 * n, 0.0, -1e-5 * n, 1.0, 0.0)) for n in range(9)]
    first, second = series_geometry(planes), series_geometry(planes[::-1])
    assert first.affine.tobytes() != b""
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-12, rtol=0)


def test_a_single_slice_takes_its_thickness() -> None:
    """There is no other slice to measure the distance to."""
    geometry = series_geometry([plane(1, (0, 0, 0), thickness=5.0)])
    np.testing.assert_allclose(geometry.affine[:3, 0], [0, 0, 5])
    with pytest.raises(MissingAttribute, match=r"1\.1"):
        series_geometry([plane(1, (0, 0, 0))])


def test_spacing_comes_from_positions_not_from_thickness() -> None:
    """Overlapping reconstructions: 5 mm thick slices 2.5 mm apart are 2.5 mm apart."""
    planes = [plane(n, (0, 0, 2.5 * n), thickness=5.0) for n in range(4)]
    np.testing.assert_allclose(series_geometry(planes).affine[:3, 0], [0, 0, 2.5])


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even() -> None:
    """0.625 mm written as 0.6, 1.3, 1.9, 2.5: off by at most 0.05 mm, less than a tenth of a slice."""
    series_geometry(axial(np.round(np.arange(64) * 0.625, 1)))


def test_a_missing_slice_is_a_gap_and_names_its_neighbours() -> None:
    """Slices 3 and 4 of a 2 mm stack are gone: the message says how many, where, and how far."""
    with pytest.raises(Gap, match=r"2 slices are missing at a spacing of 2\.00 mm: between 1\.2 and 1\.3 \(6\.00 mm\)"):
        series_geometry(axial([0, 2, 4, 10, 12, 14]))


def test_changing_spacing_is_irregular_not_a_gap() -> None:
    """5 mm through the skull base, 7.5 mm above: no slice is missing, but there is no one spacing."""
    with pytest.raises(IrregularSpacing, match=r"from 5\.00 to 7\.50 mm"):
        series_geometry(axial([0, 5, 10, 15, 22.5, 30, 37.5]))


def test_a_slow_drift_of_the_spacing_is_irregular() -> None:
    """Each step grows by 1 %: no step stands out, but the middle lies whole slices from where even spacing puts it."""
    with pytest.raises(IrregularSpacing):
        series_geometry(axial(np.cumsum(2 * 1.01 ** np.arange(50))))


@pytest.mark.parametrize("degrees", [1.0, 18.5, -30.0])
def test_a_tilted_gantry_gives_a_sheared_stack(degrees: float) -> None:
    """Each 5 mm step shifts the slice by 5 mm x tan(angle), as a tilted gantry does: the step of the affine leads along both."""
    depth, shift = np.arange(20) * 5.0, 5.0 * np.tan(np.radians(degrees))
    geometry = series_geometry(axial(depth, sideways=np.arange(20) * shift))
    np.testing.assert_allclose(geometry.affine[:3, 0], (0, shift, 5), atol=1e-9)
    np.testing.assert_allclose(geometry.affine[:3, 3], (10, 20, 0), atol=1e-9)
    assert geometry.steps is None


def test_a_shear_that_no_gantry_makes_is_refused_with_its_angle() -> None:
    """Gantries lean by 30 degrees; at 40 the positions are wrong, whatever they are."""
    depth = np.arange(20) * 5.0
    with pytest.raises(GantryTilt, match=r"sheared by 40\.0 degrees"):
        series_geometry(axial(depth, sideways=depth * np.tan(np.radians(40))))


def test_missing_and_irregular_slices_of_a_tilted_stack_are_told_as_of_a_straight_one() -> None:
    """Distances are those along the normal: a gap of 10 mm, and 4 mm slices that are 7 mm apart, are no less so for the tilt."""
    for depth, error in (([0, 5, 10, 20, 25], Gap), ([0, 4, 8, 12, 19, 26, 33], IrregularSpacing)):
        at = np.array(depth, dtype=np.float64)
        with pytest.raises(error):
            series_geometry(axial(at, sideways=at * 0.3))


def blocks(depths: Sequence[float], thick: Sequence[float]) -> list[Plane]:
    """Axial planes with a SliceThickness each."""
    return [plane(n, (10, 20, z), thickness=mm) for n, (z, mm) in enumerate(zip(depths, thick, strict=True))]


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_blocks_of_thin_and_thick_slices_are_one_stack(slope: float) -> None:
    """4 mm through the skull base, 7 mm above, overlapping where they meet, as a real tilted head has it: each slice has its own step."""
    depths = np.array([0, 4, 8, 12, 13.1, 20.1, 27.1, 34.1])
    planes = [plane(n, (10, 20 + z * slope, z), thickness=mm) for n, (z, mm) in enumerate(zip(depths, [4] * 4 + [7] * 4, strict=True))]
    geometry = series_geometry(planes)
    assert geometry.steps is not None
    for step, z in zip(geometry.steps, depths, strict=True):
        np.testing.assert_allclose((geometry.affine @ (step, 0, 0, 1))[:3], (10, 20 + z * slope, z), atol=1e-9)


def test_five_and_ten_mm_slices_are_no_gap_where_their_thickness_says_so() -> None:
    """The upper slices are 10 mm thick: none is missing between them. Were they 5 mm thick, three would be."""
    depths = [0, 5, 10, 17.5, 27.5, 37.5]
    assert series_geometry(blocks(depths, [5, 5, 5, 10, 10, 10])).steps is not None
    with pytest.raises(IrregularSpacing):
        series_geometry(blocks(depths, [5] * 6))
    with pytest.raises(Gap, match="2 slices are missing"):
        series_geometry(blocks([0, 5, 10, 15, 25, 35], [5] * 6))


@pytest.mark.parametrize(
    ("depths", "thick"),
    [
        ([0, 4, 8, 16, 23, 30], [4, 4, 4, 7, 7, 7]),  # 8 mm from block to block, of which 2.5 mm are in no slice
        ([0, 4, 8, 8.5, 15.5, 22.5], [4, 4, 4, 7, 7, 7]),  # too near for a grid that holds both
        ([0, 4, 8, 13, 20, 34], [4, 4, 4, 7, 7, 7]),  # one of the 7 mm slices is missing
        ([0, 4, 8, 13.5], [4, 4, 4, 7]),  # one slice alone is no block
        ([0, 4, 8, 13, 20, 27], [4, 4, 4, 0, 7, 7]),  # of one the thickness is not known
        ([0, 0.1, *(1.3 + 10 * n for n in range(9))], [1] * 2 + [10] * 9),  # in steps of 0.1 mm it would grow a hundredfold
    ],
)
def test_blocks_that_leave_a_gap_are_none(depths: Sequence[float], thick: Sequence[float]) -> None:
    """Tissue that no slice holds is not made up."""
    with pytest.raises((IrregularSpacing, Gap)):
        series_geometry(blocks(depths, thick))


@pytest.mark.parametrize(
    ("depths", "thick", "said"),
    [
        # the third of five 4 mm slices
        (
            [0, 4, 12, 16, 17.1, 24.1, 31.1],
            [4] * 4 + [7] * 3,
            r"1 slice is missing at spacings of 1\.10 to 7\.00 mm: between 1\.1 and 1\.2 ",
        ),
        # two of the 7 mm slices
        ([0, 4, 8, 12, 17, 24, 45, 52], [4] * 4 + [7] * 4, r"2 slices are missing .*: between 1\.5 and 1\.6 \(21\.00 mm\)"),
        # the first of the 7 mm slices: 2.6 mm of tissue are in no slice
        ([0, 4, 8, 12, 20.1, 27.1, 34.1], [4] * 4 + [7] * 3, r"1 slice is missing .*: between 1\.3 and 1\.4 \(8\.10 mm\)"),
    ],
)
def test_a_slice_that_is_missing_from_blocks_is_a_gap(depths: Sequence[float], thick: Sequence[float], said: str) -> None:
    """Of slices that are evenly spaced in blocks of one thickness each: what is missing is named, not the change of the spacing."""
    with pytest.raises(Gap, match=said):
        series_geometry(blocks(depths, thick))


def test_one_slice_shifted_sideways_is_no_tilt() -> None:
    """The field of view moved in the middle of the stack."""
    with pytest.raises(ShiftedSlices, match=r"1\.2 lies 12\.0 mm sideways of its neighbour 1\.1"):
        series_geometry(axial([0, 1, 2, 3], sideways=np.array([0, 0, 12, 12])))


def test_time_points_are_a_fourth_dimension() -> None:
    """Every position three times: the message counts both."""
    planes = [plane(10 * t + z, (0, 0, z)) for t in range(3) for z in range(5)]
    with pytest.raises(FourDimensional, match=r"3 images at each of 5 positions"):
        series_geometry(planes)


def test_one_position_twice_is_a_duplicate() -> None:
    """Two images at z = 2, one everywhere else."""
    with pytest.raises(DuplicatePosition, match=r"1 of 4 positions .*\(10\.00, 20\.00, 2\.00\) mm lie 2: 1\.2, 1\.3"):
        series_geometry(axial([0, 1, 2, 2, 3]))


def test_a_localizer_among_the_slices_is_mixed_orientation() -> None:
    """The odd one out is named, not the many."""
    planes = [*axial(range(10)), plane(99, (0, 0, 0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0))]
    with pytest.raises(MixedOrientation, match=r"1 of 11 images .*90\.0 degrees apart\): 1\.99$"):
        series_geometry(planes)


def test_other_matrix_or_pixel_spacing_is_refused() -> None:
    """Rows and columns, then spacing, each with the numbers."""
    with pytest.raises(MixedShape, match=r"256 x 512.*1\.9"):
        series_geometry([*axial([0, 1, 2]), plane(9, (10, 20, 3), rows=256)])
    with pytest.raises(MixedShape, match=r"0\.7 x 0\.5 mm.*1\.9"):
        series_geometry([*axial([0, 1, 2]), plane(9, (10, 20, 3), spacing=(0.7, 0.5))])


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0.5, 1, 0), (2, 0, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0)])
def test_an_orientation_that_is_none_is_refused(orientation: Orientation) -> None:
    """Not perpendicular, not of unit length, all zeros."""
    with pytest.raises(MissingAttribute, match="perpendicular unit vectors"):
        series_geometry([plane(n, (0, 0, n), orientation) for n in range(3)])
