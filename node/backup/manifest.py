"""The manifest of a backup: what is in it, with checksums; a backup without one is none. The mark of a restore under way lies in the spool
from before the first file is restored until the last step is done. And what may go wrong with either.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.blobs.files import flush_folder, write_flushed
from node.blobs.port import BlobsFailed
from node.domain.errors import ConfigError, JournalError
from node.settings.config import Config


class NoBackup(JournalError):
    """A backup cannot be made: the target cannot be written, or a program for it is not installed."""

    code = "HLM-7056"
    remedy = "Mend what the message names and call it again: what was copied already is not copied twice. Earlier backups are untouched."
    retry = False


class BackupDamaged(JournalError):
    """A backup is not what was written: a file is missing, or its checksum is another one. Nothing was restored."""

    code = "HLM-7057"
    remedy = "Take an earlier backup of the same folder, or another copy of this one; `hilum restore BACKUP --check` tells which are whole."
    retry = False


class NotEmpty(ConfigError):
    """The place to restore to holds something: a restore never overwrites."""

    code = "HLM-2098"
    remedy = "Point `store:` of the configuration to an empty place (or move the old store away), and restore again."


class ModelsThere(ConfigError):
    """Models or applications are where a restore would bring the backup's, and are not the same: a restore never overwrites."""

    code = "HLM-2078"
    remedy = (
        "Move what is there away, or name another place under `models:` of the configuration, and restore again; or keep what is there: "
        "`hilum restore BACKUP --keep-models`."
    )


class OtherFolders(ConfigError):
    """The configuration names fewer folders of applications than the one that the backup was made under."""

    code = "HLM-2079"
    remedy = "Put the backup's hilum.yaml in place, or name as many folders under `models: {applications: […]}` as it does, in its order."


class HalfRestored(ConfigError):
    """A restore to this place was begun and ended before its last step."""

    code = "HLM-2093"
    remedy = "Run `hilum restore BACKUP` once more, with the backup that the message names: it goes on where it ended."


class NotThisJournal(ConfigError):
    """The backup is of a journal of another kind than the configuration names."""

    code = "HLM-2099"
    remedy = (
        "A journal in a file is restored to a file, one on PostgreSQL to an empty database on PostgreSQL: correct `store: {journal: …}`."
    )


MANIFEST = "manifest.json"
JOURNAL_FILE, JOURNAL_DUMP = "journal.db", "journal.pgdump"
BLOBS, SPOOL, CONFIG, MARKS = "blobs", "spool", "hilum.yaml", "marks.txt"
MODELS, APPLICATIONS, ROUTE_CASES = "models", "applications", "routes.test.yaml"
CATALOGUE, FETCHED = "catalogue", "fetched"
_VERSION = 1
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUpFile:
    """One file of a backup; `sha256` in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds.

    Attributes
    ----------
    taken_at
        ISO 8601, UTC: what was acknowledged a second before is in it.
    journal
        "sqlite" or "postgresql".
    bucket
        Where the blobs are, if not in the backup.
    sealed
        The ids of the keys that files of it are encrypted with: it holds no key.
    absent
        Blobs that were deleted while the backup was made: retention's work, to be entered when it is restored.
    """

    taken_at: str
    hilum: str
    schema: str
    journal: str
    bucket: str | None
    files: Mapping[str, BackedUpFile]
    absent: tuple[str, ...]
    sealed: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The versions of models in it, such as "mr_brain/1"."""
        parts = [name.split("/") for name in self.files]
        return tuple(sorted({f"{one[1]}/{one[2]}" for one in parts if one[0] == MODELS and len(one) > 3 and one[2].isdecimal()}))

    @property
    def applications(self) -> tuple[str, ...]:
        """The folders of applications of one's own in it."""
        parts = [name.split("/") for name in self.files]
        return tuple(sorted({one[2] for one in parts if one[0] == APPLICATIONS and len(one) > 3}))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files.values())

    def write(self, folder: Path) -> None:
        """Put it into the folder of the backup."""
        content = {
            "version": _VERSION,
            "taken_at": self.taken_at,
            "hilum": self.hilum,
            "schema": self.schema,
            "journal": self.journal,
            "bucket": self.bucket,
            "sealed": list(self.sealed),
            "absent": list(self.absent),
            "files": {name: [one.size, one.sha256] for name, one in sorted(self.files.items())},
        }
        (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises
    ------
    BackupDamaged
        There is none, or it cannot be understood.
    """
    try:
        said: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if said["version"] != _VERSION:
            raise BackupDamaged(f"{folder}: written by a newer hilum (form {said['version']})")
        return Manifest(
            taken_at=said["taken_at"],
            hilum=said["hilum"],
            schema=said["schema"],
            journal=said["journal"],
            bucket=said["bucket"],
            absent=tuple(said["absent"]),
            sealed=tuple(said["sealed"]),
            files={name: BackedUpFile(size=size, sha256=sha256) for name, (size, sha256) in said["files"].items()},
        )
    except FileNotFoundError as absent:
        raise BackupDamaged(f"{folder} is no backup: it has no {MANIFEST}") from absent
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BackupDamaged(f"{folder / MANIFEST} cannot be read: {broken}") from broken


def damage(folder: Path, manifest: Manifest) -> list[str]:
    """Why each file that is not as it was written is not."""
    found = []
    for name, entry in manifest.files.items():
        path = folder / name
        try:
            if path.stat().st_size != entry.size:
                found.append(f"{name}: {path.stat().st_size} bytes instead of {entry.size}")
            elif checksum(path) != entry.sha256:
                found.append(f"{name}: other bytes than were written")
        except OSError as gone:
            found.append(f"{name}: {gone.strerror}")
    return found


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    told = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK_BYTES):
            told.update(part)
    return told.hexdigest()


_MARK = "restoring"
_COMING = f"{_MARK}.part"
RESTORE_MARKS = (_MARK, _COMING)


def restore_begun(config: Config) -> str | None:
    """Of which backup the place holds a part; None: of none. BlobsFailed where there is no telling."""
    mark = _mark(config)
    try:
        return mark.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as failed:
        raise BlobsFailed(f"{mark.parent} cannot be read: {failed.strerror}") from failed


def begin_restore(config: Config, backup: Path) -> None:
    """From now on the place is this backup's; durable, and never half a mark."""
    mark = _mark(config)
    coming = mark.with_name(_COMING)
    coming.unlink(missing_ok=True)
    write_flushed(coming, [str(backup.resolve()).encode()])
    coming.rename(mark)
    flush_folder(mark.parent)


def end_restore(config: Config) -> None:
    """Everything is there, on disk."""
    os.sync()
    mark = _mark(config)
    mark.unlink()
    flush_folder(mark.parent)


def refuse_half_restored(config: Config) -> None:
    """Let nothing work on a part of a backup.

    Raises
    ------
    HalfRestored
        A restore was begun and not finished.
    BlobsFailed
        The folder cannot be read.
    """
    backup = restore_begun(config)
    if backup is not None:
        raise HalfRestored(f"{_mark(config).parent} holds a part of {backup}: its restore was not finished")


def _mark(config: Config) -> Path:
    return config.store.spooled / _MARK
