"""TensorFlow's checkpoints (tensor bundle, version 2) as arrays, without TensorFlow: an index, which is a sorted table, and one data file.

The index says of each name its type, shape and place in the data. Nothing in either file is code. Tables that are compressed, data in
several files, tensors in slices and types beyond `_TYPES` are refused. Formats: tensorflow/core/protobuf/tensor_bundle.proto and LevelDB's
table format; checksums are CRC-32C, masked (RFC 3720, LevelDB).
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import UnreadableModel

MOST_INDEX_BYTES = 1 << 22
"""An index has some fifty bytes a tensor."""
_MAGIC = 0xDB4775248B80FB57
_FOOTER, _TRAILER = 48, 5
_MASK = 0xA282EAD8
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
"""DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64: weights, and how many steps they were trained for."""
_MOST_AXES = 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a tensor lies in the data."""

    type: str
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int


def read_tensor_bundle(index: bytes, data: bytes, where: str) -> dict[str, NDArray[np.generic]]:
    """All tensors by name, in the index's order; views of `data`, little-endian.

    Parameters
    ----------
    index, data
        The files NAME.index and NAME.data-00000-of-00001.
    where
        What the checkpoint is called, to begin sentences with.

    Raises
    ------
    UnreadableModel
        It is no such checkpoint, it is damaged, or it holds what is not read here.
    """
    if len(index) > MOST_INDEX_BYTES:
        raise UnreadableModel(f"{where}: an index of {len(index)} bytes, at most {MOST_INDEX_BYTES} are read")
    try:
        places = dict(_places(index, len(data)))
    except (struct.error, IndexError, ValueError) as broken:
        raise UnreadableModel(f"{where} is no index of a TensorFlow checkpoint: {broken}") from broken
    if sum(place.size for place in places.values()) > len(data):
        raise UnreadableModel(f"{where}: its tensors overlap: together they are longer than the data of {len(data)} bytes")
    found = {}
    for name, place in places.items():
        content = memoryview(data)[place.offset : place.offset + place.size]
        if _masked(content) != place.checksum:
            raise UnreadableModel(f"{where}: {name} is damaged, or the data belong to another index")
        found[name] = np.frombuffer(content, dtype=place.type).reshape(place.shape)
    return found


def _places(index: bytes, most: int) -> Iterator[tuple[str, _Place]]:
    if len(index) < _FOOTER or struct.unpack("<Q", index[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as a sorted table does")
    footer = _FromFront(index[-_FOOTER:-8])
    footer.varint(), footer.varint()  # of the table's own notes, which nothing needs
    blocks = _block(index, footer.varint(), footer.varint())
    header = False
    before = None
    for _, handle in _entries(blocks):
        of = _FromFront(handle)
        for key, value in _entries(_block(index, of.varint(), of.varint())):
            if before is not None and key <= before:
                raise ValueError("its names are not sorted")
            before = key
            if key:
                yield key.decode("utf-8"), _place(value, key.decode("utf-8"), most)
            else:
                _whole(value)
                header = True
    if not header:
        raise ValueError("it has no header")


def _block(index: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + _TRAILER > len(index) - _FOOTER:
        raise ValueError("a block reaches beyond its end")
    (checksum,) = struct.unpack("<I", index[end + 1 : end + _TRAILER])
    if _masked(memoryview(index)[offset : end + 1]) != checksum:
        raise ValueError("a block is damaged")
    if index[end]:
        raise ValueError("it is compressed")
    return index[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys, each told by what it does not share with the one before, and values."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block has more marks than bytes")
    reader, key = _FromFront(block[:end]), b""
    while not reader.done:
        shared, more, size = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key):
            raise ValueError("a name shares more than the one before has")
        key = key[:shared] + reader.take(more)
        yield key, reader.take(size)


def _whole(value: bytes) -> None:
    """BundleHeaderProto: one data file, little-endian."""
    header = _fields(value)
    if header.numbers.get(1, 0) != 1:
        raise ValueError(f"its data lie in {header.numbers.get(1, 0)} files, one is read")
    if header.numbers.get(2, 0):
        raise ValueError("its data are big-endian")


def _place(value: bytes, name: str, most: int) -> _Place:
    """BundleEntryProto."""
    entry = _fields(value)
    type_ = _TYPES.get(entry.numbers.get(1, 0))
    if type_ is None:
        raise ValueError(f"{name} is of type {entry.numbers.get(1, 0)}, of which none is read")
    if entry.numbers.get(3, 0) or 7 in entry.texts:
        raise ValueError(f"{name} lies in another file, or in slices")
    shape = _shape(entry.texts.get(2, [b""])[-1], name)
    offset, size = entry.numbers.get(4, 0), entry.numbers.get(5, 0)
    if size != math.prod(shape) * np.dtype(type_).itemsize or offset + size > most:
        raise ValueError(f"{name} of shape {shape} is said to be {size} bytes from byte {offset} of {most} on")
    return _Place(type=type_, shape=shape, offset=offset, size=size, checksum=entry.numbers.get(6, 0))


def _shape(value: bytes, name: str) -> tuple[int, ...]:
    """TensorShapeProto."""
    shape = _fields(value)
    sides = tuple(_fields(side).numbers.get(1, 0) for side in shape.texts.get(2, []))
    if shape.numbers.get(3, 0) or len(sides) > _MOST_AXES or any(side >= 1 << 31 for side in sides):
        raise ValueError(f"{name} has no shape that is read")
    return sides


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    """A message of protocol buffers, by field number: numbers, and what is longer."""

    numbers: dict[int, int] = field(default_factory=dict)
    texts: dict[int, list[bytes]] = field(default_factory=dict)


def _fields(message: bytes) -> _Fields:
    found, reader = _Fields(), _FromFront(message)
    while not reader.done:
        number, kind = divmod(reader.varint(), 8)
        if kind == _VARINT:
            found.numbers[number] = reader.varint()
        elif kind == _FIXED32:
            found.numbers[number] = struct.unpack("<I", reader.take(4))[0]
        elif kind == _FIXED64:
            found.numbers[number] = struct.unpack("<Q", reader.take(8))[0]
        elif kind == _BYTES:
            found.texts.setdefault(number, []).append(reader.take(reader.varint()))
        else:
            raise ValueError(f"a message has a field of kind {kind}")
    return found


class _FromFront:
    """Bytes, from front to back."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._content)

    def take(self, count: int) -> bytes:
        """The next so many."""
        end = self._at + count
        if end > len(self._content):
            raise ValueError("it ends before its last entry does")
        taken, self._at = self._content[self._at : end], end
        return taken

    def varint(self) -> int:
        """A number in groups of seven bits, the lowest first."""
        value = 0
        for shift in range(0, 64, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number has more than 64 bits")


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # the polynomial of Castagnoli, reflected
        table.append(byte)
    return tuple(table)


_OF_BYTE = _table()


def _masked(content: bytes | memoryview) -> int:
    """CRC-32C, turned and shifted as such tables keep it."""
    table, value = _OF_BYTE, 0xFFFFFFFF
    for byte in bytes(content):
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF
