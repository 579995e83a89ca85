"""Protocol data units as bytes (PS3.8 9.3): heads, presentation data values, and the small PDUs. No sockets, no state.

The A-ASSOCIATE-RQ and -AC are not here: pynetdicom's codecs do those, once an association.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

HEAD_BYTES: Final = 6
"""PDU type, a reserved byte, and the length of what follows as UL (PS3.8 9.3.1)."""
PDV_HEAD_BYTES: Final = 6
"""Item length as UL, presentation context ID, message control header (PS3.8 9.3.5.1 and annex E.2)."""
ASSOCIATE_BYTES: Final = 1 << 20
"""More than 128 presentation contexts with every transfer syntax there is; the cap of a PDU until the association stands."""
SLACK_BYTES: Final = 1024
"""How much longer than negotiated a PDU may be: some senders count its head out, some in."""
COMMAND: Final = 0x01
LAST: Final = 0x02
"""The two bits of a message control header that mean something (PS3.8 E.2); the others are not looked at."""

_HEAD = struct.Struct(">BxL")
_PDV_HEAD = struct.Struct(">LBB")
_DATA_HEAD = struct.Struct(">BxLLBB")


class PduType(IntEnum):
    """PS3.8 9.3.1."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class AbortSource(IntEnum):
    """Who ends the association (PS3.8 table 9-26)."""

    USER = 0
    PROVIDER = 2


class AbortReason(IntEnum):
    """Why the service provider ends it (PS3.8 table 9-26); a service user gives no reason."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class Malformed(Exception):
    """The bytes are no PDU, or no command set; `reason` is what an abort would say. Whoever reads from a peer ends the association."""

    def __init__(self, message: str, reason: AbortReason = AbortReason.INVALID_PARAMETER) -> None:
        super().__init__(message)
        self.reason = reason


class Pdv(NamedTuple):
    """One presentation data value: a fragment of a command or of a data set, as a view of the PDU that it came in."""

    context_id: int
    is_command: bool
    is_last: bool
    fragment: memoryview


class Rejected(NamedTuple):
    """An A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int


class Aborted(NamedTuple):
    """An A-ABORT (PS3.8 table 9-26), with whatever numbers the peer gave."""

    source: int
    reason: int


def head(data: Buffer, at: int = 0) -> tuple[int, int]:
    """The type of a PDU, known or not, and how many bytes follow its head.

    Raises
    ------
    Malformed
        There are fewer than six bytes.
    """
    try:
        kind, length = _HEAD.unpack_from(data, at)
    except struct.error as short:
        raise Malformed("the head of a PDU is cut off") from short
    return kind, length


def pdv_head(data: Buffer, at: int, end: int) -> tuple[int, int, int]:
    """How long the fragment is that follows the six bytes at `at`, its presentation context, and its message control header.

    `end` is where the P-DATA-TF ends: no presentation data value reaches beyond.

    Raises
    ------
    Malformed
        The item is shorter than its own two bytes, or longer than what is left of the PDU.
    """
    if at + PDV_HEAD_BYTES > end:
        raise Malformed(f"a presentation data value is cut off after {end - at} bytes")
    length, context_id, control = _PDV_HEAD.unpack_from(data, at)
    if length < 2 or at + 4 + length > end:
        raise Malformed(f"a presentation data value of {length} bytes, where {end - at - 4} are left in its PDU")
    return length - 2, context_id, control


def pdvs(body: Buffer) -> Iterator[Pdv]:
    """The presentation data values of a P-DATA-TF, whose head is cut off, in their order.

    Raises
    ------
    Malformed
        There is none, or they do not fill the PDU exactly; values before the fault have been given.
    """
    view = memoryview(body)
    if not view:
        raise Malformed("a P-DATA-TF without a presentation data value")
    at, end = 0, len(view)
    while at < end:
        length, context_id, control = pdv_head(view, at, end)
        start = at + PDV_HEAD_BYTES
        at = start + length
        yield Pdv(context_id, bool(control & COMMAND), bool(control & LAST), view[start:at])


def longest_fragment(most_bytes: int) -> int:
    """How long a fragment may be that travels alone in a P-DATA-TF of `most_bytes` without its head: even, as all are (PS3.8 annex E)."""
    return (most_bytes - PDV_HEAD_BYTES) // 2 * 2


def data_head(context_id: int, length: int, *, command: bool, last: bool) -> bytes:
    """The twelve bytes before a fragment of `length` bytes that travels alone in its P-DATA-TF."""
    return _DATA_HEAD.pack(PduType.P_DATA, length + 6, length + 2, context_id, COMMAND * command | LAST * last)


def pack_data(context_id: int, fragment: Buffer, *, command: bool, last: bool) -> bytes:
    """A P-DATA-TF with one fragment."""
    return b"".join((data_head(context_id, len(fragment), command=command, last=last), fragment))


def pack_abort(source: AbortSource, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> bytes:
    """An A-ABORT (PS3.8 9.3.8)."""
    return bytes((PduType.ABORT, 0, 0, 0, 0, 4, 0, 0, source, reason))


def pack_reject(result: int, source: int, reason: int) -> bytes:
    """An A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return bytes((PduType.ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, result, source, reason))


def pack_release_request() -> bytes:
    """An A-RELEASE-RQ (PS3.8 9.3.6)."""
    return bytes((PduType.RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0))


def pack_release_reply() -> bytes:
    """An A-RELEASE-RP (PS3.8 9.3.7)."""
    return bytes((PduType.RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0))


def abort(body: Buffer) -> Aborted:
    """What an A-ABORT says, without its head.

    Raises
    ------
    Malformed
        It has not the four bytes that it must have.
    """
    _, _, source, reason = _four(body, "A-ABORT")
    return Aborted(source, reason)


def reject(body: Buffer) -> Rejected:
    """What an A-ASSOCIATE-RJ says, without its head.

    Raises
    ------
    Malformed
        It has not the four bytes that it must have.
    """
    _, result, source, reason = _four(body, "A-ASSOCIATE-RJ")
    return Rejected(result, source, reason)


def _four(body: Buffer, name: str) -> bytes:
    if len(body) != 4:
        raise Malformed(f"an {name} of {len(body)} bytes, where 4 belong")
    return bytes(body)
