"""A made chest at two visits: the patient lies otherwise, slices start elsewhere, and by how much each nodule grew is known by arithmetic.

Every voxel is asked where it lies in the patient: nothing is interpolated, and densities are those that `chest.ByHeart` knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from inference.imaging.volume import Affine, SliceSource, Volume
from tests.lab.chest import AIR, GLASS, LUNG, SHAPE, SOLID, TISSUE

BONE = 700
STEP_MM = 1.25
THEN, NOW = date(2025, 3, 1), date(2025, 9, 1)
DAYS = 184
TURNED = np.deg2rad(5)
LAIN: Affine = np.array(
    [[np.cos(TURNED), -np.sin(TURNED), 0, 7.0], [np.sin(TURNED), np.cos(TURNED), 0, -4.0], [0, 0, 1, 9.0], [0, 0, 0, 1]], dtype=np.float64
)
"""From where the patient lay then to where he lies now, in mm (LPS)."""
_LUNG_MM = (34.0, 52.0, 46.0)


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A nodule in the patient: its middle (x, y, z) in mm, half axes now, by how much its volume is larger than it was, what it is of.

    `times` 0: it was not there; `left` False: it is not there any more.
    """

    at_mm: tuple[float, float, float]
    half_mm: tuple[float, float, float]
    times: float = 1.0
    hu: int = SOLID
    left: bool = True

    @property
    def volume_mm3(self) -> float:
        """Now, by arithmetic."""
        return float(4 / 3 * np.pi * np.prod(self.half_mm))


NODULES = (
    Grown(at_mm=(45, 8, 5), half_mm=(7, 6, 6), times=1.3),
    Grown(at_mm=(45, -28, -15), half_mm=(6, 6, 6)),
    Grown(at_mm=(-48, 10, 0), half_mm=(6, 5, 6), times=2.0),
    Grown(at_mm=(-42, -25, -20), half_mm=(5, 5, 5), hu=GLASS),
    Grown(at_mm=(-45, -24, 18), half_mm=(4, 4, 4), times=0),
    Grown(at_mm=(44, 30, -14), half_mm=(5, 5, 5), left=False),
)
"""Solid: a third more, the same, twice as large; ground glass that stays; one that is new, and one that is gone."""


def visit(nodules: Sequence[Grown], *, now: bool, start_mm: float = 0.0, slices: slice = slice(None), thick_mm: float = STEP_MM) -> Volume:
    """The CT of one visit.

    Parameters
    ----------
    start_mm
        By how much the slices begin elsewhere.
    slices
        Which of them there are.
    """
    z, y, x = (-(count - 1) / 2 * STEP_MM for count in SHAPE)
    affine = np.array([[0, 0, STEP_MM, x], [0, STEP_MM, 0, y], [STEP_MM, 0, 0, z + start_mm], [0, 0, 0, 1]], dtype=np.float64)
    image = _imaged(nodules, affine, now)[slices]
    affine[:3, 3] += affine[:3, 0] * (slices.start or 0)
    series = "1.2.826.0.1.19" if now else "1.2.826.0.1.18"
    return Volume(
        voxels=image,
        affine=affine,
        sources=tuple(SliceSource(sop_instance_uid=f"{series}.{z}", sop_class_uid="1.2.840.10008.5.1.4.1.1.2") for z in range(len(image))),
        modality="CT",
        study_instance_uid=f"{series}.1",
        series_instance_uid=f"{series}.2",
        frame_of_reference_uid=f"{series}.3",
        patient_years=60,
        thickness_mm=thick_mm,
        acquired_on=NOW if now else THEN,
        kernel="B31f",
    )


def _imaged(nodules: Sequence[Grown], affine: Affine, now: bool) -> NDArray[np.int16]:
    """HU (Z, Y, X)."""
    indices = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1).astype(np.float32)
    lain = affine if now else LAIN @ affine
    places = (indices @ lain[:3, :3].T.astype(np.float32) + lain[:3, 3].astype(np.float32)).astype(np.float32)
    image = np.full(SHAPE, AIR, dtype=np.int16)

    def fill(middle: Sequence[float], half: Sequence[float], hu: int) -> None:
        # only where the ellipsoid may reach
        centre, reach = np.linalg.solve(lain, (*middle, 1))[:3], max(half) / STEP_MM + 1
        box = tuple(slice(max(int(at - reach), 0), max(int(at + reach) + 2, 0)) for at in centre)
        image[box][_ellipsoid(places[box], middle, half)] = hu

    fill((0, 0, 0), (104, 74, 1e4), TISSUE)
    random = np.random.default_rng(4)
    for _ in range(24):
        # ribs and vertebrae, by which a chest is laid on itself
        angle, height = random.uniform(0, 2 * np.pi), random.uniform(-70, 70)
        fill((92 * np.cos(angle), 63 * np.sin(angle), height), tuple(random.uniform(4, 9, 3)), BONE)
    for side in (-45, 45):
        fill((side, 0, 0), _LUNG_MM, LUNG)
    for one in nodules:
        grown = one.times ** (1 / 3) if one.times else 0.0
        if one.left if now else one.times:
            fill(one.at_mm, tuple(half / (1.0 if now else grown) for half in one.half_mm), one.hu)
    return image


def _ellipsoid(places: NDArray[np.float32], middle: Sequence[float], half: Sequence[float]) -> NDArray[np.bool_]:
    away = (places - np.array(middle, dtype=np.float32)) / np.array(half, dtype=np.float32)
    return np.asarray(np.einsum("zyxi,zyxi->zyx", away, away) <= 1)
