"""Zips of DICOM files, unpacked within bounds: in one in another, and by what really comes out."""

import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.domain.errors import ConfigError

NESTED = 1
"""A zip in a zip is unpacked, a third one is a file."""
MOST_TIMES = 100
"""What a zip may unpack to, in its own sizes: images come to three, blank ones to twenty, a bomb to a thousand in each zip."""
ALWAYS = 100_000_000
"""What any zip may unpack to, in bytes: small ones hold headers."""
MOST_MEMBERS = 1_000_000
_CHUNK = 1 << 20
_PREAMBLE_BYTES, _PREFIX = 128, b"DICM"
DAMAGED: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, UnicodeDecodeError, ValueError)
"""What a zip raises that cannot be read; RuntimeError is how zipfile says that a password is needed."""


class ArchiveTooLarge(ConfigError):
    """A zip unpacks to far more than its size explains, or holds more files than any study: a damaged one, or one made to fill a disk."""

    code = "HLM-2112"
    remedy = "Look at what it holds. Where it is right, unpack it and name the folder, or `hilum send --largest SIZE` (4GB)."


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
