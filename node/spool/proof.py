"""Proof that an acknowledged instance is whole, whatever a kill or a power loss does to its file: its length and a checksum.

Both stand in the name of its file in `coming` until it is flushed, or, until the file has that name, at the end of a file that was written
ahead (a slot). Entries of the inbox need none: they were flushed before they were named so.
"""

import os
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from node.blobs.writer_lock import token_of
from node.spool.entries import listed

_WORD_BYTES = 8
_MODULUS = 1 << 64

COMPLETE = ".dcm"
SLOT = ".slot"
ACKNOWLEDGED = ".told"
ACKNOWLEDGED_NAME = re.compile(r"[0-9a-f]+-(?P<name>.+)\.(?P<size>[0-9a-f]+)\.(?P<check>[0-9a-f]{16})\.told")
"""The name of an acknowledged file: what it becomes, and what proves it."""

PROOF_BYTES = 512
"""A sector: written whole or not at all; and a whole block is the proof's alone, so that nothing has to be read to write it."""
PROOF_BLOCK_BYTES = 4096
_PROOF = struct.Struct("<8sQQH")
_MAGIC = b"hilum-01"
_SUM = struct.Struct("<L")
_NAME = re.compile(r"[0-9A-Za-z-]+")


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


# ---- at the end of a slot
@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a slot holds: an instance's name, its length, and the sum of its words."""

    name: str
    size: int
    check: int


def proof_in(path: Path) -> Proof | None:
    """Read what a slot holds; None: nothing, or it was not written to its end."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        if length < PROOF_BLOCK_BYTES:
            return None
        return _unpacked(os.pread(file.fileno(), PROOF_BYTES, length - PROOF_BYTES), token_of(str(path)))


def packed(proof: Proof, token: str) -> bytes:
    """The last sector of a slot of the writer with this token."""
    name = proof.name.encode("ascii")
    body = (_PROOF.pack(_MAGIC, proof.size, proof.check, len(name)) + name).ljust(PROOF_BYTES - _SUM.size, b"\0")
    return body + _SUM.pack(_sum_of(body, token))


def _unpacked(block: bytes, token: str) -> Proof | None:
    if len(block) != PROOF_BYTES:
        return None
    body, (found,) = block[: -_SUM.size], _SUM.unpack(block[-_SUM.size :])
    magic, size, check, length = _PROOF.unpack_from(body)
    # the token, which no sender knows: what an instance says at this place of its own is no proof
    if magic != _MAGIC or found != _sum_of(body, token):
        return None
    name = body[_PROOF.size : _PROOF.size + length].decode("ascii", "replace")
    return Proof(name=name, size=size, check=check) if _NAME.fullmatch(name) else None


def _sum_of(body: bytes, token: str) -> int:
    return zlib.crc32(body, zlib.crc32(token.encode()))
