"""A made chest CT with balls in its lungs, and a network that knows their densities by heart: what is found is known by arithmetic.

The body, the lungs and the balls are of even densities, and voxels are as large as the network's: no voxel lies between two of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.candidates import INPUT, MODEL, OUTPUT, WINDOW
from inference.applications.lung_nodule.preparing import SPACING_MM, WINDOW_HU
from inference.applications.port import ModelRef, Tensors
from inference.engines.deriving import derive_config
from inference.engines.exporting import program_bytes
from inference.engines.port import Call
from inference.imaging.volume import Affine, SliceSource, Volume

SHAPE = (88, 128, 176)
AIR, TISSUE, LUNG, GLASS, SOLID = -1000, 40, -850, -550, 200
NEAR_HU = 40
LEFT_LUNG_MM, RIGHT_LUNG_MM = (0.0, 0.0, 45.0), (0.0, 0.0, -45.0)
"""Middles along (z, y, x) from the middle of the grid."""
_BODY_MM, _LUNG_MM = (1e4, 74.0, 104.0), (1e4, 52.0, 34.0)


@dataclass(frozen=True, kw_only=True)
class Ball:
    """A round nodule about a point, mm along (z, y, x) from the middle of the grid; ground glass of `mm` with a solid core of `core_mm`."""

    at_mm: tuple[float, float, float]
    mm: float
    core_mm: float = 0.0


BALLS = (
    Ball(at_mm=(0.0, 10.0, 45.0), mm=20.0, core_mm=20.0),
    Ball(at_mm=(20.0, -15.0, -45.0), mm=16.25, core_mm=10.0),
    Ball(at_mm=(-25.0, 20.0, -40.0), mm=10.0),
)
"""Solid, part-solid and ground glass."""


def affine() -> Affine:
    """Axial, head first, supine; the middle of the grid about the origin."""
    z, y, x = (-(count - 1) / 2 * SPACING_MM for count in SHAPE)
    return np.array([[0, 0, SPACING_MM, x], [0, SPACING_MM, 0, y], [SPACING_MM, 0, 0, z], [0, 0, 0, 1]], dtype=np.float64)


def voxels(balls: Sequence[Ball] = BALLS) -> NDArray[np.int16]:
    """HU (Z, Y, X)."""
    image = np.full(SHAPE, AIR, dtype=np.int16)
    image[_ellipsoid((0, 0, 0), _BODY_MM)] = TISSUE
    for middle in (LEFT_LUNG_MM, RIGHT_LUNG_MM):
        image[_ellipsoid(middle, _LUNG_MM)] = LUNG
    for ball in balls:
        image[_ellipsoid(ball.at_mm, (ball.mm / 2,) * 3)] = GLASS
        image[_ellipsoid(ball.at_mm, (ball.core_mm / 2,) * 3)] = SOLID
    return image


def chest(balls: Sequence[Ball] = BALLS, patient_years: int | None = 60) -> Volume:
    """The CT as it is assembled."""
    return Volume(
        voxels=voxels(balls),
        affine=affine(),
        sources=tuple(SliceSource(sop_instance_uid=f"1.2.{z}", sop_class_uid="1.2.840.10008.5.1.4.1.1.2") for z in range(SHAPE[0])),
        modality="CT",
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        frame_of_reference_uid="1.4",
        patient_years=patient_years,
    )


class ByHeart:
    """The network: ground glass and solid by their densities, everything else background."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        assert model == MODEL
        hu = tensors[INPUT] * (WINDOW_HU[1] - WINDOW_HU[0]) + WINDOW_HU[0]
        assert hu.shape[1:] == (1, *WINDOW)
        marks = [np.abs(hu - value) < NEAR_HU for value in (GLASS, SOLID)]
        answers = np.concatenate([~(marks[0] | marks[1]), *marks], axis=1)
        return {OUTPUT: np.where(answers, np.float32(6), np.float32(-6))}

    def at_once(self, model: ModelRef) -> int:
        """One after the other."""
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        """As the application says."""
        return None


def stored(repository: Path) -> Path:
    """The same network in a model repository, as an exported program."""
    import torch

    class Network(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            hu = image * (WINDOW_HU[1] - WINDOW_HU[0]) + WINDOW_HU[0]
            glass, solid = ((hu - value).abs() < NEAR_HU for value in (GLASS, SOLID))
            return torch.cat([~(glass | solid), glass, solid], dim=1).float() * 12 - 6

    batch = torch.export.Dim("batch", min=1, max=16)
    program = torch.export.export(Network(), (torch.zeros(2, 1, *WINDOW),), dynamic_shapes=({0: batch},))
    weights = program_bytes(program)
    folder = repository / MODEL.name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.pt2").write_bytes(weights)
    (folder / "config.pbtxt").write_text(derive_config(MODEL.name, "model.pt2", weights, None, 8), encoding="utf-8")
    return folder


def _ellipsoid(centre_mm: Sequence[float], half_mm: Sequence[float]) -> NDArray[np.bool_]:
    if not all(half_mm):
        return np.zeros(SHAPE, dtype=np.bool_)
    axes = np.ogrid[tuple(slice(0, count) for count in SHAPE)]
    away = [(axis - (count - 1) / 2) * SPACING_MM - at for axis, count, at in zip(axes, SHAPE, centre_mm, strict=True)]
    return np.asarray(sum((each / half) ** 2 for each, half in zip(away, half_mm, strict=True)) <= 1)
