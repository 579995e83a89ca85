"""The files under a path, zips unpacked within bounds, and their DICOM headers."""

import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import InputError
from node.cli.errors import ArchiveTooLarge, NothingFound
from node.domain.instance import Header

NESTED = 1
"""A zip in a zip is unpacked, a third one is a file."""
MOST_TIMES = 100
"""What a zip may unpack to, in its own sizes: images come to three, blank ones to twenty, a bomb to a thousand in each zip."""
ALWAYS = 100_000_000
"""What any zip may unpack to, in bytes: small ones hold headers."""
MOST_MEMBERS = 1_000_000
_CHUNK = 1 << 20
_PREAMBLE_BYTES, _PREFIX = 128, b"DICM"
DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, UnicodeDecodeError, ValueError)
"""What a zip raises that cannot be read."""


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


# RuntimeError is how zipfile says that a password is needed


def is_archive(path: Path) -> bool:
    """Whether it is a zip: by its end, and by not beginning as DICOM files do (PS3.10 7.1), in whose compressed pixels the four bytes of
    a zip's end stand by chance."""
    if not zipfile.is_zipfile(path):
        return False
    with path.open("rb") as file:
        return file.read(_PREAMBLE_BYTES + len(_PREFIX))[_PREAMBLE_BYTES:] != _PREFIX


class Unpacked:
    """What comes out of zips, in a folder, under names of its own: a member's path is never used as one.

    Parameters
    ----------
    folder
        Where members are put.
    most
        Bytes that one zip may unpack to, what is nested in it included; None: `MOST_TIMES` its own size, or `ALWAYS`.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self._folder = folder
        self._most = most

    def members(self, path: Path, name: str) -> Iterator[tuple[str, Path]]:
        """Each member's name for people ("a.zip!b/c.dcm") and its file.

        Raises
        ------
        ArchiveTooLarge
            The bytes that really came out, whatever the zip says of their number, are more than it may unpack to.
        DAMAGED
            It cannot be read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        most = self._most if self._most is not None else max(ALWAYS, MOST_TIMES * path.stat().st_size)
        yield from self._within(path, name, NESTED, _Budget(name, most))

    def _within(self, path: Path, name: str, nested: int, budget: "_Budget") -> Iterator[tuple[str, Path]]:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                budget.a_member()
                target = self._folder / uuid.uuid4().hex
                with archive.open(member) as source, target.open("wb") as copy:
                    while chunk := source.read(_CHUNK):
                        budget.spend(len(chunk))
                        copy.write(chunk)
                within = f"{name}!{member.filename}"
                if not (nested and is_archive(target)):
                    yield within, target
                    continue
                try:
                    yield from self._within(target, within, nested - 1, budget)
                except DAMAGED:
                    yield within, target  # a file that is no image; what stands behind it comes all the same
                else:
                    target.unlink()


class _Budget:
    """How much of one zip, with what is nested in it, may still come out."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._bytes, self._members = 0, 0

    def a_member(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise ArchiveTooLarge(f"{self._name} holds more than {MOST_MEMBERS:,} files")

    def spend(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._most:
            raise ArchiveTooLarge(f"{self._name} unpacks to more than {self._most / 1e6:,.0f} MB")
