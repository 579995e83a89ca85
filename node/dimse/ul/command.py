"""Command sets as bytes (PS3.7 6.3.1 and annex E): implicit VR little endian, group 0000, without a data set of any library; and a peer's
message, put together from the fragments in which it comes (PS3.7 6.3, PS3.8 annex E). No sockets.

What storage, verification, queries and storage commitment need; other commands are told apart by their field alone.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from node.dimse.ul import pdu
from node.dimse.ul.pdu import AbortReason, Buffer, Malformed

MOST_BYTES: Final = 65536
"""No command set comes near it; what is longer is none."""
_LONGEST_COMMENT: Final = 64

_DATA_SET: Final = 0x0001
_NO_DATA_SET: Final = 0x0101
_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<H")
_RESPONSE: Final = 0x8000


class Field(IntEnum):
    """Command Field (0000,0100), PS3.7 E.1-1; a response is its request with the highest bit set."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150
    C_CANCEL_RQ = 0x0FFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command set. UIDs and texts are as they came, without their padding; None and "" where an element is absent or empty."""

    field: int
    data_set_follows: bool
    message_id: int | None = None
    responded_to: int | None = None
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    requested_class_uid: str = ""
    requested_instance_uid: str = ""
    priority: int | None = None
    status: int | None = None
    comment: str = ""
    originator_ae: str = ""
    originator_message_id: int | None = None
    event_type: int | None = None
    action_type: int | None = None

    @property
    def is_response(self) -> bool:
        """Whether it answers a request."""
        return bool(self.field & _RESPONSE)


def decode(data: Buffer) -> Command:
    """Read a command set. Elements that no field above is for are skipped; of one that comes twice the last counts.

    Raises
    ------
    Malformed
        An element reaches beyond the end, a number has not its two bytes, or Command Field or Command Data Set Type is missing.
    """
    if len(data) > MOST_BYTES:
        raise Malformed(f"a command set of {len(data)} bytes")
    numbers: dict[int, int] = {}
    texts: dict[int, str] = {}
    at, last = 0, len(data) - 8
    unpack = _ELEMENT.unpack_from
    # fewer than eight bytes behind the last element are padding
    while at <= last:
        group, element, length = unpack(data, at)
        start = at + 8
        at = start + length
        if at > last + 8:
            raise Malformed(f"({group:04X},{element:04X}) claims {length} bytes, {last + 8 - start} are there")
        if group or not length:
            continue
        if element in _NUMBERS:
            if length != 2:
                raise Malformed(f"(0000,{element:04X}) has {length} bytes, where 2 belong")
            numbers[element] = _US.unpack_from(data, start)[0]
        elif element in _TEXTS:
            texts[element] = str(data[start:at], "ascii", "replace").strip("\0 ")
    number, text = numbers.get, texts.get
    field, kind = number(0x0100), number(0x0800)
    if field is None or kind is None:
        raise Malformed("the command set has no Command Field or no Command Data Set Type")
    return Command(
        field=field,
        data_set_follows=kind != _NO_DATA_SET,
        message_id=number(0x0110),
        responded_to=number(0x0120),
        sop_class_uid=text(0x0002, ""),
        sop_instance_uid=text(0x1000, ""),
        requested_class_uid=text(0x0003, ""),
        requested_instance_uid=text(0x1001, ""),
        priority=number(0x0700),
        status=number(0x0900),
        comment=text(0x0902, ""),
        originator_ae=text(0x1030, ""),
        originator_message_id=number(0x1031),
        event_type=number(_EVENT_TYPE),
        action_type=number(_ACTION_TYPE),
    )


_EVENT_TYPE: Final = 0x1002
_ACTION_TYPE: Final = 0x1008
_NUMBERS = frozenset({0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, _EVENT_TYPE, _ACTION_TYPE, 0x1031})
_TEXTS = frozenset({0x0002, 0x0003, 0x0902, 0x1000, 0x1001, 0x1030})


def store_request(
    message_id: int, *, sop_class_uid: str, sop_instance_uid: str, priority: int = 0, originator: tuple[str, int] | None = None
) -> bytes:
    """A C-STORE-RQ (PS3.7 9.3.1.1). `originator` is the AE title and message ID of the C-MOVE that it serves."""
    body = (
        _text(0x0002, sop_class_uid, b"\0")
        + _number(0x0100, Field.C_STORE_RQ)
        + _number(0x0110, message_id)
        + _number(0x0700, priority)
        + _number(0x0800, 1)
        + _text(0x1000, sop_instance_uid, b"\0")
    )
    if originator is not None:
        body += _text(0x1030, originator[0], b" ") + _number(0x1031, originator[1])
    return _whole(body)


def store_response(message_id: int, *, sop_class_uid: str, sop_instance_uid: str, status: int, comment: str = "") -> bytes:
    """A C-STORE-RSP (PS3.7 9.3.1.2)."""
    return response(
        Field.C_STORE_RSP, message_id, sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid, status=status, comment=comment
    )


def echo_request(message_id: int) -> bytes:
    """A C-ECHO-RQ (PS3.7 9.3.5.1)."""
    return _whole(
        _text(0x0002, _VERIFICATION, b"\0") + _number(0x0100, Field.C_ECHO_RQ) + _number(0x0110, message_id) + _number(0x0800, _NO_DATA_SET)
    )


def find_request(message_id: int, *, sop_class_uid: str, priority: int = 0) -> bytes:
    """A C-FIND-RQ (PS3.7 9.3.2.1); its identifier follows."""
    return _whole(
        _text(0x0002, sop_class_uid, b"\0")
        + _number(0x0100, Field.C_FIND_RQ)
        + _number(0x0110, message_id)
        + _number(0x0700, priority)
        + _number(0x0800, 1)
    )


def action_request(message_id: int, *, sop_class_uid: str, sop_instance_uid: str, action_type: int) -> bytes:
    """An N-ACTION-RQ (PS3.7 10.3.4.1); its Action Information follows."""
    return _whole(
        _text(0x0003, sop_class_uid, b"\0")
        + _number(0x0100, Field.N_ACTION_RQ)
        + _number(0x0110, message_id)
        + _number(0x0800, 1)
        + _text(0x1001, sop_instance_uid, b"\0")
        + _number(_ACTION_TYPE, action_type)
    )


def event_report_request(message_id: int, *, sop_class_uid: str, sop_instance_uid: str, event_type: int) -> bytes:
    """An N-EVENT-REPORT-RQ (PS3.7 10.3.1.1); its Event Information follows."""
    return _whole(
        _text(0x0002, sop_class_uid, b"\0")
        + _number(0x0100, Field.N_EVENT_REPORT_RQ)
        + _number(0x0110, message_id)
        + _number(0x0800, 1)
        + _text(0x1000, sop_instance_uid, b"\0")
        + _number(_EVENT_TYPE, event_type)
    )


def echo_response(message_id: int, *, status: int = 0x0000) -> bytes:
    """A C-ECHO-RSP (PS3.7 9.3.5.2)."""
    return response(Field.C_ECHO_RSP, message_id, sop_class_uid=_VERIFICATION, status=status)


def response(
    field: int,
    message_id: int,
    *,
    sop_class_uid: str = "",
    sop_instance_uid: str = "",
    status: int,
    comment: str = "",
    event_type: int | None = None,
    action_type: int | None = None,
    data_set_follows: bool = False,
) -> bytes:
    """An answer to any request; `comment` is cut to what an Error Comment holds."""
    body = (
        (_text(0x0002, sop_class_uid, b"\0") if sop_class_uid else b"")
        + _number(0x0100, field)
        + _number(0x0120, message_id)
        + _number(0x0800, _DATA_SET if data_set_follows else _NO_DATA_SET)
        + _number(0x0900, status)
    )
    if comment:
        body += _text(0x0902, error_comment(comment), b" ")
    if sop_instance_uid:
        body += _text(0x1000, sop_instance_uid, b"\0")
    if event_type is not None:
        body += _number(_EVENT_TYPE, event_type)
    if action_type is not None:
        body += _number(_ACTION_TYPE, action_type)
    return _whole(body)


def error_comment(comment: str) -> str:
    """What of it an Error Comment (0000,0902) holds: LO has 64 characters, here of the default repertoire, and no backslash."""
    return comment.encode("ascii", "replace").decode("ascii").replace("\\", "/")[:_LONGEST_COMMENT]


_VERIFICATION: Final = "1.2.840.10008.1.1"


def _number(element: int, value: int) -> bytes:
    return struct.pack("<HHLH", 0, element, 2, value)


def _text(element: int, value: str, padding: bytes) -> bytes:
    encoded = value.encode("ascii", "replace")
    if len(encoded) % 2:
        encoded += padding
    return _ELEMENT.pack(0, element, len(encoded)) + encoded


def _whole(body: bytes) -> bytes:
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


_MOST_DATA_BYTES: Final = 1 << 20
"""Of the data set behind an answer: a match of a C-FIND has some hundred bytes."""


class MessageReader:
    """The message that comes next: its command set first, then, if the command says so, its data set."""

    def __init__(self) -> None:
        self._fragments: list[bytes] = []
        self._size = 0
        self._command: Command | None = None
        self._context = 0

    @property
    def context_id(self) -> int:
        """The presentation context that the message came in, once its first fragment is here."""
        return self._context

    def take(self, body: bytes) -> tuple[Command, bytes] | None:
        """Take in a P-DATA-TF without its head; the message, with this one it is whole, and nothing may follow in the same P-DATA-TF.

        Raises
        ------
        Malformed
            It is none, or has what does not belong here, or more than an answer has.
        """
        whole: tuple[Command, bytes] | None = None
        for one in pdu.pdvs(body):
            if whole is not None or one.is_command is not (self._command is None) or (self._fragments and one.context_id != self._context):
                raise Malformed("fragments that belong to no answer", AbortReason.UNEXPECTED_PARAMETER)
            self._context = one.context_id
            self._fragments.append(bytes(one.fragment))
            self._size += len(one.fragment)
            if self._size > (MOST_BYTES if self._command is None else _MOST_DATA_BYTES):
                raise Malformed(f"an answer of more than {self._size} bytes")
            if one.is_last:
                whole = self._closed()
        return whole

    def _closed(self) -> tuple[Command, bytes] | None:
        content = b"".join(self._fragments)
        self._fragments.clear()
        self._size = 0
        if self._command is None:
            self._command = decode(content)
            return None if self._command.data_set_follows else (self._command, b"")
        return self._command, content
