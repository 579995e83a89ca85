"""The DICOM files under paths, for `hilum send`: folders are walked, zips unpacked into a folder that is temporary, a zip in a zip too."""

import shutil
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_DIRECTORY = "1.2.840.10008.1.3.10"
_NESTED = 1


@dataclass(slots=True)
class Sendable:
    """What can be sent: the files and the names to call them by; and what cannot, with the reason."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def collect(paths: Iterable[Path], unpacked: Path) -> Sendable:
    """Look through `paths`; members of zips are unpacked into the folder `unpacked` under names of ours."""
    from node.dimse.errors import NotAFile
    from node.dimse.outgoing import outgoing

    found = Sendable()
    for name, path in _files(paths, unpacked, found):
        try:
            instance = outgoing(path)
        except NotAFile:
            found.skipped.append((name, "not a DICOM file"))
            continue
        if instance.sop_class_uid == _DIRECTORY:
            found.skipped.append((name, "a DICOMDIR: a list of files, no instance"))
        else:
            found.files.append((name, path))
    return found


def _files(paths: Iterable[Path], unpacked: Path, found: Sendable) -> Iterator[tuple[str, Path]]:
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for file in inside:
            yield from _file(str(file), file, unpacked, found, _NESTED)


def _file(name: str, path: Path, unpacked: Path, found: Sendable, nested: int) -> Iterator[tuple[str, Path]]:
    if not zipfile.is_zipfile(path):
        yield name, path
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                target = unpacked / uuid.uuid4().hex
                with archive.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                within = f"{name}!{member.filename}"
                if nested and zipfile.is_zipfile(target):
                    yield from _file(within, target, unpacked, found, nested - 1)
                    target.unlink()
                else:
                    yield within, target
    # RuntimeError is how zipfile says that a password is needed
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as damaged:
        found.skipped.append((name, f"a zip that cannot be read: {damaged}"))
