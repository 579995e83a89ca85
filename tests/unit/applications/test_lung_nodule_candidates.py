"""Candidates from probabilities on a grid of 1 mm: where they lie on source slices of other distances, and what is none."""

import numpy as np
import pytest

from inference.applications.lung_nodule.candidates import FAINT, Candidate, UnmeasuredMark, marks_in
from inference.applications.lung_nodule.follow_up import Density
from inference.applications.lung_nodule.preparing import PreparedLungs
from inference.imaging.resample import Grid, Shape
from inference.imaging.volume import SliceSource, Volume

SHAPE: Shape = (50, 60, 60)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
"""Indices (z, y, x) are mm along z, y and x."""


def ball(at: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = np.ogrid[tuple(slice(0, side) for side in SHAPE)]
    return (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 <= radius**2


def found(
    solid: np.ndarray, glass: np.ndarray | None = None, step_mm: float = 1.0, search: np.ndarray | None = None
) -> tuple[Candidate, ...]:
    """Candidates of probabilities (Z, Y, X), on source slices `step_mm` apart."""
    return marks(solid, glass, step_mm, search)[0]


def marks(
    solid: np.ndarray, glass: np.ndarray | None = None, step_mm: float = 1.0, search: np.ndarray | None = None
) -> tuple[tuple[Candidate, ...], tuple[UnmeasuredMark, ...]]:
    """The same, and what is none of them by its length or form."""
    other = np.zeros(SHAPE) if glass is None else glass
    probabilities = np.stack([1 - solid - other, other, solid]).astype(np.float32)
    everywhere = np.ones(SHAPE, dtype=np.bool_) if search is None else search
    prepared = PreparedLungs(image=np.zeros(SHAPE, dtype=np.float32), search=everywhere, grid=Grid(shape=SHAPE, affine=AFFINE))
    source = Grid(shape=SHAPE, affine=AFFINE).resized((round(SHAPE[0] / step_mm), *SHAPE[1:]))
    volume = Volume(
        voxels=np.zeros(source.shape, dtype=np.int16),
        affine=source.affine,
        sources=tuple(SliceSource(sop_instance_uid=f"1.{z}", sop_class_uid="1") for z in range(source.shape[0])),
        modality="CT",
        study_instance_uid="1.1",
        series_instance_uid="1.2",
        frame_of_reference_uid="1.3",
    )
    return marks_in(prepared, probabilities, volume)


def test_a_ball_is_measured_on_the_slice_that_shows_most_of_it() -> None:
    """A ball of 12 mm about (30, 20, 25): centre, slice, box, both diameters and volume by arithmetic."""
    (one,) = found(0.9 * ball((25, 20, 30), 6))
    assert one.centre_mm == pytest.approx((30, 20, 25))
    assert one.image == 25
    assert (one.box.top, one.box.bottom, one.box.left, one.box.right) == (14, 27, 24, 37)
    assert (one.long_mm, one.short_mm) == pytest.approx((13, 13), abs=0.5)
    assert one.volume_mm3 == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.05)
    assert one.density is Density.SOLID
    assert one.certainty == pytest.approx(0.9, abs=1e-5)


def test_between_thick_slices_it_lies_on_the_nearest() -> None:
    """Slices of 5 mm, a ball of 8 mm between two of them: it is on one of both, as wide as it is, with its own volume."""
    (one,) = found(ball((24.5, 20, 30), 4).astype(float), step_mm=5)
    assert one.image in (4, 5)
    assert one.long_mm == pytest.approx(8, abs=1.5)
    assert one.volume_mm3 == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.1)


def test_densities_by_what_is_solid_in_it() -> None:
    """Ground glass alone has no solid part; with a core of half its diameter it is part-solid, and the core is measured."""
    whole, core = ball((25, 20, 30), 8), ball((25, 20, 30), 4)
    (glass,) = found(np.zeros(SHAPE), 0.9 * whole)
    assert (glass.density, glass.solid_mm) == (Density.GROUND_GLASS, 0)
    (both,) = found(0.9 * core, 0.9 * (whole & ~core))
    assert both.density is Density.PART_SOLID
    assert both.solid_mm == pytest.approx(9, abs=1)
    assert both.long_mm == pytest.approx(17, abs=1)


def test_the_surest_comes_first_and_a_faint_one_is_faint() -> None:
    """What never gets as sure as one half is a candidate of its own where nothing sure hangs together with it."""
    first, second = found(0.95 * ball((25, 20, 15), 5) + 0.3 * ball((25, 20, 45), 5))
    assert first.centre_mm[0] == pytest.approx(15)
    assert second.certainty == pytest.approx(0.3, abs=1e-5)
    assert found((FAINT - 0.01) * ball((25, 20, 15), 5)) == ()


def test_what_is_too_small_too_long_or_outside_is_none() -> None:
    """A speck of two voxels, a vessel of 25 mm, a part of the wall of 45 mm, and a ball where nothing is looked for."""
    speck, vessel, wall = np.zeros(SHAPE), np.zeros(SHAPE), np.zeros(SHAPE)
    speck[25, 20, 20:22] = 1
    vessel[24:27, 19:22, 5:30] = 1
    wall[5:45, 5:50, 5:50] = 1
    assert found(speck) == ()
    assert found(vessel) == ()
    assert found(wall) == ()
    assert found(ball((25, 20, 15), 5).astype(float), search=np.zeros(SHAPE, dtype=np.bool_)) == ()


def test_what_is_too_long_or_no_round_one_is_kept_with_its_place() -> None:
    """A box of 41 x 40 x 40 mm: the first voxel beyond it lies one mm away; a mass where it is sure. A vessel is neither."""
    block, vessel = np.zeros(SHAPE), np.zeros(SHAPE)
    block[5:46, 10:50, 10:50] = 0.9
    candidates, (mass,) = marks(block)
    assert candidates == ()
    assert (mass.too_long, mass.mass) == (True, True)
    assert mass.certainty == pytest.approx(0.9, abs=1e-5)
    assert mass.away_mm(np.array([30.0, 30.0, 20.0])) == 0
    assert mass.away_mm(np.array([9.0, 30.0, 20.0])) == pytest.approx(1)
    (unsure,) = marks(block * 0.7)[1]
    assert (unsure.too_long, unsure.mass) == (True, False)
    vessel[24:27, 19:22, 5:30] = 1
    (thin,) = marks(vessel)[1]
    assert (thin.too_long, thin.mass) == (False, False)
