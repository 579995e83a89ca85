"""Thick slices of heads of about 1 mm: what a scanner's slice profile would have made of them; and the pieces that a network learns from.

Heads, and parts of heads, lie in three folders as in `heads`. The profile is a Gaussian along the axis of the slices, whose full width at
half maximum is the slice thickness, on top of what the voxels of about 1 mm are blurred by themselves.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.applications.mr_super_resolution.preparing import FINE_MM, Image, along, profile
from inference.imaging.volume import Volume
from training.data.cases import Case, Labelled, Split
from training.data.heads import MEDIAN, Degraded, laid_out, rician
from training.data.volumes import read
from training.errors import UnfitData

NOISE = 0.01
"""Of thick slices that are validated and tested, as a share of the median of tissue."""
PIECE = 64
"""Voxels along the sides of what is learned from; smaller images are learned from whole."""
SLAB = 61
"""Fine slices in the middle of a head that are validated or tested."""

_AROUND = 0.08
"""By what share voxels may differ from `FINE_MM`: six of them are then no more than 6.5 mm, and made into six again when served."""
_TISSUE = 0.2
"""A voxel counts where it is at least this share of the bright ones."""
_BRIGHT = 98.0
_FULL = 0.3
"""A piece is learned from where at least this share of it counts."""


def sides(folder: Path, levels: Sequence[int]) -> Split:
    """Pieces to learn from; each image to choose or to test by with slices of so many mm.

    Raises
    ------
    UnfitData
        A folder is lacking or empty, an image is in two of them, or its voxels are not about 1 mm large.
    """
    there = laid_out(folder)
    pieces = [
        Case(patient=name, name=f"{name}, piece {number}", load=partial(_piece, path, place))
        for name, path in there["train"].items()
        for number, place in enumerate(_places(path))
    ]

    def thick(side: str) -> Iterator[Case]:
        for name, path in there[side].items():
            for level in levels:
                yield Case(patient=name, name=f"{name}, slices of {level} mm", load=partial(thickened, path, level))

    return Split(train=tuple(pieces), validation=tuple(thick("validation")), test=tuple(thick("test")))


def thickened(path: Path, level: int) -> Degraded:
    """An image with slices of so many mm, and noise that its name and the level fix, in whole values as a scanner stores them."""
    volume = _fine(path)
    tissue = tissue_of(volume.voxels)
    scale = MEDIAN / float(np.median(volume.voxels[tissue]))
    clean = (volume.voxels * scale).astype(np.float32)
    whole = len(clean)
    slices = (min(whole, SLAB) - 1) // level + 1
    first = (whole - 1 - (slices - 1) * level) // 2
    thick = along(profile(whole, first + level * np.arange(slices, dtype=np.float64), level), clean)
    seed = int.from_bytes(hashlib.sha256(f"{path.name} {level}".encode()).digest()[:8])
    noisy = rician(thick, NOISE * MEDIAN, np.random.default_rng(seed))
    affine = volume.affine.copy()
    affine[:3, 3] += first * affine[:3, 0]
    affine[:3, 0] *= level
    kept = slice(first, first + (slices - 1) * level + 1)
    return Degraded(
        volume=replace(
            volume,
            voxels=np.rint(noisy).astype(np.int16),
            affine=affine,
            sources=volume.sources[first : first + slices],
            thickness_mm=float(level * volume.spacing_mm[0]),
        ),
        labels=tissue[kept].astype(np.uint8),
        attributes={"level": f"{level} mm", "image": path.name.split(".")[0]},
        clean=clean[kept],
    )


def tissue_of(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """What is not as dark as air, bone and a few cavities."""
    bright = values[values > 0.1 * values.max()]
    mask: NDArray[np.bool_] = values >= _TISSUE * np.percentile(bright, _BRIGHT)
    return mask


def _fine(path: Path) -> Volume:
    volume = read(path, "MR")
    if round(max(abs(mm - FINE_MM) for mm in volume.spacing_mm), 3) > _AROUND * FINE_MM:
        told = " × ".join(f"{mm:.2f}" for mm in volume.spacing_mm)
        raise UnfitData(f"{path.name} has voxels of {told} mm: thick slices are made of images of about {FINE_MM:g} mm; resample it first")
    return replace(volume, voxels=np.maximum(volume.voxels.astype(np.float32), 0))


def _places(path: Path) -> tuple[tuple[slice, ...], ...]:
    """Where an image is cut into pieces, those that hold enough tissue."""
    values = _fine(path).voxels
    tissue = tissue_of(values)
    cuts = [[slice(start, start + PIECE) for start in range(0, max(1, side - PIECE // 2), PIECE)] for side in values.shape]
    places: list[tuple[slice, ...]] = [place for place in itertools.product(*cuts) if tissue[place].mean() >= _FULL]
    return tuple(places) or ((slice(None),) * 3,)


def _piece(path: Path, place: tuple[slice, ...]) -> Labelled:
    volume = _fine(path)
    scale = MEDIAN / float(np.median(volume.voxels[tissue_of(volume.voxels)]))
    voxels: Image = (volume.voxels[place] * scale).astype(np.float32)
    return Labelled(
        volume=replace(volume, voxels=voxels, sources=volume.sources[: len(voxels)]), labels=np.ones(voxels.shape, dtype=np.uint8)
    )
