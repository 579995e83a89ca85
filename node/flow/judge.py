"""What an instance that came is to those that came before it: new, the same once more, another version, a conflict, a result of our own, or
of a study that was erased.

Judging changes nothing: a `Batch` says what is to be committed, and what becomes of the files then (node.flow.index).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from inference.errors import InputError
from inference.imaging.compare import Likeness, likeness, refuse_undecodable
from node.blobs.port import Blobs, Inbox
from node.domain.erased import marks
from node.domain.faults import is_of_the_file
from node.domain.header import Header
from node.domain.instance import Instance, Standing
from node.flow.header import Identity
from node.journal.port import CameAgain, Journal, NewInstance
from node.observe.events import alarm, trace
from node.settings.config import Peer, Scope, Settle

_LATE_MOST = timedelta(seconds=1)
"""Quiet windows begin when instances came, not when they were journaled; but no more than so long before, because a node that was down
could not be sent to."""

_PASSED = (Standing.REPLACED, Standing.CONFLICT)
_MOST_COMPARED = 8
"""Versions of one instance that a new one is compared with, the newest: whoever makes up hundreds must not keep the node busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One inbox entry that could be read."""

    entry: Path
    identity: Identity
    header: Header
    digest: str
    size: int
    received_at: datetime
    peer: Peer | None

    @property
    def settle(self) -> Settle:
        """How arrivals of its sender settle."""
        return Settle() if self.peer is None else self.peer.settle

    def due_at(self, now: datetime) -> datetime:
        """When its arrival is complete if nothing follows."""
        return min(now, max(self.received_at, now - _LATE_MOST)) + self.settle.quiet


@dataclass(slots=True)
class Batch:
    """What one step commits, and what it does to the files afterwards."""

    news: list[NewInstance] = field(default_factory=list)
    again: list[CameAgain] = field(default_factory=list)
    restored: list[tuple[int, str, Header]] = field(default_factory=list)
    own: list[Arrived] = field(default_factory=list)
    moves: list[tuple[Path, str]] = field(default_factory=list)
    drops: list[Path] = field(default_factory=list)
    erased: Counter[str] = field(default_factory=Counter)
    """By peer, what came of studies that were erased on request not long ago."""
    entries: dict[int, Path] = field(default_factory=dict)
    """By the row of what came again, what came."""

    def came_again(self, one: Arrived, row: Instance, now: datetime, *, restored: bool) -> None:
        """Note what came as an instance that is known."""
        self.entries[row.id] = one.entry
        self.again.append(
            CameAgain(
                instance=row.id,
                peer=None if one.peer is None else one.peer.name,
                called_ae=one.identity.called_ae,
                scope_series=one.settle.scope is Scope.SERIES,
                due_at=one.due_at(now),
                restored=restored,
            )
        )


class Judge:
    """Compares what came with what the journal and the blobs know."""

    def __init__(self, journal: Journal, inbox: Inbox, blobs: Blobs) -> None:
        self._journal = journal
        self._inbox = inbox
        self._blobs = blobs

    def batch(self, arrived: Sequence[Arrived], now: datetime) -> Batch:
        """What is to be done about each; no two of them are of one SOP Instance UID."""
        uids = [one.identity.sop_instance_uid for one in arrived]
        own = self._journal.own_results(uids)
        known: dict[str, list[Instance]] = {}
        for row in self._journal.instances_of(*uids):
            known.setdefault(row.sop_instance_uid, []).append(row)
        batch = Batch()
        marked = {one.entry: marks(one.identity.study_instance_uid, one.header) for one in arrived}
        erased = self._journal.erased(set().union(*marked.values()), now)
        for one in arrived:
            uid = one.identity.sop_instance_uid
            if erased & marked[one.entry]:
                # a sender's second try, or what another host still had: it must not come back by itself
                batch.erased["" if one.peer is None else one.peer.name] += 1
                batch.drops.append(one.entry)
                continue
            if one.identity.made_by_hilum or uid in own:
                batch.own.append(one)
                batch.drops.append(one.entry)
                continue
            same = next((row for row in known.get(uid, ()) if row.digest == one.digest), None)
            if same is not None:
                self._known_bytes(one, same, batch, now)
            else:
                self._other_bytes(one, known.get(uid, []), batch, now)
        return batch

    def _known_bytes(self, one: Arrived, row: Instance, batch: Batch, now: datetime) -> None:
        restored = True
        if row.standing is Standing.PURGED:
            blob = _blob_after(row.blob)
            batch.restored.append((row.id, blob, one.header))
            batch.moves.append((one.entry, blob))
        elif not self._blobs.has(row.blob):
            batch.moves.append((one.entry, row.blob))  # a crash came between the row and the move, maybe before its arrival knew
        else:
            batch.drops.append(one.entry)
            restored = False
        batch.came_again(one, row, now, restored=restored)

    def _other_bytes(self, one: Arrived, rows: Sequence[Instance], batch: Batch, now: datetime) -> None:
        """A new instance, or other bytes under a known UID: the same in another encoding, a corrected header, or other pixels."""
        current = next((row for row in rows if row.standing is Standing.CURRENT), None)
        before = current or next((row for row in reversed(rows) if row.standing is Standing.PURGED), None)
        alike = Likeness.IMAGE if current is None else self._likeness(current, one)
        same = current if alike is Likeness.DATA_SET else self._older(one, rows)
        if same is not None and self._blobs.has(same.blob):
            batch.drops.append(one.entry)
            batch.came_again(one, same, now, restored=False)
            return
        instance = _instance(one)
        conflict = alike is Likeness.NONE
        if conflict:
            instance = replace(instance, standing=Standing.CONFLICT)
        batch.news.append(
            NewInstance(
                instance=instance,
                opens=not conflict,
                scope_series=one.settle.scope is Scope.SERIES,
                due_at=one.due_at(now),
                replaces=None if conflict or before is None else before.id,
            )
        )
        batch.moves.append((one.entry, instance.blob))

    def _older(self, one: Arrived, rows: Sequence[Instance]) -> Instance | None:
        """The row that this is in another encoding, of those that were replaced or set against the current one: an old version that
        comes again must not undo a correction."""
        kept = [row for row in rows if row.standing in _PASSED]
        there = (row for row in reversed(kept[-_MOST_COMPARED:]) if self._blobs.has(row.blob))
        return next((row for row in there if self._likeness(row, one) is Likeness.DATA_SET), None)

    def _likeness(self, row: Instance, one: Arrived) -> Likeness:
        with self._inbox.opened(one.entry) as came:
            try:
                kept = self._blobs.path(row.blob)
                # where nothing is left to compare with, what came is all there is
                return likeness(kept, came) if kept.exists() else Likeness.IMAGE
            except InputError:
                return self._mends(row, came)
            except OSError as failed:
                if not is_of_the_file(failed):
                    raise
                return self._mends(row, came)
            except MemoryError:
                raise  # the machine's fault
            except Exception as defect:  # noqa: BLE001  (as in `step`: nobody can say, and both are kept)
                tell_defect(one.entry, defect)
                return Likeness.NONE

    def _mends(self, row: Instance, came: Path) -> Likeness:
        """A copy that can be read mends one that cannot; otherwise nobody can say, and both are kept."""
        mends = _readable(lambda: came) and not _readable(lambda: self._blobs.path(row.blob))
        return Likeness.IMAGE if mends else Likeness.NONE


def tell_defect(entry: Path, defect: Exception) -> None:
    """A reader broke over an entry: operators hear of it, once for each."""
    alarm("index.defect", entry=entry.name, error=type(defect).__name__, trace=trace(defect))


def _instance(one: Arrived) -> Instance:
    identity = one.identity
    return Instance(
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=identity.sop_class_uid,
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        transfer_syntax_uid=identity.transfer_syntax_uid,
        blob=_blob(identity, one.digest),
        size=one.size,
        digest=one.digest,
        calling_ae=identity.calling_ae,
        called_ae=identity.called_ae,
        address=identity.address,
        peer=None if one.peer is None else one.peer.name,
        received_at=one.received_at,
        header=one.header,
    )


def _blob(identity: Identity, digest: str) -> str:
    """A name that nothing a sender wrote can steer; the number counts how often the same bytes were purged and came again."""
    study, series = (hashlib.sha256(uid.encode()).hexdigest()[:16] for uid in (identity.study_instance_uid, identity.series_instance_uid))
    return f"instances/{study}/{series}/{digest[:32]}-0.dcm"


def _blob_after(blob: str) -> str:
    stem, _, number = blob.removesuffix(".dcm").rpartition("-")
    return f"{stem}-{int(number) + 1}.dcm"


def _readable(of: Callable[[], Path]) -> bool:
    try:
        refuse_undecodable(of())
    except InputError:
        return False
    except OSError as failed:
        if not is_of_the_file(failed):
            raise
        return False
    return True
