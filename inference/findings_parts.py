"""The findings of all parts of a job in one file: of a series that was split, each part has findings of its own.

Where the series is one whole, the file is that of `findings_file` and nothing else. Otherwise: the magic line, the length of the contents
(8 bytes, little endian), the contents (canonical JSON: the name of each part and the length of its findings), then one findings file each.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from inference import findings_file
from inference.findings import Findings
from inference.findings_file import FindingsFileDamaged

MAGIC = b"hilum-parts 1\n"
WHOLE = ""
"""The part of a series that is one whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Findings as bytes.

    Attributes
    ----------
    digest
        SHA-256 (hex) over the parts; of one whole that of its findings, and as that one independent of the zlib that wrote the file.
    of_parts
        The digest of the findings of each part.
    """

    data: bytes
    digest: str
    of_parts: tuple[str, ...]


def written(parts: Sequence[tuple[str, Findings]]) -> Written:
    """The bytes of all parts, of each its name and its findings, and their digests. Same parts, same bytes."""
    files, digests = zip(*(findings_file.written(findings) for _, findings in parts), strict=True)
    names = [name for name, _ in parts]
    if names == [WHOLE]:
        return Written(data=files[0], digest=digests[0], of_parts=digests)
    contents = [{"part": name, "bytes": len(file)} for name, file in zip(names, files, strict=True)]
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    lines = [[name, digest] for name, digest in zip(names, digests, strict=True)]
    over_all = hashlib.sha256(json.dumps(lines, ensure_ascii=False).encode()).hexdigest()
    return Written(data=b"".join([MAGIC, struct.pack("<Q", len(text)), text, *files]), digest=over_all, of_parts=digests)


def loads(data: bytes) -> list[tuple[str, Findings]]:
    """The parts that were written; a file of `findings_file` alone is a series in one part.

    Raises
    ------
    FindingsFileDamaged
        The bytes are cut off, changed, or of another format.
    """
    if not data.startswith(MAGIC):
        return [(WHOLE, findings_file.loads(data))]
    try:
        at = len(MAGIC) + 8
        (size,) = struct.unpack("<Q", data[len(MAGIC) : at])
        contents = [(str(entry["part"]), int(entry["bytes"])) for entry in json.loads(data[at : at + size])]
    except (ValueError, KeyError, TypeError, struct.error) as damage:
        raise FindingsFileDamaged(f"the stored findings cannot be read: {damage}") from damage
    at += size
    if any(length < 0 for _, length in contents) or at + sum(length for _, length in contents) != len(data):
        raise FindingsFileDamaged(f"the stored findings cannot be read: {len(data)} bytes are not those of {len(contents)} parts")
    parts = []
    for name, length in contents:
        parts.append((name, findings_file.loads(data[at : at + length])))
        at += length
    return parts
