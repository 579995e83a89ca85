"""How many elements a file of DICOM has, counted before a library makes an object of each: a gigabyte of empty ones takes it minutes.

The file is walked through as pydicom reads it (PS3.5 7.1 and 7.5): little endian, explicit or implicit as each data set begins, also where
a sequence goes over to the other. Values are passed over.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydicom.datadict import dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

_PREAMBLE = 132
_UNDEFINED = 0xFFFFFFFF
_COMMAND, _META, _DELIMITERS = 0x0000, 0x0002, 0xFFFE
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_BYTES, _SEQUENCE_END_BYTES = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_LONG = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
_HEAD, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<I")


def elements_of(path: Path, most: int) -> int:
    """The elements and items of a Part 10 file, those in sequences too; where there are more than `most`, the count ends above it.

    Raises
    ------
    ValueError
        It is empty, or a sequence holds what is no item.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        seen = 0
        for seen, _ in enumerate(_walked(content), 1):
            if seen > most:
                break
        return seen


@dataclass(slots=True, kw_only=True)
class _Within:
    """What is being read: a sequence (`items`) or a data set, to where it ends at the latest; `implicit` is None until it has begun."""

    end: int
    items: bool
    implicit: bool | None


def _walked(content: mmap.mmap) -> Iterator[None]:
    """Once for each element, each item and each delimiter."""
    at = _PREAMBLE
    around = [_Within(end=len(content), items=False, implicit=None)]
    while around:
        here = around[-1]
        if at + _HEAD.size > here.end:
            at = here.end
            around.pop()
            continue
        group, element, vr, length = _HEAD.unpack_from(content, at)
        tag = group << 16 | element
        at += _HEAD.size
        yield None
        if group == _DELIMITERS and len(around) > 1:
            (length,) = _LENGTH.unpack_from(content, at - _LENGTH.size)
            if here.items and tag == _ITEM:
                around.append(_Within(end=_end(here.end, at, length), items=False, implicit=here.implicit or None))
            elif tag == (_SEQUENCE_END if here.items else _ITEM_END):
                around.pop()
            else:
                raise ValueError("a delimiter stands where none belongs")
            continue
        if here.items:
            raise ValueError("a sequence holds what is no item")
        if here.implicit is None and group not in (_COMMAND, _META):
            here.implicit = not (vr.isalpha() and vr.isupper())
        explicit = b"AA" <= vr <= b"ZZ" and group != _COMMAND and not here.implicit
        if not explicit:
            (length,) = _LENGTH.unpack_from(content, at - _LENGTH.size)
        elif vr in _LONG and at + _LENGTH.size <= here.end:
            (length,) = _LENGTH.unpack_from(content, at)
            at += _LENGTH.size
        if not length:
            continue
        kind = vr.decode("latin-1") if explicit and vr != b"UN" else _known(tag)
        undefined = length == _UNDEFINED
        if kind == "SQ" or (undefined and ((explicit and vr == b"UN") or (not kind and content[at : at + 4] == _ITEM_BYTES))):
            around.append(_Within(end=_end(here.end, at, length), items=True, implicit=here.implicit))
        elif undefined:
            # packed frames: as pydicom does, to where their bytes say that they end
            found = content.find(_SEQUENCE_END_BYTES, at, here.end)
            at = here.end if found < 0 else found + _HEAD.size
        else:
            at += length


def _end(outer: int, at: int, length: int) -> int:
    return outer if length == _UNDEFINED else min(outer, at + length)


@lru_cache(maxsize=4096)
def _known(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""
