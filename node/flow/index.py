"""The index stage reads what lies in the receiver's inbox, commits to the journal what it is (`instance_verdict`), and moves them.

Rows are committed before files move, so that a crash between leaves entries that the next step finishes: an entry whose row
stands and whose blob does not is moved, one whose blob stands is a duplicate. A stage of its own takes from the spool which instances were
refused, and which transfers broke off.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from inference.errors import InputError
from node.blobs.port import Blobs
from node.dicom.header import parse, sender, told
from node.dicom.part10 import data_set_digest, mapped, need_pages, take_apart
from node.domain.errors import JournalError, is_of_the_file
from node.domain.instance import Header, Standing, ae_at_host
from node.domain.shortage import RefusedInstance, TornSeries
from node.domain.stage import Clock
from node.flow.held_instances import Senders
from node.flow.instance_verdict import Arrived, Batch, InstanceJudge, number_of, tell_defect
from node.flow.settle import QuietWindows
from node.flow.time_limits import STEP_S, TookTooLong, within
from node.journal.errors import JournalRace
from node.journal.journal import Journal
from node.journal.port import Aside
from node.observe import metrics
from node.observe.events import alarm, event
from node.observe.pulse import InHand, at_most, turned
from node.routing.decisions import is_image
from node.settings.config import Config
from node.spool.port import Inbox

_MOST_DEATHS = 3
BATCH = 500
"""Entries that one step takes at most."""
_PUBLISH_S = 120.0
_SLOWEST_BYTES_PER_S = 1 << 20
"""What a bucket takes of a batch in a second, at least."""
_AGAIN = timedelta(seconds=10)
_TRIES = 7
"""Over a minute: a disk, or a mount, that comes back within it sets nothing aside."""


class NotUnderstood(InputError):
    """An instance that hilum stumbles over."""

    code = "HLM-3082"
    remedy = "Report this as a defect, with the event `index.defect`; the instance is kept where set-aside files are."


class NotRead(InputError):
    """An instance that was acknowledged, and that the disk does not give back."""

    code = "HLM-3086"
    remedy = (
        "Look at the disk, and at whose the file is (the node's user reads it). Once it can be read, move it from `aside` back to `inbox` "
        "(one that ends in .told: to `coming`, and start the node again); if not, have the sender send the study again."
    )


@dataclass(slots=True)
class _Failure:
    at: datetime
    times: int = 1


class UnreadableEntries:
    """Inbox entries that the disk does not give: each is tried again for a minute, beside everything else, then set aside."""

    def __init__(self) -> None:
        self._failures: dict[Path, _Failure] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def without(self, waiting: Sequence[Path], now: datetime) -> Iterator[Path]:
        """Those that are to be tried now; what no longer waits is forgotten."""
        for gone in self._failures.keys() - set(waiting):
            del self._failures[gone]
        for entry in waiting:
            failure = self._failures.get(entry)
            if failure is None or not timedelta(0) <= now - failure.at < _AGAIN:
                yield entry

    def failed(self, entry: Path, reason: OSError, now: datetime) -> NotRead | None:
        """It could not be read (again); why it is to be set aside, once that has been tried often enough."""
        why = NotRead(f"it cannot be read: {reason.strerror}")
        failure = self._failures.get(entry)
        if failure is None:
            self._failures[entry] = _Failure(at=now)
            alarm("index.unreadable", entry=entry.name, code=why.code, reason=str(why))
            return None
        failure.at, failure.times = now, failure.times + 1
        if failure.times < _TRIES:
            return None
        del self._failures[entry]
        return why


class IndexStage:
    """Stage: inbox entries become instances, and these join arrivals.

    Parameters
    ----------
    batch_bytes
        A step begins no further entry behind so many: what was read of large ones is seen before the next are.
    pass_bytes
        A file is mapped as a whole, but no more of it is held in memory at a time.
    """

    name = "index"

    def __init__(
        self,
        journal: Journal,
        inbox: Inbox,
        blobs: Blobs,
        config: Config,
        clock: Clock,
        *,
        batch_bytes: int = 256 << 20,
        pass_bytes: int = 16 << 20,
    ) -> None:
        self._batch_bytes, self._pass_bytes = batch_bytes, pass_bytes
        self._journal = journal
        self._inbox = inbox
        self._clock = clock
        self._windows = QuietWindows(journal, config, clock)
        self._unread = UnreadableEntries()
        self._in_hand = InHand("entry")
        self._in_hand.count_death()
        self._judge = InstanceJudge(journal, inbox, blobs, config.peers, self._windows, in_hand=self._in_hand)
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """Go by these peers; and know by which routes arrivals are judged from now on: what comes again after other ones is judged anew."""
        self._config = config
        self._private = config.private_elements
        self._windows.adopt(config)
        self._senders = Senders(config)
        self._judge.adopt(config.peers)

    def step(self) -> int:
        """Index up to `BATCH` entries; how many left the inbox."""
        now = self._clock()
        arrived: dict[str, Arrived] = {}
        done = 0
        read_bytes = 0
        waiting = self._inbox.waiting(BATCH + len(self._unread))
        for entry in self._unread.without(waiting, now):
            if read_bytes > self._batch_bytes:
                break
            turned()
            try:
                one = self._taken(entry)
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
                tell_defect(entry, defect)
                self._set_aside(entry, NotUnderstood(f"it cannot be understood: {type(defect).__name__}"), now)
                done += 1
                continue
            read_bytes += one.size
            # the second copy of an instance waits for the next step, where the first has its row
            arrived.setdefault(one.identity.sop_instance_uid, one)
        if not arrived:
            return done
        came = list(arrived.values())
        size = sum(one.size for one in came)
        try:
            self._commit(self._judge.batch(came, now), now, size)
        except JournalRace:
            # nothing of the batch is journaled: what another process began meanwhile is seen now
            self._commit(self._judge.batch(came, now), now, size)
        return done + len(arrived)

    def _taken(self, entry: Path) -> Arrived:
        """Read it, unless processes died over it; while it is read it is in hand."""
        number = number_of(entry)
        if self._in_hand.deaths(number) >= _MOST_DEATHS:
            raise NotUnderstood(f"the process that read it ended {_MOST_DEATHS} times in the middle of it")
        self._in_hand.take(number)
        try:
            return self._read(entry)
        except TookTooLong as late:
            raise NotUnderstood(str(late)) from late
        finally:
            self._in_hand.put_down()

    def _read(self, entry: Path) -> Arrived:
        with self._inbox.opened(entry) as file, mapped(file) as (content, written_at):
            need_pages(content, self._pass_bytes, between=turned)
            identity, header = within(STEP_S, "reading its header", lambda: parse(take_apart(content), self._private))
            digest = data_set_digest(content, identity.dataset_offset, self._pass_bytes, between=turned)
            size = len(content)
        return Arrived(
            entry=entry,
            identity=identity,
            header=header,
            digest=digest,
            size=size,
            received_at=self._journal.at(written_at),
            peer=self._senders.peer(identity.calling_ae, identity.address, identity.peer),
            association=self._inbox.association_of(entry),
        )

    def _commit(self, batch: Batch, now: datetime, size: int) -> None:
        # before any row: an arrival that is complete has its pixels where every worker reads them
        with at_most(_PUBLISH_S + size / _SLOWEST_BYTES_PER_S):
            self._inbox.publish(batch.moves)
        if batch.news:
            self._journal.instances.record(batch.news, now)
        for instance, blob, header in batch.restored:
            self._journal.instances.restore(instance, blob, header, now)
        accepted = self._journal.held.accept(batch.accepted, now) if batch.accepted else []
        # what retention deleted since it was judged is judged once more
        gone = self._journal.instances.came_again(batch.again, self._config.digest, now) if batch.again else frozenset()
        stays = {batch.entries[instance] for instance in gone}
        for one in batch.own:
            uid = one.identity.sop_instance_uid
            told = f"{uid} from {one.identity.calling_ae}"
            self._journal.events.note("instance", 0, "instance.own_result", told, now, sop_instance_uid=uid)
        for entry, blob in batch.moves:
            if entry not in stays:
                self._inbox.move_to_blobs(entry, blob)
        for entry in batch.drops:
            if entry not in stays:
                self._inbox.drop(entry)
        conflicts = sum(new.instance.standing is Standing.CONFLICT for new in batch.news)
        for peer, count in batch.erased.items():
            alarm("erased.came_again", peer=peer or None, instances=count)
        held = Counter((new.instance.series_instance_uid, new.instance.peer, new.instance.held_for) for new in batch.news)
        held = Counter({key: count for key, count in held.items() if key[2] is not None})
        counts = {
            "new": len(batch.news) - conflicts - held.total() - len(batch.others),
            "conflict": conflicts,
            "held": held.total(),
            "again": len(batch.again) - len(gone),
            "own_result": len(batch.own),
            "other_result": len(batch.others),
        }
        for standing, count in counts.items():
            metrics.INDEXED.add(count, standing=standing)
        for new in batch.news:
            if new.instance.standing is Standing.CONFLICT:
                alarm("instance.conflict", sop_instance_uid=new.instance.sop_instance_uid, peer=new.instance.peer)
        for (series, by, why), count in held.items():
            assert why is not None
            alarm("instance.held", series_instance_uid=series, peer=by, held_for=why.value, instances=count)
        event(
            "index.committed",
            new=len(batch.news),
            held=held.total(),
            accepted=len(accepted),
            again=counts["again"],
            restored=len(batch.restored),
            own_results=len(batch.own),
            other_results=len(batch.others),
        )

    def _set_aside(self, entry: Path, why: InputError, now: datetime) -> None:
        aside, owed = Aside(at=now, entry=entry.name, sender="", code=why.code, reason=str(why)), None
        if not (isinstance(why, NotRead) or self._in_hand.deaths(number_of(entry)) >= _MOST_DEATHS):
            aside, owed = self._identified(entry, aside, read=not isinstance(why, NotUnderstood))
        if owed is not None:  # first: what is set aside is looked at no more
            self._journal.shortage.owe([owed], [])
        self._journal.instances.set_aside(aside)
        self._inbox.set_aside(entry, f"{why} [{why.code}]")
        metrics.INDEXED.add(standing="aside")
        alarm("instance.set_aside", entry=entry.name, code=why.code, reason=str(why))

    def _identified(self, entry: Path, aside: Aside, *, read: bool) -> tuple[Aside, RefusedInstance | None]:
        """With who sent it and, if the header may be `read` again, of whom and which study it is; and the image of a series that is lacking
        now, as if it had been refused."""
        try:
            with self._inbox.opened(entry) as file, mapped(file) as (content, _):

                def who() -> tuple[dict[str, str], Header]:
                    part10 = take_apart(content)
                    return sender(part10), told(part10) if read else {}

                by, header = within(STEP_S, "reading who sent it", who)
        except (MemoryError, OSError):
            raise
        except Exception:  # noqa: BLE001  (it is set aside for not being readable; what breaks its reader here would break it at each start)
            return aside, None

        def said(keyword: str) -> str:
            return str(next(iter(header.get(keyword, ())), "")).strip()

        identified = replace(
            aside,
            sender=ae_at_host(by["calling_ae"], by["address"]),
            patient_id=said("PatientID"),
            issuer=said("IssuerOfPatientID"),
            accession=said("AccessionNumber"),
            study_instance_uid=said("StudyInstanceUID"),
            series_instance_uid=said("SeriesInstanceUID"),
        )
        if not (identified.series_instance_uid and said("SOPInstanceUID") and is_image(said("SOPClassUID"), header)):
            return identified, None
        peer = self._senders.peer(by["calling_ae"], by["address"], by["peer"])
        return identified, RefusedInstance(
            sop_instance_uid=said("SOPInstanceUID"),
            series_instance_uid=identified.series_instance_uid,
            study_instance_uid="",  # it may be what cannot be read: the series decides
            peer=None if peer is None else peer.name,
            status=0x0000,
            at=aside.at,
        )


_BATCH = 500


class ShortfallEntries(Protocol):
    """What was kept on this host and is not in the journal yet (node.spool.shortfalls)."""

    def waiting(self, limit: int) -> list[Path]: ...

    def read(self, entry: Path) -> tuple[Sequence[RefusedInstance], Sequence[TornSeries]] | None:
        """What it says, each with when it was written by this host's clock; None: it is gone, or nothing. JournalError: it cannot be
        read."""
        ...

    def drop(self, entry: Path) -> None: ...


class ShortfallStage:
    """Stage: the journal first, then the files go; what is taken twice changes nothing the second time."""

    name = "owed"

    def __init__(self, journal: Journal, entries: ShortfallEntries, clock: Clock) -> None:
        self._journal = journal
        self._entries = entries
        self._clock = clock

    def step(self) -> int:
        """Take some; how many. JournalError when there is nothing but what cannot be read."""
        refused: list[RefusedInstance] = []
        torn: list[TornSeries] = []
        taken = []
        unread: JournalError | None = None
        for entry in self._entries.waiting(_BATCH):
            try:
                found = self._entries.read(entry)
            except JournalError as failed:  # the disk does not give it: the others need not wait for it
                unread = failed
                continue
            if found is None:
                continue
            # by the clock that all hosts share
            refused += [replace(one, at=self._journal.at(one.at.timestamp())) for one in found[0]]
            torn += [replace(one, at=self._journal.at(one.at.timestamp())) for one in found[1]]
            taken.append(entry)
        if taken:
            self._journal.shortage.owe(sorted(refused, key=lambda one: one.at), torn)
            event("owed.journaled", refused=len(refused), torn=len(torn))
        for entry in taken:
            self._entries.drop(entry)
        if unread is not None and not taken:
            raise unread
        return len(taken)
