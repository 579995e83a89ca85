"""Part 10 files made to exhaust the node: read in a child process, whose memory is measured, and which must come to an end."""

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

_READ = """
import json, resource, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from inference.errors import HilumError
from inference.imaging.header import read_instance
from node.dicom.header import read_header
read = {"index": read_header, "work": read_instance}[sys.argv[1]]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read(Path(sys.argv[2]))
    said = "read"
except HilumError as refused:
    said = refused.code
print(json.dumps([said, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))
"""
_PATIENCE_S = 240
_UNDEFINED = 0xFFFFFFFF
_MANY = 1_200_000


def _element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def _item(number: int, length: int) -> bytes:
    return struct.pack("<HHI", 0xFFFE, number, length)


_META = (
    _element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1") + _element(2, 2, b"UI", b"1.2.840.10008.5.1.4.1.1.4") + _element(2, 3, b"UI", b"1.2.3")
)
_HEAD = bytes(128) + b"DICM" + _element(2, 0, b"UL", struct.pack("<I", len(_META))) + _META
_WHO = _element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.4") + _element(8, 0x18, b"UI", b"1.2.3") + _element(8, 0x60, b"CS", b"MR")
_WHERE = _element(0x20, 0xD, b"UI", b"1.2.4") + _element(0x20, 0xE, b"UI", b"1.2.5")
_SEQUENCE = struct.pack("<HH2sHI", 9, 0x1001, b"SQ", 0, _UNDEFINED)
_ITEM, _ITEM_END, _SEQUENCE_END = _item(0xE000, _UNDEFINED), _item(0xE00D, 0), _item(0xE0DD, 0)


def _many_items(path: Path) -> None:
    path.write_bytes(_HEAD + _WHO + _SEQUENCE + _item(0xE000, 0) * _MANY + _SEQUENCE_END + _WHERE)


def _many_elements(path: Path) -> None:
    path.write_bytes(_HEAD + _WHO + _SEQUENCE + _ITEM + _element(9, 0x1002, b"CS", b"") * _MANY + _ITEM_END + _SEQUENCE_END + _WHERE)


def _many_at_the_top(path: Path) -> None:
    path.write_bytes(_HEAD + _WHO + _element(9, 0x1002, b"CS", b"") * _MANY + _WHERE)


def _deep(path: Path) -> None:
    path.write_bytes(_HEAD + _WHO + (_SEQUENCE + _ITEM) * 100_000)


def _open_ended(path: Path) -> None:
    path.write_bytes(_HEAD + _WHO + _SEQUENCE + _ITEM * 1)


def _long_text(path: Path) -> None:
    """A text of one gigabyte, which takes no room on a disk with holes."""
    with path.open("wb") as file:
        file.write(_HEAD + _WHO + struct.pack("<HH2sHI", 9, 0x1001, b"UT", 0, 1 << 30))
        file.truncate(file.tell() + (1 << 30))
        file.seek(0, 2)
        file.write(_WHERE)


def _bomb(path: Path) -> None:
    """Less than 1 MB that inflates to 500 MiB of private data."""
    _deflated(path, 500)


def _large_private_data(path: Path) -> None:
    """300 MiB of private data, in a file that is not suspiciously small for them."""
    _deflated(path, 300, os.urandom(4 << 20))


def _deflated(path: Path, zeros_mb: int, noise: bytes = b"") -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    meta = _META.replace(_element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1"), _element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1.99"))
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM" + _element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta)
        file.write(squeeze.compress(_WHO + struct.pack("<HH2sHI", 9, 0x1001, b"OB", 0, (zeros_mb << 20) + len(noise)) + noise))
        for _ in range(zeros_mb):
            file.write(squeeze.compress(bytes(1 << 20)))
        file.write(squeeze.compress(_WHERE) + squeeze.flush())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_many_items, {"HLM-3001"}),
        (_many_elements, {"HLM-3001"}),
        (_many_at_the_top, {"HLM-3001"}),
        (_deep, {"HLM-3001"}),
        (_open_ended, {"HLM-3001"}),
        (_long_text, {"read"}),
        (_bomb, {"HLM-3004"}),
        (_large_private_data, {"read"}),
    ],
)
def test_the_index_reads_or_refuses_a_hostile_file_in_little_memory(tmp_path: Path, make: Callable[[Path], None], said: set[str]) -> None:
    """Element count, nesting and length: none of them makes the index process grow by more than the pages of a small file."""
    path = tmp_path / "hostile.dcm"
    make(path)
    told, grown_mb = _read("index", path)
    assert told in said
    assert grown_mb < 100


@pytest.mark.slow
@pytest.mark.parametrize("make", [_deep, _open_ended, _long_text])
def test_a_worker_reads_or_refuses_what_the_index_let_through(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A header of a gigabyte stays in its file; it has no pixels, which is what is said of it."""
    path = tmp_path / "hostile.dcm"
    make(path)
    told, grown_mb = _read("work", path)
    assert told.startswith("HLM-3")
    assert grown_mb < 200


def _read(how: str, path: Path) -> tuple[str, float]:
    """The code of the error, or "read", and by how many MB the process grew."""
    done = subprocess.run([sys.executable, "-c", _READ, how, str(path)], capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
    said, grown = json.loads(done.stdout)
    return str(said), float(grown)
