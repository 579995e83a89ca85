"""The contracts of containers: what lies in the folder that one is given, and what its environment says.

mercure: files `SERIES#INSTANCE.dcm` and task.json at /tmp/data, results at /tmp/output (https://github.com/mercure-imaging/mercure,
docs/modules.rst). Those of a MONAI Application Package its image says: `inference.applications.container.package`.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.applications.container.described import ContainerManifest, Contract, ImageFormat
from inference.imaging.nifti import write_nifti
from inference.imaging.volume import Volume

MERCURE_PLACES = ("/tmp/data", "/tmp/output")
FOLDER_PLACES = ("/input", "/output")
_TAGS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "AccessionNumber")


def give(manifest: ContainerManifest, volume: Volume, files: Sequence[Path], folder: Path) -> Dataset:
    """Copy the images of a job into the folder of what a container is given, or write their volume there as NIfTI; gives back what the
    first says of patient and study.

    Raises
    ------
    IrregularSpacing
        Of NIfTI: it has one step from slice to slice.
    """
    if manifest.images is ImageFormat.NIFTI:
        write_nifti(folder / manifest.image_file, volume)
        (folder / manifest.image_file).chmod(0o644)
        return dcmread(files[0], stop_before_pixels=True, specific_tags=list(_TAGS))
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
