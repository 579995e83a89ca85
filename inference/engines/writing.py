"""Puts versions of models into the repository: whole, beside what is there, under a lock, never over another version's files.

What a reader (an engine, a Triton server on another host) sees at any moment is a complete repository: the version's folder is moved into
its place first, then config.pbtxt, then the card, and hilum.json, which says that the version counts, last.

Nothing of a repository is about a patient, and whoever serves it is often another user than whoever imported: everybody may read what is
put here, whatever the umask of the process.
"""

import contextlib
import fcntl
import getpass
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.engines.configtext import with_digest
from inference.engines.errors import AlreadyThere, DigestMismatch, ModelMissing, OtherModel, RepositoryNotWritten, UnreadableModel
from inference.engines.modelconfig import parse_config
from inference.engines.port import ModelRef
from inference.engines.repository import CARD, CONFIG, ENTRY, Entry, Repository, entry_to_json

_SCRATCH = ".import-"
_FOLDER_MODE = 0o755
_FILE_MODE = 0o644
_CARDS = re.compile(r"^(?=# [^\n]*, version \d+$)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """One version of a model, complete.

    Attributes
    ----------
    config
        Text of config.pbtxt without hilum's parameters.
    card
        The model card, Markdown.
    beside
        Further files of the version's folder, by name, such as a bundle's application.json.
    serve
        Whether applications that follow the repository use it from now on.
    """

    model: ModelRef
    weights: bytes
    entry: Entry
    config: str
    card: str
    beside: Mapping[str, bytes] = field(default_factory=dict)
    serve: bool = True


def add_version(repository: Path, new: NewVersion, *, replace: bool = False) -> None:
    """Write a version into the repository; the folder is made where it is not there.

    Parameters
    ----------
    replace
        Whether a version of this number may be replaced: an application's own weights, whose digest its manifest fixes, are mended so.
        Its old files are then gone in the same moment as the new ones are there.

    Raises
    ------
    AlreadyThere
        A version of this number is there, with other weights or other files, and `replace` is False.
    OtherModel
        The model that is there has other tensors: versions of one model differ in weights alone.
    RepositoryNotWritten
        The disk is full, or it may not be written; nothing of the version is there.
    """
    with _writing(repository):
        _add_version(repository, new, replace)


def _add_version(repository: Path, new: NewVersion, replace: bool) -> None:
    if not repository.is_dir():
        repository.mkdir(parents=True, exist_ok=True)
        repository.chmod(_FOLDER_MODE)
    with locked(repository):
        target = repository / new.model.name
        config = _config(target, new)
        scratch = Path(tempfile.mkdtemp(dir=repository, prefix=_SCRATCH))
        try:
            made = scratch / "new"
            folder = made / str(new.model.version)
            folder.mkdir(parents=True)
            # an ensemble has no weights, and its folder stays empty
            for name, content in {**({new.entry.file: new.weights} if new.entry.file else {}), **new.beside}.items():
                put(folder / name, content)
            put(made / CONFIG, config.encode())
            put(made / CARD, _cards(target / CARD, new).encode())
            put(made / ENTRY, _entries(target / ENTRY, new))
            made.chmod(_FOLDER_MODE)
            folder.chmod(_FOLDER_MODE)
            if target.is_dir():
                _beside(target, made, new, scratch, replace)
            else:
                os.replace(made, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def locked(repository: Path) -> Iterator[None]:
    """One writer at a time, of all processes of this host; it waits."""
    folder = os.open(repository, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as refused:
        what = refused.strerror or type(refused).__name__
        raise RepositoryNotWritten(f"the model repository cannot be written ({refused.filename or place}): {what}") from refused


def put(path: Path, content: bytes) -> None:
    """Write a file and bring it to the disk: the move that makes it visible comes after."""
    with path.open("wb") as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def put_in_place(path: Path, content: bytes) -> None:
    """Replace a file in one step: readers see the old one or the new one.

    Raises
    ------
    RepositoryNotWritten
        The old one stands.
    """
    with _writing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        os.close(handle)
        try:
            put(Path(name), content)
            os.replace(name, path)
        except BaseException:  # raised again: nothing half-written stays beside it
            Path(name).unlink(missing_ok=True)
            raise


def read_entries(file: Path) -> dict[str, Any]:
    """hilum.json as it stands; without a file, an empty one.

    Raises
    ------
    UnreadableModel
    """
    if not file.is_file():
        return {"name": file.parent.name, "versions": {}}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content["versions"], dict):
            raise TypeError("versions is no object")
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise UnreadableModel(f"{file} cannot be read: {broken!r}") from broken
    return dict(content)


def to_text(entries: Mapping[str, Any]) -> bytes:
    """hilum.json's text."""
    return (json.dumps(entries, indent=2, sort_keys=True) + "\n").encode()


def told(entries: dict[str, Any], *, was: int | None, serving: int, why: str) -> None:
    """Say in hilum.json which version is served from now on, who said so, when and why."""
    entries["serving"] = serving
    line = {"serving": serving, "was": was, "by": _who(), "at": datetime.now(UTC).isoformat(timespec="seconds"), "why": why}
    entries["history"] = [*entries.get("history", []), line]


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return f"uid {os.getuid()}"


def _config(target: Path, new: NewVersion) -> str:
    """config.pbtxt with the digests of all versions: those that stand in it, and the new one's."""
    present = (target / CONFIG).read_text(encoding="utf-8", errors="replace") if (target / CONFIG).is_file() else None
    return with_digest(new.config, new.model.version, new.entry.sha256, present)


def _cards(file: Path, new: NewVersion) -> str:
    """The new version's card, and below it those of the other versions that are there."""
    present = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    parts = [part.strip() for part in _CARDS.split(present) if part.strip()]
    own = f", version {new.model.version}"
    others = [part for part in parts if not part.splitlines()[0].endswith(own)]
    return "\n\n".join([new.card.strip(), *others]) + "\n"


def _entries(file: Path, new: NewVersion) -> bytes:
    """hilum.json with this version in it; what it said of other versions stays, when it can be read."""
    try:
        entries = read_entries(file)
    except UnreadableModel:
        entries = {"versions": {}}
    entries["name"] = new.model.name
    before = entries.get("serving")
    entries["versions"] = {**entries["versions"], str(new.model.version): entry_to_json(new.entry)}
    if new.serve and before != new.model.version:
        told(entries, was=before, serving=new.model.version, why="imported")
    return to_text(entries)


def _beside(target: Path, made: Path, new: NewVersion, scratch: Path, replace: bool) -> None:
    """Move what was made into a model's folder that is there already."""
    version = target / str(new.model.version)
    if version.is_dir():
        if not replace and _counts(target, new):
            raise AlreadyThere(f'model "{new.model.name}" has a version {new.model.version} already in {target.parent}, with other files')
        os.replace(version, scratch / "old")
    if not replace:
        _refuse_other_tensors(target, made, new)
    os.replace(made / str(new.model.version), version)
    # hilum.json last: from then on the version counts
    for name in (CONFIG, CARD, ENTRY):
        os.replace(made / name, target / name)


def _counts(target: Path, new: NewVersion) -> bool:
    """Whether the version that is there is entered; a folder without an entry is what an interrupted import left."""
    try:
        return str(new.model.version) in read_entries(target / ENTRY)["versions"]
    except UnreadableModel:
        return True


def _refuse_other_tensors(target: Path, made: Path, new: NewVersion) -> None:
    if not any(each.is_dir() and each.name.isdecimal() and each.name != str(new.model.version) for each in target.iterdir()):
        return
    before, now = parse_config(target / CONFIG, new.model.name), parse_config(made / CONFIG, new.model.name)
    if (before.inputs, before.outputs, before.max_batch_size, before.backend, before.weights) != (
        now.inputs,
        now.outputs,
        now.max_batch_size,
        now.backend,
        now.weights,
    ):
        raise OtherModel(
            f'version {new.model.version} of "{new.model.name}" has other tensors, batch or backend than the versions in {target}; '
            "one config.pbtxt describes all versions of a model"
        )


def present(repository: Path, new: NewVersion) -> Entry | None:
    """The entry of this very version, when it is in the repository already: made of the same published weights, with the same files beside.

    A conversion need not give the same bytes twice; what counts is what was converted.
    """
    folder = repository / new.model.name / str(new.model.version)
    try:
        entry = Repository(repository).verify(new.model)
    except (ModelMissing, UnreadableModel, DigestMismatch):
        return None
    if entry is None or (entry.source_sha256, entry.file) != (new.entry.source_sha256, new.entry.file):
        return None
    same = all((folder / name).is_file() and (folder / name).read_bytes() == content for name, content in new.beside.items())
    return entry if same else None
