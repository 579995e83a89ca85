"""Figures of one case whose reference is a segmentation: both masks on the grid that was analysed, and what they say of each other."""

import math
from collections.abc import Mapping

import numpy as np

from inference.findings import Findings
from inference.imaging.volume import Volume
from training.acceptance.structures import References
from training.data.dicom import LabelledSeries
from training.data.segments import masks
from training.data.volumes import on_one_grid
from training.evaluation.figures import KINDS, Kind, of_structures
from training.evaluation.segmentation import Masks

DIFFERENCE = "volume difference"
OVERALL = "mean Dice"


def kinds(references: References) -> dict[str, Kind]:
    """The figures that are no kind of `evaluation.figures`: found less true volume in ml, and the mean over structures."""
    ml = Kind(unit="ml", better="near 0", digits=2, says="found volume less true volume")
    mean = Kind(unit="", better="more", digits=4, says="mean Dice of the structures that the reference of a case marks")
    several = {OVERALL: mean} if len(references.numbers) > 1 else {}
    return {**several, **{f"{DIFFERENCE} {label}": ml for label in references.numbers}}


def watched(references: References) -> str:
    """The figure that cases are ranked by, and cells are shown by."""
    (first, *more) = references.numbers
    return OVERALL if more else f"Dice {first}"


def structures(series: LabelledSeries, volume: Volume, found: Findings, references: References) -> dict[str, Masks]:
    """Of each structure that the reference of a series marks, the mask that was found and the true one, (Z, Y, X) on the volume's grid.

    Raises
    ------
    MisplacedLabels, UnfitData
    """
    on_one_grid(volume)
    marked = {segment.label: segment.mask for segment in found.segments}
    made = {}
    for label, of_files in references.numbers.items():
        true = np.zeros(volume.voxels.shape, dtype=np.bool_)
        here = [(file.path, of_files[file.path]) for file in series.segmentations if file.path in of_files]
        for path, numbers in here:
            for mask in masks(path, volume, numbers).values():
                true |= mask
        if here:
            made[label] = Masks(found=marked.get(label, np.zeros_like(true)), true=true)
    return made


def row(structures: Mapping[str, Masks], volume: Volume, references: References) -> dict[str, float]:
    """The figures of one case; NaN of a structure that its reference does not mark: nothing is known of it."""
    figures = of_structures(structures, volume.spacing_mm)
    voxel_ml = volume.voxel_volume_mm3 / 1000
    for label, both in structures.items():
        figures[f"{DIFFERENCE} {label}"] = (int(np.count_nonzero(both.found)) - int(np.count_nonzero(both.true))) * voxel_ml
    every = [f"{kind} {label}" for kind in (*KINDS, DIFFERENCE) for label in references.numbers]
    made = {name: figures.get(name, math.nan) for name in every}
    if len(references.numbers) > 1:
        known = [made[f"Dice {label}"] for label in structures if math.isfinite(made[f"Dice {label}"])]
        made = {OVERALL: sum(known) / len(known) if known else math.nan, **made}
    return made
