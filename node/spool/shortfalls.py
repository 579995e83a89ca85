"""Shortfalls on their way from the receiver to the journal: instances that it refused, and transfers that broke off; a small file each.

Beside the inbox, and for its reason: the receive process knows no database (ADR-0003). They are written in what `min_free` keeps, so that a
disk that is too full for an instance takes the note that one is missing; where others have filled even that, into the reserve, whose blocks
are on the disk already: slots of one size, filled from the front and emptied together; what is overwritten in place needs no room. File
systems that never write in place (btrfs, ZFS) may refuse it all the same. What was refused is on the disk before the sender is told. While
an association stands, the series that it is in the middle of stand in a file that goes with its release: what an ended receiver left was
torn.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from node.blobs.files import FILE_MODE, WriterLock, flush_folder, left_by_ended, make_folder, write_all, write_flushed
from node.blobs.folder import SHORTFALLS
from node.blobs.port import BlobsFailed
from node.domain.shortage import RefusedInstance, TornSeries
from node.observe.events import alarm, event
from node.spool.entries import drop_entry, listed, read_entry

_SLOT_BYTES = 512
"""A sector: it is written whole, or not at all."""
_SLOTS = 4096
_HEAD = struct.Struct("<II16s")  # bytes of the record, their CRC-32, its key; no record: 0
_AT_ONCE = 128
MOST_BYTES = _SLOT_BYTES - _HEAD.size
"""Of one record."""


class Reserve:
    """Keeps records in a file at `path`, for several processes; each of its calls holds the file's lock (flock)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Have all of its blocks on the disk, if there is plenty of room; what is missing of them is written.

        Raises
        ------
        OSError
            Not all of them are; those that are can be used.
        """
        with self._locked(os.O_CREAT) as fd:
            missing = _SLOTS * _SLOT_BYTES - os.fstat(fd).st_size
            disk = os.fstatvfs(fd)
            if 0 < missing < disk.f_bavail * disk.f_frsize // 2:
                os.lseek(fd, 0, os.SEEK_END)
                write_all(fd, bytes(missing))  # not posix_fallocate: blocks that were never written are changed in the file system first
                os.fdatasync(fd)
        flush_folder(self.path.parent)

    def keep(self, key: bytes, record: bytes) -> None:
        """Have a record on the disk, unless one with this key (16 bytes) is.

        Raises
        ------
        OSError
            It is not: too long, no slot is empty, or the disk does not take it.
        """
        if not 0 < len(record) <= MOST_BYTES:
            raise OSError(errno.EFBIG, f"a record of {len(record)} bytes, more than {MOST_BYTES}")
        with self._locked() as fd:
            slots = list(_filled(fd))
            if any(_HEAD.unpack_from(slot)[2] == key for slot in slots):
                return
            at = len(slots) * _SLOT_BYTES
            if at + _SLOT_BYTES > os.fstat(fd).st_size:
                raise OSError(errno.EDQUOT, f"the {len(slots)} slots of the reserve are full")
            slot = _HEAD.pack(len(record), zlib.crc32(record), key) + record
            if os.pwrite(fd, slot.ljust(_SLOT_BYTES, b"\0"), at) < _SLOT_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(fd)

    def records(self) -> list[bytes | None]:
        """What is kept, in order; None for one that is not what was written. FileNotFoundError: there is no such file."""
        with self._locked() as fd:
            return [_record(slot) for slot in _filled(fd)]

    def clear(self, seen: int) -> None:
        """Empty it, if nothing was kept since `seen` records were: those are kept on with what came.

        Raises
        ------
        OSError
            It is not empty.
        """
        with self._locked() as fd:
            if sum(1 for _ in _filled(fd)) == seen:
                os.pwrite(fd, bytes(seen * _SLOT_BYTES), 0)
                os.fdatasync(fd)

    @contextlib.contextmanager
    def _locked(self, flags: int = 0) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | flags, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)


def _filled(fd: int) -> Iterator[bytes]:
    """The slots before the first empty one."""
    at, slots = 0, 1  # it is mostly empty, and asked several times a second
    while read := os.pread(fd, slots * _SLOT_BYTES, at):
        at, slots = at + len(read), _AT_ONCE
        for start in range(0, len(read) - _SLOT_BYTES + 1, _SLOT_BYTES):
            if not read[start : start + 4].strip(b"\0"):
                return
            yield read[start : start + _SLOT_BYTES]


def _record(slot: bytes) -> bytes | None:
    size, check, _ = _HEAD.unpack_from(slot)
    record = slot[_HEAD.size : _HEAD.size + size]
    return record if len(record) == size and zlib.crc32(record) == check else None


_REFUSED = ".refused"
_TORN = ".torn"
_STANDS = ".stands"
_PARTIAL = ".part"
_RESERVE = "reserve"
_MOST = 20_000
"""Files that wait: 80 MB of a disk with blocks of 4 KiB. Flow takes them within a second, or the journal has been away for long."""


class FolderShortfalls:
    """Keeps shortfalls in `owed` of the receiver's spool. Several processes may keep and take at once. Names are digests of ours.

    `kept` is called after something was.
    """

    def __init__(self, root: Path, *, kept: Callable[[], None] = lambda: None) -> None:
        self._folder = root / SHORTFALLS
        self._standing = self._folder / "standing"
        self._writer = WriterLock(self._standing)
        self._reserve = Reserve(self._folder / _RESERVE)
        self._seen = 0
        self._kept = kept
        self._full = False
        try:
            make_folder(self._standing)
            with contextlib.suppress(OSError):  # the next start makes it; until then what it would be needed for is told (owed.not_kept)
                self._reserve.make()
            self._recover()
        except OSError as failed:
            raise BlobsFailed(f"what is owed in {root} cannot be used: {failed.strerror}") from failed

    # ---- the listener's side; it raises nothing: an answer does not wait for a file that cannot be written, and operators hear of it
    def refused(self, one: RefusedInstance) -> None:
        """Keep that an instance was refused; once is enough however often its sender tries."""
        name = _digest(one.peer or "", one.sop_instance_uid)
        self._keep(
            f"{name}{_REFUSED}",
            {
                "sop_instance_uid": one.sop_instance_uid,
                "series_instance_uid": one.series_instance_uid,
                "study_instance_uid": one.study_instance_uid,
                "peer": one.peer or "",
                "status": one.status,
                "at": one.at.isoformat(),
            },
        )

    def stands(self, association: str, peer: str | None, series: Sequence[tuple[str, str]]) -> None:
        """An association is in the middle of these: (study, series). Not flushed: a kill leaves it, and after a power loss its sender sends
        again."""
        with contextlib.suppress(OSError):
            content = json.dumps({"association": association, "peer": peer or "", "series": list(series)})
            partial, path = self._path(association, _PARTIAL), self._path(association, _STANDS)
            with _gone_if_broken(partial):
                partial.write_text(content)
                partial.rename(path)

    def released(self, association: str) -> None:
        """It ended as it should."""
        with contextlib.suppress(OSError):
            self._path(association, _STANDS).unlink(missing_ok=True)

    def torn(self, association: str, peer: str | None, series: Sequence[tuple[str, str]]) -> None:
        """It ended otherwise, in the middle of these."""
        self._keep(f"{_digest(association)}{_TORN}", {"association": association, "peer": peer or "", "series": list(series)})
        self.released(association)

    # ---- the journal's side
    def waiting(self, limit: int) -> list[Path]:
        """What was kept and not taken yet."""
        with listed(self._folder) as entries:
            names = sorted(one.name for one in entries if one.name.endswith((_REFUSED, _TORN)))
        reserved = True  # one that the disk does not give is said where it is read
        with contextlib.suppress(BlobsFailed):
            reserved = bool(_records(self._reserve))
        return [*([self._reserve.path] if reserved else []), *(self._folder / name for name in names)][:limit]

    def read(self, entry: Path) -> tuple[list[RefusedInstance], list[TornSeries]] | None:
        """What an entry says, each with when it was written, by this host's clock.

        None: another process had it first, or it is none of these; that one is left lying under another name, and told.

        Raises
        ------
        BlobsFailed
            It cannot be read.
        """
        if entry == self._reserve.path:
            return self._read_reserve()

        def parsed(content: dict[str, Any], written_at: float) -> tuple[list[RefusedInstance], list[TornSeries]]:
            at = datetime.fromtimestamp(written_at, UTC)
            return ([_refusal(content, at)], []) if entry.suffix == _REFUSED else ([], _torn(content, at))

        return read_entry(entry, parsed, lambda foreign: alarm("owed.unreadable", entry=entry.name, error=type(foreign).__name__))

    def _read_reserve(self) -> tuple[list[RefusedInstance], list[TornSeries]]:
        refused: list[RefusedInstance] = []
        torn: list[TornSeries] = []
        records = _records(self._reserve)
        self._seen = len(records)
        for record in records:
            try:
                content = json.loads(record or b"")
                at = datetime.fromtimestamp(float(content["at"]), UTC)
                if "sop_instance_uid" in content:
                    refused.append(_refusal(content, at))
                else:
                    torn += _torn(content, at)
            except (ValueError, LookupError, TypeError, OverflowError) as foreign:
                alarm("owed.unreadable", entry=_RESERVE, error=type(foreign).__name__)
        return refused, torn

    def drop(self, entry: Path) -> None:
        """The journal has it; an absent one is no error. The reserve waits on with what was put into it since it was read."""
        if entry != self._reserve.path:
            drop_entry(entry)
            return
        try:
            self._reserve.clear(self._seen)
        except OSError as failed:
            raise BlobsFailed(f"the reserve of {self._folder} cannot be cleared: {failed.strerror}") from failed

    def _keep(self, name: str, content: dict[str, Any]) -> None:
        """Write under another name, flush, rename, flush the folder; into the reserve where the disk takes no file."""
        entry = self._folder / name
        try:
            if entry.exists():
                return
            if len(os.listdir(self._folder)) > _MOST:
                raise OSError(errno.EDQUOT, f"more than {_MOST} wait already")
            partial = self._path(name, _PARTIAL)
            with _gone_if_broken(partial):
                write_flushed(partial, [json.dumps(content).encode()])
                partial.rename(entry)
            flush_folder(self._folder)
            self._full = False
        except OSError:
            try:
                self._keep_in_reserve(name, content)
            except OSError as failed:
                if not self._full:  # once, until it works again
                    alarm("owed.not_kept", errno=errno.errorcode.get(failed.errno or 0, "?"), reason=failed.strerror)
                self._full = True
                return
        self._kept()

    def _keep_in_reserve(self, name: str, content: dict[str, Any]) -> None:
        """A record of each instance, or of each series."""
        parts = [{**content, "series": [one]} for one in content["series"]] if "series" in content else [content]
        for number, part in enumerate(parts):
            key = bytes.fromhex(_digest(name, str(number)))
            self._reserve.keep(key, json.dumps({**part, "at": time.time()}).encode())

    def _path(self, name: str, suffix: str) -> Path:
        return self._writer.path(f"{_digest(name)}{suffix}")

    def _recover(self) -> None:
        """Keep as torn what receivers were in the middle of that ended while associations stood."""
        broken = 0
        for paths in left_by_ended(self._standing):
            for path in paths:
                try:
                    if path.suffix == _STANDS:
                        content = json.loads(path.read_bytes())
                        self._keep(f"{_digest(content['association'])}{_TORN}", content)
                        broken += 1
                except FileNotFoundError:
                    continue
                except (OSError, ValueError, LookupError, TypeError) as unreadable:
                    # what one association was in the middle of is not known: no reason to refuse every sender
                    alarm("owed.unreadable", entry=path.name, error=type(unreadable).__name__)
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
        if broken:
            event("owed.taken_up", associations=broken)


def oldest_shortfall(root: Path, *, since: float) -> float | None:
    """When the oldest of what waits in a receiver's spool for the journal, and was written after `since`, was written; None: nothing does.
    Both in seconds since 1970, by this host's clock. What is in the reserve counts whenever it was written: it waits for the disk to have
    room, or the journal would have it."""
    written: list[float] = []
    kept: list[float] = []
    with contextlib.suppress(BlobsFailed):  # what the disk does not give holds nothing up
        for record in _records(Reserve(root / SHORTFALLS / _RESERVE)):
            with contextlib.suppress(ValueError, LookupError, TypeError):  # told where it is read
                kept.append(float(json.loads(record or b"")["at"]))
    with contextlib.suppress(FileNotFoundError), os.scandir(root / SHORTFALLS) as entries:  # no receiver was ever here
        for one in entries:
            if one.name.endswith((_REFUSED, _TORN)):
                with contextlib.suppress(FileNotFoundError):  # it was taken meanwhile
                    written.append(one.stat().st_mtime)
    return min((*(at for at in written if at > since), *kept), default=None)


def _records(reserve: Reserve) -> list[bytes | None]:
    """What is in it; nothing where there is none.

    Raises
    ------
    BlobsFailed
        It cannot be read.
    """
    try:
        return reserve.records()
    except FileNotFoundError:
        return []
    except OSError as failed:
        raise BlobsFailed(f"{reserve.path} cannot be read: {failed.strerror}") from failed


@contextlib.contextmanager
def _gone_if_broken(partial: Path) -> Iterator[None]:
    """A file that the disk did not take whole does not stay on it."""
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _refusal(content: dict[str, Any], at: datetime) -> RefusedInstance:
    uids = {key: str(content[key]) for key in ("sop_instance_uid", "series_instance_uid", "study_instance_uid")}
    return RefusedInstance(**uids, peer=content["peer"] or None, status=int(content["status"]), at=at)


def _torn(content: dict[str, Any], at: datetime) -> list[TornSeries]:
    return [
        TornSeries(
            association=content["association"],
            series_instance_uid=str(series),
            study_instance_uid=str(study),
            peer=content["peer"] or None,
            at=at,
        )
        for study, series in content["series"]
    ]
