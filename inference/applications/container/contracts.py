"""The contracts of containers: what lies in the folder that one is given, and what its environment says.

mercure: files `SERIES#INSTANCE.dcm` and task.json at /tmp/data, results at /tmp/output (https://github.com/mercure-imaging/mercure,
docs/modules.rst). MONAI Application Package: app.json and pkg.json of the image say the folders (MONAI Deploy, MAP guidelines 1.0).
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.applications.container.described import ContainerManifest, Contract
from inference.applications.container.engine import ContainerEngine
from inference.applications.container.errors import UnfitContainer

MERCURE_PLACES = ("/tmp/data", "/tmp/output")
FOLDER_PLACES = ("/input", "/output")
_MANIFESTS = (("/etc/monai/app.json", "/etc/monai/pkg.json"), ("/etc/holoscan/app.json", "/etc/holoscan/pkg.json"))
_MOST_MANIFEST = 1 << 20
_TAGS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "AccessionNumber")
_SIZES = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def give(manifest: ContainerManifest, files: Sequence[Path], folder: Path) -> Dataset:
    """Copy the images of a job into the folder of what a container is given; gives back what the first says of patient and study."""
    first: Dataset | None = None
    for file in files:
        header = dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        first = header if first is None else first
        instance = str(header.SOPInstanceUID)
        mercure = manifest.contract is Contract.MERCURE
        name = f"{header.SeriesInstanceUID}#{instance}.dcm" if mercure else f"{instance}.dcm"
        shutil.copyfile(file, folder / name)
    assert first is not None, "a job has files"
    if manifest.contract is Contract.MERCURE:
        (folder / "task.json").write_text(json.dumps(_task(manifest, first), indent=2), encoding="utf-8")
    for each in folder.iterdir():
        each.chmod(0o644)
    return first


def _task(manifest: ContainerManifest, header: Dataset) -> dict[str, Any]:
    """task.json as a module reads it: what mercure itself needs to send results on is not in it."""
    series = str(header.SeriesInstanceUID)
    return {
        "id": series,
        "info": {
            "action": "process",
            "uid": series,
            "uid_type": "series",
            "mrn": str(header.get("PatientID", "")),
            "acc": str(header.get("AccessionNumber", "")),
        },
        "process": {
            "module_name": manifest.name,
            "module_config": {"docker_tag": manifest.image},
            "settings": dict(manifest.settings),
            "retain_input_images": False,
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """What a MONAI Application Package says of itself.

    Attributes
    ----------
    command
        What to run where the image has no entry point.
    memory
        Bytes that it asks for; None where it does not say.
    """

    given_at: str
    made_at: str
    variables: dict[str, str]
    command: tuple[str, ...]
    memory: int | None
    gpu: bool


def packaged(engine: ContainerEngine, image: str) -> Packaged:
    """Read app.json and pkg.json of an image, without starting it.

    Raises
    ------
    ImageAbsent, ContainerEngineAway
    UnfitContainer
        It has none, or they do not say what has to stand there.
    """
    for app, package in _MANIFESTS:
        said = engine.file_in(image, app, _MOST_MANIFEST)
        if said is not None:
            return _packaged(engine, image, app, said, engine.file_in(image, package, _MOST_MANIFEST) or b"{}")
    raise UnfitContainer(f"{image} has no {' and no '.join(app for app, _ in _MANIFESTS)}: it is no MONAI Application Package")


def _packaged(engine: ContainerEngine, image: str, where: str, app: bytes, package: bytes) -> Packaged:
    try:
        told, resources = json.loads(app), json.loads(package).get("resources") or {}
        command = told["command"]
        words = json.loads(command) if isinstance(command, str) and command.startswith("[") else command
        words = ["/bin/sh", "-c", words] if isinstance(words, str) else words
        root = PurePosixPath(told.get("workingDirectory") or told.get("working-directory") or "/var/monai")
        places = [str(root / told[key]["path"]) for key in ("input", "output")]
        variables = {str(key): str(value) for key, value in (told.get("environment") or {}).items()}
        memory = resources.get("memory")
        wanted = None if memory is None else _size(str(memory))
        gpu = float(resources.get("gpu") or 0) > 0
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        raise UnfitContainer(f"{where} of {image} does not say what a MONAI Application Package says: {broken!r}") from broken
    if not all(isinstance(word, str) for word in words) or any(".." in place or place in ("/", "/etc", "/tmp") for place in places):
        raise UnfitContainer(f"{where} of {image} names {places[0]} and {places[1]} as its folders, and runs {words!r}")
    given_at, made_at = places
    own = {"HOLOSCAN_INPUT_PATH": given_at, "HOLOSCAN_OUTPUT_PATH": made_at, "MONAI_INPUTPATH": given_at, "MONAI_OUTPUTPATH": made_at}
    has_entry = bool((engine.image(image).get("Config") or {}).get("Entrypoint"))
    return Packaged(
        given_at=given_at,
        made_at=made_at,
        variables={**variables, **own},
        command=() if has_entry else tuple(words),
        memory=wanted,
        gpu=gpu,
    )


def _size(text: str) -> int:
    digits = text.rstrip("KMGTik")
    return int(float(digits) * _SIZES[text[len(digits) :]])
