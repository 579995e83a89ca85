"""The form of an encrypted file, byte by byte (docs/howto/encrypt-at-rest.md has it as a table); no file is opened here.

A header, then the content in chunks of 64 KiB, each followed by its tag; only the last may be shorter, and it is empty where the content
is. AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce of a chunk is its number and whether it is
the last one, so that none can be changed, moved, repeated or left out, and the end cannot be cut off. The key is one for each file
(HKDF-SHA-256, RFC 5869, of the operator's key and 32 random bytes), so that numbers may serve as nonces. The header is authenticated with
every chunk.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from node.blobs.sealing.errors import SealBroken

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"\x8ahilum\r\n"
"""No DICOM file begins so: the preamble of what the node writes is zero (PS3.10 7.1)."""
VERSION = 1
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
KEY_BYTES = 32
ID_BYTES = 8
SALT_BYTES = 32
_LOG2_OF_CHUNK = 16
_LAYOUT = struct.Struct(f">8sBBxx{ID_BYTES}s{SALT_BYTES}s")
HEADER_BYTES = _LAYOUT.size
_COUNTER_BYTES = 11
_OF_FILES = b"hilum at rest, 1: key of a file"


@dataclass(frozen=True)
class Header:
    """How a file is encrypted: under which key (its id, no secret), and with which salt."""

    key_id: bytes
    salt: bytes

    @cached_property
    def raw(self) -> bytes:
        """As it stands at the beginning of the file."""
        return _LAYOUT.pack(MAGIC, VERSION, _LOG2_OF_CHUNK, self.key_id, self.salt)


def header_of(raw: bytes) -> Header | None:
    """The header that a file begins with; None: it is not encrypted.

    Raises
    ------
    SealBroken
        It ends inside its header, or is of a form that this hilum does not know.
    """
    if raw[: len(MAGIC)] != MAGIC:
        return None
    if len(raw) < HEADER_BYTES:
        raise SealBroken("the file ends inside its header")
    _, version, log2_of_chunk, key_id, salt = _LAYOUT.unpack_from(raw)
    if (version, log2_of_chunk) != (VERSION, _LOG2_OF_CHUNK) or raw[10:12] != b"\0\0":
        raise SealBroken(f"the file has form {version}, of which this hilum knows nothing, or its header is damaged")
    return Header(key_id=key_id, salt=salt)


def cipher(secret: bytes, header: Header) -> "AESGCM":
    """What encrypts and decrypts the chunks of one file."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=header.salt, info=_OF_FILES).derive(secret))


def nonce(number: int, *, last: bool) -> bytes:
    """The nonce of a chunk (0-based)."""
    return number.to_bytes(_COUNTER_BYTES, "big") + (b"\1" if last else b"\0")


def plain_size(sealed_bytes: int) -> int:
    """How many bytes a whole file of so many bytes holds."""
    body = max(0, sealed_bytes - HEADER_BYTES)
    chunks = -(-body // SEALED_CHUNK_BYTES)
    return body - chunks * TAG_BYTES
