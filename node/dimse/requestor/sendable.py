"""What of files, folders and zips can be sent: DICOM instances that say what they are; and what cannot, with the reason."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node.dicom.archives import DAMAGED, Unpacked, is_archive
from node.dimse.errors import NotAFile
from node.dimse.requestor.outgoing import Outgoing, outgoing

_UID = re.compile(r"[0-9.]{1,64}")  # what peers take, leading zeros too
_DIRECTORY = "1.2.840.10008.1.3.10"
_LOCAL_HEADER = b"PK\3\4"
"""What a zip begins with (APPNOTE 4.3.7)."""


@dataclass(slots=True)
class Sendable:
    """What can be sent: the files and the names to call them by; and what cannot, with the reason. `unusable` was meant to go: DICOM files
    that do not say what they are, so that no context could be proposed for them, and zips that cannot be read."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)


def collect(paths: Iterable[Path], unpacked: Path, *, largest: int | None = None) -> Sendable:
    """Look through `paths`; members of zips are unpacked into the folder `unpacked` under names of ours.

    Parameters
    ----------
    largest
        Bytes that one zip may unpack to; None: what its own size explains.

    Raises
    ------
    ArchiveTooLarge
        It unpacks to more.
    """
    found = Sendable()
    for name, path in _files(paths, Unpacked(unpacked, largest), found):
        try:
            instance = outgoing(path)
        except NotAFile:
            if _is_zip(path):  # too damaged to be opened, or deeper in others than they are unpacked
                found.unusable.append((name, "a zip that cannot be read"))
            else:
                found.skipped.append((name, "not a DICOM file"))
            continue
        wrong = [keyword for keyword, uid in _identity(instance) if not _UID.fullmatch(uid)]
        if wrong:
            found.unusable.append((name, f"{' and '.join(wrong)} of its file meta information: no UID"))
        elif instance.sop_class_uid == _DIRECTORY:
            found.skipped.append((name, "a DICOMDIR: a list of files, no instance"))
        else:
            found.files.append((name, path))
    return found


def _is_zip(path: Path) -> bool:
    """Whether it begins as a zip does, whatever became of its end: a download that broke off has none."""
    with path.open("rb") as file:
        return file.read(len(_LOCAL_HEADER)) == _LOCAL_HEADER


def _identity(instance: Outgoing) -> tuple[tuple[str, str], ...]:
    """What presentation contexts and C-STORE requests are made of."""
    return (
        ("MediaStorageSOPClassUID", instance.sop_class_uid),
        ("MediaStorageSOPInstanceUID", instance.sop_instance_uid),
        ("TransferSyntaxUID", instance.transfer_syntax_uid),
    )


def _files(paths: Iterable[Path], unpacked: Unpacked, found: Sendable) -> Iterator[tuple[str, Path]]:
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for file in inside:
            if not is_archive(file):
                yield str(file), file
                continue
            try:
                yield from unpacked.members(file, str(file))
            except (*DAMAGED, OSError) as damaged:
                found.unusable.append((str(file), f"a zip that cannot be read: {damaged}"))
