"""Heads that were made: what disease, surgery, coils and senders do to a real head, and heads of any contrast from maps of labels.

Everything is upright: axes to the head, to the back and to the left. Shares and sizes are those of the names that a report shows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.imaging.volume import Affine
from training.t1_likeness import tissues_of, within_skull

RIGHT, WRONG, CUT = "right", "wrong", "cut"
"""To be taken; to be declined; to be declined, or said to be at least so much."""

Voxels = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """One made head: (Z, Y, X) with its affine, and the completed years of the patient where the head is no adult's."""

    what: str
    kind: str
    voxels: Voxels
    affine: Affine
    years: int | None = None


CONTRASTS: Mapping[str, tuple[int, ...]] = {
    "T1": (15, 900, 650, 250, 300, 250, 450, 500, 750, 400, 60, 650),
    "T1 of a newborn": (15, 520, 680, 280, 300, 280, 430, 500, 750, 400, 60, 500),
    "T2": (15, 350, 480, 1000, 60, 1000, 300, 700, 450, 150, 60, 450),
    "FLAIR": (15, 480, 600, 120, 60, 150, 400, 500, 600, 150, 60, 450),
    "proton density": (15, 600, 720, 800, 100, 800, 500, 700, 700, 300, 80, 550),
    "CT": (-1000, 28, 36, 8, 45, 10, 50, 40, 20, 50, 1000, 400),
}
"""Values of tissues, in the order of `training.t1_likeness.TISSUES`; those of MR are arbitrary units, those of CT HU."""
_TEXTURE, _NOISE = 0.04, 0.03
_BALL_MM = {"a cavity after surgery": 24, "oedema": 32}
_DEEP_MM = 24
_THICK_MM = 5


def from_labels(drawn: Voxels, affine: Affine) -> Iterator[Made]:
    """Heads of three contrasts that are right, of four that are not, and an infant's, a child's, a patient's, from one map (Z, Y, X)."""
    labels = drawn.astype(np.intp)
    of, inside = tissues_of(labels), within_skull(labels)
    t1 = _painted(of, "T1")
    yield Made(what="drawn as T1", kind=RIGHT, voxels=t1, affine=affine)
    newborn = _painted(of, "T1 of a newborn")
    yield Made(what="drawn as T1 of a newborn, 0.66 times as large", kind=RIGHT, voxels=newborn, affine=_scaled(affine, 0.66), years=0)
    yield Made(what="drawn as T1 of a child of two, 0.9 times as large", kind=RIGHT, voxels=t1, affine=_scaled(affine, 0.9), years=2)
    for made in ailing(t1, affine, inside):
        yield Made(what=f"drawn as T1, {made.what}", kind=made.kind, voxels=made.voxels, affine=made.affine)
    for contrast in ("T2", "FLAIR", "proton density", "CT"):
        yield Made(what=f"drawn as {contrast}", kind=WRONG, voxels=_painted(of, contrast), affine=affine)
    yield Made(what="drawn as T1, 0.4 times as large", kind=WRONG, voxels=t1, affine=_scaled(affine, 0.4))


def _painted(of: NDArray[np.intp], contrast: str) -> Voxels:
    """Tissues in the values of a contrast, uneven within each by a texture and by noise, at borders mixed."""
    from scipy import ndimage

    rng = np.random.default_rng(11)
    values = np.array(CONTRASTS[contrast], dtype=np.float32)[of]
    spread = float(np.ptp(CONTRASTS[contrast][:4]))
    if contrast != "CT":
        values *= 1 + _TEXTURE * np.asarray(ndimage.gaussian_filter(rng.normal(0, 6, of.shape).astype(np.float32), 2), dtype=np.float32)
    else:
        spread = 100.0
    mixed = ndimage.gaussian_filter(values, 0.6)
    noisy: Voxels = np.round(mixed + rng.normal(0, _NOISE * spread, of.shape)).astype(np.int16)
    return noisy if contrast == "CT" else np.abs(noisy)


def _scaled(affine: Affine, factor: float) -> Affine:
    return affine @ np.diag([factor, factor, factor, 1.0])


def ailing(voxels: Voxels, affine: Affine, inside: Mask) -> Iterator[Made]:
    """One head with a cavity after surgery, with oedema, with undrained hydrocephalus: right ones all."""
    from scipy import ndimage

    steps = np.linalg.norm(affine[:3, :3], axis=0)
    depth_mm = ndimage.distance_transform_edt(inside, sampling=steps)
    water, tissue = (float(value) for value in np.percentile(voxels[inside], (3, 60)))
    rng = np.random.default_rng(5)
    grain = rng.normal(0, 0.05 * tissue, voxels.shape).astype(np.float32)
    for what, radius_mm in _BALL_MM.items():
        # off the middle, half as deep as the deepest voxel: a ball that reaches the surface
        places = np.argwhere(inside & (np.abs(depth_mm - 0.4 * depth_mm.max()) < max(steps)))
        centre = places[len(places) // 3]
        z, y, x = (np.square((np.arange(count) - at) * step) for count, at, step in zip(voxels.shape, centre, steps, strict=True))
        away = np.sqrt(z[:, None, None] + y[None, :, None] + x[None, None, :])
        share = np.clip((radius_mm - away) / 4, 0, 1) * inside
        put = water + grain if what.startswith("a cavity") else 0.55 * voxels + 0.2 * tissue + 0.3 * grain
        yield Made(what=what, kind=RIGHT, voxels=_kept(voxels * (1 - share) + put * share, voxels), affine=affine)
    share = np.clip((depth_mm - _DEEP_MM) / 4, 0, 1)
    filled = _kept(voxels * (1 - share) + (water + grain) * share, voxels)
    yield Made(what="hydrocephalus", kind=RIGHT, voxels=filled, affine=_scaled(affine, 1.1))


def acquired(voxels: Voxels, affine: Affine, inside: Mask) -> Iterator[Made]:
    """One head as coils, protocols and those who take faces and skulls away leave it; and as it must not be."""
    from scipy import ndimage

    steps = np.linalg.norm(affine[:3, :3], axis=0)
    along = np.linspace(0, 1, voxels.shape[1], dtype=np.float32)[None, :, None]
    yield Made(what="a coil at the back of the head", kind=RIGHT, voxels=_kept(voxels * np.exp(1.6 * (along - 0.5)), voxels), affine=affine)
    count = max(1, round(_THICK_MM / steps[0]))
    thick = voxels[: len(voxels) // count * count].reshape(-1, count, *voxels.shape[1:]).mean(axis=1)
    yield Made(what="slices of 5 mm", kind=RIGHT, voxels=_kept(thick, voxels), affine=affine @ np.diag([count, 1, 1, 1.0]))
    near = ndimage.binary_dilation(inside, iterations=max(1, round(4 / min(steps))))
    rows = np.flatnonzero(inside.any(axis=(0, 2)))
    planes = np.flatnonzero(inside.any(axis=(1, 2)))
    face = np.zeros(voxels.shape, dtype=np.bool_)
    face[: (planes[0] + planes[-1]) // 2, : (2 * rows[0] + rows[-1]) // 3] = True
    yield Made(what="without its face", kind=RIGHT, voxels=np.where(face & ~near, voxels.min(), voxels), affine=affine)
    yield Made(what="without its skull", kind=RIGHT, voxels=np.where(inside, voxels, voxels.min()), affine=affine)
    air = float(np.percentile(voxels, 2))
    yield Made(what="without its brain", kind=WRONG, voxels=np.where(inside, np.asarray(air, dtype=voxels.dtype), voxels), affine=affine)
    low, high = (float(value) for value in np.percentile(voxels[inside], (1, 99)))
    turned = np.where(near, np.clip(low + high - voxels.astype(np.float32), 0, None), voxels)
    yield Made(what="its brain turned to the negative, air dark", kind=WRONG, voxels=_kept(turned, voxels), affine=affine)
    folded = np.roll(voxels, (rows[-1] + rows[0]) // 2 - (rows[0] or 1), axis=1)
    yield Made(what="folded over", kind=CUT, voxels=folded, affine=affine)
    order = np.random.default_rng(3).permutation(len(voxels))
    yield Made(what="its slices in disorder", kind=WRONG, voxels=voxels[order], affine=affine)
    high_mm = len(planes)
    kept = np.r_[: planes[0] + int(0.4 * high_mm), planes[0] + int(0.65 * high_mm) : len(voxels)]
    yield Made(what="without the middle quarter of its slices", kind=WRONG, voxels=voxels[kept], affine=affine)
    yield Made(what="two beside each other", kind=WRONG, voxels=np.concatenate([voxels, voxels], axis=2), affine=affine)
    half = voxels.copy()
    columns = np.flatnonzero(inside.any(axis=(0, 1)))
    half[:, :, (columns[0] + columns[-1]) // 2 :] = voxels.min()
    yield Made(what="its left half black", kind=WRONG, voxels=half, affine=affine)


def _kept(values: Voxels, like: Voxels) -> Voxels:
    """In the type of the head that it was made of."""
    return np.round(values).astype(like.dtype) if like.dtype.kind in "iu" else values.astype(np.float32)


_ELLIPSOIDS = (
    # value, half axes to the side, to the front, to the head, and the middle: Shepp and Logan's head in three dimensions
    (1.0, (0.69, 0.92, 0.81), (0.0, 0.0, 0.0)),
    (-0.8, (0.6624, 0.874, 0.78), (0.0, -0.0184, 0.0)),
    (-0.2, (0.11, 0.31, 0.22), (0.22, 0.0, 0.0)),
    (-0.2, (0.16, 0.41, 0.28), (-0.22, 0.0, 0.0)),
    (0.1, (0.21, 0.25, 0.41), (0.0, 0.35, -0.15)),
    (0.1, (0.046, 0.046, 0.05), (0.0, 0.1, 0.25)),
    (0.1, (0.046, 0.023, 0.05), (-0.08, -0.605, 0.0)),
)


def ellipsoids(count: int = 160, step_mm: float = 1.25) -> tuple[Voxels, Affine]:
    """A head of ellipsoids (after Shepp and Logan, IEEE Trans Nucl Sci 21:21, 1974), as noisy as a real one."""
    from scipy import ndimage

    place = np.linspace(-1, 1, count, dtype=np.float32)
    z, y, x = place[:, None, None], -place[None, :, None], place[None, None, :]
    values = np.zeros((count,) * 3, dtype=np.float32)
    for value, (wide, deep, high), (left, front, up) in _ELLIPSOIDS:
        values[((x - left) / wide) ** 2 + ((y - front) / deep) ** 2 + ((z - up) / high) ** 2 <= 1] += value
    noisy = ndimage.gaussian_filter(1000 * values, 0.7) + np.random.default_rng(2).normal(0, 12, values.shape)
    return np.abs(noisy).astype(np.int16), np.array([[0, 0, step_mm, 0], [0, step_mm, 0, 0], [step_mm, 0, 0, 0], [0, 0, 0, 1.0]])
