"""What has been fetched of the catalogue: a note for each model, in its folder beside the repository, and what it says of it now; and the
serial of the newest signed list that something was fetched by.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from inference.engines.port import ModelRef
from inference.engines.repository import Listed
from inference.errors import ModelError
from node.catalogue.published import PublishedModel

_BESIDE: Final = ".fetched"
_NOTE: Final = "fetched.json"
_SERIALS: Final = "serials.json"
_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700


class UnreadableSerials(ModelError):
    """The note of which signed list was the newest cannot be read: an older one could pass for it."""

    code = "HLM-4176"
    remedy = "Restore the file that the message names from a backup; or delete it, if the list that is here is the newest of its signer."


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
    _write(folder, _NOTE, asdict(fetched))


def last_serial(folder: Path, key: bytes) -> int:
    """The largest serial of the lists of a key that were fetched by; 0 where there was none, or another user keeps the note.

    Parameters
    ----------
    folder
        As `folder_of`.
    key
        Public, of whoever signs.

    Raises
    ------
    UnreadableSerials
        Nobody can say which list was the newest.
    """
    try:
        said = json.loads((folder / _SERIALS).read_text(encoding="utf-8")).get(key.hex(), 0)
    except (FileNotFoundError, PermissionError):
        return 0
    except (OSError, ValueError, AttributeError) as broken:
        raise UnreadableSerials(f"{folder / _SERIALS} cannot be read: {broken}") from broken
    if type(said) is not int:
        raise UnreadableSerials(f"{folder / _SERIALS} says {said!r} where a serial belongs")
    return said


def note_serial(folder: Path, key: bytes, serial: int) -> None:
    """Remember that a list of this key was taken, with a serial that is not below the last. The folder need not be there yet; where two
    processes note one, the larger stays.

    Raises
    ------
    OSError, UnreadableSerials
    """
    folder.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if serial > last_serial(folder, key):
            try:
                said = json.loads((folder / _SERIALS).read_text(encoding="utf-8"))
            except FileNotFoundError:
                said = {}
            _write(folder, _SERIALS, said | {key.hex(): serial})
    finally:
        os.close(lock)


def notes(folder: Path) -> Iterator[Path]:
    """The notes of a folder (`folder_of`), without the files that were fetched."""
    yield from (path for path in (*sorted(folder.glob(f"*/{_NOTE}")), folder / _SERIALS) if path.is_file())


def _write(folder: Path, name: str, said: Mapping[str, Any]) -> None:
    fresh = folder / f".{name}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(said, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    os.replace(fresh, folder / name)


def there(model: PublishedModel, folder: Path, listed: Sequence[Listed]) -> tuple[ModelRef, ...]:
    """The versions in the repository that a published model became; () where it is not there.

    They are those of its note that are still there, and others that were made of the very files: weights that somebody imported himself.
    """
    said = noted(folder / model.name)
    digests = {file.sha256 for file in model.files if file.sha256 is not None}
    became = set() if said is None else set(said.models)
    return tuple(one.model for one in listed if one.model in became or (one.entry is not None and one.entry.source_sha256 in digests))
