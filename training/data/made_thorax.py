"""A chest CT that nobody was scanned for: body, two lungs with branching vessels, heart, spine, noise; all of it drawn from a seed."""

import math

import numpy as np
from numpy.typing import NDArray

from inference.imaging.resample import Shape

SHAPE: Shape = (96, 112, 144)
SPACING_MM = 1.5

_AIR, _FAT, _TISSUE, _LUNG, _BONE, _VESSEL = -1000.0, -90.0, 45.0, -860.0, 350.0, 40.0
_BLUR = 0.6
"""Voxels."""
_NOISE_HU = (15.0, 45.0)
_THINNER, _THINNEST_MM = (0.66, 0.84), 0.7

Floats = NDArray[np.float32]
Point = NDArray[np.float64]


def made_thorax(seed: int, shape: Shape = SHAPE, spacing_mm: float = SPACING_MM) -> Floats:
    """HU (Z, Y, X); axes to the head, to the back, to the left."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    size = np.array(shape) * spacing_mm
    middle = size / 2
    z, y, x = np.meshgrid(*((np.arange(count) + 0.5) * spacing_mm for count in shape), indexing="ij", sparse=True)

    def ellipsoid(centre: Point, half: Point) -> NDArray[np.bool_]:
        away = sum(((axis - at) / mm) ** 2 for axis, at, mm in zip((z, y, x), centre, half, strict=True))
        return np.asarray(away <= 1)

    hu = np.full(shape, _AIR, dtype=np.float32)
    hu[ellipsoid(middle, size * (50, 0.49, 0.49))] = _FAT
    hu[ellipsoid(middle, size * (50, 0.45, 0.46))] = _TISSUE
    lung_hu = _LUNG + rng.uniform(-40, 40)
    for side in (-1, 1):
        half = size * (0.56, 0.36, 0.185) * rng.uniform(0.93, 1.05, 3)
        centre = middle + size * (0.0, rng.uniform(-0.02, 0.02), side * 0.235)
        lung = ellipsoid(centre, half)
        hu[lung] = lung_hu
        vessels = np.zeros(shape, dtype=np.bool_)
        root = centre - np.array([rng.uniform(-0.1, 0.1) * size[0], 0, side * 0.75 * half[2]])
        for _ in range(5):
            _branch(vessels, root, _unit(rng.normal((0, 0, side), (1.2, 0.8, 0.3))), rng.uniform(2.8, 4.5), spacing_mm, rng)
        hu[lung & vessels] = _VESSEL
    heart = middle + size * (-0.25, -0.1, 0.06)
    hu[ellipsoid(heart, size * (0.3, 0.2, 0.16) * rng.uniform(0.9, 1.1, 3))] = _TISSUE
    hu[ellipsoid(middle + size * (0, 0.38, 0), size * (50, 0.08, 0.07))] = _BONE
    # texture of the lung beside the scanner's noise
    texture = ndimage.gaussian_filter(rng.normal(0, 1, shape), 2.0)
    hu = ndimage.gaussian_filter(hu, _BLUR) + (hu < -500) * (texture * 15 / texture.std()).astype(np.float32)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, shape), 0.5)
    made: Floats = np.rint(hu + noise * rng.uniform(*_NOISE_HU) / noise.std()).clip(-1024, 3071).astype(np.float32)
    return made


def _branch(vessels: NDArray[np.bool_], start: Point, towards: Point, radius_mm: float, step_mm: float, rng: np.random.Generator) -> None:
    """A tube that bends, and at its end parts into two thinner ones."""
    if radius_mm < _THINNEST_MM:
        return
    at = start
    for _ in range(int(rng.uniform(5, 9) * radius_mm**0.5 / (0.5 * step_mm)) + 2):
        at = at + towards * 0.5 * step_mm
        towards = _unit(towards + rng.normal(0, 0.06, 3))
        _ball(vessels, at / step_mm - 0.5, radius_mm / step_mm)
    for turn in (1, -1):
        aside = _unit(np.cross(towards, rng.normal(0, 1, 3)))
        _branch(vessels, at, _unit(towards + turn * rng.uniform(0.4, 0.9) * aside), radius_mm * rng.uniform(*_THINNER), step_mm, rng)


def _ball(mask: NDArray[np.bool_], at: Point, radius: float) -> None:
    middles = at.tolist()
    lows = [max(math.floor(middle - radius), 0) for middle in middles]
    highs = [min(math.ceil(middle + radius) + 1, count) for middle, count in zip(middles, mask.shape, strict=True)]
    if all(low < high for low, high in zip(lows, highs, strict=True)):
        # a hundred thousand of these make ten CTs: no general index, which took as long as the ball
        z, y, x = ((np.arange(low, high) - middle) ** 2 for low, high, middle in zip(lows, highs, middles, strict=True))
        (mask[lows[0] : highs[0], lows[1] : highs[1], lows[2] : highs[2]]) |= z[:, None, None] + y[:, None] + x <= max(radius, 0.6) ** 2


def _unit(towards: Point) -> Point:
    unit: Point = towards / max(float(np.linalg.norm(towards)), 1e-9)
    return unit
