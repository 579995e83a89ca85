"""ct-register: made trunks on a table that stays, whose motion is known to the last digit, and a real trunk and heads that are moved."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from inference.applications.accept import check
from inference.applications.catalog import load
from inference.applications.ct_register.application import analyse
from inference.applications.declared import check_outputs
from inference.applications.errors import NotAccepted
from inference.findings import Findings
from inference.imaging.errors import NotInOneFrame
from inference.imaging.registration.errors import NothingToRegister, NotTheSame
from inference.imaging.registration.grids import affine_of, image_of
from inference.imaging.registration.rigid import align
from inference.imaging.roles import RigidMotion, RolePlace, motion_onto, on_one_grid
from inference.imaging.subject import VolumeSet, pair_of
from inference.imaging.volume import SliceSource, Volume
from inference.imaging.write_series import from_nifti
from tests.unit.applications.test_mr_register import INFER, rigid

Matrix = NDArray[np.float64]
STEP_MM = 4.0
HALF_MM = np.array([130.0, 90.0, 170.0])
"""Of the trunk, from left to right, front to back and foot to head."""
STILL = np.eye(4)
TABLE_MM = 100.0
"""How far behind the middle the table lies."""


def grid(spacing: tuple[float, float, float], sides_mm: tuple[float, float, float], middle: tuple[float, float, float] = (0, 0, 0)) -> Any:
    """Shape and affine of axial slices, from sides along (z, y, x) and the middle (x, y, z)."""
    shape = tuple(round(side / step) for side, step in zip(sides_mm, spacing, strict=True))
    affine = np.array([[0, 0, spacing[2], 0], [0, spacing[1], 0, 0], [spacing[0], 0, 0, 0], [0, 0, 0, 1.0]])
    affine[:3, 3] = np.array(middle) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return shape, affine


WHOLE = grid((STEP_MM,) * 3, (320.0, 240.0, 320.0))


def trunk(seed: int, motion: Matrix, at: Any = WHOLE, *, noise: float = 20, ct: bool = True) -> Volume:
    """An ellipsoid with lumps of soft tissue, dense ones and gas after `motion` (mm, LPS), on a table that does not move with it.

    An MR of it (`ct` False) is bright where a CT is in between, black in bone and gas, and has no table.
    """
    shape, affine = at
    random = np.random.default_rng(seed)
    fine = np.mgrid[-200:200:STEP_MM, -200:200:STEP_MM, -200:200:STEP_MM]  # x, y, z in mm
    inside = sum((axis / half) ** 2 for axis, half in zip(fine, HALF_MM, strict=True)) < 1
    soft, hard = (ndimage.gaussian_filter(random.normal(size=inside.shape), sigma) for sigma in (4, 3))
    hu = 40 + 60 * soft / soft.std()
    hu = np.where(hard > 1.7 * hard.std(), 500, np.where(hard < -2 * hard.std(), -900, hu))
    tissue = np.where(inside, hu, -1000) if ct else np.where(inside & (np.abs(hu) < 300), 900 - 4 * np.abs(hu - 20), 0)
    points = affine @ np.vstack([np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))])
    before = np.linalg.solve(motion, points)[:3]
    air = -1000 if ct else 0
    values = ndimage.map_coordinates(tissue, (before + 200) / STEP_MM, order=1, mode="constant", cval=air).reshape(shape)
    if ct:
        table = (np.abs(points[1] - TABLE_MM) < 5).reshape(shape) & (values < -400)
        values = np.where(table, 200, values)
    noisy = values + np.random.default_rng(seed + shape[0]).normal(0, noise, shape)
    if ct:
        # padding outside of the round field of view, and an implant
        noisy[np.hypot(points[0], points[1]).reshape(shape) > 180] = -2000
        noisy[before[2].reshape(shape) ** 2 + (before[0].reshape(shape) - 40) ** 2 < 50] = 3000
    return volume(noisy, affine, f"1.{seed}.{int(motion is not STILL)}", "CT" if ct else "MR")


def volume(voxels: NDArray[Any], affine: Matrix, series: str, modality: str = "CT") -> Volume:
    sources = tuple(SliceSource(sop_instance_uid=f"{series}.{z}", sop_class_uid="1.2") for z in range(len(voxels)))
    return Volume(
        voxels=np.rint(voxels).astype(np.int16),
        affine=affine,
        sources=sources,
        modality=modality,
        study_instance_uid=series,
        series_instance_uid=series,
        frame_of_reference_uid=series,
    )


def error_mm(found: Matrix, true: Matrix, half: NDArray[np.float64] = HALF_MM, middle: Any = (0, 0, 0)) -> float:
    """The largest distance at the corners of the body's box."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half + middle
    at = np.c_[corners, np.ones(8)]
    return float(np.linalg.norm((at @ found.T - at @ true.T)[:, :3], axis=1).max())


def found(findings: Findings) -> Matrix:
    assert findings.registration is not None
    return findings.registration.matrix


def pair(true: Matrix, at: Any = WHOLE, *, noise: float = 20) -> VolumeSet:
    """A trunk, and the same earlier, from where `true` brings it back."""
    return pair_of(current=trunk(1, STILL), prior=trunk(1, np.linalg.inv(true).astype(np.float64), at, noise=noise))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("degrees", "shift", "at", "noise"),
    [
        pytest.param((0, 0, 0), (6, -5, 0), WHOLE, 20, id="beside where it lay on the same table"),
        pytest.param((-10, 8, 15), (-20, 10, 30), WHOLE, 60, id="far, in noise"),
        pytest.param((6, 3, -12), (15, -10, 20), grid((8.0, 3.0, 3.0), (320.0, 240.0, 320.0)), 20, id="slices of 8 mm"),
        pytest.param((3, -2, 5), (10, -10, 300), grid((STEP_MM,) * 3, (120.0, 200.0, 260.0), (0, 0, -220)), 20, id="its feet alone"),
    ],
)
def test_a_known_motion_is_found(degrees: tuple[float, float, float], shift: tuple[float, float, float], at: Any, noise: float) -> None:
    """To less than a voxel at the corners of the body's box; neither the table, which stays, nor padding nor metal leads astray."""
    true = rigid(degrees, shift)
    matrix = found(analyse(pair(true, at, noise=noise), INFER))
    assert error_mm(matrix, true) < STEP_MM
    assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)


@pytest.mark.slow
def test_findings_are_what_the_manifest_declares() -> None:
    """The gates let them pass; HU stay HU, and where the prior has no images it is as black as its padding; an MR is refused."""
    application = load("ct-register")
    both = pair(rigid((2, 0, 3), (1, 2, 30)))
    assert check(application, both) == ()
    said = analyse(both, INFER)
    check_outputs(application, said, both)
    (image,) = said.derived
    there = image.voxels > -1500
    assert np.corrcoef(image.voxels[there], both.reference.voxels[there])[0, 1] > 0.9
    assert not there[:3].any()
    assert not said.remarks[0].startswith("The prior resembles")
    with pytest.raises(NotAccepted, match="modality is MR"):
        check(application, pair_of(current=trunk(1, STILL, ct=False), prior=both["prior"]))


@pytest.mark.slow
def test_another_persons_trunk_is_refused() -> None:
    """The same outline and another inside: never a matrix, but a sentence with both series and the figure."""
    with pytest.raises(NotTheSame, match=r"prior series 1\.2\.0 does not fit series 1\.1\.0 .* information 1\.\d+, at least 1\.13"):
        analyse(pair_of(current=trunk(1, STILL), prior=trunk(2, STILL)), INFER)


@pytest.mark.slow
def test_an_mr_is_laid_on_a_ct() -> None:
    """What roles with a motion are registered by: bone and gas both black, soft tissue in another order; to less than a voxel."""
    true = rigid((5, -4, 9), (12, -9, 15))
    aligned = align(trunk(1, STILL), trunk(1, np.linalg.inv(true).astype(np.float64), ct=False))
    assert error_mm(aligned.matrix, true) < STEP_MM


def limbs(series: str, *radii: float, sides_mm: tuple[float, float, float] = (160.0, 160.0, 320.0), step_mm: float = STEP_MM) -> Volume:
    """Cylinders in air side by side, 160 mm apart, each with a bone of a third and lumps of its own; noise is the series' own."""
    shape, affine = grid((step_mm,) * 3, sides_mm)
    x, y, _ = (affine @ np.vstack([np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))]))[:3].reshape(3, *shape)
    hu = np.full(shape, -1000.0)
    for side, radius in enumerate(radii):
        away = np.hypot(x - 80 * (2 * side + 1 - len(radii)), y)
        lumps = ndimage.gaussian_filter(np.random.default_rng(side).normal(size=shape), 2)
        hu[away < radius] = (40 + 60 * lumps / lumps.std())[away < radius]
        hu[away < 0.3 * radius] = 800
    return volume(hu + np.random.default_rng(len(series)).normal(0, 15, shape), affine, series)


@pytest.mark.slow
def test_a_leg_is_not_laid_on_the_other_one() -> None:
    """The right one is the thicker by 2 mm today, the left one was then: both legs are the body, and neither has moved."""
    aligned = align(limbs("1.1", 45, 47), limbs("1.11", 47, 45))
    assert error_mm(aligned.matrix, STILL) < STEP_MM


@pytest.mark.slow
@pytest.mark.parametrize("radii", [(7.0,), ()], ids=["a finger", "air"])
def test_what_is_no_thicker_than_a_table_is_refused(radii: tuple[float, ...]) -> None:
    """With the name of the series: a finger would be taken out with the table, and in air there is nothing."""
    today, then = (limbs(series, *radii, sides_mm=(60.0, 80.0, 80.0), step_mm=2.0) for series in ("1.1", "1.11"))
    with pytest.raises(NothingToRegister, match=r"series 1\.1 shows no body"):
        align(today, then)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "why"),
    [
        (lambda one: replace(one, voxels=np.full_like(one.voxels, 3000)), "every voxel has the same value"),
        (lambda one: replace(one, voxels=np.where(np.arange(len(one.voxels))[:, None, None] > 3, 3000, 2999 + 0 * one.voxels)), "no body"),
        (lambda one: replace(one, voxels=np.where(one.voxels > 0, np.nan, one.voxels).astype(np.float32)), "no body"),
        (lambda one: replace(one, affine=one.affine * [1e-3, 1e-3, 1e-3, 1]), "less than 0.05 mm apart"),
    ],
    ids=["even", "metal throughout", "no numbers", "spacing in metres"],
)
def test_what_cannot_be_computed_with_is_refused_with_its_series(told: Callable[[Volume], Volume], why: str) -> None:
    """Whatever SimpleITK, or arithmetic, makes of such images: a sentence, by which whoever can do without the prior goes on."""
    today, then = (limbs(series, 45.0, sides_mm=(80.0, 160.0, 160.0), step_mm=4.0) for series in ("1.1", "1.11"))
    with pytest.raises(NothingToRegister, match=rf"series 1\.11.*{why}|{why}.*series 1\.11"):
        align(today, told(then))


@pytest.mark.slow
def test_a_real_trunk_is_brought_back(real: Callable[[str], list[Path]]) -> None:
    """Turned by 15 degrees, moved by 37 mm, in slices of 6 mm; the table goes with it, as it is in the voxels."""
    (path,) = [one for one in real("labelled/ct_totalseg") if one.name == "example_ct.nii.gz"]
    voxels, affine = from_nifti(path)
    middle = (affine @ (*((np.array(voxels.shape) - 1) / 2), 1))[:3]
    true = rigid((-6, 4, 15), (-20, 10, 30))
    true[:3, 3] += middle - true[:3, :3] @ middle
    shape, thick = (len(voxels) // 2, *voxels.shape[1:]), affine @ np.diag([2.0, 1, 1, 1])
    points = thick @ np.vstack([np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))])
    at = np.linalg.solve(affine, true @ points)[:3]
    moved = ndimage.map_coordinates(voxels.astype(np.float32), at, order=1, cval=-1024).reshape(shape)
    findings = analyse(pair_of(current=volume(voxels, affine, "1.1"), prior=volume(moved, thick, "1.2")), INFER)
    half = np.array(voxels.shape)[::-1] * 3.0 / 2
    away = error_mm(found(findings), true, half, middle)
    print(f"\nct-register: {away:.2f} mm at the corners of a real trunk in voxels of 3 mm")
    assert away < 3


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [0.3, 15.0], ids=["a third of a pixel over the stack", "a gantry's"])
def test_a_tilted_stack_is_registered(degrees: float) -> None:
    """As the node has it analysed: what drifts by less than half a pixel stays where it is, what drifts by more is straightened before."""
    true = rigid((5, 0, 3), (6, -5, 10))
    shape, affine = WHOLE[0], WHOLE[1].copy()
    affine[1, 0] = np.tan(np.deg2rad(degrees)) * STEP_MM
    affine[1, 3] -= affine[1, 0] * (shape[0] - 1) / 2
    both = pair_of(current=trunk(1, STILL), prior=trunk(1, np.linalg.inv(true).astype(np.float64), (shape, affine)))
    assert error_mm(found(analyse(on_one_grid(both), INFER)), true) < STEP_MM


def test_slices_of_a_slab_lie_where_they_lay_when_it_leans() -> None:
    """Four tenths of a pixel over 35 mm is a degree, by half of which a slice of 230 mm would be turned by more than a pixel: every corner
    stays within half a pixel."""
    shape, affine = grid((5.0, 1.8, 1.8), (40.0, 230.4, 230.4))
    affine[1, 0] = 0.4 * 1.8 / (shape[0] - 1)
    lies = affine_of(image_of(volume(np.indices(shape)[2], affine, "1.1")))
    corners = np.array([(z, y, x, 1) for z in (0, shape[0] - 1) for y in (0, shape[1] - 1) for x in (0, shape[2] - 1)])
    assert np.linalg.norm((lies - affine) @ corners.T, axis=0).max() < 1.8 / 2


@pytest.mark.parametrize("modality", ["PT", "NM"])
def test_what_nobody_measured_is_not_registered(modality: str) -> None:
    """A PET in another frame than its CT: no bound of CT and MR is taken for it; in one frame it lies where its header says."""
    shape, affine = grid((8.0, 8.0, 8.0), (64.0, 64.0, 64.0))
    fixed, moving = volume(np.zeros(shape), affine, "1.1"), volume(np.zeros(shape), affine, "1.2", modality)
    place = RolePlace(name="PET", motion=RigidMotion(max_mm=50, max_degrees=20))
    with pytest.raises(NotInOneFrame, match=rf"PET, series 1\.2, is {modality} and would have to be registered onto CT, series 1\.1"):
        motion_onto(fixed, moving, place)
    matrix, said = motion_onto(fixed, replace(moving, frame_of_reference_uid="1.1"), place)
    assert (matrix.tolist(), said) == (np.eye(4).tolist(), ())
