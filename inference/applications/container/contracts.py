"""The contracts of containers: what lies in the folder that one is given, and what its environment says.

mercure: files `SERIES#INSTANCE.dcm` and task.json at /tmp/data, results at /tmp/output (https://github.com/mercure-imaging/mercure,
docs/modules.rst). Those of a MONAI Application Package its image says: `inference.applications.container.package`.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.applications.container.described import ContainerManifest, Contract, ImageFormat
from inference.imaging.nifti import write_nifti
from inference.imaging.roles import on_the_references_grid
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume

MERCURE_PLACES = ("/tmp/data", "/tmp/output")
FOLDER_PLACES = ("/input", "/output")
_TAGS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "AccessionNumber")


def give(manifest: ContainerManifest, subject: Volume | VolumeSet, files: Sequence[Path], folder: Path) -> Dataset:
    """Copy the images of a job into the folder of what a container is given, or write their volumes there as NIfTI; gives back what the
    first of the reference's says of patient and study.

    Of several series each lies in a folder of its role's name, of NIfTI in a file of that name, on the reference's grid; a module of
    mercure finds all in one folder, as of a study, and the roles among its settings. A series without a role is left out: it did not fit.

    Raises
    ------
    IrregularSpacing
        Of NIfTI: it has one step from slice to slice.
    """
    roles = {volume.series_instance_uid: role for role, volume in subject.volumes.items()} if isinstance(subject, VolumeSet) else {}
    headers = {file: dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS)) for file in files}
    reference = next(header for header in headers.values() if header.SeriesInstanceUID == _reference(subject).series_instance_uid)
    if manifest.images is ImageFormat.NIFTI:
        _write(manifest, subject, folder)
    else:
        mercure = manifest.contract is Contract.MERCURE
        for file, header in headers.items():
            series, instance = str(header.SeriesInstanceUID), str(header.SOPInstanceUID)
            if roles and series not in roles:
                continue
            place = folder if mercure else folder / roles.get(series, "")
            place.mkdir(exist_ok=True)
            shutil.copyfile(file, place / (f"{series}#{instance}.dcm" if mercure else f"{instance}.dcm"))
        if mercure:
            (folder / "task.json").write_text(json.dumps(_task(manifest, reference, roles), indent=2), encoding="utf-8")
    for each in folder.rglob("*"):
        each.chmod(0o755 if each.is_dir() else 0o644)
    return reference


def _reference(subject: Volume | VolumeSet) -> Volume:
    return subject.reference if isinstance(subject, VolumeSet) else subject


def _write(manifest: ContainerManifest, subject: Volume | VolumeSet, folder: Path) -> None:
    if isinstance(subject, Volume):
        write_nifti(folder / manifest.image_file, subject)
        return
    for role, volume in on_the_references_grid(subject).items():
        write_nifti(folder / f"{role}.nii.gz", volume)


def _task(manifest: ContainerManifest, header: Dataset, roles: Mapping[str, str]) -> dict[str, Any]:
    """task.json as a module reads it: what mercure itself needs to send results on is not in it.

    Of several series it is that of a study, as mercure's rules for studies have it, and the settings say which series has which role.
    """
    uid = str(header.StudyInstanceUID if roles else header.SeriesInstanceUID)
    settings = {**manifest.settings, **({"roles": {role: series for series, role in roles.items()}} if roles else {})}
    return {
        "id": uid,
        "info": {
            "action": "process",
            "uid": uid,
            "uid_type": "study" if roles else "series",
            "mrn": str(header.get("PatientID", "")),
            "acc": str(header.get("AccessionNumber", "")),
        },
        "process": {
            "module_name": manifest.name,
            "module_config": {"docker_tag": manifest.image},
            "settings": settings,
            "retain_input_images": False,
        },
        **({"study": {"study_uid": uid, "received_series_uid": list(roles)}} if roles else {}),
    }
