"""The verb `hilum choose`; the command names it by string, nothing heavy comes with it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from training.runs import default_run, demand_installed

_TABLE = "label-next.csv"
_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}


def choose(
    recipe: str,
    *,
    unlabelled: Path,
    number: int,
    data: Path | None = None,
    out: Path | None = None,
    by: Literal["entropy", "core-set"] = "entropy",
    to: Path | None = None,
    modality: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Name the patients of an archive who should be labelled next, by a network of those who are labelled (active learning).

    All images of each are written into a table (CSV), whose lines name them as a table of labels does: once a column of labels stands
    beside, recipes for a table take it. Nobody of --data is proposed; what cannot be read or prepared is told, and left out.

    Parameters
    ----------
    recipe
        Its name: segmentation, classification or hippocampus.
    unlabelled
        The folder of images that nobody has labelled (DICOM series, NIfTI files, pictures), nested in any way.
    number
        So many patients.
    data
        The folder that the run was trained on.
    out
        The run's folder (default var/training/RECIPE).
    by
        entropy: those of whom the network is least sure, of structures on average over all voxels. core-set: those whose features are
        farthest from all that are labelled, or were named before.
    to
        The table (default RUN/label-next.csv); one that is there is not written over.
    modality
        Of images in files that do not say it themselves (NIfTI, PNG and the like), as DICOM names it; default: that of the run's.
    device
        What computes: auto is a GPU where there is one.
    as_json
        Print what was proposed, and all that was left out, as JSON.
    """
    demand_installed()
    from training import recipes
    from training.choosing.choices import Choice
    from training.choosing.proposing import propose, refuse_written, summed_up, tables
    from training.compute import Device, Precision, chosen

    run = out or default_run(recipe)
    file = to or run / _TABLE
    # before minutes of reading
    refuse_written(file)
    wanted = recipes.load(recipe, run)
    seed = wanted.seed_of(run)
    sides = wanted.sides(data, wanted.schedule.seed if seed is None else seed)
    compute = chosen(Device(device), Precision.FLOAT32, 1)
    found = propose(wanted, run, sides, unlabelled, Choice(by), number, modality, compute)
    files = tables(found, file)
    if as_json:
        print(json.dumps({"tables": [str(file) for file in files], **asdict(found)}, indent=2))
    else:
        said = summed_up(found, files, unlabelled, lambda line: Console(stderr=True).print(line, **_PLAIN))
        Console().print(said, **_PLAIN)
    return 0
