"""Command sets by hand, from PS3.7 6.3 and annex E: what tests compare with, and what they say that no library would."""

import struct


def fields(data: bytes) -> dict[int, bytes]:
    """The elements of a command set: element number to value."""
    found = {}
    at = 0
    while at < len(data):
        group, element, length = struct.unpack_from("<HHL", data, at)
        assert group == 0, "a command set is of group 0000"
        found[element] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return found


def answer_bytes(*, message: int, status: int, field: int = 0x8001, kind: int = 0x0101) -> bytes:
    """A C-STORE-RSP without its UIDs (PS3.7 9.3.1.2); other fields make it something else."""
    body = b"".join(
        struct.pack("<HHLH", 0, element, 2, value)
        for element, value in ((0x0100, field), (0x0120, message), (0x0800, kind), (0x0900, status))
    )
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body
