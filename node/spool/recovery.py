"""Recovery: the process that opens a spool makes entries of acknowledged instances that ended receivers left in `coming`.

After a power loss some of those may be cut off or have holes: length and checksum in their names tell, and no torn one is ever presented
as whole. One in a slot (node.spool.write_ahead) says at the slot's end what its name would be.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from node.blobs.files import cut, flush_folder, make_folder
from node.blobs.port import BlobsFailed
from node.blobs.writer_lock import left_by_ended, token_of
from node.domain.errors import is_of_the_file
from node.observe.events import alarm, event
from node.spool.proof import ACKNOWLEDGED_NAME, COMPLETE, SLOT, Proof, WordSum, acknowledged_name, proof_in, received_ns

_CHUNK_BYTES = 1 << 20


def recover(receiving: Path, inbox: Path, aside: Path) -> None:
    """Recover what ended receivers left in `receiving`: whole instances that were acknowledged become entries, the rest is deleted.

    One that the disk does not give back lies in `aside` from then on, under the name that proves it, and holds up no other.
    """
    whole = torn = swept = 0
    for paths in left_by_ended(receiving):
        # what holds nothing goes first: where the disk is full, the longer names of the others need the room
        found = [(path, path) for path in paths if path.suffix != SLOT]
        found += [(named, path) for path, proof in _proven(paths, aside) if (named := _renamed(path, proof, aside)) is not None]
        if any(ACKNOWLEDGED_NAME.fullmatch(path.name) for path, _ in found):
            flush_folder(receiving)  # the names that prove them are durable before the proof behind the bytes goes
        for path, before in found:
            match = ACKNOWLEDGED_NAME.fullmatch(path.name)
            try:
                if match is None:
                    swept += _deleted(path)
                elif _is_whole(path, int(match["size"], 16), int(match["check"], 16), least_ns=received_ns(match["name"])):
                    with contextlib.suppress(FileNotFoundError):  # another process recovered it
                        os.rename(path, inbox / f"{match['name']}{COMPLETE}")
                    whole += 1
                elif path == before:
                    torn += _deleted(path)
                else:
                    swept += _deleted(path)  # its flush had not ended, so it had not been acknowledged
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


def _proven(paths: Sequence[Path], aside: Path) -> list[tuple[Path, Proof]]:
    """The slots in which something is proven, and what; the others are deleted, and one that the disk does not give back lies `aside`."""
    proven = []
    for path in paths:
        if path.suffix != SLOT:
            continue
        try:
            if (proof := proof_in(path)) is None:
                _deleted(path)
            else:
                proven.append((path, proof))
        except FileNotFoundError:  # another process recovered it
            continue
        except OSError as failed:
            if not is_of_the_file(failed):
                raise
            _set_aside(path, aside, failed, acknowledged=True)
    return proven


def _renamed(path: Path, proof: Proof, aside: Path) -> Path | None:
    """Where a slot lies now, under the name of what is proven in it; None: another process recovered it, or the disk does not do it."""
    try:
        named = path.with_name(f"{token_of(path.name)}-{acknowledged_name(proof.name, proof.size, proof.check)}")
        os.rename(path, named)
        return named
    except FileNotFoundError:
        return None
    except OSError as failed:
        if not is_of_the_file(failed):
            raise
        _set_aside(path, aside, failed, acknowledged=True)
        return None


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


def _is_whole(path: Path, size: int, check: int, *, least_ns: int) -> bool:
    """Whether every byte is there; then they are flushed too, and nothing follows them. It is no older than `least_ns`: a power loss may
    leave a slot with the time at which it was made."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        length = os.fstat(fd).st_size
        if length < size:
            return False
        found, left_bytes = WordSum(), size
        while chunk := os.read(fd, min(left_bytes, _CHUNK_BYTES)):
            found.add(chunk)
            left_bytes -= len(chunk)
        if found.value != check:
            return False
        try:
            if length > size:
                cut(fd, size, least_ns=least_ns)
            os.fdatasync(fd)
        except OSError as failed:  # it can be read, and is no entry before it is flushed
            raise BlobsFailed(f"acknowledged instances cannot be flushed: {failed.strerror}") from failed
        return True
    finally:
        os.close(fd)
