"""TensorFlow's checkpoints: read as they were written by hand and by TensorFlow; what is otherwise in them is refused by a sentence."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.engines.errors import UnreadableModel
from inference.engines.tensor_bundle import MOST_INDEX_BYTES, read_tensor_bundle
from tests.lab.checkpoint import checksum, written

TENSORS: dict[str, NDArray[np.float32]] = {
    "net/block/w": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "net/block/beta": np.array([1.5, -2], dtype=np.float32),
    "net/step": np.array(7, dtype=np.float32),
    "another": np.full((2, 2), 0.25, dtype=np.float32),
}


@pytest.mark.parametrize("a_block", [1, 2, 40])
def test_what_was_written_is_read(a_block: int) -> None:
    """Names that share their beginnings, in one block and in several; sorted, as the index has them."""
    index, data = written(TENSORS, a_block=a_block)
    read = read_tensor_bundle(index, data, "it")
    assert list(read) == sorted(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].shape == array.shape


def test_the_checksum_is_castagnolis() -> None:
    """The known answer of RFC 3720, B.4: 32 bytes of zeros give 0x8a9136aa."""
    crc = 0x8A9136AA
    assert checksum(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    index, data = written({"zeros": np.zeros(8, dtype=np.float32)})
    assert read_tensor_bundle(index, data, "it")["zeros"].shape == (8,)


@pytest.mark.parametrize(
    ("header", "more", "said"),
    [
        (b"\x08\x02", {}, "its data lie in 2 files"),
        (b"\x08\x01\x10\x01", {}, "big-endian"),
        (b"\x08\x01", {"field1": 7}, "another is of type 7, of which none is read"),
        (b"\x08\x01", {"field3": 1}, "another lies in another file"),
        (b"\x08\x01", {"field7": b""}, "in slices"),
        (b"\x08\x01", {"field4": 1000}, "is said to be 16 bytes from byte 1000 of 124 on"),
        (b"\x08\x01", {"field5": 20}, "is said to be 20 bytes"),
        (b"\x08\x01", {"field2": b"\x12\x06\x08\xff\xff\xff\xff\x7f"}, "has no shape that is read"),
        (b"\x08\x01", {"field2": b"\x18\x01"}, "has no shape that is read"),
        (b"\x08\x01", {"field4": 92}, "another is damaged, or the data belong to another index"),
    ],
)
def test_what_is_not_read_is_refused_by_what_it_is(header: bytes, more: dict[str, Any], said: str) -> None:
    """Several files, another byte order, text, parts of tensors, places that are none, unknown shapes, somebody else's bytes."""
    index, data = written(TENSORS, header=header, **more)
    with pytest.raises(UnreadableModel, match=said):
        read_tensor_bundle(index, data, "it")


def test_tensors_that_overlap_are_refused() -> None:
    """No more is read than the data has: a small file cannot become a large one."""
    same = np.ones(8, dtype=np.float32)
    index, data = written({"a": same, "b": same})
    with pytest.raises(UnreadableModel, match=r"b of shape .* is said to be 32 bytes from byte 32 of 32 on"):
        read_tensor_bundle(index, data[:32], "it")
    index, _ = written({"a": same, "b": same}, places={"b": 0})
    with pytest.raises(UnreadableModel, match="its tensors overlap: together they are longer than the data of 32 bytes"):
        read_tensor_bundle(index, data[:32], "it")


def test_an_index_that_was_cut_or_changed_is_refused() -> None:
    """At every length, and with every byte changed: never read wrongly, never another error."""
    index, data = written(TENSORS)
    for length in range(len(index)):
        with pytest.raises(UnreadableModel):
            read_tensor_bundle(index[:length], data, "it")
    for at in range(len(index)):
        changed = index[:at] + bytes([index[at] ^ 0x41]) + index[at + 1 :]
        try:
            read = read_tensor_bundle(changed, data, "it")
        except UnreadableModel:
            continue
        # what the table says of itself, and what pads the footer, is not looked at
        assert list(read) == sorted(TENSORS)


def test_compressed_and_endless_indices_are_refused() -> None:
    """A block of another kind; more bytes than an index has."""
    index, data = written(TENSORS)
    end = index.index(struct.pack("<II", 0, 1)) + 8
    block = index[:end]
    snappy = block + b"\x01" + struct.pack("<I", checksum(block + b"\x01")) + index[end + 5 :]
    with pytest.raises(UnreadableModel, match="it is compressed"):
        read_tensor_bundle(snappy, data, "it")
    with pytest.raises(UnreadableModel, match="at most"):
        read_tensor_bundle(bytes(MOST_INDEX_BYTES + 1), data, "it")


def test_what_tensorflow_wrote(real: Callable[[str], list[Path]]) -> None:
    """A published checkpoint, with its optimiser's tensors and averages, each compared with its checksum; a byte changed is found."""
    files = {path.suffix: path.read_bytes() for path in real("weights/brats17") if path.name.startswith("msnet_en32_")}
    index, data = files[".index"], files[".data-00000-of-00001"]
    read = read_tensor_bundle(index, data, "it")
    assert read["MSNet_EN32/final_pred/w"].shape == (1, 3, 3, 14, 2)
    assert sum(array.nbytes for array in read.values()) == len(data)
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    with pytest.raises(UnreadableModel, match="is damaged"):
        read_tensor_bundle(index, bytes(changed), "it")
