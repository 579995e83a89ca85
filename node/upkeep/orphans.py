"""Blobs that the journal does not know: instances are taken back into the inbox, what was made from them is deleted.

Where they come from: a process that died between its blob and its row; a host that died for good after it had uploaded what it had
acknowledged; a database that was replaced by an older copy of itself; a bucket that was. An instance whose row is lost was acknowledged:
it is journaled again as if it came now, unless its study was erased on request. What the journal says was purged is deleted wherever it
comes from.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from inference.errors import InputError
from node.blobs.port import Blobs
from node.dicom.header import read_header
from node.domain.patient import STILL_KNOWN, marks
from node.domain.stage import Clock
from node.journal.journal import Journal
from node.observe.events import alarm, event
from node.spool.port import Inbox

_BATCH = 500
_MOST_TAKEN_BACK = 100  # in one step: intake comes first
_AGE = timedelta(days=1)
"""What was put since may still wait for its row; no process takes so long between the two."""
_KINDS = ("instances/", "findings/", "results/")
_INSTANCES = _KINDS[0]


class Orphans:
    """Stage: looks at a batch of old blobs a step; 0 when a round is over."""

    name = "orphans"

    def __init__(self, journal: Journal, inbox: Inbox, blobs: Blobs, clock: Clock) -> None:
        self._journal = journal
        self._inbox = inbox
        self._blobs = blobs
        self._clock = clock
        self._round: Iterator[str] | None = None
        self._taken_back: set[str] = set()

    def step(self) -> int:
        """Look at up to 500 names; how many these were."""
        now = self._clock()
        if self._round is None:
            self._round = self._names(now - _AGE)
        names = list(islice(self._round, _BATCH))
        if not names:
            self._round = None
            return 0
        kept = self._journal.retention.kept_blobs(names)
        lost = [name for name in names if name.startswith(_INSTANCES) and name not in kept]
        # one that was taken back and is unknown still has a twin under another name
        new = [name for name in lost if name not in self._taken_back]
        self._take_back(new[:_MOST_TAKEN_BACK], now)
        unwanted = [name for name in names if not kept.get(name, False) and name not in new]
        if unwanted:
            buried = self._journal.retention.tombstone_unreferenced(unwanted, now)
            self._taken_back.difference_update(buried)
            event("orphans.buried", blobs=len(buried))
        return len(names)

    def _names(self, written_before: datetime) -> Iterator[str]:
        for kind in _KINDS:
            yield from self._blobs.names(kind, written_before=written_before)

    def _take_back(self, names: list[str], now: datetime) -> None:
        taken = 0
        for name in names:
            with self._blobs.hold():
                try:
                    path = self._blobs.path(name)
                except InputError as broken:
                    # it stays: with the key, or from a backup, it may be whole again
                    alarm("orphans.unreadable", blob=name, code=broken.code, reason=str(broken))
                    continue
                if not path.exists():
                    continue
                if self._was_erased(path, now):
                    self._journal.retention.tombstone_unreferenced([name], now)
                    continue
                self._inbox.take_back(path)
            self._taken_back.add(name)
            taken += 1
        if taken:
            # the database knows less than the blobs: an operator wants to know that
            alarm("orphans.taken_back", instances=taken)

    def _was_erased(self, path: Path, now: datetime) -> bool:
        """Whether somebody asked for it to be gone, however short senders were to be told so."""
        try:
            identity, header = read_header(path)
        except InputError:
            return False  # the index says of it what is to be said
        return bool(self._journal.erasure.erased(marks(identity.study_instance_uid, header), now - STILL_KNOWN))
