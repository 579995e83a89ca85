"""Looks at a data set while it is received: long enough to tell a data set from garbage, and a whole one from one that was cut off.

Not a parser: values are skipped, deflated streams are looked into only at their beginning, and whatever the standard's encodings leave
open passes. What an instance means is the index's to say, in another process.
"""

import struct
import zlib
from typing import Final

from inference.imaging.deflated import DEFLATED
from node.dicom.elements import UNDEFINED
from node.dicom.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, PAPYRUS_3_IMPLICIT_VR_LITTLE_ENDIAN
from node.dicom.vr import HEAD_BYTES
from node.domain.errors import RefusedError

_IMPLICIT = (IMPLICIT_VR_LITTLE_ENDIAN, PAPYRUS_3_IMPLICIT_VR_LITTLE_ENDIAN)
_SOP_CLASS, _SOP_INSTANCE = 0x0016, 0x0018
_STUDY, _SERIES = 0x000D, 0x000E  # of group 0020
_GROUP_OF: Final = {_SOP_CLASS: 0x0008, _SOP_INSTANCE: 0x0008, _STUDY: 0x0020, _SERIES: 0x0020}
"""Of the elements that name an instance, and what it is of."""
_NONE: Final[dict[bytes, int]] = {}
_ITEM, _DELIMITERS = 0xE000, (0xE00D, 0xE0DD)  # of group FFFE
_LITTLE, _BIG = ([struct.Struct(order + form).unpack_from for form in ("HH2sH", "HHL", "L")] for order in "<>")
_MOST_ELEMENTS = 20_000  # a few ten milliseconds; what is longer passes unseen
_DEEPEST = 100
_INFLATED_BYTES = 65536
_LONGEST_UID = 64
_PADDING_BYTES = 1
"""One byte may be missing: the padding of the last value."""


class OtherInstance(RefusedError):
    """Command and data set name different instances or SOP classes (PS3.4 B.2.3: data set does not match SOP class)."""

    code = "HLM-1013"
    remedy = "Report this to the sender's vendor; the instance stays there."
    status = 0xA900


class NotADataset(RefusedError):
    """The bytes are no data set in the negotiated transfer syntax, or are cut off (PS3.4 B.2.3: cannot understand)."""

    code = "HLM-1014"
    remedy = "Send the instance again; if it is refused again, the file is damaged where it comes from."
    status = 0xC000


class Peek:
    """One walk over the elements of a data set, fed with its fragments as they come; the memory it takes does not grow with them.

    What the command says of the SOP class and instance is compared at the end. A data set that names none passes.
    """

    def __init__(self, *, syntax: str, sop_class: str, sop_instance: str) -> None:
        self._said = ((_SOP_CLASS, sop_class, "SOP class"), (_SOP_INSTANCE, sop_instance, "SOP instance"))
        self._named: dict[int, str] = {}
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if syntax in DEFLATED else None
        self._inflated_left = _INFLATED_BYTES
        self._explicit, self._implicit, self._long = _BIG if syntax == EXPLICIT_VR_BIG_ENDIAN else _LITTLE
        self._levels = [syntax in _IMPLICIT]
        """For the data set, and each sequence and item of undefined length that is open: whether VRs are implicit there."""
        self._skip = 0
        """Bytes of a value that are still to come."""
        self._held = b""
        """The beginning of an element whose head, or UID, is not whole yet."""
        self._element = ""
        self._seen = 0
        self._bytes = 0
        self._over = False
        """Nothing more is to be seen."""

    def feed(self, fragment: bytes | memoryview) -> None:
        """Look at what follows.

        Raises
        ------
        NotADataset
            The first element is none, or sequences are nested too deep, or a deflated stream is damaged.
        """
        size = len(fragment)
        self._bytes += size
        if self._over:
            return
        if self._skip >= size and self._inflate is None:
            self._skip -= size
            return
        if self._inflate is not None:
            fragment = self._inflated(fragment)
        if self._held:
            fragment, self._held = b"".join((self._held, fragment)), b""
        at = self._walk(fragment)
        self._over = self._over or self._inflated_left == 0
        left = len(fragment) - at
        if self._over:
            return
        if left < 0:
            self._skip = -left
        else:
            self._skip = 0
            self._held = bytes(fragment[at:]) if left else b""

    @property
    def instance(self) -> tuple[str, str] | None:
        """Its (SOP class, SOP instance) as far as they have come; None: not both."""
        sop_class, instance = self._named.get(_SOP_CLASS, ""), self._named.get(_SOP_INSTANCE, "")
        return (sop_class, instance) if sop_class and instance else None

    @property
    def series(self) -> tuple[str, str] | None:
        """Its (study, series) as far as they have come; None: not both."""
        study, series = self._named.get(_STUDY, ""), self._named.get(_SERIES, "")
        return (study, series) if study and series else None

    def end(self) -> None:
        """Judge the whole, once it is there.

        Raises
        ------
        NotADataset
            A value reaches beyond the end, or there is nothing.
        OtherInstance
            The data set names another SOP class or instance than the command.
        """
        if not self._bytes:
            raise NotADataset("the data set is empty")
        if not self._over and self._inflate is None:
            self._cut_off()
        for tag, said, what in self._said:
            found = self._named.get(tag)
            if found and found != said:
                raise OtherInstance(f"the data set is of another {what} than the command says")

    def _walk(self, data: bytes | memoryview) -> int:
        """Go from element to element; where the next one begins: behind the end of `data`, or at an element that is not whole yet."""
        explicit, levels, at, size = self._explicit, self._levels, self._skip, len(data)
        last, group, element = size - 8, 0, 0
        if not self._seen and at <= last:
            self._first(data)
        heads = _NONE if levels[-1] else HEAD_BYTES
        for seen in range(self._seen, _MOST_ELEMENTS):
            if at > last:
                self._seen = seen
                if at > size:
                    self._element = f"({group:04X},{element:04X})"
                return at
            group, element, vr, length = explicit(data, at)
            head = heads.get(vr)
            if head is None or group == 0xFFFE:
                # an item or a delimiter, or implicit VR
                if group == 0xFFFE and element in _DELIMITERS:
                    if len(levels) > 1:
                        levels.pop()
                        heads = _NONE if levels[-1] else HEAD_BYTES
                    at += 8
                    continue
                if heads is HEAD_BYTES and not (group == 0xFFFE and element == _ITEM):
                    break  # a VR that the standard does not know: nobody can say where its value ends
                head, vr, length = 8, b"", self._implicit(data, at)[2]
            elif head == 12:
                if at + 12 > size:
                    self._seen = seen
                    return at
                length = self._long(data, at + 8)[0]
            if length == UNDEFINED and (head == 12 or not vr):
                if len(levels) > _DEEPEST:
                    raise NotADataset(f"sequences are nested more than {_DEEPEST} deep")
                # UN of undefined length is implicit VR inside (PS3.5 6.2.2)
                levels.append(levels[-1] or vr == b"UN")
                heads = _NONE if levels[-1] else HEAD_BYTES
                at += head
                continue
            if _GROUP_OF.get(element) == group and length <= _LONGEST_UID and len(levels) == 1:
                if at + head + length > size:
                    self._seen = seen
                    return at
                self._named[element] = _uid(data[at + head : at + head + length])
            at += head + length
        self._over = True
        return at

    def _first(self, data: bytes | memoryview) -> None:
        """Whether a data set can begin so."""
        group, element, vr, _ = self._explicit(data)
        if group < 0x0008 or group & 1 or group >= 0xFFFE:
            raise NotADataset(f"the first element would be ({group:04X},{element:04X})")
        if not self._levels[0] and vr not in HEAD_BYTES:
            # some senders write implicit VR whatever was negotiated; readers understand it, and the index may judge it
            self._levels[0] = True
            if self._inflate is not None and self._implicit(data)[2] > _INFLATED_BYTES:
                raise NotADataset("the first element has no value representation")

    def _cut_off(self) -> None:
        """Whether the walk ended where a data set may end; a few bytes behind the last element are padding, an open sequence is not."""
        if self._skip > _PADDING_BYTES:
            raise NotADataset(f"{self._element} reaches {self._skip} bytes beyond the end")
        held = self._held
        if len(held) >= 8:
            # a head of twelve bytes of which there are fewer, or a UID
            group, element, vr, length = self._explicit(held)
            head = 8
            if self._levels[-1]:
                length = self._implicit(held)[2]
            elif HEAD_BYTES[vr] == 12:
                head, length = 12, (self._long(held, 8)[0] if len(held) >= 12 else UNDEFINED)
            if head + length > len(held) + _PADDING_BYTES:
                raise NotADataset(f"({group:04X},{element:04X}) is cut off")
            self._named[element] = _uid(held[head:])
        elif len(self._levels) > 1:
            raise NotADataset(f"cut off in a sequence, after {self._bytes} bytes")

    def _inflated(self, fragment: bytes | memoryview) -> bytes:
        assert self._inflate is not None, "the transfer syntax is deflated"
        try:
            data = self._inflate.decompress(fragment, self._inflated_left)
        except zlib.error as damaged:
            raise NotADataset("the deflated stream is damaged") from damaged
        self._inflated_left -= len(data)
        return data


def _uid(value: bytes | memoryview) -> str:
    return str(value, "ascii", "replace").strip("\0 ")
