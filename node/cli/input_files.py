"""The files under a path, zips unpacked within bounds, and their DICOM headers."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import InputError
from node.cli.errors import NothingFound
from node.dicom.archives import DAMAGED, Unpacked, is_archive
from node.domain.instance import Header


@dataclass(slots=True)
class FoundHeaders:
    """What lies under a path: headers by study and series, files that are no images for a node, and why."""

    series: dict[str, dict[str, dict[str, Header]]] = field(default_factory=dict)
    """study UID → series UID → SOP Instance UID → header"""
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def read(path: Path) -> FoundHeaders:
    """Read every header under `path`, without pixels.

    Raises
    ------
    NothingFound
        There is nothing, or nothing of it is DICOM.
    """
    from node.dicom.header import read_header

    found = FoundHeaders()
    for name, data in _files(path):
        try:
            identity, header = read_header(data)
        except InputError as unreadable:
            found.passed_over.append((name, f"{unreadable} [{unreadable.code}]"))
            continue
        if identity.made_by_hilum:
            found.passed_over.append((name, "a result of hilum; results are never analysed"))
            continue
        study = found.series.setdefault(identity.study_instance_uid, {})
        study.setdefault(identity.series_instance_uid, {})[identity.sop_instance_uid] = header
    if not found.series:
        reason = f"; the first of {len(found.passed_over)} files: {found.passed_over[0][1]}" if found.passed_over else ": no file"
        raise NothingFound(f"{path} holds no DICOM images{reason}")
    return found


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.name.startswith(".") and file.name != "DICOMDIR":
                yield str(file.relative_to(path)), file
    elif is_archive(path):
        with tempfile.TemporaryDirectory(prefix="hilum-headers-") as folder:
            try:
                for name, file in Unpacked(Path(folder)).members(path, path.name):
                    yield name.partition("!")[2], file
                    file.unlink()  # one at a time: only headers are kept
            except DAMAGED as damaged:
                raise NothingFound(f"{path} is a zip that cannot be read: {damaged}") from damaged
    else:
        yield path.name, path
