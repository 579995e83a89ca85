"""What has been fetched of the catalogue: a note for each model, in its folder beside the repository, and what it says of it now."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from inference.engines.port import ModelRef
from inference.engines.repository import Listed
from node.catalogue.published import PublishedModel

_BESIDE: Final = ".fetched"
_NOTE: Final = "fetched.json"
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """One file as it came: `accepted` says that its digest was an operator's word, for the list had none."""

    name: str
    sha256: str
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came of a published model, when (UTC, ISO 8601), and what it became in the repository."""

    at: str
    files: tuple[FetchedFile, ...]
    models: tuple[ModelRef, ...]

    def accepted(self, name: str) -> str | None:
        """The digest under which an operator accepted a file; None: nobody did."""
        return next((one.sha256 for one in self.files if one.name == name and one.accepted), None)


def folder_of(repository: Path, configured: Path | None) -> Path:
    """Where files are kept until they are imported, and the notes: as configured, or beside the repository."""
    return configured if configured is not None else repository.with_name(repository.name + _BESIDE)


def noted(folder: Path) -> Fetched | None:
    """The note in a model's folder; None where it was never fetched, or the note cannot be read."""
    try:
        said = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        return Fetched(
            at=str(said["at"]),
            files=tuple(FetchedFile(**one) for one in said["files"]),
            models=tuple(ModelRef(**one) for one in said["models"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def note(folder: Path, fetched: Fetched) -> None:
    """Write the note, in one step.

    Raises
    ------
    OSError
    """
    fresh = folder / f".{_NOTE}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(asdict(fetched), out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    os.replace(fresh, folder / _NOTE)


def there(model: PublishedModel, folder: Path, listed: Sequence[Listed]) -> tuple[ModelRef, ...]:
    """The versions in the repository that a published model became; () where it is not there.

    They are those of its note that are still there, and others that were made of the very files: weights that somebody imported himself.
    """
    said = noted(folder / model.name)
    digests = {file.sha256 for file in model.files if file.sha256 is not None}
    became = set() if said is None else set(said.models)
    return tuple(one.model for one in listed if one.model in became or (one.entry is not None and one.entry.source_sha256 in digests))
