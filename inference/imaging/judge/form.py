"""What a mask is like as a body in space, on a coarse grid: its middle, its length along the patient's axes, how far it is its own mirror
image, and to which end it is the narrower."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.imaging.judge.coarse import Mask

POINTS = 4000
"""Of the mask, that the mirror is tried with: their share is exact within one in a hundred."""
TILTS = tuple(np.deg2rad(degrees) for degrees in (-24, -16, -8, 0, 8, 16, 24))
"""By which a head is turned or tilted in the coil; further, it is laid so on purpose."""
REFINED = tuple(np.deg2rad(degrees) for degrees in (-4, 0, 4))
SHIFTS_MM = (-4.0, -2.0, 0.0, 2.0, 4.0)
_EVERY_AXIS = 5.0
"""Five times the variance along an axis is the square of an ellipsoid's half axis."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Signs of one body. Lengths are those of the ellipsoid with the same second moments, in units of the radius of an equal ball.

    Attributes
    ----------
    volume_cm3
        Of the coarse mask.
    high, deep, wide
        Along the patient's axes: foot to head, front to back, side to side.
    even
        Share of the mask that lies on the mask again when it is mirrored from left to right, in the best of planes that are nearly upright.
    round
        Dice coefficient of mask and that ellipsoid.
    tapers
        Third standardised moment along (foot to head, front to back): above 0 it is the narrower towards the head, or the back.
    leans
        Correlation of height and place from front to back: below 0 its lower part lies farther back than its upper one.
    """

    volume_cm3: float
    high: float
    deep: float
    wide: float
    even: float
    round: float
    tapers: tuple[float, float]
    leans: float


def shape_of(mask: Mask, spacing_mm: tuple[float, float, float]) -> Shape | None:
    """The signs of a mask (Z, Y, X) with axes to the head, the back and the left; None of one that is next to nothing."""
    spacing = np.array(spacing_mm)
    points = np.argwhere(mask) * spacing
    if len(points) < 64:
        return None
    centre = points.mean(axis=0)
    away = points - centre
    volume_mm3 = len(points) * float(np.prod(spacing))
    radius = (3 * volume_mm3 / (4 * np.pi)) ** (1 / 3)
    deviations = away.std(axis=0)
    if not deviations.all():
        return None
    high, deep, wide = (float(length) for length in np.sqrt(_EVERY_AXIS) * deviations / radius)
    third = (away**3).mean(axis=0) / deviations**3
    return Shape(
        volume_cm3=volume_mm3 / 1000,
        high=high,
        deep=deep,
        wide=wide,
        even=_evenness(mask, away[:: max(1, len(away) // POINTS)], centre, spacing),
        round=_roundness(mask, away, centre, spacing),
        tapers=(float(third[0]), float(third[1])),
        leans=float((away[:, 0] * away[:, 1]).mean() / (deviations[0] * deviations[1])),
    )


def _evenness(mask: Mask, away: Floats, centre: Floats, spacing: Floats) -> float:
    best, yaw, roll = _best_mirror(mask, away, centre, spacing, TILTS, 0.0, 0.0)
    refined, _, _ = _best_mirror(mask, away, centre, spacing, REFINED, yaw, roll)
    return max(best, refined)


def _best_mirror(
    mask: Mask, away: Floats, centre: Floats, spacing: Floats, angles: tuple[float, ...], yaw: float, roll: float
) -> tuple[float, float, float]:
    best = (0.0, yaw, roll)
    outside = np.pad(mask, 1)
    for more_yaw in angles:
        for more_roll in angles:
            normal = _normal(yaw + more_yaw, roll + more_roll)
            mirrored = away - 2 * np.outer(away @ normal, normal) + centre
            for shift in SHIFTS_MM:
                share = _share(outside, mirrored + shift * normal, spacing)
                best = max(best, (share, yaw + more_yaw, roll + more_roll))
    return best


def _normal(yaw: float, roll: float) -> Floats:
    """Of the mirror, (z, y, x): to the left where both are 0."""
    return np.array([np.sin(roll), np.sin(yaw) * np.cos(roll), np.cos(yaw) * np.cos(roll)])


def _share(padded: Mask, points: Floats, spacing: Floats) -> float:
    """The share of points that lie on a mask with an empty voxel around it."""
    places = np.rint(points.T / spacing[:, None]).astype(np.intp) + 1
    at = np.ravel_multi_index((places[0], places[1], places[2]), padded.shape, mode="clip")
    return int(np.count_nonzero(padded.ravel()[at])) / len(points)


def _roundness(mask: Mask, away: Floats, centre: Floats, spacing: Floats) -> float:
    covariance = np.cov(away.T)
    if np.linalg.det(covariance) <= 0:
        return 0.0
    inverse = np.linalg.inv(covariance)
    z, y, x = (np.arange(count) * step - middle for count, step, middle in zip(mask.shape, spacing, centre, strict=True))
    squares = (
        inverse[0, 0] * (z**2)[:, None, None]
        + inverse[1, 1] * (y**2)[None, :, None]
        + inverse[2, 2] * (x**2)[None, None, :]
        + 2 * inverse[0, 1] * (z[:, None] * y)[:, :, None]
        + 2 * inverse[0, 2] * (z[:, None] * x)[:, None, :]
        + 2 * inverse[1, 2] * (y[:, None] * x)[None, :, :]
    )
    ellipsoid = squares <= _EVERY_AXIS
    return 2 * int(np.count_nonzero(ellipsoid & mask)) / (int(np.count_nonzero(ellipsoid)) + int(np.count_nonzero(mask)))
