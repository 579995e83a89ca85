"""The index stage: empties the receiver's inbox into the journal, and decides what each instance is to the ones before it.

Rows are committed before files move, so that a crash between leaves entries that the next step finishes: an entry whose row
stands and whose blob does not is moved, one whose blob stands is a duplicate.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from mmap import MADV_DONTNEED, mmap
from pathlib import Path

from inference.errors import InputError
from inference.imaging.compare import same_image
from node.blobs.port import Blobs, Inbox
from node.domain.erased import marks
from node.domain.faults import is_of_the_file
from node.domain.header import Header
from node.domain.instance import Instance, Standing
from node.flow.elements import Buffer, take_apart
from node.flow.errors import NotRead, NotUnderstood
from node.flow.header import Identity, mapped, need_pages, parse, sender
from node.flow.port import Clock
from node.flow.senders import Senders
from node.flow.unread import Unread
from node.journal.port import Aside, CameAgain, Journal, NewInstance
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.settings.config import Config, Peer, Scope, Settle

BATCH = 500
"""Entries that one step takes at most."""
_BATCH_BYTES = 256 << 20
"""A step begins no further entry behind so many bytes: what was read of large ones is seen before the next are."""
_PASS_BYTES = 16 << 20
"""A file is mapped as a whole, but no more of it is held in memory at a time."""
_LATE_MOST = timedelta(seconds=1)
"""Quiet windows begin when instances came, not when they were journaled; but no more than so long before, because a node that was down
could not be sent to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
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
class _Batch:
    """What one step commits, and what it does to the files afterwards."""

    news: list[NewInstance] = field(default_factory=list)
    again: list[CameAgain] = field(default_factory=list)
    restored: list[tuple[int, str, Header]] = field(default_factory=list)
    own: list[_Arrived] = field(default_factory=list)
    moves: list[tuple[Path, str]] = field(default_factory=list)
    drops: list[Path] = field(default_factory=list)
    erased: Counter[str] = field(default_factory=Counter)
    """By peer, what came of studies that were erased on request not long ago."""


class Index:
    """Stage: inbox entries become instances, and these join arrivals."""

    name = "index"

    def __init__(self, journal: Journal, inbox: Inbox, blobs: Blobs, config: Config, clock: Clock) -> None:
        self._journal = journal
        self._inbox = inbox
        self._blobs = blobs
        self._config = config
        self._clock = clock
        self._senders = Senders(config)
        self._unread = Unread()

    def step(self) -> int:
        """Index up to `BATCH` entries; how many left the inbox."""
        now = self._clock()
        arrived: dict[str, _Arrived] = {}
        done = 0
        read_bytes = 0
        waiting = self._inbox.waiting(BATCH + len(self._unread))
        for entry in self._unread.without(waiting, now):
            if read_bytes > _BATCH_BYTES:
                break
            try:
                one = self._read(entry)
            except FileNotFoundError:
                continue  # another process had it first
            except InputError as unreadable:
                self._set_aside(entry, unreadable, now)
                done += 1
                continue
            except OSError as failed:
                if not is_of_the_file(failed):
                    raise  # the same file may be read later
                if why := self._unread.failed(entry, failed, now):
                    self._set_aside(entry, why, now)
                    done += 1
                continue
            except MemoryError:
                raise  # the machine's fault as well
            except Exception as defect:  # noqa: BLE001  (a file that breaks its reader would break it again after every restart)
                _tell(entry, defect)
                self._set_aside(entry, NotUnderstood(f"it cannot be understood: {type(defect).__name__}"), now)
                done += 1
                continue
            read_bytes += one.size
            # the second copy of an instance waits for the next step, where the first has its row
            arrived.setdefault(one.identity.sop_instance_uid, one)
        if not arrived:
            return done
        batch = self._sorted(list(arrived.values()), now)
        self._commit(batch, now)
        return done + len(arrived)

    def _read(self, entry: Path) -> _Arrived:
        with self._inbox.opened(entry) as file, mapped(file) as (content, written_at):
            need_pages(content, _PASS_BYTES)
            identity, header = parse(take_apart(content))
            digest = _digest(content, identity.dataset_offset)
            size = len(content)
        return _Arrived(
            entry=entry,
            identity=identity,
            header=header,
            digest=digest,
            size=size,
            received_at=self._journal.at(written_at),
            peer=self._senders.peer(identity.calling_ae, identity.address),
        )

    def _sorted(self, arrived: Sequence[_Arrived], now: datetime) -> _Batch:
        uids = [one.identity.sop_instance_uid for one in arrived]
        own = self._journal.own_results(uids)
        known: dict[str, list[Instance]] = {}
        for row in self._journal.instances_of(*uids):
            known.setdefault(row.sop_instance_uid, []).append(row)
        batch = _Batch()
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

    def _known_bytes(self, one: _Arrived, row: Instance, batch: _Batch, now: datetime) -> None:
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
        batch.again.append(
            CameAgain(
                instance=row.id,
                peer=None if one.peer is None else one.peer.name,
                called_ae=one.identity.called_ae,
                scope_series=one.settle.scope is Scope.SERIES,
                due_at=one.due_at(now),
                restored=restored,
            )
        )

    def _other_bytes(self, one: _Arrived, rows: Sequence[Instance], batch: _Batch, now: datetime) -> None:
        """A new instance, or other bytes under a known UID: an update of the header, or a conflict of the pixels."""
        current = next((row for row in rows if row.standing is Standing.CURRENT), None)
        before = current or next((row for row in reversed(rows) if row.standing is Standing.PURGED), None)
        conflict = current is not None and not self._same_image(current, one)
        instance = _instance(one)
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

    def _same_image(self, current: Instance, one: _Arrived) -> bool:
        with self._inbox.opened(one.entry) as came:
            return self._same_as(current, came, one)

    def _same_as(self, current: Instance, came: Path, one: _Arrived) -> bool:
        try:
            path = self._blobs.path(current.blob)
            if not path.exists():
                return True  # nothing is left to compare with: what came is all there is
            return same_image(path, came)
        except InputError:
            # a copy that can be read mends one that cannot; otherwise nobody can say, and both are kept
            return _readable(lambda: came) and not _readable(lambda: self._blobs.path(current.blob))
        except OSError as failed:
            if not is_of_the_file(failed):
                raise
            return _readable(lambda: came) and not _readable(lambda: self._blobs.path(current.blob))
        except Exception as defect:  # noqa: BLE001  (as in `step`: nobody can say, and both are kept)
            _tell(one.entry, defect)
            return False

    def _commit(self, batch: _Batch, now: datetime) -> None:
        # before any row: an arrival that is complete has its pixels where every worker reads them
        self._inbox.publish(batch.moves)
        if batch.news:
            self._journal.record(batch.news, now)
        for instance, blob, header in batch.restored:
            self._journal.restore(instance, blob, header, now)
        if batch.again:
            self._journal.came_again(batch.again, self._config.digest, now)
        for one in batch.own:
            self._journal.note("instance", 0, "instance.own_result", f"{one.identity.sop_instance_uid} from {one.identity.calling_ae}", now)
        for entry, blob in batch.moves:
            self._inbox.settle(entry, blob)
        for entry in batch.drops:
            self._inbox.drop(entry)
        conflicts = sum(new.instance.standing is Standing.CONFLICT for new in batch.news)
        for peer, count in batch.erased.items():
            alarm("erased.came_again", peer=peer or None, instances=count)
        counts = {"new": len(batch.news) - conflicts, "conflict": conflicts, "again": len(batch.again), "own_result": len(batch.own)}
        for standing, count in counts.items():
            metrics.INDEXED.add(count, standing=standing)
        for new in batch.news:
            if new.instance.standing is Standing.CONFLICT:
                alarm("instance.conflict", sop_instance_uid=new.instance.sop_instance_uid, peer=new.instance.peer)
        event(
            "index.committed",
            new=len(batch.news),
            again=len(batch.again),
            restored=len(batch.restored),
            own_results=len(batch.own),
        )

    def _set_aside(self, entry: Path, why: InputError, now: datetime) -> None:
        who = "" if isinstance(why, NotRead) else self._sender(entry)
        self._journal.set_aside(Aside(at=now, entry=entry.name, sender=who, code=why.code, reason=str(why)))
        self._inbox.set_aside(entry, f"{why} [{why.code}]")
        metrics.INDEXED.add(standing="aside")
        alarm("instance.set_aside", entry=entry.name, code=why.code, reason=str(why))

    def _sender(self, entry: Path) -> str:
        try:
            with self._inbox.opened(entry) as file, mapped(file) as (content, _):
                told = sender(take_apart(content))
        except (InputError, ValueError, LookupError, ArithmeticError, TypeError):  # it is set aside for not being readable
            return ""
        return f"{told['calling_ae']}@{told['address']}"


def _instance(one: _Arrived) -> Instance:
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


def _digest(content: Buffer, offset: int) -> str:
    digest = hashlib.sha256()
    with memoryview(content) as whole:
        for start in range(0, len(content), _PASS_BYTES):
            with whole[max(start, offset) : start + _PASS_BYTES] as part:
                digest.update(part)
            if isinstance(content, mmap) and len(content) > _PASS_BYTES:
                content.madvise(MADV_DONTNEED, start, min(_PASS_BYTES, len(content) - start))  # it stays in the system's cache
    return digest.hexdigest()


def _readable(of: Callable[[], Path]) -> bool:
    try:
        path = of()
        return same_image(path, path)
    except InputError:
        return False
    except OSError as failed:
        if not is_of_the_file(failed):
            raise
        return False


def _tell(entry: Path, defect: Exception) -> None:
    alarm("index.defect", entry=entry.name, error=type(defect).__name__, trace=trace(defect))
