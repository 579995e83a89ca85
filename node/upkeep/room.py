"""Room on the disks of this host: people are told well before one refuses anything, and make room at the console."""

import os
import shutil
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from node.domain.notice import About, Item
from node.settings.kinds import sizes
from node.settings.store import CROWDED, Store
from node.upkeep.retention import Retention

if TYPE_CHECKING:
    from node.blobs.port import Blobs
    from node.journal.journal import Journal
    from node.settings.config import Config

_FILLS, _ROOMY = 2.0, 2.5
"""Of `min_free`: with less than so much a disk fills, well before anything is refused; with so much it has room again."""


class DiskWatch:
    """Tells of the spool's disk while it fills; one that cannot be asked is told of by others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fills = False

    def look(self, now: datetime) -> Mapping[str, Item]:
        """What is wrong with it, under the key by which people were told; empty: it has room."""
        found = self._filling(_ROOMY if self._fills else _FILLS)
        self._fills = bool(found)
        return found

    def _filling(self, mark: float) -> dict[str, Item]:
        spool, least = self._store.spooled, self._store.min_free_bytes
        try:
            status = os.statvfs(spool)
        except OSError:
            return {}
        free = status.f_bavail * status.f_frsize
        if free >= mark * least:
            return {}
        there, crowded = sizes(free, int(CROWDED * least))
        says = f"The disk of {socket.gethostname()} fills: {there} are free in {spool}. Below {crowded} no association is admitted."
        mend = "Make room: `hilum doctor` says what uses it, `store: {keep: …}` deletes sooner. Senders keep what they are refused."
        return {"disk": Item(about=About.DISK, says=says, remedy=mend)}


def make_room(config: "Config", journal: "Journal", blobs: "Blobs") -> int:
    """Delete the oldest pixels that nothing needs until the disk is roomy again; how many instances. Of a bucket none, nor of a disk that
    is not mounted: the one in its place gains nothing."""
    if config.store.bucket is not None or not config.store.blobs.is_dir():
        return 0
    wanted = _ROOMY * config.store.min_free_bytes
    return Retention(journal.retention, blobs, config, journal.now).make_room(lambda: shutil.disk_usage(config.store.blobs).free >= wanted)
