"""Series to send, made from real ones: other patients, other UIDs, other character sets, the same images."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

from tests.lab.orthanc import parts_of


def unpacked(source: Path, folder: Path) -> list[Path]:
    """The files of a zipped series, written into `folder` as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, part in enumerate(parts_of(source)):
        paths.append(folder / f"{number:04}.dcm")
        paths[-1].write_bytes(part)
    return paths


def another_study(
    source: Path,
    folder: Path,
    seed: str,
    *,
    attributes: Mapping[str, object] | None = None,
    change: Callable[[pydicom.Dataset], None] | None = None,
) -> tuple[str, list[Path]]:
    """The series under new UIDs that derive from `seed`, with `attributes` set: its Study Instance UID and its files."""
    folder.mkdir(parents=True, exist_ok=True)
    study, paths = "", []
    for number, part in enumerate(parts_of(source)):
        one = pydicom.dcmread(io.BytesIO(part))
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            if keyword in one:
                setattr(one, keyword, generate_uid(entropy_srcs=[seed, keyword, str(one[keyword].value)]))
        for keyword, value in (attributes or {}).items():
            setattr(one, keyword, value)
        if change is not None:
            change(one)
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        study = str(one.StudyInstanceUID)
        paths.append(folder / f"{number:04}.dcm")
        one.save_as(paths[-1])
    return study, paths
