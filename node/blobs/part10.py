"""The head of a Part 10 file that holds what came over an association: preamble and file meta information (PS3.10 7.1)."""

import struct
from functools import lru_cache
from typing import Final

from node.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dimse.port import Reception

_PREAMBLE: Final = b"\0" * 128 + b"DICM"


def part10(reception: Reception) -> bytes:
    """Preamble, prefix and file meta information; the data set's bytes follow as they are.

    Who sent it is told twice: as Source Application Entity Title, which every reader knows, and as the Sending and Receiving ones with
    their presentation addresses (PS3.10 table 7.1-1), so that the file alone says how it came. Which peer of the configuration the sender
    was admitted as, which its certificate may have decided, is Private Information there.
    """
    before = _before(reception.sop_class_uid)
    own = _element(0x0003, "UI", _uid(reception.sop_instance_uid))
    after = _after(reception.transfer_syntax_uid, reception.calling_ae, reception.called_ae, reception.address, reception.peer)
    length = _element(0x0000, "UL", struct.pack("<L", len(before) + len(own) + len(after)))
    return b"".join((_PREAMBLE, length, before, own, after))


@lru_cache(maxsize=256)
def _before(sop_class_uid: str) -> bytes:
    return _element(0x0001, "OB", b"\x00\x01") + _element(0x0002, "UI", _uid(sop_class_uid))


@lru_cache(maxsize=256)
def _after(transfer_syntax_uid: str, calling_ae: str, called_ae: str, address: str, peer: str) -> bytes:
    """The same for every instance of an association and syntax."""
    source = f"dicom://{_host(address)}"
    return b"".join(
        (
            _element(0x0010, "UI", _uid(transfer_syntax_uid)),
            _element(0x0012, "UI", _uid(IMPLEMENTATION_CLASS_UID)),
            _element(0x0013, "SH", _text(IMPLEMENTATION_VERSION)),
            _element(0x0016, "AE", _text(calling_ae)),
            _element(0x0017, "AE", _text(calling_ae)),
            _element(0x0018, "AE", _text(called_ae)),
            _element(0x0026, "UR", _text(source)),
            _element(0x0027, "UR", _text(source)),
            *((_element(0x0100, "UI", _uid(IMPLEMENTATION_CLASS_UID)), _element(0x0102, "OB", _padded(peer, b"\0"))) if peer else ()),
        )
    )


def _element(number: int, vr: str, value: bytes) -> bytes:
    """One element of group 0002, Explicit VR Little Endian (PS3.5 7.1.2); `value` has an even length."""
    if vr in ("OB", "UR"):
        return struct.pack("<HH2sHL", 0x0002, number, vr.encode("ascii"), 0, len(value)) + value
    return struct.pack("<HH2sH", 0x0002, number, vr.encode("ascii"), len(value)) + value


def _uid(uid: str) -> bytes:
    return _padded(uid, b"\0")


def _text(text: str) -> bytes:
    return _padded(text, b" ")


def _padded(text: str, padding: bytes) -> bytes:
    value = text.encode("utf-8")
    return value + padding * (len(value) % 2)


def _host(address: str) -> str:
    """An IPv6 address stands in brackets in a URI (RFC 3986 3.2.2)."""
    return f"[{address}]" if address.count(":") > 1 else address
