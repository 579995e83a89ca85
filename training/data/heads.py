"""Heads in three folders, train/, validation/ and test/, each a NIfTI file or a folder with one DICOM series; and their noisy twins.

Who lies where is said by whoever lays them there: of so few heads, a split by hash could put the only one of its kind anywhere.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.applications.mr_denoise.preparing import head_of
from training.data.cases import Case, Labelled, Split
from training.data.volumes import read, volumes
from training.errors import UnfitData

FINE_MM = 0.9
"""Voxels to learn from that are smaller are averaged."""
MEDIAN = 400.0
"""Of the head in what is noisy: whole values are then fine enough for the least noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Degraded(Labelled):
    """A volume that was made worse on purpose, its labels 1 in what counts, and the volume that it was made from.

    Attributes
    ----------
    clean
        (Z, Y, X) in the units of `volume`, on the grid that it is to be restored to; so are the labels.
    """

    clean: NDArray[np.float32]


def sides(folder: Path, levels: Sequence[float], slices: int) -> Split:
    """Heads to learn from, `averaged`; each head to choose or to test by at every level of noise, so many slices of its middle.

    Parameters
    ----------
    levels
        Deviations of the noise, as shares of the median in the head.

    Raises
    ------
    UnfitData
        A folder is lacking or empty, or a head is in two of them.
    """
    there = laid_out(folder)
    train = tuple(Case(patient=name, name=name, load=partial(averaged, path)) for name, path in there["train"].items())

    def noisy(side: str) -> Iterator[Case]:
        for name, path in there[side].items():
            for level in levels:
                yield Case(patient=name, name=f"{name}, noise {100 * level:g} %", load=partial(degraded, path, level, slices))

    return Split(train=train, validation=tuple(noisy("validation")), test=tuple(noisy("test")))


def laid_out(folder: Path) -> dict[str, dict[str, Path]]:
    """The heads of each of three folders, by name.

    Raises
    ------
    UnfitData
        A folder is lacking or empty, or a head is in two of them.
    """
    there = {side: _heads(folder / side) for side in ("train", "validation", "test")}
    twice = sorted(name for name in {*there["validation"], *there["test"]} if sum(name in each for each in there.values()) > 1)
    if twice:
        raise UnfitData(f"{', '.join(twice)}: in more than one of train, validation and test of {folder}")
    return there


def rician(clean: NDArray[np.float32], sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """What a scanner's magnitude image is: noise in the real and in the imaginary part."""
    real, imaginary = (rng.normal(0, sigma, clean.shape).astype(np.float32) for _ in range(2))
    noisy: NDArray[np.float32] = np.hypot(clean + real, imaginary).astype(np.float32)
    return noisy


def averaged(path: Path) -> Labelled:
    """A head with its finest voxels averaged two by two: their own noise is in what the network is told is clean, and would be kept."""
    labelled = _as_it_is(path)
    volume = labelled.volume
    voxels, affine, sources = volume.voxels, volume.affine.copy(), volume.sources
    for axis, step_mm in enumerate(volume.spacing_mm):
        if step_mm < FINE_MM:
            sides = list(voxels.shape)
            sides[axis : axis + 1] = [sides[axis] // 2, 2]
            voxels = voxels.take(range(2 * sides[axis]), axis).reshape(sides).mean(axis=axis + 1)
            affine[:3, 3] += affine[:3, axis] / 2
            affine[:3, axis] *= 2
            sources = sources[: 2 * sides[0] : 2] if axis == 0 else sources
    return Labelled(volume=replace(volume, voxels=voxels, affine=affine, sources=sources), labels=head_of(voxels).astype(np.uint8))


def degraded(path: Path, level: float, slices: int) -> Degraded:
    """A head with noise that its name and the level fix, in whole values as a scanner stores them."""
    labelled = _as_it_is(path)
    volume, head = labelled.volume, labelled.labels > 0
    scale = MEDIAN / float(np.median(volume.voxels[head]))
    along = np.flatnonzero(head.any(axis=(1, 2)))
    first = int(np.clip((along[0] + along[-1] + 1 - slices) // 2, 0, max(0, len(head) - slices)))
    kept = slice(first, first + slices)
    clean = (volume.voxels[kept] * scale).astype(np.float32)
    seed = int.from_bytes(hashlib.sha256(f"{path.name} {level:g}".encode()).digest()[:8])
    noisy = rician(clean, level * MEDIAN, np.random.default_rng(seed))
    affine = volume.affine.copy()
    affine[:3, 3] += first * affine[:3, 0]
    return Degraded(
        volume=replace(volume, voxels=np.rint(noisy).astype(np.int16), affine=affine, sources=volume.sources[kept]),
        labels=labelled.labels[kept],
        attributes={"level": f"{100 * level:g} %", "image": path.name.split(".")[0]},
        clean=clean,
    )


def _heads(folder: Path) -> dict[str, Path]:
    found = volumes(folder)
    if not found:
        raise UnfitData(f"{folder} holds no heads: NAME.nii.gz, or a folder NAME with the files of one DICOM series")
    return found


def _as_it_is(path: Path) -> Labelled:
    volume = read(path, "MR")
    voxels = np.maximum(volume.voxels.astype(np.float32), 0)
    return Labelled(volume=replace(volume, voxels=voxels), labels=head_of(voxels).astype(np.uint8))
