"""Reads what a segmentation says of each of its frames, from the bytes, by hand: a library's data set for each would take seconds.

Frames share nearly all that is said of them: what was taken apart once is known again by its bytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from node.domain.uid import is_uid
from node.results.errors import ResultMalformed

_ITEM = b"\xfe\xff\x00\xe0"
_LONG = frozenset({b"SQ", b"OB", b"OW", b"UN", b"UT"})

_CLASS, _INSTANCE, _FRAME = 0x00081150, 0x00081155, 0x00081160
_INDICES, _POSITION, _NUMBER = 0x00209157, 0x00200032, 0x0062000B

Leaves: TypeAlias = tuple[tuple[int, bytes, bytes], ...]
"""(tag, VR, value) of the elements at the bottom of nested sequences."""


@dataclass(frozen=True, slots=True)
class FrameSaid:
    """What is said of one frame. `segment` is None where the frame itself does not say (all share it, or it is of a label map)."""

    sop_class_uid: str
    sop_instance_uid: str
    source_frame: int | None
    position: str
    indices: tuple[int, ...]
    segment: int | None


class FramesReader:
    """Takes apart the value of a Per-Frame Functional Groups Sequence (5200,9230) in Explicit VR Little Endian."""

    def __init__(self) -> None:
        self._met: dict[bytes, Leaves] = {}

    def read(self, value: bytes) -> Iterator[FrameSaid]:
        """One for each item, in order.

        Raises
        ------
        ResultMalformed
            The bytes are no items of defined length, or an item says too little, or something twice.
        """
        for item in _items(value):
            said: dict[int, bytes] = {}
            for tag, whole in _elements(item):
                if whole not in self._met:
                    self._met[whole] = tuple(_leaves(tag, whole))
                for leaf, _, raw in self._met[whole]:
                    if leaf in (_CLASS, _INSTANCE, _FRAME, _INDICES, _POSITION, _NUMBER):
                        if leaf in said:
                            raise ResultMalformed(f"a frame of the segmentation says {leaf:08X} twice")
                        said[leaf] = raw
            yield _said(said)

    def check_values(self) -> None:
        """What holds for values wherever they stand: UIDs are UIDs, decimal strings fit 16 characters (PS3.5 6.2).

        Raises
        ------
        ResultMalformed
            The value of one of the elements that were read.
        """
        for leaves in self._met.values():
            for tag, vr, raw in leaves:
                if vr == b"UI" and raw.strip(b"\0") and not is_uid(raw.rstrip(b"\0").decode("latin-1")):
                    raise ResultMalformed(f"{tag:08X} of a frame, {raw!r}, is no UID")
                if vr == b"DS" and any(len(each.strip(b" ")) > 16 for each in raw.split(b"\\")):
                    raise ResultMalformed(f"{tag:08X} of a frame, {raw!r}, is longer than 16 characters")


def _said(said: dict[int, bytes]) -> FrameSaid:
    absent = [f"{tag:08X}" for tag in (_CLASS, _INSTANCE, _INDICES, _POSITION) if tag not in said]
    if absent:
        raise ResultMalformed(f"a frame of the segmentation lacks {', '.join(absent)}")
    indices = said[_INDICES]
    return FrameSaid(
        sop_class_uid=said[_CLASS].rstrip(b"\0").decode("ascii"),
        sop_instance_uid=said[_INSTANCE].rstrip(b"\0").decode("ascii"),
        source_frame=int(said[_FRAME]) if _FRAME in said else None,
        position=said[_POSITION].decode("ascii").strip(),
        indices=struct.unpack(f"<{len(indices) // 4}I", indices),
        segment=int.from_bytes(said[_NUMBER], "little") if _NUMBER in said else None,
    )


def _items(value: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(value):
        (size,) = struct.unpack_from("<I", value, at + 4)
        if value[at : at + 4] != _ITEM or at + 8 + size > len(value):
            raise ResultMalformed(f"no item of a sequence stands at byte {at} of the frames' description")
        yield value[at + 8 : at + 8 + size]
        at += 8 + size


def _elements(item: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and bytes of each element, its head included."""
    at = 0
    while at < len(item):
        group, element = struct.unpack_from("<HH", item, at)
        head, size = (12, struct.unpack_from("<I", item, at + 8)[0]) if item[at + 4 : at + 6] in _LONG else (8, _short(item, at))
        if at + head + size > len(item):
            raise ResultMalformed(f"({group:04X},{element:04X}) of a frame reaches beyond its item")
        yield group << 16 | element, item[at : at + head + size]
        at += head + size


def _short(item: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", item, at + 6)[0])


def _leaves(tag: int, whole: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The elements at the bottom of one element."""
    vr = whole[4:6]
    if vr != b"SQ":
        yield tag, vr, whole[12 if vr in _LONG else 8 :]
        return
    for item in _items(whole[12:]):
        for inner, content in _elements(item):
            yield from _leaves(inner, content)
