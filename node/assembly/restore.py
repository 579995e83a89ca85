"""Restoring a backup onto an empty place, in an order that leaves no journal behind before everything that it names is there."""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from node.assembly import compose, restoring
from node.assembly.backup_errors import BackupDamaged, NotEmpty, NotThisJournal
from node.assembly.identity import Meant, agree, forget
from node.assembly.journal_copy import refuse_if_there, restore_journal
from node.assembly.manifest import BLOBS, JOURNAL_DUMP, JOURNAL_FILE, MARKS, SPOOL, Manifest, damage, read
from node.assembly.roles import ALL, lock
from node.assembly.sealing import roots
from node.blobs.sealing.errors import KeyMissing
from node.blobs.sealing.keys import read_keys
from node.blobs.sealing.known import note, sealed_with
from node.domain.state import DeliveryState, JobState
from node.journal.sql import SqlJournal
from node.settings.config import Config

_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored, and what the node will go on with: `jobs` and `deliveries` by state, of those that are not done."""

    manifest: Manifest
    files: int
    spooled: int
    jobs: dict[str, int]
    deliveries: dict[str, int]


def check(backup: Path) -> Manifest:
    """Read every byte of a backup.

    Raises
    ------
    BackupDamaged
        Something in it is not as it was written.
    """
    manifest = read(backup)
    found = damage(backup, manifest)
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise BackupDamaged(f"{backup}: {found[0]}{more}")
    return manifest


def restore(config: Config, backup: Path) -> Restored:
    """Bring a backup to where `store:` of the configuration says. A call that was killed is finished by another one.

    Raises
    ------
    BackupDamaged
        It is not whole; nothing was touched.
    NotEmpty, NotThisJournal
        The place holds something, or the journal is of another kind.
    KeyUnusable, KeyMissing
        The configuration names no key that opens what is in it; nothing was touched.
    """
    manifest = check(backup)
    kind = "sqlite" if config.store.journal.startswith("sqlite:") else "postgresql"
    if manifest.journal != kind:
        raise NotThisJournal(f"the backup is of a journal on {manifest.journal}, the configuration names one on {kind}")
    _refuse_without_keys(config, backup, manifest)
    store, spool = config.store.blobs, config.store.spool or config.store.blobs
    with contextlib.ExitStack() as held:
        for file in lock(config, ALL):  # no node serves the place meanwhile
            held.callback(file.close)
        if restoring.begun(config) != str(backup.resolve()):
            refuse_if_there(config.store.journal)
            _refuse_unless_empty({store, spool})
            forget(config)
            restoring.begin(config, backup)
        files = 0
        for name in manifest.files:
            target = _target(name, store, spool)
            if target is not None:
                _copy(backup / name, target)
                files += 1
        for name in _marks(backup, manifest):
            path = store.joinpath(*PurePosixPath(name).parts)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        for key_id in manifest.sealed:
            for root in roots(config.store):
                note(root, bytes.fromhex(key_id))
        os.sync()
        restore_journal(config.store.journal, backup / (JOURNAL_FILE if kind == "sqlite" else JOURNAL_DUMP))
        told = _tidy(config, manifest, files)
        restoring.end(config)
    return told


def _refuse_without_keys(config: Config, backup: Path, manifest: Manifest) -> None:
    """What is encrypted comes back encrypted: better to look for the key now than when the first job asks for its pixels."""
    given = config.store.encryption
    keys = None if given is None else read_keys(given.key_files)
    for name in manifest.sealed:
        key_id = bytes.fromhex(name)
        if keys is not None and key_id in keys.by_id:
            continue
        found = next((path for part in (BLOBS, SPOOL) for path in sealed_with(backup / part, key_id)), None)
        if found is not None:
            raise KeyMissing(f"{found} is encrypted with the key {name}, and the configuration names {keys.names() if keys else 'none'}")


def _target(name: str, store: Path, spool: Path) -> Path | None:
    """Where a file of a backup belongs; None for what is no file of the store."""
    first, _, rest = name.partition("/")
    parts = PurePosixPath(rest).parts
    if ".." in parts or rest.startswith("/"):
        raise BackupDamaged(f"{name!r} leads out of the backup")
    return {BLOBS: store, SPOOL: spool}[first].joinpath(*parts) if first in (BLOBS, SPOOL) else None


def _refuse_unless_empty(folders: set[Path]) -> None:
    """A folder that holds files is somebody's."""
    for folder in folders:
        files = (path for path in folder.rglob("*") if path.is_file() and path.name not in restoring.NAMES)
        found = next(files, None) if folder.exists() else None
        if found is not None:
            raise NotEmpty(f"{folder} is not empty: {found.relative_to(folder)} is there")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(source, target)  # never a link: what the node does to its files must not reach the backup
    target.chmod(0o600)
    status = source.stat()
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))  # when an entry of the spool was received


def _marks(backup: Path, manifest: Manifest) -> Iterator[str]:
    if MARKS in manifest.files:
        yield from (backup / MARKS).read_text(encoding="ascii").splitlines()


def _tidy(config: Config, manifest: Manifest, files: int) -> Restored:
    """Bring the journal to the present schema, let go of the leases of processes that are gone, enter what retention had deleted, and have
    sinks asked again that may have committed since."""
    with contextlib.closing(SqlJournal.open(config.store.journal)) as journal:
        now = journal.now()
        journal.release("", now)
        journal.bytes_gone(manifest.absent, now)
        journal.ask_anew(now)
        if config.store.bucket is None:
            agree(config, journal, compose.open_bare_blobs(config), Meant(new_blobs=True))  # they were brought here with it
        ended = (JobState.DONE, JobState.NOT_APPLICABLE, JobState.SUPERSEDED, JobState.CANCELLED)
        jobs = Counter(job.state.value for job in journal.jobs(states=[one for one in JobState if one not in ended], limit=_MOST))
        waiting = (DeliveryState.WAITING, DeliveryState.DELIVERED, DeliveryState.PARKED)
        deliveries = Counter(one.state.value for one in journal.deliveries(states=waiting, limit=_MOST))
    spooled = sum(name.startswith(f"{SPOOL}/inbox/") for name in manifest.files)
    return Restored(manifest=manifest, files=files, spooled=spooled, jobs=dict(jobs), deliveries=dict(deliveries))
