"""The instance verdict says what an instance is to those that came before it: new, the same once more, another version, a conflict, a
result of our own or of another node, of a study that was erased, or to be held because it is another patient's or another sender's series
(node.flow.held_instances).

Judging changes nothing: a `Batch` says what is to be committed, and what becomes of the files then (node.flow.index).
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from inference.errors import HilumError, InputError
from inference.imaging.compare import Likeness, likeness, refuse_undecodable
from node.blobs.port import BlobDamaged, Blobs
from node.dicom.header import Identity
from node.domain.errors import JournalError, is_of_the_file
from node.domain.instance import Header, HeldFor, Instance, ResultSource, Sender, Standing
from node.domain.patient import Patient, marks
from node.domain.private_name import is_private
from node.flow.held_instances import IncomingInstance, SenderTrust, held_when_added, held_when_rewritten, incoming_instance
from node.flow.settle import QuietWindows
from node.journal.journal import Journal
from node.journal.port import AcceptedInstance, CameAgain, NewInstance, SeriesKnown
from node.observe.events import alarm, trace
from node.observe.pulse import InHand, at_most
from node.settings.peers import Peer, Scope, Settle
from node.spool.port import Inbox

_LATE_MOST = timedelta(seconds=1)
"""Quiet windows begin when instances came, not when they were journaled; but no more than so long before, because a node that was down
could not be sent to."""

_PASSED = (Standing.REPLACED, Standing.CONFLICT, Standing.HELD, Standing.REFUSED)
_WAITING = (Standing.HELD, Standing.REFUSED, Standing.PURGED)
"""What a sender who may send it makes count: a purged one may have been held before."""
_MOST_COMPARED = 8
"""Versions of one instance that a new one is compared with, the newest: whoever makes up hundreds must not keep the node busy."""


_COMPARE_S = 60.0
_SLOWEST_BYTES_PER_S = 1 << 20
"""What is decoded of an instance to be compared, in a second, at least."""


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
    association: str = ""

    @property
    def sender(self) -> Sender:
        """Who sent it."""
        identity = self.identity
        return Sender(peer=None if self.peer is None else self.peer.name, calling_ae=identity.calling_ae, address=identity.address)

    @property
    def settle(self) -> Settle:
        """How arrivals of its sender settle."""
        return Settle() if self.peer is None else self.peer.settle


@dataclass(slots=True)
class Batch:
    """What one step commits, and what it does to the files afterwards."""

    news: list[NewInstance] = field(default_factory=list)
    again: list[CameAgain] = field(default_factory=list)
    restored: list[tuple[int, str, Header]] = field(default_factory=list)
    accepted: list[AcceptedInstance] = field(default_factory=list)
    """What may count from now on, if it is held: who may send it sent it."""
    own: list[Arrived] = field(default_factory=list)
    others: list[Arrived] = field(default_factory=list)
    """Results that another node made, which are news too."""
    moves: list[tuple[Path, str]] = field(default_factory=list)
    drops: list[Path] = field(default_factory=list)
    erased: Counter[str] = field(default_factory=Counter)
    """By peer, what came of studies that were erased on request not long ago."""
    entries: dict[int, Path] = field(default_factory=dict)
    """By the row of what came again, what came."""

    def came_again(self, one: Arrived, row: Instance, due_at: datetime, *, restored: bool) -> None:
        """Note what came as an instance that is known; `due_at` is when its arrival is complete if nothing follows."""
        self.entries[row.id] = one.entry
        self.again.append(
            CameAgain(
                instance=row.id,
                peer=None if one.peer is None else one.peer.name,
                called_ae=one.identity.called_ae,
                scope_series=one.settle.scope is Scope.SERIES,
                due_at=due_at,
                received_at=one.received_at,
                restored=restored,
                private={name: said for name, said in one.header.items() if is_private(name) and name not in row.header},
            )
        )


class _Identities:
    """What is known of the series and studies of one batch, and of what the batch adds to them."""

    def __init__(self, journal: Journal, series: set[str]) -> None:
        self._journal = journal
        self._series = journal.held.series_known(series)
        self._before = frozenset(self._series)
        self._patients: dict[str, frozenset[Patient]] = {}

    def series(self, uid: str) -> SeriesKnown | None:
        return self._series.get(uid)

    def begins(self, uid: str) -> bool:
        """Whether nothing of the series was known before this batch."""
        return uid not in self._before

    def patients(self, study: str) -> frozenset[Patient]:
        if study not in self._patients:
            self._patients |= self._journal.held.patients_of({study})
        return self._patients[study]

    def joins(self, one: Arrived) -> None:
        """It counts: what comes behind it in the same batch is judged beside it."""
        came, known = _newcomer(one), self._series.get(one.identity.series_instance_uid)
        marks = frozenset({came.mark}) if known is None else known.marks | {came.mark}
        first = came.sender if known is None else known.first
        self._series[one.identity.series_instance_uid] = SeriesKnown(first=first, marks=marks)
        # where the study was not asked for, the journal knows its patients: this series was there before
        if came.patient is not None and (patients := self._patients.get(one.identity.study_instance_uid)) is not None:
            self._patients[one.identity.study_instance_uid] = patients | {came.patient}


class InstanceJudge:
    """Compares what came with what the journal and the blobs know.

    Parameters
    ----------
    peers
        Those of the configuration, by name.
    windows
        How long arrivals of each wait.
    in_hand
        Where the entry stands whose pixels are compared, for the process that comes after this one.
    """

    def __init__(
        self, journal: Journal, inbox: Inbox, blobs: Blobs, peers: Mapping[str, Peer], windows: QuietWindows, *, in_hand: InHand
    ) -> None:
        self._journal = journal
        self._inbox = inbox
        self._blobs = blobs
        self._windows = windows
        self._in_hand = in_hand
        self.adopt(peers)

    def adopt(self, peers: Mapping[str, Peer]) -> None:
        """Go by these peers from the next batch on."""
        self._trust = SenderTrust(peers)

    def batch(self, arrived: Sequence[Arrived], now: datetime) -> Batch:
        """What is to be done about each; no two of them are of one SOP Instance UID."""
        uids = [one.identity.sop_instance_uid for one in arrived]
        own = self._journal.results.own(uids)
        known: dict[str, list[Instance]] = {}
        for row in self._journal.instances.by_uid(*uids):
            known.setdefault(row.sop_instance_uid, []).append(row)
        batch = Batch()
        series = {one.identity.series_instance_uid for one in arrived} | {
            row.series_instance_uid for rows in known.values() for row in rows
        }
        identities = _Identities(self._journal, series)
        marked = {one.entry: marks(one.identity.study_instance_uid, one.header) for one in arrived}
        erased = self._journal.erasure.erased(set().union(*marked.values()), now)
        for one in arrived:
            uid = one.identity.sop_instance_uid
            if erased & marked[one.entry]:
                # a sender's second try, or what another host still had: it must not come back by itself
                batch.erased["" if one.peer is None else one.peer.name] += 1
                batch.drops.append(one.entry)
                continue
            if uid in own:
                batch.own.append(one)
                batch.drops.append(one.entry)
                continue
            if one.identity.made_by_hilum:
                self._of_another_node(one, known.get(uid, []), batch)
                continue
            same = next((row for row in known.get(uid, ()) if row.digest == one.digest), None)
            if same is not None:
                self._known_bytes(one, same, known[uid], identities, batch, now)
            else:
                self._other_bytes(one, known.get(uid, []), identities, batch, now)
        return batch

    def _due_at(self, one: Arrived, now: datetime) -> datetime:
        """When its arrival is complete if nothing follows."""
        return min(now, max(one.received_at, now - _LATE_MOST)) + self._windows.of(None if one.peer is None else one.peer.name)

    def _of_another_node(self, one: Arrived, rows: Sequence[Instance], batch: Batch) -> None:
        """What says that hilum made it, and this journal did not: it is kept once, and opens nothing."""
        same = next((row for row in rows if row.digest == one.digest), None)
        if same is not None:
            self._kept_bytes(one, same, batch)
            return
        instance = replace(_instance(one), standing=Standing.RESULT)
        batch.others.append(one)
        batch.news.append(
            NewInstance(
                instance=instance,
                opens=False,
                scope_series=one.settle.scope is Scope.SERIES,
                due_at=one.received_at,
                result_of=ResultSource(
                    device_uid=next((str(value) for value in one.header.get("InstanceCreatorUID", ())), ""),
                    series=one.identity.referenced_series,
                ),
            )
        )
        batch.moves.append((one.entry, instance.blob))

    def _known_bytes(
        self, one: Arrived, row: Instance, rows: Sequence[Instance], identities: _Identities, batch: Batch, now: datetime
    ) -> None:
        if row.standing in _WAITING:
            self._again(one, row, rows, identities, batch, now)
        restored = self._kept_bytes(one, row, batch)
        batch.came_again(one, row, self._due_at(one, now), restored=restored)

    def _kept_bytes(self, one: Arrived, row: Instance, batch: Batch) -> bool:
        """Have the bytes of a row where it says that they lie; False where they lay there, and what came is dropped."""
        if row.standing is Standing.PURGED:
            blob = _blob_after(row.blob)
            batch.restored.append((row.id, blob, one.header))
            batch.moves.append((one.entry, blob))
        elif not self._blobs.has(row.blob):
            batch.moves.append((one.entry, row.blob))  # a crash came between the row and the move, maybe before its arrival knew
        else:
            batch.drops.append(one.entry)
            return False
        return True

    def _again(self, one: Arrived, row: Instance, rows: Sequence[Instance], identities: _Identities, batch: Batch, now: datetime) -> None:
        """Let what is held count where it comes from a sender that may send it, and is of the patient of its series."""
        current, before = _counted([each for each in rows if each is not row])
        if self._held(one, before, identities) is None:
            conflict = current is not None and self._likeness(current, one) is Likeness.NONE
            batch.accepted.append(
                AcceptedInstance(
                    instance=row.id,
                    standing=Standing.CONFLICT if conflict else Standing.CURRENT,
                    scope_series=one.settle.scope is Scope.SERIES,
                    due_at=self._due_at(one, now),
                    sender=one.sender,
                    called_ae=one.identity.called_ae,
                )
            )
            if not conflict:
                identities.joins(one)

    def _held(self, one: Arrived, before: Instance | None, identities: _Identities) -> HeldFor | None:
        """Why it is held: as an addition, or, where its UID counts already (`before`), as a rewriting."""
        came, series = _newcomer(one), one.identity.series_instance_uid
        now_in = identities.series(series)
        if before is None:
            return held_when_added(
                came, self._trust, now_in, identities.patients(one.identity.study_instance_uid) if now_in is None else ()
            )
        was_in = identities.series(before.series_instance_uid)
        return held_when_rewritten(came, self._trust, was_in, now_in, moves=before.series_instance_uid != series)

    def _other_bytes(self, one: Arrived, rows: Sequence[Instance], identities: _Identities, batch: Batch, now: datetime) -> None:
        """A new instance, or other bytes under a known UID: the same in another encoding, a corrected header, or other pixels."""
        current, before = _counted(rows)
        alike = Likeness.IMAGE if current is None else self._likeness(current, one)
        same = current if alike is Likeness.DATA_SET else self._older(one, rows)
        if same is not None and self._blobs.has(same.blob):
            batch.drops.append(one.entry)
            batch.came_again(one, same, self._due_at(one, now), restored=False)
            return
        instance = _instance(one)
        held_for = self._held(one, before, identities)
        if held_for is not None:
            instance = replace(instance, standing=Standing.HELD, held_for=held_for)
        elif alike is Likeness.NONE:
            instance = replace(instance, standing=Standing.CONFLICT)
        else:
            identities.joins(one)
        counts = instance.standing is Standing.CURRENT
        batch.news.append(
            NewInstance(
                instance=instance,
                opens=counts,
                scope_series=one.settle.scope is Scope.SERIES,
                due_at=self._due_at(one, now),
                replaces=before.id if counts and before is not None else None,
                begins=counts and identities.begins(one.identity.series_instance_uid),
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
        self._in_hand.take(number_of(one.entry))
        try:
            alike = self._compared(row, one)
        except (HilumError, OSError):
            self._in_hand.put_down()  # blobs or a disk that are away: should the process end now, this entry is not to blame
            raise
        self._in_hand.put_down()
        return alike

    def _compared(self, row: Instance, one: Arrived) -> Likeness:
        with at_most(_COMPARE_S + (row.size + one.size) / _SLOWEST_BYTES_PER_S), self._inbox.opened(one.entry) as came:
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
            except BlobDamaged as damaged:
                tell_defect(one.entry, damaged)  # it may stay so, and the others need not wait for it
                return Likeness.NONE
            except JournalError:
                raise  # a bucket that does not answer now: it is compared once it does
            except Exception as defect:  # noqa: BLE001  (as in `step`: nobody can say, and both are kept)
                tell_defect(one.entry, defect)
                return Likeness.NONE

    def _mends(self, row: Instance, came: Path) -> Likeness:
        """A copy that can be read mends one that cannot; otherwise nobody can say, and both are kept."""
        mends = _readable(lambda: came) and not _readable(lambda: self._blobs.path(row.blob))
        return Likeness.IMAGE if mends else Likeness.NONE


def _counted(rows: Sequence[Instance]) -> tuple[Instance | None, Instance | None]:
    """The current row of a SOP Instance UID, and the one that counts or did when its bytes were deleted."""
    current = next((row for row in rows if row.standing is Standing.CURRENT), None)
    return current, current or next((row for row in reversed(rows) if row.standing is Standing.PURGED), None)


def _newcomer(one: Arrived) -> IncomingInstance:
    return incoming_instance(one.sender, one.identity.study_instance_uid, one.header)


def number_of(entry: Path) -> int:
    """A number for the entry, in no message: for `InHand`."""
    return int.from_bytes(hashlib.sha256(os.fsencode(entry.name)).digest()[:6], "big") or 1


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
        association=one.association,
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
