"""Lung nodules of known place, size and density, planted into a chest CT: with a soft rim, lobed ellipsoids, each drawn from a seed, or
forms that are given (`outlined_bodies`).

They are made, and so is what a network would learn of them: no scanner and no pathologist saw one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.follow_up import Density
from inference.imaging.diameters import axes_mm
from inference.imaging.resample import Grid

GROUND_GLASS, SOLID = 1, 2
"""Labels of voxels, not of nodules: a part-solid one has both."""
DIAMETERS_MM = (4.0, 20.0)
GLASS_HU, SOLID_HU = (-700.0, -500.0), (-20.0, 80.0)
RIM_MM = 1.2
"""From lung to nodule; a CT's resolution."""
CORES = (0.4, 0.7)
"""Diameter of a part-solid nodule's solid core, of the whole."""
_LOBES, _DEEP = 5, 0.12
_STRETCHED = (0.8, 1.25)
_WIDEST = 0.8
"""From the middle to the farthest lobe, of the diameter."""
_FINE_MM = 0.5
_PARENCHYMA_HU = (-980.0, -650.0)
_APART_MM = 4.0

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """What is true of one nodule.

    Attributes
    ----------
    centre_mm
        (x, y, z), LPS.
    long_mm, short_mm
        The longest diameter on the slice that shows most of it, and the widest across it.
    """

    centre_mm: tuple[float, float, float]
    long_mm: float
    short_mm: float
    volume_mm3: float
    density: Density


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """A CT with nodules: `hu` (Z, Y, X), and `labels` of ground glass and of what is solid in a nodule."""

    hu: Floats
    labels: NDArray[np.uint8]
    nodules: tuple[Nodule, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Body:
    """A shape around 0: half axes along (z, y, x) in mm, directions and depths of its lobes."""

    half_mm: NDArray[np.float64]
    towards: NDArray[np.float64]
    depths: NDArray[np.float64]

    def inner(self, offsets_mm: NDArray[np.float64], scale: float = 1.0) -> NDArray[np.float64]:
        """How deep points (…, 3) lie below the surface of the shape, `scale` times as large, in mm; below 0 outside."""
        distance = np.linalg.norm(offsets_mm, axis=-1)
        unit = offsets_mm / np.maximum(distance, 1e-6)[..., None]
        lobed = 1 + (self.depths * np.clip(unit @ self.towards.T, 0, None) ** 4).sum(axis=-1)
        surface = scale * lobed / np.maximum(np.sqrt(((unit / self.half_mm) ** 2).sum(axis=-1)), 1e-9)
        deep: NDArray[np.float64] = np.where(distance < 1e-6, scale * self.half_mm.min(), surface - distance)
        return deep


class Body(Protocol):
    """A form around 0 that is planted: `half_mm` are half its sides along (z, y, x)."""

    @property
    def half_mm(self) -> NDArray[np.float64]: ...

    def inner(self, offsets_mm: NDArray[np.float64], scale: float = 1.0) -> NDArray[np.float64]:
        """How deep points (…, 3) lie below the surface of the form, `scale` times as large, in mm; below 0 outside."""
        ...


def planted(hu: NDArray[Any], grid: Grid, lungs: Mask, count: int, seed: int, bodies: Sequence[Body] = ()) -> Planted:
    """Plant up to `count` nodules in a CT (Z, Y, X); the classes take turns, and diameters are drawn evenly on a logarithmic scale.

    Parameters
    ----------
    lungs
        (Z, Y, X): where they may be; their middles lie in air-bearing lung, and no two touch. Where there is no room, there are fewer.
    bodies
        Forms of which each nodule has one; without them forms are made.
    """
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    spacing = np.array(grid.spacing_mm)
    image, labels = hu.astype(np.float32), np.zeros(hu.shape, dtype=np.uint8)
    smooth = ndimage.gaussian_filter(image, 1.0)
    free_mm = ndimage.distance_transform_edt(lungs, sampling=spacing)
    ends = [
        np.minimum(axis + 0.5, side - axis - 0.5) * mm
        for axis, side, mm in zip(np.ogrid[tuple(slice(0, n) for n in hu.shape)], hu.shape, spacing, strict=True)
    ]
    within_mm = np.minimum(np.minimum(ends[0], ends[1]), ends[2])
    airy = (smooth > _PARENCHYMA_HU[0]) & (smooth < _PARENCHYMA_HU[1])
    noise = float(np.median(np.abs(image - smooth)[airy])) * 1.5 if airy.any() else 0.0
    found: list[Nodule] = []
    for number in range(count):
        density = list(Density)[number % len(Density)]
        given = bodies[int(rng.integers(len(bodies)))] if bodies else None
        diameter = float(np.exp(rng.uniform(*np.log(DIAMETERS_MM)))) if given is None else 2 * float(given.half_mm.max())
        # nearly whole in the lung: a nodule may sit at its wall; and never cut by the end of the images
        places = np.flatnonzero(airy & (free_mm > 0.4 * diameter) & (within_mm > _WIDEST * diameter))
        if not places.size:
            continue
        at = np.array(np.unravel_index(int(rng.choice(places)), hu.shape), dtype=np.float64) + rng.uniform(-0.5, 0.5, 3)
        body = _body(diameter, rng) if given is None else given
        core = float(rng.uniform(*CORES)) if density is Density.PART_SOLID else 1.0
        _put(image, labels, at, spacing, body, density, core, noise, rng)
        axes = np.ogrid[tuple(slice(0, side) for side in hu.shape)]
        away_mm = np.sqrt(sum(((axis - middle) * mm) ** 2 for axis, middle, mm in zip(axes, at, spacing, strict=True)))
        airy &= away_mm > diameter + DIAMETERS_MM[1] / 2 + _APART_MM
        found.append(_truth(body, density, grid, at))
    return Planted(hu=image, labels=labels, nodules=tuple(found))


def _body(diameter_mm: float, rng: np.random.Generator) -> _Body:
    half = diameter_mm / 2 * np.exp(rng.uniform(float(np.log(_STRETCHED[0])), float(np.log(_STRETCHED[1])), size=3))
    towards = rng.normal(size=(_LOBES, 3))
    depths = rng.uniform(-_DEEP, 2 * _DEEP, _LOBES)
    return _Body(half_mm=half, towards=towards / np.linalg.norm(towards, axis=1, keepdims=True), depths=depths)


def _put(
    image: Floats,
    labels: NDArray[np.uint8],
    at: NDArray[np.float64],
    spacing: NDArray[np.float64],
    body: Body,
    density: Density,
    core: float,
    noise_hu: float,
    rng: np.random.Generator,
) -> None:
    reach = 1.8 * float(body.half_mm.max()) + 2 * RIM_MM
    low = np.maximum(np.floor(at - reach / spacing).astype(int), 0)
    high = np.minimum(np.ceil(at + reach / spacing).astype(int) + 1, image.shape)
    here = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    offsets = (np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1) - at) * spacing
    whole = np.clip(0.5 + body.inner(offsets) / RIM_MM, 0, 1)
    inside = {
        Density.SOLID: whole,
        Density.PART_SOLID: np.clip(0.5 + body.inner(offsets, core) / RIM_MM, 0, 1),
        Density.GROUND_GLASS: np.zeros_like(whole),
    }[density]
    glass, solid = rng.uniform(*GLASS_HU), rng.uniform(*SOLID_HU)
    values = glass + (solid - glass) * inside if density is not Density.SOLID else np.full_like(whole, solid)
    values = values + rng.normal(0, max(noise_hu, 1.0), values.shape)
    # a vessel through ground glass stays as bright as it was
    image[here] += (whole * np.maximum(values - image[here], 0)).astype(np.float32)
    marks = np.where(whole >= 0.5, np.where(inside >= 0.5, SOLID, GROUND_GLASS), 0)
    labels[here] = np.maximum(labels[here], marks.astype(np.uint8))


def _truth(body: Body, density: Density, grid: Grid, at: NDArray[np.float64]) -> Nodule:
    """Measured on a finer grid than any image has."""
    reach = int(np.ceil(1.8 * float(body.half_mm.max()) / _FINE_MM))
    steps = np.arange(-reach, reach + 1) * _FINE_MM
    mask = body.inner(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)) >= 0
    z = int(mask.sum(axis=(1, 2)).argmax())
    long_mm, short_mm = axes_mm(mask[z], (_FINE_MM, _FINE_MM))
    x_mm, y_mm, z_mm = (float(each) for each in (grid.affine @ np.append(at, 1.0))[:3])
    return Nodule(
        centre_mm=(x_mm, y_mm, z_mm),
        long_mm=long_mm,
        short_mm=short_mm,
        volume_mm3=int(np.count_nonzero(mask)) * _FINE_MM**3,
        density=density,
    )
