"""Restoring a backup onto an empty place, in an order that leaves no journal behind before everything that it names is there."""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from node.backup.journal_copy import refuse_if_there, restore_journal
from node.backup.manifest import (
    BLOBS,
    JOURNAL_DUMP,
    JOURNAL_FILE,
    MARKS,
    RESTORE_MARKS,
    ROUTE_CASES,
    SPOOL,
    BackupDamaged,
    Manifest,
    NotEmpty,
    NotThisJournal,
    begin_restore,
    checksum,
    damage,
    end_restore,
    read,
    restore_begun,
)
from node.backup.models import ModelFolders, bring, route_cases
from node.blobs.encryption.encrypted_file import KeyMissing, encrypted_with, note_key, read_keys
from node.domain.state import DeliveryState, JobState
from node.journal.journal import Journal
from node.settings.config import Config

_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored, and what the node will go on with: `jobs` and `deliveries` by state, of those that are not done. `files`: of the
    store; `models`: of models and applications."""

    manifest: Manifest
    models: int
    files: int
    spooled: int
    jobs: dict[str, int]
    deliveries: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """What a restore asks of the store that it brings a backup to.

    Attributes
    ----------
    alone
        While it is held, no node serves the place.
    forget
        This host forgets which store it served from here.
    open_journal
        Opens the restored journal, brought to the present schema.
    agree
        The journal and the blobs that came with it know each other from now on.
    """

    alone: Callable[[], AbstractContextManager[object]]
    forget: Callable[[], None]
    open_journal: Callable[[], Journal]
    agree: Callable[[Journal], object]


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


def restore(config: Config, backup: Path, store: Restoring, *, keep_models: bool = False) -> Restored:
    """Bring a backup to where `store:` and `models:` of the configuration say. A call that was killed is finished by another one.

    Parameters
    ----------
    keep_models
        Leave models and applications as they are there, and bring none.

    Raises
    ------
    BackupDamaged
        It is not whole; nothing was touched.
    NotEmpty, NotThisJournal
        The place holds something, or the journal is of another kind.
    ModelsThere, OtherFolders
        Other models or applications are there, or the configuration names no place for some.
    KeyUnusable, KeyMissing
        The configuration names no key that opens what is in it; nothing was touched.
    """
    manifest = check(backup)
    kind = "sqlite" if config.store.journal.startswith("sqlite:") else "postgresql"
    if manifest.journal != kind:
        raise NotThisJournal(f"the backup is of a journal on {manifest.journal}, the configuration names one on {kind}")
    _refuse_without_keys(config, backup, manifest)
    blobs, spool = config.store.blobs, config.store.spooled
    folders = ModelFolders.of(config)
    with store.alone():
        if restore_begun(config) != str(backup.resolve()):
            refuse_if_there(config.store.journal)
            _refuse_unless_empty({blobs, spool})
            if not keep_models:
                folders.refuse_others(manifest.files)
            store.forget()
            begin_restore(config, backup)
        models = 0 if keep_models else _bring_models(config, folders, backup, manifest)
        files = 0
        for name in manifest.files:
            target = _target(name, blobs, spool)
            if target is not None:
                _copy(backup / name, target)
                files += 1
        for name in _marks(backup, manifest):
            path = blobs.joinpath(*PurePosixPath(name).parts)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        for key_id in manifest.sealed:
            for root in config.store.folders:
                note_key(root, bytes.fromhex(key_id))
        os.sync()
        restore_journal(config.store.journal, backup / (JOURNAL_FILE if kind == "sqlite" else JOURNAL_DUMP))
        told = _tidy(config, manifest, store, files=files, models=models)
        end_restore(config)
    return told


def _bring_models(config: Config, folders: ModelFolders, backup: Path, manifest: Manifest) -> int:
    """Bring models and applications of one's own, which everybody may read; list and notes of published models and the cases of `hilum
    routes test` where there are none."""
    brought = 0
    with folders.alone():
        for name, entry in manifest.files.items():
            target = folders.target(name)
            if target is not None:
                if not target.is_file() or checksum(target) != entry.sha256:
                    bring(backup / name, target)
                brought += 1
    for name in manifest.files:
        target = folders.note_target(name)
        # a list that is there may be newer, and what was fetched here since is noted here
        if target is not None and not target.exists():
            bring(backup / name, target)
    if ROUTE_CASES in manifest.files and not route_cases(config).exists():
        bring(backup / ROUTE_CASES, route_cases(config))
    return brought


def _refuse_without_keys(config: Config, backup: Path, manifest: Manifest) -> None:
    """What is encrypted comes back encrypted: better to look for the key now than when the first job asks for its pixels."""
    given = config.store.encryption
    keys = None if given is None else read_keys(given.key_files, given.place)
    for name in manifest.sealed:
        key_id = bytes.fromhex(name)
        if keys is not None and key_id in keys.by_id:
            continue
        found = next((path for part in (BLOBS, SPOOL) for path in encrypted_with(backup / part, key_id)), None)
        if found is not None:
            raise KeyMissing(f"{found} is encrypted with the key {name}, and the configuration names {keys.names() if keys else 'none'}")


def _target(name: str, blobs: Path, spool: Path) -> Path | None:
    """Where a file of a backup belongs; None for what is no file of the store."""
    first, _, rest = name.partition("/")
    parts = PurePosixPath(rest).parts
    if ".." in parts or rest.startswith("/"):
        raise BackupDamaged(f"{name!r} leads out of the backup")
    return {BLOBS: blobs, SPOOL: spool}[first].joinpath(*parts) if first in (BLOBS, SPOOL) else None


def _refuse_unless_empty(folders: set[Path]) -> None:
    """A folder that holds files is somebody's."""
    for folder in folders:
        files = (path for path in folder.rglob("*") if path.is_file() and path.name not in RESTORE_MARKS)
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


def _tidy(config: Config, manifest: Manifest, store: Restoring, *, files: int, models: int) -> Restored:
    """Bring the journal to the present schema, let go of the leases of processes that are gone, enter what retention had deleted, and have
    sinks asked again that may have committed since."""
    with contextlib.closing(store.open_journal()) as journal:
        now = journal.now()
        journal.processes.release("", now)
        journal.retention.bytes_gone(manifest.absent, now)
        journal.commitments.ask_anew(now)
        if config.store.bucket is None:
            store.agree(journal)
        ended = (JobState.DONE, JobState.NOT_APPLICABLE, JobState.SUPERSEDED, JobState.CANCELLED)
        jobs = Counter(job.state.value for job in journal.jobs.find(states=[one for one in JobState if one not in ended], limit=_MOST))
        waiting = journal.deliveries.find(states=(DeliveryState.WAITING, DeliveryState.PARKED), limit=_MOST)
        awaiting = journal.deliveries.find(awaiting=True, limit=_MOST)
        deliveries = Counter(one.state.value for one in (*waiting, *awaiting))
    spooled = sum(name.startswith(f"{SPOOL}/inbox/") for name in manifest.files)
    return Restored(manifest=manifest, files=files, models=models, spooled=spooled, jobs=dict(jobs), deliveries=dict(deliveries))
