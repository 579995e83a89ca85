"""Opens encrypted files: chunk by chunk, and nothing is given away that did not prove itself."""

from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from node.blobs.sealing.errors import KeyUnknown, SealBroken
from node.blobs.sealing.format import HEADER_BYTES, SEALED_CHUNK_BYTES, Header, cipher, header_of, nonce
from node.blobs.sealing.keys import Keys


def sealed_by(path: Path) -> bytes | None:
    """The id of the key that a file is encrypted with; None: it is not encrypted.

    Raises
    ------
    SealBroken
        Its header is damaged.
    OSError
        It is not there, or cannot be read.
    """
    with path.open("rb") as file:
        header = header_of(file.read(HEADER_BYTES))
    return None if header is None else header.key_id


def opened(path: Path, keys: Keys) -> Generator[bytes, None, None] | None:
    """The content of an encrypted file, in parts; None: it is not encrypted. The file is closed when the last part was taken.

    Raises
    ------
    SealBroken, KeyUnknown
        At once, or when a part is asked for.
    OSError
        It is not there, or cannot be read.
    """
    file = path.open("rb")
    try:
        header = header_of(file.read(HEADER_BYTES))
        if header is None:
            file.close()
            return None
        return _parts(file, header, keys, path.name)
    except BaseException:
        file.close()
        raise


def _parts(file: BinaryIO, header: Header, keys: Keys, name: str) -> Generator[bytes, None, None]:
    from cryptography.exceptions import InvalidTag

    with file:
        try:
            chunks = cipher(keys.find(header.key_id).secret, header)
        except KeyUnknown as unknown:
            raise KeyUnknown(f"{name} cannot be opened: {unknown}") from None
        number, chunk = 0, file.read(SEALED_CHUNK_BYTES)
        while True:
            following = file.read(SEALED_CHUNK_BYTES) if len(chunk) == SEALED_CHUNK_BYTES else b""
            try:
                yield chunks.decrypt(nonce(number, last=not following), chunk, header.raw)
            except (InvalidTag, ValueError) as broken:
                raise SealBroken(f"{name} is cut off or was changed (chunk {number + 1})") from broken
            if not following:
                return
            number, chunk = number + 1, following
