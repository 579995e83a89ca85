"""The index stage: reads what lies in the receiver's inbox, commits to the journal what it is (node.flow.judge), and moves the files.

Rows are committed before files move, so that a crash between leaves entries that the next step finishes: an entry whose row
stands and whose blob does not is moved, one whose blob stands is a duplicate.
"""

import hashlib
from datetime import datetime
from mmap import MADV_DONTNEED, mmap
from pathlib import Path

from inference.errors import InputError
from node.blobs.port import Blobs, Inbox
from node.domain.faults import is_of_the_file
from node.domain.instance import Standing
from node.flow.elements import Buffer, take_apart
from node.flow.errors import NotRead, NotUnderstood
from node.flow.header import mapped, need_pages, parse, sender
from node.flow.judge import Arrived, Batch, Judge, tell_defect
from node.flow.port import Clock
from node.flow.senders import Senders
from node.flow.unread import Unread
from node.journal.port import Aside, Journal
from node.observe import metrics
from node.observe.events import alarm, event
from node.settings.config import Config

BATCH = 500
"""Entries that one step takes at most."""
_BATCH_BYTES = 256 << 20
"""A step begins no further entry behind so many bytes: what was read of large ones is seen before the next are."""
_PASS_BYTES = 16 << 20
"""A file is mapped as a whole, but no more of it is held in memory at a time."""


class Index:
    """Stage: inbox entries become instances, and these join arrivals."""

    name = "index"

    def __init__(self, journal: Journal, inbox: Inbox, blobs: Blobs, config: Config, clock: Clock) -> None:
        self._journal = journal
        self._inbox = inbox
        self._config = config
        self._clock = clock
        self._judge = Judge(journal, inbox, blobs)
        self._senders = Senders(config)
        self._unread = Unread()

    def adopt(self, config: Config) -> None:
        """Know by which routes arrivals are judged from now on: what comes again after other ones is judged anew."""
        self._config = config

    def step(self) -> int:
        """Index up to `BATCH` entries; how many left the inbox."""
        now = self._clock()
        arrived: dict[str, Arrived] = {}
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
                tell_defect(entry, defect)
                self._set_aside(entry, NotUnderstood(f"it cannot be understood: {type(defect).__name__}"), now)
                done += 1
                continue
            read_bytes += one.size
            # the second copy of an instance waits for the next step, where the first has its row
            arrived.setdefault(one.identity.sop_instance_uid, one)
        if not arrived:
            return done
        batch = self._judge.batch(list(arrived.values()), now)
        self._commit(batch, now)
        return done + len(arrived)

    def _read(self, entry: Path) -> Arrived:
        with self._inbox.opened(entry) as file, mapped(file) as (content, written_at):
            need_pages(content, _PASS_BYTES)
            identity, header = parse(take_apart(content))
            digest = _digest(content, identity.dataset_offset)
            size = len(content)
        return Arrived(
            entry=entry,
            identity=identity,
            header=header,
            digest=digest,
            size=size,
            received_at=self._journal.at(written_at),
            peer=self._senders.peer(identity.calling_ae, identity.address, identity.peer),
        )

    def _commit(self, batch: Batch, now: datetime) -> None:
        # before any row: an arrival that is complete has its pixels where every worker reads them
        self._inbox.publish(batch.moves)
        if batch.news:
            self._journal.record(batch.news, now)
        for instance, blob, header in batch.restored:
            self._journal.restore(instance, blob, header, now)
        # what retention deleted since it was judged is judged once more
        gone = self._journal.came_again(batch.again, self._config.digest, now) if batch.again else frozenset()
        stays = {batch.entries[instance] for instance in gone}
        for one in batch.own:
            self._journal.note("instance", 0, "instance.own_result", f"{one.identity.sop_instance_uid} from {one.identity.calling_ae}", now)
        for entry, blob in batch.moves:
            if entry not in stays:
                self._inbox.settle(entry, blob)
        for entry in batch.drops:
            if entry not in stays:
                self._inbox.drop(entry)
        conflicts = sum(new.instance.standing is Standing.CONFLICT for new in batch.news)
        for peer, count in batch.erased.items():
            alarm("erased.came_again", peer=peer or None, instances=count)
        counts = {
            "new": len(batch.news) - conflicts,
            "conflict": conflicts,
            "again": len(batch.again) - len(gone),
            "own_result": len(batch.own),
        }
        for standing, count in counts.items():
            metrics.INDEXED.add(count, standing=standing)
        for new in batch.news:
            if new.instance.standing is Standing.CONFLICT:
                alarm("instance.conflict", sop_instance_uid=new.instance.sop_instance_uid, peer=new.instance.peer)
        event(
            "index.committed",
            new=len(batch.news),
            again=counts["again"],
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


def _digest(content: Buffer, offset: int) -> str:
    digest = hashlib.sha256()
    with memoryview(content) as whole:
        for start in range(0, len(content), _PASS_BYTES):
            with whole[max(start, offset) : start + _PASS_BYTES] as part:
                digest.update(part)
            if isinstance(content, mmap) and len(content) > _PASS_BYTES:
                content.madvise(MADV_DONTNEED, start, min(_PASS_BYTES, len(content) - start))  # it stays in the system's cache
    return digest.hexdigest()
