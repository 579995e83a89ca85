"""Read-ahead: reads a file's header and decodes its frames as it arrives, so that a complete study only has to be put together."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from inference.errors import InputError
from inference.imaging.header import ReadAhead, read_instance
from inference.imaging.kept_headers import version
from inference.imaging.stored import StoredFrames


def decode_ahead(path: Path, ahead: ReadAhead) -> Iterator[bool]:
    """Read the header of a Part 10 file and decode its compressed frames into what is kept `ahead`, one a turn: whether it was new work.

    It ends where that has no more room. A file that cannot be read or decoded gives nothing: who analyses it is told the reason. One
    that a process died over is left to a job, whose attempts are counted.
    """
    name = hashlib.sha256(str(path).encode()).hexdigest()
    if not ahead.frames.begin(name):
        return
    with contextlib.suppress(InputError, OSError):
        yield from _frames(path, ahead)
    ahead.frames.end(name)


def _frames(path: Path, ahead: ReadAhead) -> Iterator[bool]:
    before = version(path)
    instance = read_instance(path, ahead)
    if before is not None:
        ahead.keep(instance, before)
    if not instance.pixels.transfer_syntax.is_encapsulated:
        return
    memory, frames = ahead.frames, StoredFrames(instance)
    colour = instance.pixels.samples > 1
    for frame in range(instance.pixels.frames):
        key = frames.key(frame, raw=not colour)
        if memory.has(key):
            yield False
            continue
        # before the work: decoding what cannot be kept helps nobody
        if not memory.room_for(2 * instance.pixels.frame_bytes):
            return
        memory.keep(key, frames.decoded(frame, raw=not colour))
        yield True
