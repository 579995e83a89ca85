"""Room on the disk of the store, as a person asks for it at the console."""

import shutil
from typing import TYPE_CHECKING

from node.assembly.notices import ROOMY
from node.upkeep.retention import Retention

if TYPE_CHECKING:
    from node.blobs.port import Blobs
    from node.journal.journal import Journal
    from node.settings.config import Config


def make_room(config: "Config", journal: "Journal", blobs: "Blobs") -> int:
    """Delete the oldest pixels that nothing needs until the disk is roomy again; how many instances. Of a bucket none, nor of a disk that
    is not mounted: the one in its place gains nothing."""
    if config.store.bucket is not None or not config.store.blobs.is_dir():
        return 0
    wanted = ROOMY * config.store.min_free_bytes
    return Retention(journal.retention, blobs, config, journal.now).make_room(lambda: shutil.disk_usage(config.store.blobs).free >= wanted)
