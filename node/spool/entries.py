"""Entries: small JSON files that wait in the receiver's spool until the journal has what they say; and the proof that an acknowledged
instance is whole, whatever a kill or a power loss does to its file: its length and a checksum.

Both stand in the name of its file in `coming` until it is flushed. Entries of the inbox need none: they were flushed before they were named
so. Entries are written elsewhere.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from node.blobs.port import BlobsFailed, BlobsGone

T = TypeVar("T")

_FOREIGN = ".unreadable"


@contextlib.contextmanager
def listed(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    """What lies in a folder of the spool.

    Raises
    ------
    BlobsGone
        It is not there: its file system is not mounted any more, mostly.
    BlobsFailed
        It cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            yield entries
    except FileNotFoundError as gone:
        raise BlobsGone(f"{folder} was deleted or moved, or its file system is not mounted any more") from gone
    except OSError as failed:
        raise BlobsFailed(f"{folder} cannot be read: {failed.strerror}") from failed


def read_entry(entry: Path, parsed: Callable[[Any, float], T], unreadable: Callable[[Exception], None]) -> T | None:
    """What an entry says.

    None: another process had it first, or it is none that the listener wrote; that one is left lying under another name.

    Parameters
    ----------
    parsed
        Makes sense of the content, and of when it was written by this host's clock (seconds since 1970).
    unreadable
        Is told of what is none.

    Raises
    ------
    BlobsFailed
        It cannot be read.
    """
    try:
        return parsed(json.loads(entry.read_bytes()), entry.stat().st_mtime)
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError) as foreign:
        unreadable(foreign)
        with contextlib.suppress(FileNotFoundError):
            entry.rename(entry.with_suffix(_FOREIGN))
        return None
    except OSError as failed:
        raise BlobsFailed(f"{entry.name} cannot be read: {failed.strerror}") from failed


def drop_entry(entry: Path) -> None:
    """The journal has it; an absent one is no error."""
    try:
        entry.unlink(missing_ok=True)
    except OSError as failed:
        raise BlobsFailed(f"{entry.name} cannot be deleted: {failed.strerror}") from failed


_WORD_BYTES = 8
_MODULUS = 1 << 64

COMPLETE = ".dcm"
ACKNOWLEDGED = ".told"
ACKNOWLEDGED_NAME = re.compile(r"[0-9a-f]+-(?P<name>.+)\.(?P<size>[0-9a-f]+)\.(?P<check>[0-9a-f]{16})\.told")
"""The name of an acknowledged file: what it becomes, and what proves it."""


class WordSum:
    """Checksum: the sum of a stream's little-endian 64-bit words, modulo 2**64; a last, short word counts as if zeros followed.

    A part that reads as zeros changes the sum unless it was zeros, or its own words add up to 2**64. A CRC-32 of 512 KiB takes 0.12 ms,
    this 0.01 ms; what a CRC sees besides (bytes in another order) no power loss does.
    """

    __slots__ = ("_offset", "value")

    def __init__(self) -> None:
        self.value = 0
        self._offset = 0

    def add(self, part: bytes | memoryview) -> None:
        """Go on with the next bytes of the stream, however it was cut."""
        import numpy as np  # for who writes entries: the supervisor, which counts them, does without

        view = memoryview(part)
        first = min(-self._offset % _WORD_BYTES, len(view))
        whole = first + (len(view) - first) // _WORD_BYTES * _WORD_BYTES
        total = int.from_bytes(view[:first], "little") << 8 * (self._offset % _WORD_BYTES)
        total += int(np.add.reduce(np.frombuffer(view[first:whole], "<u8"), dtype=np.uint64))
        total += int.from_bytes(view[whole:], "little")
        self.value = (self.value + total) % _MODULUS
        self._offset += len(view)


# ---- in the name of a file
def acknowledged_name(name: str, size: int, check: int) -> str:
    """The name of the file of a whole instance `name` until it is flushed."""
    return f"{name}.{size:x}.{check:016x}{ACKNOWLEDGED}"


def received_ns(name: str) -> int:
    """When the instance in a file of this name began to arrive, in nanoseconds since 1970; 0 where the name is none of the spool's."""
    began = name_without_token(name).partition("-")[0]
    return int(began) if began.isdecimal() else 0


def association_of(name: str) -> str:
    """The association that the instance in an entry of this name came over, as events call it; "" where the name is none of the spool's."""
    return "-".join(name.removesuffix(COMPLETE).split("-")[1:-2]) if received_ns(name) else ""


def name_without_token(name: str) -> str:
    """The name of an entry or of an acknowledged file without the token of its writer: it begins with the time of arrival."""
    return name.partition("-")[2] if name.endswith(ACKNOWLEDGED) else name


def acknowledged(receiving: Path) -> list[Path]:
    """The files of instances that were acknowledged and are not flushed yet, the oldest first.

    Raises
    ------
    BlobsGone, BlobsFailed
    """
    with listed(receiving) as entries:
        found = [(ACKNOWLEDGED_NAME.fullmatch(one.name), Path(one.path)) for one in entries]
    return [path for _, path in sorted((match["name"], path) for match, path in found if match)]
