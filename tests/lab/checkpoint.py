"""Checkpoints of TensorFlow 1 (tensor bundle), written by hand from their format: LevelDB's table for the index, and the data."""

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

FLOAT = 1
_MAGIC = 0xDB4775248B80FB57


def written(
    tensors: Mapping[str, NDArray[np.float32]],
    *,
    a_block: int = 40,
    header: bytes = b"\x08\x01",
    places: Mapping[str, int] | None = None,
    **more: int | bytes,
) -> tuple[bytes, bytes]:
    """The index and the data; `places` says another place than that of a tensor, `more` are raw fields of the first entry ("field3")."""
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    lengths = [array.nbytes for array in tensors.values()]
    lie = {name: sum(lengths[:number]) for number, name in enumerate(tensors)} | dict(places or {})
    entries = [(b"", header)]
    for number, name in enumerate(sorted(tensors, key=str.encode)):
        array = tensors[name]
        shape = b"".join(_field(2, b"\x08" + varint(side)) for side in array.shape)
        extra = b"".join(_field(int(key[5:]), value) for key, value in more.items()) if number == 0 else b""
        entry = _field(1, FLOAT) + _field(2, shape) + _field(4, lie[name]) + _field(5, array.nbytes)
        entries.append((name.encode(), entry + b"\x35" + struct.pack("<I", checksum(array.tobytes())) + extra))
    blocks, handles = b"", []
    for first in range(0, len(entries), a_block):
        some = entries[first : first + a_block]
        block = _block(some)
        handles.append((some[-1][0] + b"~", varint(len(blocks)) + varint(len(block))))
        blocks += _sealed(block)
    meta = _block([])
    meta_at, blocks = len(blocks), blocks + _sealed(meta)
    index = _block(handles)
    index_at, blocks = len(blocks), blocks + _sealed(index)
    footer = varint(meta_at) + varint(len(meta)) + varint(index_at) + varint(len(index))
    return blocks + footer.ljust(40, b"\0") + struct.pack("<Q", _MAGIC), data


def varint(value: int) -> bytes:
    """Seven bits to a byte, the lowest first."""
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def checksum(content: bytes) -> int:
    """CRC-32C, byte by byte, masked as LevelDB does."""
    value = 0xFFFFFFFF
    for byte in content:
        value = value >> 8 ^ _OF_BYTE[(value ^ byte) & 0xFF]
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _bit_by_bit(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ 0x82F63B78 * (value & 1)
    return value


_OF_BYTE = tuple(map(_bit_by_bit, range(256)))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Every name by what it does not share with the one before; one restart, at the beginning."""
    made, before = b"", b""
    for key, value in entries:
        shared = next((at for at, (one, other) in enumerate(zip(key, before, strict=False)) if one != other), min(len(key), len(before)))
        made += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return made + struct.pack("<II", 0, 1)


def _sealed(block: bytes) -> bytes:
    return block + b"\0" + struct.pack("<I", checksum(block + b"\0"))
