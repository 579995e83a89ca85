"""Nodules planted into a made chest CT: place, size and density are what they are said to be, and come out again."""

from pathlib import Path

import numpy as np
import pytest

from inference.applications.lung_nodule.follow_up import Density
from inference.imaging.diameters import axes_mm
from inference.imaging.resample import Grid, Shape
from tests.training.made_outlines import write_outlines
from training.data.lidc_outlines import rated_nodules
from training.data.made_thorax import SPACING_MM, made_thorax
from training.data.outlined_bodies import OUTLINES, OutlinedBody, outlined_bodies
from training.data.planted_nodules import DIAMETERS_MM, GROUND_GLASS, SOLID, Planted, planted
from training.data.thoraxes import SIDES, sides
from training.errors import UnfitData

SMALL: Shape = (56, 80, 104)
GRID = Grid(shape=SMALL, affine=np.diag([SPACING_MM] * 3 + [1.0])[[2, 1, 0, 3]])


@pytest.fixture(scope="module")
def hu() -> np.ndarray:
    return made_thorax(3, SMALL)


def made(hu: np.ndarray, seed: int) -> Planted:
    return planted(hu, GRID, hu < -650, 6, seed)


def test_what_is_planted_is_known(hu: np.ndarray) -> None:
    """Every nodule lies where it is said to, as dense as it is said to be, and the labels have its volume; all else is as it was."""
    one = made(hu, 1)
    assert len(one.nodules) >= 3
    assert {nodule.density for nodule in one.nodules} == set(Density)
    for nodule in one.nodules:
        at = np.rint((np.linalg.inv(GRID.affine) @ np.array([*nodule.centre_mm, 1.0]))[:3]).astype(int)
        seen = GROUND_GLASS if nodule.density is Density.GROUND_GLASS else SOLID
        here = tuple(slice(max(each - 3, 0), each + 4) for each in at.tolist())
        inside = one.labels[here] == seen
        assert inside.any()
        assert one.hu[here][inside].mean() == pytest.approx(-600 if seen == GROUND_GLASS else 0, abs=250)
        assert nodule.short_mm <= nodule.long_mm <= 2 * DIAMETERS_MM[1]
    assert int(np.count_nonzero(one.labels)) * SPACING_MM**3 == pytest.approx(sum(each.volume_mm3 for each in one.nodules), rel=0.25)
    assert (one.hu >= hu).all()
    assert np.mean(one.hu != hu) < 0.2


def test_planting_comes_out_again_and_says_no_where_there_is_no_room(hu: np.ndarray) -> None:
    """The same seed plants the same; another seed others; without lung there is no nodule, and the CT is as it was."""
    first, again, other = made(hu, 1), made(hu, 1), made(hu, 2)
    assert np.array_equal(first.hu, again.hu)
    assert first.nodules == again.nodules != other.nodules
    nothing = planted(hu, GRID, np.zeros(SMALL, dtype=np.bool_), 3, 1)
    assert nothing.nodules == ()
    assert np.array_equal(nothing.hu, hu)


def test_a_made_thorax_has_air_lung_vessels_and_bone(hu: np.ndarray) -> None:
    """Each at its Hounsfield units, lungs as the larger part of what is dark in the body; the same seed makes the same."""
    assert np.array_equal(hu, made_thorax(3, SMALL))
    assert not np.array_equal(hu, made_thorax(4, SMALL))
    middle = hu[SMALL[0] // 2]
    assert np.median(middle[:3, :3]) < -900
    assert 0.1 < np.mean((hu > -930) & (hu < -700)) < 0.6
    assert np.mean(hu > 200) > 0.005


def test_diameters_from_outer_edge_to_outer_edge() -> None:
    """A bar, a voxel, nothing."""
    plane = np.zeros((9, 9), dtype=np.bool_)
    assert axes_mm(plane, (1.0, 1.0)) == (0.0, 0.0)
    plane[4, 4] = True
    assert axes_mm(plane, (0.5, 0.5)) == (0.5, 0.5)
    plane[4, 1:8] = True
    assert axes_mm(plane, (1.0, 1.0)) == pytest.approx((7.0, 1.0))


@pytest.mark.slow
def test_forms_that_readers_outlined_are_planted(hu: np.ndarray, tmp_path: Path) -> None:
    """Balls of 4 to 22 mm as readers outlined them: what is planted has the volume of one of those balls, on its side alone, and patients
    are on one side; without outlines for a side that is said."""
    file = write_outlines(tmp_path / OUTLINES, 12)
    by_side = {side: outlined_bodies(file, side) for side in ("train", "test")}
    true_mm3 = [np.count_nonzero(nodule.mask) * float(np.prod(nodule.spacing_mm)) for nodule in rated_nodules(file)]
    assert 0 < len(by_side["train"]) + len(by_side["test"]) <= 24
    train_mm3 = [body_mm3(body) for body in by_side["train"]]
    assert not {id(body) for body in by_side["train"]} & {id(body) for body in by_side["test"]}
    for volume in train_mm3:
        assert min(abs(volume / each - 1) for each in true_mm3) < 0.15
    one = planted(hu, GRID, hu < -650, 6, 1, by_side["train"])
    assert one.nodules
    for nodule in one.nodules:
        assert min(abs(nodule.volume_mm3 / each - 1) for each in train_mm3) < 0.05
    assert np.count_nonzero(one.labels) * SPACING_MM**3 == pytest.approx(sum(each.volume_mm3 for each in one.nodules), rel=0.3)
    with pytest.raises(UnfitData, match=r"has no nodule of 4 to 30 mm, outlined by three readers, of a patient for train"):
        outlined_bodies(write_outlines(tmp_path / "two.sqlite", 2, readers=2), "train")


def test_a_ct_with_other_forms_is_another_case(tmp_path: Path) -> None:
    """By the names of its cases a run is known again: one of made forms is not gone on with, or judged, on outlined ones."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "given.nii.gz").touch()
    made = sides(tmp_path, dict.fromkeys(SIDES, 2), SMALL)
    (tmp_path / OUTLINES).touch()
    outlined = sides(tmp_path, dict.fromkeys(SIDES, 2), SMALL)
    for ours, theirs in ((made.train, outlined.train), (made.validation, outlined.validation), (made.test, outlined.test)):
        assert [case.patient for case in ours] == [case.patient for case in theirs]
        assert not {case.name for case in ours} & {case.name for case in theirs}


def body_mm3(body: OutlinedBody) -> float:
    """Counted on half millimetres."""
    return float(np.count_nonzero(body.depths >= 0)) * 0.5**3
