"""Looks at a received data set for as long as it takes to tell a data set from garbage, and a whole one from one that was cut off.

Not a parser: values are skipped, deflated streams are looked into only at their beginning, and whatever the standard's encodings leave
open passes. What an instance means is the index's to say, in another process.
"""

import struct
import zlib
from dataclasses import dataclass

from node.dimse.errors import NotADataset, OtherInstance

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_IMPLICIT = ("1.2.840.10008.1.2", "1.2.840.10008.1.20")
_DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI"}
    | {b"UL", b"US"}
)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_MOST_ELEMENTS = 20_000  # a few ten milliseconds; what is longer passes unseen
_DEEPEST = 100
_INFLATED_BYTES = 65536


@dataclass(slots=True)
class _Level:
    """What the walk is in: where it ends (None: at a delimiter), and how it is encoded (UN of undefined length is implicit VR)."""

    of_items: bool
    implicit: bool


def check(dataset: memoryview, *, syntax: str, sop_class: str, sop_instance: str) -> None:
    """Walk over the elements.

    Raises
    ------
    NotADataset
        The first element is none, a value reaches beyond the end, or sequences are nested too deep.
    OtherInstance
        The data set names another SOP class or instance than the command. One that names none passes.
    """
    whole = True
    if syntax in _DEFLATED:
        dataset, whole = _inflated(dataset), False
    named = _walk(dataset, big_endian=syntax == _BIG_ENDIAN, implicit=syntax in _IMPLICIT, whole=whole)
    for tag, said, what in ((_SOP_CLASS, sop_class, "SOP class"), (_SOP_INSTANCE, sop_instance, "SOP instance")):
        found = named.get(tag)
        if found and found != said:
            raise OtherInstance(f"the data set is of another {what} than the command says")


def _inflated(dataset: memoryview) -> memoryview:
    try:
        return memoryview(zlib.decompressobj(-zlib.MAX_WBITS).decompress(dataset, _INFLATED_BYTES))
    except zlib.error as damaged:
        raise NotADataset("the deflated stream is damaged") from damaged


def _walk(data: memoryview, *, big_endian: bool, implicit: bool, whole: bool) -> dict[int, str]:
    """The UIDs that the data set gives for itself. Not `whole`: only its beginning is here, and ends where it ends."""
    unpack = struct.Struct(">HH" if big_endian else "<HH").unpack_from
    size = len(data)
    named: dict[int, str] = {}
    levels = [_Level(of_items=False, implicit=implicit)]
    at = 0
    for number in range(_MOST_ELEMENTS):
        if at + 8 > size:
            # a few bytes behind the last element are padding; an open sequence is not
            if whole and len(levels) > 1:
                raise NotADataset(f"cut off in a sequence, after {size} bytes")
            return named
        group, element = unpack(data, at)
        tag = group << 16 | element
        if number == 0 and (group < 0x0008 or group & 1 or group >= 0xFFFE):
            raise NotADataset(f"the first element would be ({group:04X},{element:04X})")
        level = levels[-1]
        if tag in (_ITEM_END, _SEQUENCE_END):
            if len(levels) > 1:
                levels.pop()
            at += 8
            continue
        start, length, vr = _head(data, at, size, big_endian, implicit=level.implicit or tag == _ITEM)
        if start < 0:
            if number == 0:
                _implicit_after_all(data, size, big_endian)
                level.implicit = True
                continue
            return named  # a VR that the standard does not know: nobody can say where its value ends
        if length == _UNDEFINED:
            if len(levels) > _DEEPEST:
                raise NotADataset(f"sequences are nested more than {_DEEPEST} deep")
            levels.append(_Level(of_items=tag != _ITEM, implicit=level.implicit or vr == b"UN"))
            at = start
            continue
        # one byte may be missing: the padding of the last value
        if start + length > size + 1:
            if not whole:
                return named
            raise NotADataset(f"({group:04X},{element:04X}) claims {length} bytes, {max(size - start, 0)} are there")
        if len(levels) == 1 and tag in (_SOP_CLASS, _SOP_INSTANCE) and length <= 64:
            named[tag] = bytes(data[start : start + length]).decode("ascii", "replace").strip("\0 ")
        at = start + length
    return named


def _implicit_after_all(data: memoryview, size: int, big_endian: bool) -> None:
    """Some senders write implicit VR whatever was negotiated; readers understand it, and the index may judge it."""
    _, length, _ = _head(data, 0, size, big_endian, implicit=True)
    if length > size - 8:
        raise NotADataset("the first element has no value representation")


def _head(data: memoryview, at: int, size: int, big_endian: bool, *, implicit: bool) -> tuple[int, int, bytes]:
    """Where the value begins, its length, its VR; -1 when the VR is none."""
    order = ">" if big_endian else "<"
    if implicit:
        return at + 8, int(struct.unpack_from(f"{order}L", data, at + 4)[0]), b""
    vr = bytes(data[at + 4 : at + 6])
    if vr in _SHORT_VRS:
        return at + 8, int(struct.unpack_from(f"{order}H", data, at + 6)[0]), vr
    if vr in _LONG_VRS:
        if at + 12 > size:
            return at + 12, _UNDEFINED - 1, vr
        return at + 12, int(struct.unpack_from(f"{order}L", data, at + 8)[0]), vr
    return -1, 0, vr
