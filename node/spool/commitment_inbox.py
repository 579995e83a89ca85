"""Commitment inbox: requests and reports of storage commitment on their way from the listener to the journal, a small file each, durable
before its answer.

Beside the receiver's inbox, and for its reason: the receive process knows no database (ADR-0003).
"""

import contextlib
import errno
import itertools
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from node.blobs.files import WriterLock, delete_left, flush_folder, make_folder, write_flushed
from node.blobs.folder import COMMITMENT
from node.blobs.port import BlobsFailed
from node.domain.commitment import InstanceReference, Report, Request
from node.observe.events import alarm
from node.spool.entries import drop_entry, read_entry
from node.spool.room import DiskFailed, NoRoom

_COMPLETE = ".json"
_PARTIAL = ".part"


class FolderCommitmentInbox:
    """Keeps requests and reports in `slips` of the receiver's spool. Several processes may keep and take at once. Names are times and
    counters of ours."""

    def __init__(self, root: Path) -> None:
        self._folder = root / COMMITMENT
        self._partial = self._folder / "coming"
        self._writer = WriterLock(self._partial)
        self._counter = itertools.count()
        try:
            make_folder(self._partial)
            delete_left(self._partial)
        except OSError as failed:
            raise BlobsFailed(f"the commitment inbox in {root} cannot be used: {failed.strerror}") from failed

    def keep(self, message: Request | Report) -> None:
        """Write under another name, flush, rename, flush the folder; then success may be answered.

        Raises
        ------
        NoRoom, DiskFailed
            Nothing is kept.
        """
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._counter):09d}"
        entry = self._folder / f"{name}{_COMPLETE}"
        try:
            partial = self._writer.path(f"{name}{_PARTIAL}")
            write_flushed(partial, [json.dumps(_content(message)).encode()])
            partial.rename(entry)
            try:
                flush_folder(self._folder)
            except OSError:
                with contextlib.suppress(OSError):
                    entry.unlink()  # the peer is told that nothing is kept
                raise
        except OSError as failed:
            alarm("commitment.not_kept", errno=errno.errorcode.get(failed.errno or 0, "?"), reason=failed.strerror)
            if failed.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoom("the disk is full") from failed
            raise DiskFailed(f"the disk did not take it: {failed.strerror}") from failed

    def waiting(self, limit: int) -> list[Path]:
        """What was kept and not taken yet, the oldest first."""
        return sorted(self._folder.glob(f"*{_COMPLETE}"))[:limit]

    def read(self, entry: Path) -> tuple[Request | Report, float] | None:
        """What an entry says, and when it was written, by this host's clock (seconds since 1970).

        None: another process had it first, or it is none that `keep` wrote; that one is left lying under another name, and told.

        Raises
        ------
        BlobsFailed
            It cannot be read.
        """
        return read_entry(
            entry,
            lambda content, written_at: (_message(content), written_at),
            lambda foreign: alarm("commitment.unreadable", entry=entry.name, error=type(foreign).__name__),
        )

    def drop(self, entry: Path) -> None:
        """The journal has it; an absent one is no error."""
        drop_entry(entry)


def _content(message: Request | Report) -> dict[str, Any]:
    said: dict[str, Any] = {"peer": message.peer, "transaction_uid": message.transaction_uid, "at": message.received_at.isoformat()}
    if isinstance(message, Request):
        return said | {"references": [[one.sop_class_uid, one.sop_instance_uid] for one in message.references]}
    return said | {"committed": list(message.committed), "failed": [list(one) for one in message.failed]}


def _message(content: dict[str, Any]) -> Request | Report:
    said: dict[str, Any] = {
        "peer": content["peer"],
        "transaction_uid": content["transaction_uid"],
        "received_at": datetime.fromisoformat(content["at"]).astimezone(UTC),
    }
    if "references" in content:
        references = tuple(InstanceReference(sop_class_uid=sop_class, sop_instance_uid=uid) for sop_class, uid in content["references"])
        return Request(**said, references=references)
    return Report(**said, committed=tuple(content["committed"]), failed=tuple((uid, reason) for uid, reason in content["failed"]))
