"""The manifest of a backup: what is in it, with checksums; a backup without one is none."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.backup.errors import BackupDamaged

MANIFEST = "manifest.json"
JOURNAL_FILE, JOURNAL_DUMP = "journal.db", "journal.pgdump"
BLOBS, SPOOL, CONFIG, MARKS = "blobs", "spool", "hilum.yaml", "marks.txt"
MODELS, APPLICATIONS, ROUTE_CASES = "models", "applications", "routes.test.yaml"
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
