"""Walks the elements of a data set in memory without recursion and without converting a value: bounded work on hostile bytes.

PS3.5 7.1 (elements), 7.5 (sequences) and PS3.10 7.1 (file meta information). What values mean is node.flow.header's affair.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import NamedTuple, TypeAlias

from inference.imaging.errors import NotDicom
from node.flow.inflating import FAR, Inflated

Buffer: TypeAlias = bytes | mmap
Data: TypeAlias = Buffer | Inflated
UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_DEEPEST = 100
"""Levels of nesting; reports have about ten. Deeper ones break recursive readers further down the line."""
_MOST_WITHIN = 1_000_000
"""Elements and items of one sequence whose end must be looked for; a large RT structure set has a third."""
_HEAD_BYTES = 12
"""Of the longest head of an element: tag, VR, two reserved bytes, length (PS3.5 7.1.2)."""
_EXPLICIT_BIG, _IMPLICIT, _DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True)
class Coding:
    """How elements are written: with their VR or without, and in which byte order ("<" or ">")."""

    explicit: bool
    order: str


class Element(NamedTuple):
    """A tag, its VR where it is written, and where its value lies in the buffer (of a sequence: its items and delimiters).

    A tuple, not a dataclass: a hundred are made an instance, and a frozen dataclass takes four times as long.
    """

    tag: int
    vr: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part10:
    """A file taken apart: meta elements by tag, where the data set's bytes begin in the file, and the data set as it can be walked.

    A deflated one is inflated while it is walked, and ends somewhere before `end`.
    """

    meta: dict[int, bytes]
    offset: int
    dataset: Data
    start: int
    end: int
    coding: Coding


_META = Coding(explicit=True, order="<")
_SHORT_HEADS = {order: struct.Struct(f"{order}HH2sH") for order in "<>"}
"""Group, element, VR and length of an element whose length has two bytes (PS3.5 7.1.2)."""


def take_apart(file: Buffer) -> Part10:
    """Read the file meta information and find the data set.

    Raises
    ------
    NotDicom
        No Part 10 file.
    """
    if bytes(file[128:132]) != b"DICM":
        raise NotDicom("no DICM prefix: not a Part 10 file")
    meta: dict[int, bytes] = {}
    position = 132
    while len(file) - position >= 8 and struct.unpack_from("<H", file, position)[0] == 2:
        tag, _, start, length = _head(file, position, len(file), _META)
        position = _within(file, start, length, len(file), tag)
        # whoever writes the data set may begin it with such elements too: the first, which our listener wrote, counts
        meta.setdefault(tag, bytes(file[start:position]))
    syntax = meta.get(0x00020010, b"").decode("ascii", "replace").rstrip("\0 ")
    if not syntax:
        raise NotDicom("the file meta information has no transfer syntax")
    if syntax == _DEFLATED:
        return Part10(meta, position, Inflated(file, position), 0, FAR, Coding(explicit=True, order="<"))
    explicit = syntax != _IMPLICIT
    if explicit and len(file) - position >= 8 and not _is_vr(bytes(file[position + 4 : position + 6])):
        explicit = False  # some senders negotiate explicit and write implicit VR
    coding = Coding(explicit=explicit, order=">" if syntax == _EXPLICIT_BIG else "<")
    return Part10(meta, position, file, position, len(file), coding)


def walk(buffer: Data, start: int, end: int, coding: Coding, *, until: int = 0xFFFFFFFF) -> Iterator[Element]:
    """The elements from `start` on, up to the first tag that is `until` or above, the item's end, or the buffer's.

    Raises
    ------
    NotDicom
        An element runs over the end, has no VR where there must be one, or sequences are nested too deep; what is deflated is damaged.
    UnsupportedSyntax
        It is deflated, and more than may be looked through.
    """
    position = start
    inflated = isinstance(buffer, Inflated)
    head = _SHORT_HEADS[coding.order].unpack_from if coding.explicit and not inflated else None
    while position < end:
        if inflated:
            end = _end_within(buffer, position + _HEAD_BYTES, end)
        elif head is not None and end - position >= 8:
            # nearly every element is of this form: told apart here, without a call
            group, number, vr, length = head(buffer, position)  # type: ignore[arg-type]  # it is not inflated
            tag, last = group << 16 | number, position + 8 + length
            if vr in _SHORT and tag < until and group != 0xFFFE and last <= end:
                yield Element(tag, vr, position + 8, last)
                position = last
                continue
        if end - position < 8 or not any(buffer[position : position + 8]):
            if any(buffer[position : min(end, position + 4096)]):
                raise NotDicom(f"the data set ends inside an element, {end - position} bytes before its end")
            return  # padding
        tag, vr, first, length = _head(buffer, position, end, coding)
        if tag >= until or tag == _ITEM_END:
            return
        if length == UNDEFINED:
            position = _end_of(buffer, first, end, Coding(coding.explicit and vr != b"UN", coding.order), sequence=True)
        else:
            position = _within(buffer, first, length, end, tag)
        yield Element(tag, vr, first, position)


def items(buffer: Data, sequence: Element, coding: Coding, *, most: int) -> Iterator[tuple[int, int]]:
    """Where the first `most` items of a sequence lie, to be walked."""
    position = sequence.start
    for _ in range(most):
        if sequence.end - position < 8:
            return
        tag, length = _tag_and_length(buffer, position, coding)
        position += 8
        if tag != _ITEM:
            return
        end = _end_of(buffer, position, sequence.end, coding, sequence=False) if length == UNDEFINED else position + length
        yield position, min(end, sequence.end)
        position = end


def _is_vr(text: bytes) -> bool:
    return len(text) == 2 and text.isalpha() and text.isupper()


def _end_within(buffer: Data, position: int, end: int) -> int:
    """`end`, or where a deflated data set turns out to end before that position."""
    return min(end, buffer.reach(position)) if isinstance(buffer, Inflated) else end


def _held(buffer: Data, position: int) -> tuple[Buffer | bytearray, int]:
    """The bytes, and where in them the position is."""
    return buffer.at(position) if isinstance(buffer, Inflated) else (buffer, position)


def _tag_and_length(buffer: Data, position: int, coding: Coding) -> tuple[int, int]:
    held, at = _held(buffer, position)
    group, element, length = struct.unpack_from(f"{coding.order}HHI", held, at)
    return group << 16 | element, length


def _head(buffer: Data, position: int, end: int, coding: Coding) -> tuple[int, bytes, int, int]:
    """Tag, VR, where the value begins and how long it is; eight bytes are there."""
    held, at = _held(buffer, position)
    group, element, length = struct.unpack_from(f"{coding.order}HHI", held, at)
    tag = group << 16 | element
    if not coding.explicit or group == 0xFFFE:
        return tag, b"", position + 8, length
    vr = bytes(held[at + 4 : at + 6])
    if vr in _SHORT:
        return tag, vr, position + 8, struct.unpack_from(f"{coding.order}H", held, at + 6)[0]
    if not _is_vr(vr):
        raise NotDicom(f"element {_name(tag)} has no value representation")
    if end - position < 12:
        raise NotDicom(f"the data set ends inside element {_name(tag)}")
    return tag, vr, position + 12, struct.unpack_from(f"{coding.order}I", held, at + 8)[0]


def _within(buffer: Data, start: int, length: int, end: int, tag: int) -> int:
    end = _end_within(buffer, start + length, end)
    if length > end - start:
        raise NotDicom(f"element {_name(tag)} says {length} bytes, {max(0, end - start)} are left: the data set is cut off or damaged")
    return start + length


def _end_of(buffer: Data, position: int, end: int, coding: Coding, *, sequence: bool) -> int:
    """Behind the delimiter that closes the sequence (or item) of undefined length whose content begins at `position`."""
    open_levels = [(sequence, coding)]
    seen = 0
    while open_levels:
        seen += 1
        if seen > _MOST_WITHIN:
            raise NotDicom(f"a sequence of more than {_MOST_WITHIN} elements")
        if len(open_levels) > _DEEPEST:
            raise NotDicom(f"sequences are nested more than {_DEEPEST} deep")
        end = _end_within(buffer, position + _HEAD_BYTES, end)
        if end - position < 8:
            raise NotDicom("the data set ends inside a sequence")
        in_sequence, how = open_levels[-1]
        if in_sequence:
            tag, length = _tag_and_length(buffer, position, how)
            position += 8
            if tag == _SEQUENCE_END:
                open_levels.pop()
            elif tag != _ITEM:
                raise NotDicom(f"element {_name(tag)} stands where an item must be")
            elif length == UNDEFINED:
                open_levels.append((False, how))
            else:
                position = _within(buffer, position, length, end, tag)
            continue
        tag, vr, first, length = _head(buffer, position, end, how)
        if tag == _ITEM_END:
            open_levels.pop()
            position += 8
        elif length == UNDEFINED:
            open_levels.append((True, Coding(how.explicit and vr != b"UN", how.order)))
            position = first
        else:
            position = _within(buffer, first, length, end, tag)
    if isinstance(buffer, Inflated):
        buffer.count(seen)
    return position


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
