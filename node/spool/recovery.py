"""Recovery: the process that opens a spool makes entries of acknowledged instances that ended receivers left in `coming`.

After a power loss some of those may be cut off or have holes: length and checksum in their names tell, and no torn one is ever presented
as whole.
"""

import contextlib
import os
from pathlib import Path

from node.blobs.files import flush_folder, make_folder
from node.blobs.port import BlobsFailed
from node.blobs.writer_lock import left_by_ended
from node.domain.errors import is_of_the_file
from node.observe.events import alarm, event
from node.spool.proof import ACKNOWLEDGED_NAME, COMPLETE, WordSum

_CHUNK_BYTES = 1 << 20


def recover(receiving: Path, inbox: Path, aside: Path) -> None:
    """Recover what ended receivers left in `receiving`: whole instances that were acknowledged become entries, the rest is deleted.

    One that the disk does not give back lies in `aside` from then on, under the name that proves it, and holds up no other.
    """
    whole = torn = swept = 0
    for paths in left_by_ended(receiving):
        for path in paths:
            match = ACKNOWLEDGED_NAME.fullmatch(path.name)
            try:
                if match is None:
                    swept += _deleted(path)
                elif _is_whole(path, int(match["size"], 16), int(match["check"], 16)):
                    with contextlib.suppress(FileNotFoundError):  # another process recovered it
                        os.rename(path, inbox / f"{match['name']}{COMPLETE}")
                    whole += 1
                else:
                    torn += _deleted(path)
            except OSError as failed:
                if not is_of_the_file(failed):
                    raise
                _set_aside(path, aside, failed, acknowledged=match is not None)
    if whole:
        flush_folder(inbox)
        event("inbox.taken_up", instances=whole)
    if torn:
        alarm("inbox.torn", instances=torn)
    if swept:
        event("inbox.swept", half_written=swept)


def _set_aside(path: Path, aside: Path, failed: OSError, *, acknowledged: bool) -> None:
    """Out of the way, and told; what cannot even be renamed, and a half one, stay until the spool is opened again."""
    with contextlib.suppress(OSError):
        if acknowledged:
            make_folder(aside)
            os.rename(path, aside / path.name)
            flush_folder(aside)
    alarm("inbox.unreadable", entry=path.name, code=BlobsFailed.code, reason=failed.strerror, acknowledged=acknowledged)


def _deleted(path: Path) -> int:
    try:
        path.unlink()
    except FileNotFoundError:
        return 0
    return 1


def _is_whole(path: Path, size: int, check: int) -> bool:
    """Whether every byte is there, and no more; then they are flushed too."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if os.fstat(fd).st_size != size:
            return False
        found = WordSum()
        while chunk := os.read(fd, _CHUNK_BYTES):
            found.add(chunk)
        if found.value != check:
            return False
        try:
            os.fdatasync(fd)
        except OSError as failed:  # it can be read, and is no entry before it is flushed
            raise BlobsFailed(f"acknowledged instances cannot be flushed: {failed.strerror}") from failed
        return True
    finally:
        os.close(fd)
