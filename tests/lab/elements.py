"""Elements whose bytes no library would write: values beyond their VR, of another VR, or of no VR's form."""

import struct
from pathlib import Path

from pydicom.datadict import dictionary_VR
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32


def put(path: Path, keyword: str, raw: bytes, vr: str | None = None) -> None:
    """Give an element of an explicit little endian file these bytes, whatever they mean; they are padded to an even length."""
    tag = Tag(keyword)
    chosen = vr or dictionary_VR(tag)[:2]
    raw += (b"\0" if chosen in {"UI", "OB", "UN"} else b" ") * (len(raw) % 2)
    content = path.read_bytes()
    start, end = _place(content, tag)
    path.write_bytes(content[:start] + struct.pack("<HH", tag.group, tag.element) + _head(chosen, len(raw)) + raw + content[end:])


def _head(vr: str, length: int) -> bytes:
    return vr.encode() + (struct.pack("<HI", 0, length) if vr in EXPLICIT_VR_LENGTH_32 else struct.pack("<H", length))


def _place(content: bytes, tag: BaseTag) -> tuple[int, int]:
    """Where the element lies, or would; sequences have their lengths."""
    at = 132
    while at < len(content):
        group, element = struct.unpack_from("<HH", content, at)
        long = content[at + 4 : at + 6].decode() in EXPLICIT_VR_LENGTH_32
        length = struct.unpack_from("<I", content, at + 8)[0] if long else struct.unpack_from("<H", content, at + 6)[0]
        end = at + (12 if long else 8) + length
        if (group << 16 | element) >= tag:
            return at, end if (group << 16 | element) == tag else at
        at = end
    return at, at


TEXTS = (
    *(b"", b" ", b"\\", b"\\\\", b"\r\n", b"\x00\x01\x02\x1b$B", b"\xff\xfe\xfd", "é漢".encode()),
    *(b"0", b"-1", b"1e300", b"-1e300", b"1e-300", b"1e15", b"NaN", b"inf", b"-inf", b"1e400", b"1_0", b"0.12345678901234567890"),
    *(b"1e300\\1e300", b"1e-300\\1e-300", b"-1\\-1", b"1\\nan", b"0\\0\\0\\0\\0\\0", b"1e300\\0\\0\\0\\1e300\\0", b"1e15\\0\\0"),
    *(b"2147483648", b"-2147483649", b"99999999999", b"1" * 200, b"A" * 65, b"x" * 10_000, b"1." * 32 + b"1", b"1.2.03.4"),
    *(b"20259999", b"00000000", b"996199", b"999Y", b"A^B^C^D^E^F=G=H=I=J", b"lower case"),
)
"""What a text VR may hold on the wire: numbers of no size, dates of no calendar, UIDs of 65 characters, names of six components."""


def values_of(vr: str) -> list[tuple[str, bytes]]:
    """Values beyond sense for an element of this VR, each with the VR that is written."""
    if vr.startswith("US"):
        words = [("US", struct.pack("<H", value)) for value in (0, 1, 2, 3, 7, 8, 9, 15, 17, 31, 33, 63, 65, 1000, 65535)]
        return [*words, ("US", b""), ("US", b"\1\0\2\0"), ("SS", b"\xff\xff"), ("LO", b"text")]
    if vr in {"UL", "SL"}:
        return [(vr, struct.pack("<I", value)) for value in (0, 1, 1 << 31, (1 << 32) - 1)] + [(vr, b""), (vr, b"\1\0")]
    if vr in {"FD", "FL"}:
        kind = "<d" if vr == "FD" else "<f"
        most = 1e300 if vr == "FD" else 3e38
        reals = [0.0, -1.0, most, 1e-300, float("nan"), float("inf"), -float("inf")]
        return [(vr, struct.pack(kind, value)) for value in reals] + [(vr, b""), (vr, b"\0\0")]
    if vr == "SQ":
        return [("SQ", b""), ("SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0)), ("UN", b"xxxx"), ("LO", b"text")]
    if vr == "AT":
        return [("AT", b""), ("AT", b"\1\2\3\4"), ("AT", b"\1\2")]
    return [*((vr, text) for text in TEXTS), ("UN", b"\xff\xfe"), ("US", b"\1\0"), ("FD", struct.pack("<d", float("nan")))]
