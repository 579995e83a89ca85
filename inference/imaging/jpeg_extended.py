"""JPEG Extended with 12-bit samples (PS3.5 A.4.1, process 4): read by GDCM's own image class, because pydicom's plug-ins refuse it.

The frame header is read before anything is decoded, so that what a stream claims is known to be what the data set says, and how much it
may come to. The codec works in a process of its own (`jpeg_process`), bounded in memory and time: some damaged streams end it. What it
complains of is refused: it would fill what it cannot read with something.
"""

import atexit
import os
import select
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO

import numpy as np
from numpy.typing import NDArray

from inference.imaging.errors import Truncated, UndecodablePixels

PRECISION = 12
"""Bits of a sample, whatever of them is stored: BitsStored may be less."""
MOST_PIXELS_A_BYTE = 256
"""A block of 8 x 8 samples takes two codes (DC, and the end of AC) of one bit each at least (ISO/IEC 10918-1 F.1.2)."""
LONGEST_S = 30.0
"""What one frame may take; 1024 x 1024 pixels take 15 ms."""

_SOI, _EOI, _SOF1, _SOS = b"\xff\xd8", b"\xff\xd9", 0xFFC1, 0xFFDA
_SEQUENTIAL = bytes((0, 63, 0))
"""Ss, Se, Ah and Al of a sequential scan (B.2.3)."""
_REQUEST, _ANSWER = struct.Struct(">III"), struct.Struct(">I")
_PIPE_BYTES = select.PIPE_BUF
"""What a pipe that may be written takes at once; more would wait for a process that has stopped, beyond any deadline."""


def decode_extended(stream: bytes, rows: int, columns: int, name: str) -> NDArray[np.uint16]:
    """The samples of one greyscale frame, (Y, X).

    Raises
    ------
    Truncated
        The stream ends before its image does.
    UndecodablePixels
        It is no such stream, or of another size than the data set says, or damaged.
    """
    scan = _scan(stream, rows, columns, name)
    # in entropy-coded data 0xFF stands before 0 alone (F.1.2.3): the image's end is nowhere but at its end
    end = stream.find(_EOI, scan)
    if end < 0 or rows * columns > MOST_PIXELS_A_BYTE * end:
        raise Truncated(f"{name} ends before its image does: {len(stream)} bytes for {columns} x {rows} pixels")
    # some encoders leave these 0; what is decoded does not depend on them, but the codec complains
    plain = stream[:scan] + _SEQUENTIAL + stream[scan + len(_SEQUENTIAL) : end + len(_EOI)]
    samples = _CODEC.decode(plain, rows, columns)
    if len(samples) != rows * columns * 2:
        raise UndecodablePixels(f"{name} cannot be decoded: its JPEG stream is damaged")
    return np.frombuffer(samples, dtype="<u2").reshape(rows, columns)


def _scan(stream: bytes, rows: int, columns: int, name: str) -> int:
    """Where Ss of the first scan's header stands; the frame header before it (B.2.2) says what the data set says."""
    if not stream.startswith(_SOI):
        raise UndecodablePixels(f"{name} is no JPEG stream")
    frame: tuple[int, ...] = ()
    at = len(_SOI)
    while at + 4 <= len(stream):
        marker, length = struct.unpack_from(">HH", stream, at)
        if marker < 0xFFC0 or length < 2:
            raise UndecodablePixels(f"{name} has no segment of a JPEG stream at byte {at}")
        if marker == _SOF1 and length >= 8 and at + 10 <= len(stream):
            frame = struct.unpack_from(">BHHB", stream, at + 4)
        if marker == _SOS:
            if frame != (PRECISION, rows, columns, 1):
                said = "{2} x {1} pixels of {3} samples with {0} bits".format(*frame) if frame else "no frame of JPEG Extended"
                raise UndecodablePixels(
                    f"{name} holds {said}, where {columns} x {rows} pixels of 1 sample with {PRECISION} bits are expected"
                )
            if length != 8 or at + 2 + length > len(stream):
                raise UndecodablePixels(f"{name} has a scan of another number of samples than one")
            return at + 2 + int(length) - len(_SEQUENTIAL)
        at += 2 + length
    raise Truncated(f"{name} ends before its first scan")


class _Codec:
    """The process that decodes, started when it is needed; one frame at a time, from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._of = 0

    def decode(self, stream: bytes, rows: int, columns: int) -> bytes:
        """The samples; nothing where the codec refused the stream, complained of it, was ended by it or took too long."""
        with self._lock:
            process = self._started()
            try:
                samples = _asked(process, stream, rows, columns)
            except (OSError, TimeoutError, EOFError):
                self._end()
                return b""
            # the codec writes without a buffer, and before the answer: what it complained of is here by now
            assert process.stderr is not None
            if _ready(process.stderr, select.POLLIN, time.monotonic()):
                self._end()
                return b""
            return samples

    def end(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._of != os.getpid():
            self._process = None  # this process is a fork of the one that started it
        if self._process is None:
            # in a session of its own: a signal to this process's group is not meant for it, it ends with its input
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "inference.imaging.jpeg_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
            self._of = os.getpid()
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and self._of == os.getpid():
            process.kill()
            with suppress(OSError):
                process.communicate()


def _asked(process: subprocess.Popen[bytes], stream: bytes, rows: int, columns: int) -> bytes:
    """One request and its answer; OSError, EOFError, TimeoutError where the process ends or is late."""
    assert process.stdin is not None
    assert process.stdout is not None
    until = time.monotonic() + LONGEST_S
    request = memoryview(_REQUEST.pack(rows, columns, len(stream)) + stream)
    while request:
        if not _ready(process.stdin, select.POLLOUT, until):
            raise TimeoutError
        request = request[os.write(process.stdin.fileno(), request[:_PIPE_BYTES]) :]
    (length,) = _ANSWER.unpack(_read(process, _ANSWER.size, until))
    if length > rows * columns * 2:
        raise EOFError
    return _read(process, length, until)


def _ready(pipe: IO[bytes], what: int, until: float) -> bool:
    """Whether the pipe may be read or written before then, or was closed. Polled: select takes no descriptor above 1023."""
    poll = select.poll()
    poll.register(pipe, what)
    return bool(poll.poll(max(until - time.monotonic(), 0) * 1000))


def _read(process: subprocess.Popen[bytes], count: int, until: float) -> bytes:
    assert process.stdout is not None
    parts = bytearray()
    while len(parts) < count:
        if not _ready(process.stdout, select.POLLIN, until):
            raise TimeoutError
        part = os.read(process.stdout.fileno(), count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


_CODEC = _Codec()
atexit.register(_CODEC.end)
