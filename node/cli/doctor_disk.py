"""`hilum doctor`: is there room for what comes in, and does anybody take it on?"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from node.cli.finding import Finding
from node.domain.sizes import sizes
from node.settings.config import Config

_LONG_S = 60.0


def look_at_disk(config: Config) -> Iterator[Finding]:
    """The disks of the store, and what waits in this host's spool; nothing is opened: whoever asks may be another user than the node's."""
    yield from _room(config, "disk", config.store.blobs)
    if config.store.spool is not None:
        yield from _room(config, "disk of the spool", config.store.spool)
    yield from _spool(config, config.store.spool or config.store.blobs)
    yield from _asides(config.store.spool or config.store.blobs)


def _asides(folder: Path) -> Iterator[Finding]:
    from node.blobs.folder import ASIDE

    try:
        names = [name for name in os.listdir(folder / ASIDE) if not name.endswith(".txt")]
    except OSError:
        return
    if names:
        fix = "`hilum studies list` says why, and from whom. What could not be read goes on once it is moved back (HLM-3086)."
        yield Finding(subject="set aside", level="warning", detail=f"{len(names)} received files lie in {folder / ASIDE}", fix=fix)


def _room(config: Config, subject: str, folder: Path) -> Iterator[Finding]:
    from node.blobs.room import CROWDED

    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    least = config.store.min_free_bytes
    free, total, mark = sizes(usage.free, usage.total, least)
    detail = f"{free} free of {total} at {folder}, min_free is {mark}"
    if usage.free < least:
        fix = "Free space or lower `store: {min_free: …}`: senders are answered 0xA700 and keep their instances until then."
        yield Finding(subject=subject, level="bad", detail=detail, fix=fix)
    elif usage.free < CROWDED * least:
        fix = "Free space or lower `store: {min_free: …}`: no association is admitted until then; senders try again."
        yield Finding(subject=subject, level="bad", detail=detail, fix=fix)
    elif usage.free < 2 * least:
        yield Finding(subject=subject, level="warning", detail=detail, fix="Free space soon, or shorten `store: {keep: …}`.")
    else:
        yield Finding(subject=subject, level="good", detail=detail)


def _spool(config: Config, folder: Path) -> Iterator[Finding]:
    from node.blobs.folder import COMING, INBOX
    from node.blobs.promised import came_ns, owed

    try:
        names, owing = os.listdir(folder / INBOX), owed(folder / COMING)
        oldest_s = time.time() - (folder / INBOX / min(names)).stat().st_mtime if names else 0.0
    except OSError:
        return  # nothing was received yet, or others may not look
    waiting = len(names)
    detail = (
        f"{waiting} instances wait in this host's spool, the oldest for {oldest_s:.0f} s"
        if waiting
        else "nothing waits in this host's spool"
    )
    if owing:
        owing_s = max(0.0, time.time() - came_ns(owing[0].name) / 1e9)
        detail += f", {len(owing)} acknowledged ones are no entries of it yet, the oldest for {owing_s:.0f} s"
        if owing_s > _LONG_S:
            fix = "They are named within seconds by a receiver that runs, on a disk that works: see whether the node runs, and its events."
            yield Finding(subject="spool", level="warning", detail=detail, fix=fix)
            return
    if waiting > config.store.most_waiting:
        fix = "No association is admitted until they are journaled: see whether the node runs, and the journal (and the bucket) answers."
        yield Finding(subject="spool", level="bad", detail=detail, fix=fix)
        return
    fix = "They go on by themselves once the journal (and the bucket, or the shared folder) is there; keep this host's disk until then."
    # on its way to a place that others read, what waits is on this host alone, however short
    late = oldest_s > _LONG_S or bool(waiting and (config.store.bucket is not None or config.store.spool is not None))
    yield Finding(subject="spool", level="warning" if late else "good", detail=detail, fix=fix if late else "")
