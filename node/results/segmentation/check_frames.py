"""Reads what a segmentation says of each of its frames, from the bytes, by hand: a library's data set for each would take seconds.

Frames share nearly all that is said of them: what was taken apart once is known again by its bytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from inference.imaging.errors import NotDicom
from node.dicom.elements import plain_elements, plain_items
from node.dicom.uid import is_uid
from node.results.errors import ResultMalformed

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
        try:
            for item in plain_items(value):
                yield self._frame(item)
        except NotDicom as damaged:
            raise ResultMalformed(f"the description of the frames: {damaged}") from damaged

    def _frame(self, item: bytes) -> FrameSaid:
        said: dict[int, bytes] = {}
        for _, head, _, end in plain_elements(item):
            whole = item[head:end]
            if whole not in self._met:
                self._met[whole] = tuple(_leaves(whole))
            for leaf, _, raw in self._met[whole]:
                if leaf in (_CLASS, _INSTANCE, _FRAME, _INDICES, _POSITION, _NUMBER):
                    if leaf in said:
                        raise ResultMalformed(f"a frame of the segmentation says {leaf:08X} twice")
                    said[leaf] = raw
        return _said(said)

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


def _leaves(elements: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The elements at the bottom of elements in a row."""
    for tag, head, start, end in plain_elements(elements):
        vr = elements[head + 4 : head + 6]
        if vr == b"SQ":
            for item in plain_items(elements[start:end]):
                yield from _leaves(item)
        else:
            yield tag, vr, elements[start:end]
