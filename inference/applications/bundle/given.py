"""What an import was given: a model with an app.yaml, a MONAI Bundle, a trained model of nnU-Net, a container, or a model file alone.

Names are looked at, nothing else is read.
"""

import zipfile
from enum import Enum
from pathlib import Path

from inference.applications.bundle.declaring import APP, SAFETENSORS
from inference.applications.bundle.errors import UnreadableBundle
from inference.applications.bundle.layouts import METADATA, TORCHSCRIPT_METADATA
from inference.applications.bundle.nnunet.layout import PLANS, trained_in
from inference.engines.file_import import SUFFIXES

CONTAINER = "container.yaml"


class Given(Enum):
    """The kinds."""

    APP = "a model with app.yaml"
    BUNDLE = "a MONAI Bundle"
    NNUNET = "a trained model of nnU-Net"
    CONTAINER = "a container with container.yaml"
    FILE = "a model file"


def given(path: Path) -> Given:
    """The kind of what lies at a path.

    Raises
    ------
    UnreadableBundle
        It is none; the message says what was looked for.
    """
    if path.is_dir():
        names = {each.name for each in path.iterdir()}
        if APP in names:
            return Given.APP
        if CONTAINER in names:
            return Given.CONTAINER
        if (path / METADATA).is_file():
            return Given.BUNDLE
        if trained_in(_nearby(path)):
            return Given.NNUNET
        models = sorted(name for name in names if Path(name).suffix.lower() in (*SUFFIXES, SAFETENSORS))
        beside = f" beside {models[0]}: `hilum config schema app.yaml`, docs/howto/describe-a-model.md" if models else ""
        raise UnreadableBundle(
            f"{path} is nothing that can be imported: it has no {APP}{beside}, no {CONTAINER}, no {METADATA}, and no {PLANS} with folds"
        )
    if not path.is_file():
        raise UnreadableBundle(f"{path} is neither an application nor a file or a folder")
    members = _members(path)
    if any(name == METADATA or name.endswith((f"/{METADATA}", TORCHSCRIPT_METADATA)) for name in members):
        return Given.BUNDLE
    if trained_in(members):
        return Given.NNUNET
    if any(name.rpartition("/")[2] == APP for name in members):
        raise UnreadableBundle(f"{path} has an {APP} inside: unpack it, and import the folder")
    if path.suffix.lower() in SUFFIXES:
        return Given.FILE
    if path.suffix.lower() == SAFETENSORS:
        raise UnreadableBundle(f"{path} holds weights alone; an {APP} beside it says whose they are")
    raise UnreadableBundle(
        f"{path} is neither a model file ({', '.join(SUFFIXES)}) nor a zip of a MONAI Bundle or of a trained model of nnU-Net"
    )


def _nearby(path: Path) -> list[str]:
    """Files up to four folders down: results of nnU-Net are no deeper."""
    return [file.relative_to(path).as_posix() for depth in range(1, 5) for file in path.glob("/".join("*" * depth)) if file.is_file()]


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return []
