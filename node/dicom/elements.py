"""Elements of a data set as bytes (PS3.5 7.1), sequences among them (7.5): reads and writes them without converting a value. A deflated
data set (PS3.5 A.5) is inflated as far as it is walked; of what was walked only the last part is held.

`walk` reads whatever a peer sent, without recursion: bounded work on hostile bytes. `plain_elements` reads what has the one form in which
`element` writes: Explicit VR Little Endian with defined lengths. What values mean stands in node.dicom.values.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import MADV_DONTNEED, mmap
from typing import NamedTuple, TypeAlias

from inference.imaging.errors import NotDicom, UnsupportedSyntax
from node.dicom.vr import HEAD_BYTES, LONG, SHORT, may_be_vr

FAR = 1 << 62
"""Where a data set ends whose end was not met yet."""
_HELD_BYTES = 16 << 20
"""Of what was inflated, so much can be gone back to: a sequence is read when its end is known."""
_CHUNK = 1 << 16
_LET_GO_BYTES = 16 << 20
"""Of a mapped file so much is held in memory at a time."""
_LEAST_BYTES, _MOST_BYTES, _MOST_TIMES = 64 << 20, 1 << 30, 100
"""What may be inflated: so many times what came in, but no less than the first and no more than the second, which is what a worker can
hold (inference.imaging.deflated). Pixels, behind which nothing is looked for, seldom become a tenth; a bomb is a thousandth."""
_MOST_ELEMENTS = 1_000_000
"""Elements and items of all sequences whose ends must be looked for: a few kilobytes can claim many times as many."""


class Inflated:
    """The bytes of a deflated data set, to be read forwards.

    Parameters
    ----------
    file
        Part 10, with the deflated data set from `start` on.

    Raises
    ------
    NotDicom
        From any method: the stream is damaged.
    UnsupportedSyntax
        From any method: it inflates to more than may be looked through, or what is asked for was let go already.
    """

    def __init__(self, file: bytes | mmap, start: int) -> None:
        self._file = file
        self._at = start
        self._let_go = 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._deflated = b""
        self._held = bytearray()
        self._floor = self._top = 0
        self._over = False
        self._most = min(_MOST_BYTES, max(_LEAST_BYTES, _MOST_TIMES * (len(file) - start)))
        self._elements = 0

    def reach(self, position: int) -> int:
        """Inflate up to there; where the data set ends, `FAR` when that is behind."""
        while self._top < position and not self._over:
            self._more()
        return self._top if self._over else FAR

    def at(self, position: int) -> tuple[bytearray, int]:
        """What is held, and where in it the position is."""
        if position < self._floor:
            raise UnsupportedSyntax(f"it is deflated, and one of its sequences inflates to more than {_HELD_BYTES >> 20} MiB")
        return self._held, position - self._floor

    def count(self, elements: int) -> None:
        """So many more elements were walked within sequences."""
        self._elements += elements
        if self._elements > _MOST_ELEMENTS:
            raise UnsupportedSyntax(f"it is deflated, and has more than {_MOST_ELEMENTS} elements in sequences before its pixels")

    def __getitem__(self, part: slice) -> bytes:
        """A part, shorter where the data set ends."""
        self.reach(part.stop)
        held, first = self.at(part.start)
        return bytes(held[first : first + part.stop - part.start])

    def _more(self) -> None:
        if not self._deflated:
            self._deflated = self._file[self._at : self._at + _CHUNK]
            self._at += len(self._deflated)
            self._release()
        came = bool(self._deflated)
        try:
            data = self._inflate.decompress(self._deflated, _CHUNK)
        except zlib.error as damaged:
            raise NotDicom(f"the deflated data set is damaged: {damaged}") from damaged
        self._deflated = self._inflate.unconsumed_tail
        self._over = self._inflate.eof or not (came or data)
        self._top += len(data)
        if self._top > self._most:
            raise UnsupportedSyntax(
                f"it is deflated, and its header does not end in the first {self._most >> 20} MiB that it inflates to: "
                "more is not looked through"
            )
        self._held += data
        if len(self._held) > _HELD_BYTES + _CHUNK:
            self._floor += _CHUNK
            del self._held[:_CHUNK]

    def _release(self) -> None:
        if isinstance(self._file, mmap) and self._at - self._let_go > _LET_GO_BYTES:
            self._file.madvise(MADV_DONTNEED, self._let_go, _LET_GO_BYTES)  # it stays in the system's cache
            self._let_go += _LET_GO_BYTES


Buffer: TypeAlias = bytes | mmap
Data: TypeAlias = Buffer | Inflated
UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST = 100
"""Levels of nesting; reports have about ten. Deeper ones break recursive readers further down the line."""
_MOST_WITHIN = 1_000_000
"""Elements and items of one sequence whose end must be looked for; a large RT structure set has a third."""
_LONGEST_HEAD = 12
"""Of the longest head of an element: tag, VR, two reserved bytes, length (PS3.5 7.1.2)."""


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


EXPLICIT_LITTLE = Coding(explicit=True, order="<")
_SHORT_HEADS = {order: struct.Struct(f"{order}HH2sH") for order in "<>"}
"""Group, element, VR and length of an element whose length has two bytes (PS3.5 7.1.2)."""
_LITTLE_HEAD, _LENGTH = _SHORT_HEADS["<"], struct.Struct("<I")
_ITEM_TAG = struct.pack("<HH", _ITEM >> 16, _ITEM & 0xFFFF)


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
            end = _end_within(buffer, position + _LONGEST_HEAD, end)
        elif head is not None and end - position >= 8:
            # nearly every element is of this form: told apart here, without a call
            group, number, vr, length = head(buffer, position)  # type: ignore[arg-type]  # it is not inflated
            tag, last = group << 16 | number, position + 8 + length
            if vr in SHORT and tag < until and group != 0xFFFE and last <= end:
                yield Element(tag, vr, position + 8, last)
                position = last
                continue
        if end - position < 8 or not any(buffer[position : position + 8]):
            if any(buffer[position : min(end, position + 4096)]):
                raise NotDicom(f"the data set ends inside an element, {end - position} bytes before its end")
            return  # padding
        tag, vr, first, length = head_at(buffer, position, end, coding)
        if tag >= until or tag == _ITEM_END:
            return
        if length == UNDEFINED:
            position = _end_of(buffer, first, end, Coding(coding.explicit and vr != b"UN", coding.order), sequence=True)
        else:
            position = end_of_value(buffer, first, length, end, tag)
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


def plain_elements(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Tag, and where its head and its value begin and end, of elements in Explicit VR Little Endian with defined lengths.

    Raises
    ------
    NotDicom
        An element reaches beyond the end.
    """
    at, size = 0, len(data)
    while at < size:
        if size - at < 8:
            raise NotDicom(f"{size - at} bytes are left, which are no element")
        group, number, vr, length = _LITTLE_HEAD.unpack_from(data, at)
        start = at + 8
        if vr in LONG:
            if size - at < 12:
                raise NotDicom(f"the data end inside element ({group:04X},{number:04X})")
            start, length = at + 12, _LENGTH.unpack_from(data, at + 8)[0]
        if start + length > size:
            raise NotDicom(f"element ({group:04X},{number:04X}) reaches beyond the end")
        yield group << 16 | number, at, start, start + length
        at = start + length


def plain_items(value: bytes) -> Iterator[bytes]:
    """The items of a sequence in Little Endian, all of defined length.

    Raises
    ------
    NotDicom
        Something else stands where an item must be, or an item reaches beyond the end.
    """
    at = 0
    while at < len(value):
        if len(value) - at < 8 or value[at : at + 4] != _ITEM_TAG:
            raise NotDicom(f"no item stands at byte {at} of the sequence")
        (size,) = _LENGTH.unpack_from(value, at + 4)
        if at + 8 + size > len(value):
            raise NotDicom(f"the item at byte {at} of the sequence reaches beyond its end")
        yield value[at + 8 : at + 8 + size]
        at += 8 + size


def element_head(tag: int, vr: bytes, length: int) -> bytes:
    """Tag, VR and length in Explicit VR Little Endian (PS3.5 7.1.2); the value follows."""
    if HEAD_BYTES[vr] == 12:
        return _LITTLE_HEAD.pack(tag >> 16, tag & 0xFFFF, vr, 0) + _LENGTH.pack(length)
    return _LITTLE_HEAD.pack(tag >> 16, tag & 0xFFFF, vr, length)


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """One element in Explicit VR Little Endian; `value` has an even length."""
    return element_head(tag, vr, len(value)) + value


def text_element(tag: int, vr: bytes, text: str) -> bytes:
    """An element of text, padded as PS3.5 6.2 has it: a UID or bytes by a zero, other text by a space."""
    value = text.encode("utf-8")
    return element(tag, vr, value + (b"\0" if vr in (b"UI", b"OB") else b" ") * (len(value) % 2))


def sequence(tag: int, *items: bytes) -> bytes:
    """A sequence of written items (PS3.5 7.5), of defined length."""
    return element(tag, b"SQ", b"".join(items))


def item(*elements: bytes) -> bytes:
    """An item of written elements, of defined length."""
    content = b"".join(elements)
    return _ITEM_TAG + _LENGTH.pack(len(content)) + content


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


def head_at(buffer: Data, position: int, end: int, coding: Coding) -> tuple[int, bytes, int, int]:
    """Tag, VR, where the value begins and how long it is; eight bytes are there."""
    held, at = _held(buffer, position)
    group, element, length = struct.unpack_from(f"{coding.order}HHI", held, at)
    tag = group << 16 | element
    if not coding.explicit or group == 0xFFFE:
        return tag, b"", position + 8, length
    vr = bytes(held[at + 4 : at + 6])
    if vr in SHORT:
        return tag, vr, position + 8, struct.unpack_from(f"{coding.order}H", held, at + 6)[0]
    if not may_be_vr(vr):
        raise NotDicom(f"element {_name(tag)} has no value representation")
    if end - position < 12:
        raise NotDicom(f"the data set ends inside element {_name(tag)}")
    return tag, vr, position + 12, struct.unpack_from(f"{coding.order}I", held, at + 8)[0]


def end_of_value(buffer: Data, start: int, length: int, end: int, tag: int) -> int:
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
        end = _end_within(buffer, position + _LONGEST_HEAD, end)
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
                position = end_of_value(buffer, position, length, end, tag)
            continue
        tag, vr, first, length = head_at(buffer, position, end, how)
        if tag == _ITEM_END:
            open_levels.pop()
            position += 8
        elif length == UNDEFINED:
            open_levels.append((True, Coding(how.explicit and vr != b"UN", how.order)))
            position = first
        else:
            position = end_of_value(buffer, first, length, end, tag)
    if isinstance(buffer, Inflated):
        buffer.count(seen)
    return position


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
