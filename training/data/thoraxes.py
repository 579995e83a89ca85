"""Chest CT with planted nodules: made CTs, and those that lie in a folder's train/, validation/ and test/. Whole CTs are held out.

Each is a NIfTI file or a folder with one DICOM series. Nodules that a CT had before are not known here: there, who finds one is wrong.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from inference.applications.lung_nodule.preparing import prepare
from inference.imaging.resample import Grid, Interpolation, Shape, resample
from inference.imaging.volume import Volume
from training.data.cases import Case, Labelled, Split
from training.data.made_thorax import SHAPE, SPACING_MM, made_thorax
from training.data.nifti import volume_of
from training.data.outlined_bodies import OUTLINES, outlined_bodies
from training.data.planted_nodules import Body, Nodule, planted
from training.data.volumes import read, volumes
from training.errors import UnfitData

SIDES = ("train", "validation", "test")
NODULES = 8
"""Planted into a CT, where there is room."""
PLANTINGS = 4
"""Of a CT that was given; each counts as a case, all of them as one patient."""
FINEST_MM = 1.0
"""CTs with smaller voxels are brought to these: planting goes over all voxels for each nodule."""
OF_OUTLINES = ", LIDC's outlines"
"""Added to what a CT is called whose nodules have real forms."""
_MADE_AFFINE = np.diag([SPACING_MM] * 3 + [1.0])[[2, 1, 0, 3]]


Forms: TypeAlias = Callable[[], Sequence[Body]]
"""Forms to plant, looked for when the first CT is made; none: they are made."""


def no_forms() -> Sequence[Body]:
    """Forms are made."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thorax(Labelled):
    """A CT with nodules that are known; its labels are those of `planted`."""

    nodules: tuple[Nodule, ...]


def sides(folder: Path | None, made: Mapping[str, int], shape: Shape = SHAPE) -> Split:
    """Made CTs, so many for each side, and those of a folder; without a folder made ones alone. Where the folder holds `OUTLINES`, all have
    nodules of real forms, of other patients on each side.

    Raises
    ------
    UnfitData
        The folder holds no CT, or one on two sides.
    """
    there = {side: {} if folder is None else volumes(folder / side) for side in SIDES}
    names = [name for side in SIDES for name in there[side]]
    outlines = None if folder is None or not (folder / OUTLINES).is_file() else folder / OUTLINES
    if folder is not None and not names and outlines is None:
        raise UnfitData(
            f"{folder} holds no CT: train/, validation/ or test/ with NAME.nii.gz, or a folder NAME with one DICOM series; and no "
            f"{OUTLINES}, by whose outlines nodules are planted"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnfitData(f"{', '.join(twice)}: in more than one of train, validation and test of {folder}")
    train, validation, test = (tuple(_cases(side, there[side], made[side], shape, outlines)) for side in SIDES)
    return Split(train=train, validation=validation, test=test)


def of_made(seed: int, shape: Shape = SHAPE, forms: Forms = no_forms) -> Thorax:
    """A made CT with nodules, all of it drawn from a seed."""
    return _with_nodules(volume_of(made_thorax(seed, shape), _MADE_AFFINE, "CT", f"made {seed}"), seed, "made", forms())


def of_file(path: Path, planting: int, forms: Forms = no_forms) -> Thorax:
    """A given CT with nodules that its name and a number fix."""
    seed = int.from_bytes(hashlib.sha256(f"{path.name} {planting}".encode()).digest()[:8])
    # its name may be a patient's, and groups stand on the page
    return _with_nodules(_coarser(read(path, "CT")), seed, "given", forms())


def _cases(side: str, given: Mapping[str, Path], made: int, shape: Shape, outlines: Path | None) -> Iterator[Case]:
    first = 10_000 * SIDES.index(side)
    forms: Forms = no_forms if outlines is None else partial(outlined_bodies, outlines, side)
    # a run is known again by its cases' names
    of = "" if outlines is None else OF_OUTLINES
    for seed in range(first, first + made):
        yield _case(side, Case(patient=f"made {seed}", name=f"made {seed}{of}", load=partial(of_made, seed, shape, forms)))
    for name, path in given.items():
        for planting in range(PLANTINGS):
            called = f"{name}, planting {planting + 1}{of}"
            yield _case(side, Case(patient=name, name=called, load=partial(of_file, path, planting, forms)))


def _case(side: str, case: Case) -> Case:
    # validation cases are asked for in every epoch, the others once
    return Case(patient=case.patient, name=case.name, load=cache(case.load)) if side == "validation" else case


def _with_nodules(volume: Volume, seed: int, kind: str, bodies: Sequence[Body]) -> Thorax:
    grid, prepared = Grid.of(volume), prepare(volume)
    lungs = resample(prepared.search, prepared.grid, grid, by=Interpolation.NEAREST)
    made = planted(volume.voxels, grid, lungs, NODULES, seed, bodies)
    voxels = np.rint(made.hu).clip(-1024, 3071).astype(np.int16)
    return Thorax(
        volume=_holding(volume, voxels, grid),
        labels=made.labels,
        attributes={"CT": f"{kind}{OF_OUTLINES}" if bodies else kind},
        nodules=made.nodules,
    )


def _coarser(volume: Volume) -> Volume:
    source = Grid.of(volume)
    z, y, x = (max(1, min(count, round(count * step / FINEST_MM))) for count, step in zip(source.shape, source.spacing_mm, strict=True))
    if (z, y, x) == source.shape:
        return volume
    target = source.resized((z, y, x))
    return _holding(volume, resample(volume.voxels, source, target, by=Interpolation.LINEAR), target)


def _holding(volume: Volume, voxels: np.ndarray, grid: Grid) -> Volume:
    """Other voxels in the volume's place; where slices were made fewer, each is said to come from the nearest."""
    nearest = np.rint(np.linspace(0, len(volume.sources) - 1, voxels.shape[0])).astype(int)
    return Volume(
        voxels=voxels,
        affine=grid.affine,
        sources=tuple(volume.sources[index] for index in nearest.tolist()),
        modality=volume.modality,
        study_instance_uid=volume.study_instance_uid,
        series_instance_uid=volume.series_instance_uid,
        frame_of_reference_uid=volume.frame_of_reference_uid,
    )
