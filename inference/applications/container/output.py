"""The folder that a container wrote: what lies in it, file by file, and whether each is one that may be read, of this patient and study.

The container is gone when this is read. Links are never followed, what is none of the known kinds is refused by name.
"""

import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NoReturn

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ParametricMapStorage,
    RLELossless,
    SegmentationStorage,
)

from inference.applications.container.described import ContainerManifest, Contract
from inference.applications.container.elements import elements_of
from inference.applications.container.errors import ContainerOutputRefused
from inference.errors import quoted
from inference.imaging.header import PARSE_ERRORS

_MOST_JSON = 1 << 20
_MOST_ELEMENTS = 2_000_000
"""Of all files together: a library takes about ten seconds for as many, and a segmentation of forty thousand frames has a million."""
_PREAMBLE = 132
_SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless)
"""Those of which no byte becomes a thousand; what a packed one holds is known only when it is unpacked."""
_SEGMENTATIONS = (SegmentationStorage, UID("1.2.840.10008.5.1.4.1.1.66.7"))
"""The second is Label Map Segmentation Storage (PS3.4 B.5)."""
_REPORTS = (BasicTextSRStorage, EnhancedSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage)
_SAME = ("PatientID", "StudyInstanceUID")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContainerOutput:
    """What a container wrote, sorted; by the names of the files. `label_maps` are NIfTI files, `maps` Parametric Maps, `values` those of
    its JSON file."""

    segmentations: Mapping[str, Dataset]
    label_maps: Mapping[str, Path]
    reports: Mapping[str, Dataset]
    maps: Mapping[str, Dataset]
    values: Mapping[str, Any]


def refuse(manifest: ContainerManifest, what: str) -> NoReturn:
    """Refuse all that a container wrote.

    Raises
    ------
    ContainerOutputRefused
    """
    raise ContainerOutputRefused(f"{manifest.name} {manifest.version}: {what}")


def read_made(manifest: ContainerManifest, folder: Path, source: Dataset, instances: frozenset[str]) -> ContainerOutput:
    """Read the folder.

    Parameters
    ----------
    source
        Patient and study of the images.
    instances
        The SOP Instance UIDs of the images: copies of them are left out.

    Raises
    ------
    ContainerOutputRefused
    """
    values: Mapping[str, Any] = {}
    segmentations: dict[str, Dataset] = {}
    reports: dict[str, Dataset] = {}
    maps: dict[str, Dataset] = {}
    label_maps: dict[str, Path] = {}
    declared = {one.file for one in manifest.marked.values()}
    elements = 0
    for name, path in _files(manifest, folder):
        # mercure copies the task there for modules that pass it on
        if any(fnmatch(name, pattern) for pattern in manifest.ignored) or (manifest.contract is Contract.MERCURE and name == "task.json"):
            continue
        if name == manifest.values_file:
            values = _json(manifest, name, path)
            continue
        if name in declared:
            label_maps[name] = path
            continue
        elements += _elements(manifest, name, path, _MOST_ELEMENTS - elements)
        if dataset := _dicom(manifest, name, path, source, instances):
            if dataset.SOPClassUID == ParametricMapStorage:
                _demand_references(manifest, dataset, instances, quoted(name))
                maps[name] = dataset
            else:
                (segmentations if dataset.SOPClassUID in _SEGMENTATIONS else reports)[name] = dataset
    if not (segmentations or label_maps or reports or maps or values):
        refuse(manifest, "it wrote nothing that could be a result")
    return ContainerOutput(segmentations=segmentations, label_maps=label_maps, reports=reports, maps=maps, values=values)


def _files(manifest: ContainerManifest, folder: Path) -> Sequence[tuple[str, Path]]:
    """Every file with its name below the folder, sorted.

    Raises
    ------
    ContainerOutputRefused
        There is a link, or something that is no file and no folder.
    """
    found: list[tuple[str, Path]] = []
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        for entry in os.scandir(place):
            name = Path(entry.path).relative_to(folder).as_posix()
            kind = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(kind.st_mode):
                waiting.append(Path(entry.path))
            elif stat.S_ISREG(kind.st_mode) and kind.st_nlink == 1:
                os.chmod(entry.path, 0o600)  # its maker may have kept it to itself
                found.append((name, Path(entry.path)))
            else:
                refuse(manifest, f"{quoted(name)} is a link, or no file: what it leads to is not read")
    return sorted(found)


def _json(manifest: ContainerManifest, name: str, path: Path) -> Mapping[str, Any]:
    if path.stat().st_size > _MOST_JSON:
        refuse(manifest, f"{name} has more than {_MOST_JSON >> 10} KiB")
    try:
        said = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as broken:
        refuse(manifest, f"{name} is no JSON: {type(broken).__name__}")
    if not isinstance(said, dict):
        refuse(manifest, f"{name} holds no names with values")
    return said


def _elements(manifest: ContainerManifest, name: str, path: Path, most: int) -> int:
    """The elements of a file that is DICOM, counted before any of them becomes an object: within its bytes fit a hundred million."""
    shown = quoted(name)
    with path.open("rb") as file:
        if file.read(_PREAMBLE)[128:] != b"DICM":
            refuse(manifest, f"{shown} is neither DICOM nor a file that container.yaml names; if nobody needs it, `ignore:` leaves it out")
    try:
        found = elements_of(path, most)
    except ValueError as broken:
        refuse(manifest, f"{shown} cannot be read as DICOM: {broken}")
    if found > most:
        refuse(manifest, f"{shown}, with what was read before it, has more than {_MOST_ELEMENTS} elements, which are not read")
    return found


def _dicom(manifest: ContainerManifest, name: str, path: Path, source: Dataset, instances: frozenset[str]) -> Dataset | None:
    """A segmentation, a report or a map; None of a copy of what the container was given."""
    shown = quoted(name)
    try:
        meta = read_file_meta_info(path)
        if meta.TransferSyntaxUID not in _SYNTAXES:
            refuse(manifest, f"{shown} is written as {_named(meta.TransferSyntaxUID)}; uncompressed and RLE are read of containers")
        dataset = dcmread(path)
        if str(dataset.SOPInstanceUID) in instances:
            return None
        kind = dataset.SOPClassUID
        differing = next((each for each in _SAME if str(dataset.get(each, "")) != str(source.get(each, ""))), None)
    except PARSE_ERRORS as broken:
        refuse(manifest, f"{shown} cannot be read as DICOM: {type(broken).__name__}")
    if differing is not None:
        ours, theirs = quoted(source.get(differing, "")), quoted(dataset.get(differing, ""))
        refuse(manifest, f"{shown} is of another patient or study: its {differing} is {theirs}, that of the images {ours}")
    if kind == EncapsulatedPDFStorage:
        refuse(
            manifest,
            f"{shown} is an Encapsulated PDF: whose it is and what it claims nothing can check, and the node writes a report of its own; "
            "declare its numbers and findings, or leave it out by `ignore:`",
        )
    if kind not in (*_SEGMENTATIONS, *_REPORTS, ParametricMapStorage):
        called = _named(UID(str(kind)))
        refuse(manifest, f"{shown} is a {called}, which is not taken of containers; where nobody needs it, `ignore:` leaves it out")
    return dataset


def _demand_references(manifest: ContainerManifest, dataset: Dataset, instances: frozenset[str], shown: str) -> None:
    """Refuse a map whose frames were made of images that the container was not given.

    Raises
    ------
    ContainerOutputRefused
    """
    try:
        groups = (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence)
        sources = [
            str(image.ReferencedSOPInstanceUID)
            for group in groups
            for derivation in group.get("DerivationImageSequence", ())
            for image in derivation.get("SourceImageSequence", ())
        ]
    except PARSE_ERRORS as broken:
        refuse(manifest, f"{shown} is a map that cannot be read: {type(broken).__name__} ({quoted(broken)})")
    if stranger := next((uid for uid in sources if uid not in instances), None):
        refuse(manifest, f"{shown} says that it was made of {quoted(stranger)}, which is none of the images")


def _named(uid: UID) -> str:
    """The standard's name of a UID; of any other what the file says, quoted."""
    return quoted(uid) if uid.name == str(uid) else uid.name


def said_at(values: Mapping[str, Any], key: str) -> Any:
    """What stands at names joined by "."; None where nothing does."""
    at: Any = values
    for word in key.split("."):
        if not isinstance(at, dict) or word not in at:
            return None
        at = at[word]
    return at


def number(said: object) -> float | None:
    """A finite number; True and False are 1 and 0. None of anything else."""
    if not isinstance(said, int | float):
        return None
    try:
        value = float(said)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None
