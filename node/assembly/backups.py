"""Backups and restores of the store that a configuration names."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from node.assembly import compose
from node.assembly.configuration import load
from node.assembly.roles import ALL, lock
from node.backup import backup as making
from node.backup import restore as bringing
from node.backup.models import application_folders
from node.journal.journal import Journal
from node.settings.config import Config
from node.store.identity import NOTHING, Meant, agree, forget


def back_up(config: Config, target: Path) -> making.MadeBackup:
    """Make a backup of the store in a new folder below `target`; see `node.backup.backup.back_up`."""
    return making.back_up(config, target, partial(compose.open_journal, config), partial(_agree, config))


def configuration_of(path: Path, backup: Path) -> Config:
    """The configuration that a backup is restored under: its routes may run applications that come with the backup."""
    return load(path, coming=application_folders(backup))


def restore(config: Config, backup: Path, *, keep_models: bool = False) -> bringing.Restored:
    """Bring a backup to where `store:` and `models:` say; see `node.backup.restore.restore`."""
    from node.journal.journal import Journal

    store = bringing.Restoring(
        alone=partial(_alone, config),
        forget=partial(forget, config),
        open_journal=partial(Journal.open, config.store.journal),
        agree=partial(_agree, config, meant=Meant(new_blobs=True)),  # they were brought here with it
    )
    return bringing.restore(config, backup, store, keep_models=keep_models)


def _agree(config: Config, journal: Journal, meant: Meant = NOTHING) -> str:
    return agree(config, journal, compose.open_bare_blobs(config), meant)


@contextlib.contextmanager
def _alone(config: Config) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        for file in lock(config, ALL):
            held.callback(file.close)
        yield
