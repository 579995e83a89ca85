"""What worker and jail say to each other: frames of JSON over a Unix socket, arrays in anonymous memory that is passed beside them.

Nothing that comes out of a jail is trusted: no pickle, a bound on every length, and memory that neither side can shrink under the other.
"""

import fcntl
import json
import mmap
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.jail.errors import JailBroken

MOST_SAID = 1 << 20
"""Bytes of one frame."""
MOST_TEXT = 2000
"""Characters of an error's sentence."""
_LENGTH = struct.Struct("<I")
_ALIGNED = 64
_F_ADD_SEALS = 1033
_SHRINK, _GROW = 2, 4
_MOST_DESCRIPTORS = 2
_POPULATE_WRITE = 23


def say(channel: socket.socket, said: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send a frame, and descriptors with it."""
    body = json.dumps(said).encode()
    frame = _LENGTH.pack(len(body)) + body
    sent = socket.send_fds(channel, [frame], list(descriptors)) if descriptors else channel.send(frame)
    if sent < len(frame):
        channel.sendall(frame[sent:])


def hear(channel: socket.socket) -> dict[str, Any]:
    """Receive a frame; descriptors that come with it are dropped by the kernel.

    Raises
    ------
    EOFError
        The other side is gone.
    JailBroken
        It is no frame.
    """
    return parsed(_exactly(channel, _length(_exactly(channel, _LENGTH.size))))


def hear_with_descriptors(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The same, with the descriptors: for the side that trusts the other."""
    first, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, _MOST_DESCRIPTORS)
    if not first:
        raise EOFError
    head = first + _exactly(channel, _LENGTH.size - len(first))
    return parsed(_exactly(channel, _length(head))), descriptors


def _length(head: bytes) -> int:
    (length,) = _LENGTH.unpack(head)
    if length > MOST_SAID:
        raise JailBroken(f"a frame of {length} bytes")
    return int(length)


def _exactly(channel: socket.socket, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = channel.recv(min(count, 1 << 16))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def parsed(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as broken:
        raise JailBroken(f"no JSON: {broken}") from broken
    if not isinstance(said, dict):
        raise JailBroken("a frame that is no object")
    return said


def shared_memory(size: int) -> int:
    """A descriptor of anonymous memory of `size` bytes, at least one, sealed against being made shorter or longer."""
    place = os.memfd_create("hilum", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(place, max(1, size))
    fcntl.fcntl(place, _F_ADD_SEALS, _SHRINK | _GROW)
    return place


def layout(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[dict[str, Any]], int]:
    """Where arrays lie in one piece of memory, one behind the other, and how long that is; as JSON."""
    rows: list[dict[str, Any]] = []
    at = 0
    for name, array in arrays.items():
        rows.append({"name": name, "dtype": array.dtype.str, "shape": list(array.shape), "at": at})
        at += -(-array.nbytes // _ALIGNED) * _ALIGNED
    return rows, at


def put(place: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays into memory as `layout` says; nothing is mapped, which would cost a fault a page."""
    for row, array in zip(layout(arrays)[0], arrays.values(), strict=True):
        _write(place, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, row["at"])


def _write(place: int, content: memoryview, at: int) -> None:
    done = 0
    while done < len(content):
        # a write takes 2 GiB at most
        done += os.pwrite(place, content[done : done + (1 << 30)], at + done)


def taken(place: int, rows: Sequence[Mapping[str, Any]], size: int) -> dict[str, NDArray[Any]]:
    """The arrays that lie in memory, as a copy-on-write mapping of it: what is written into them is nobody else's."""
    return arrays(mmap.mmap(place, max(1, size), flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE), rows)


def mapped(place: int, size: int) -> mmap.mmap:
    """Memory of at least `size` bytes, to be read and written where both sides see it."""
    memory = mmap.mmap(place, max(1, size))
    with suppress(OSError):
        # all pages at once (Linux 5.14), for half of what they cost one by one
        memory.madvise(_POPULATE_WRITE)
    return memory


def copy_into(memory: mmap.mmap, rows: Sequence[Mapping[str, Any]], given: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays to where `rows` say."""
    for name, array in arrays(memory, rows).items():
        np.copyto(array, given[name])


def arrays(memory: mmap.mmap, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """The arrays that lie in mapped memory."""
    found: dict[str, NDArray[Any]] = {}
    for row in rows:
        dtype, shape = np.dtype(row["dtype"]), tuple(row["shape"])
        count = int(np.prod(shape, dtype=np.int64))
        found[row["name"]] = (np.frombuffer(memory, dtype, count, row["at"]) if count else np.empty(0, dtype)).reshape(shape)
    return found


def put_bytes(place: int, content: bytes) -> None:
    """Copy bytes into memory."""
    _write(place, memoryview(content), 0)


def taken_bytes(place: int, size: int) -> bytes:
    """The first `size` bytes of memory."""
    return os.pread(place, size, 0) if size < (1 << 30) else _mapped(place, size)


def _mapped(place: int, size: int) -> bytes:
    # a read takes 2 GiB at most
    with mmap.mmap(place, size, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as memory:
        return memory[:]
