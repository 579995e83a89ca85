"""A model file that the operator has becomes a version of the repository: TorchScript, torch.export or ONNX, with its golden output."""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.engines.configtext import without_digests
from inference.engines.deriving import BATCH, derive_config
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import ModelMissing, NoSource, Underivable, UnreadableModel
from inference.engines.golden import golden_run
from inference.engines.jail.model import Limits
from inference.engines.modelconfig import ANY, ModelConfig, parse_config
from inference.engines.port import Golden, ModelRef
from inference.engines.repository import CONFIG, Entry, Repository
from inference.engines.serving import served
from inference.engines.sieve.sieve import sift
from inference.engines.weights_import import FORMATS
from inference.engines.writing import NewVersion, add_version, present

SUFFIXES = {".onnx": "model.onnx", ".pt2": "model.pt2", ".pt": "model.pt", ".ts": "model.pt", ".pth": "model.pt"}
"""What a file's ending says that it is, and what it is called in the repository."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}", re.IGNORECASE)
_OPEN_SIDE = 32
"""The golden input's length on an axis that config.pbtxt leaves open: halved five times by a U-Net, one is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """What the operator says of a file.

    Attributes
    ----------
    version
        None: the one after the highest that is there.
    config
        Text of a config.pbtxt; None derives it from the file.
    shape
        Of the input without the batch axis, where the file does not say it.
    golden_shape
        Of the golden input, with the batch axis where there is one; None makes one of config.pbtxt.
    allow_code
        Load a file that can carry a program even where the kernel cannot confine the process that does.
    """

    name: str
    licence: str
    attribution: str
    version: int | None = None
    config: str | None = None
    shape: tuple[int, ...] | None = None
    batch: int = BATCH
    golden_shape: tuple[int, ...] | None = None
    allow_code: bool = False


def import_file(file: Path, said: ModelFile, repository: Path) -> tuple[ModelRef, Entry]:
    """Bring a file into the repository as a new version; importing the same file as the same version again changes nothing.

    Raises
    ------
    NoSource, HostileModel, Underivable, UnreadableModel, AlreadyThere, OtherModel
        Nothing was written.
    """
    if not file.is_file():
        raise NoSource(f"{file} is not a file")
    kind = SUFFIXES.get(file.suffix.lower())
    if kind is None:
        raise NoSource(f"{file.name} is none of {', '.join(SUFFIXES)}")
    weights = file.read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    source = Source(file=kind, weights=weights, published_sha256=digest, where=file.name)
    return import_weights(source, said, repository)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Weights as they are to be served, and where they came from.

    Attributes
    ----------
    file
        What they are called: model.pt, model.pt2 or model.onnx.
    beside
        Further files of the version's folder.
    notes
        Sentences for the model card.
    code
        What of the author's code was run at import, for entry and card.
    """

    file: str
    weights: bytes
    published_sha256: str
    where: str
    published: str = ""
    notes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


def import_weights(source: Source, said: ModelFile, repository: Path, beside: Mapping[str, bytes] | None = None) -> tuple[ModelRef, Entry]:
    """As `import_file`, of weights that are in memory."""
    sift(source.file, source.weights, source.where)
    model = ModelRef(name=said.name, version=next_version(said, source, repository))
    text = (
        without_digests(said.config)
        if said.config is not None
        else derive_config(model.name, source.file, source.weights, said.shape, said.batch, limits=Limits.usual(allow_code=said.allow_code))
    )
    golden = _golden(model, source, said, text)
    entry = Entry(
        file=source.file,
        sha256=hashlib.sha256(source.weights).hexdigest(),
        source_sha256=source.published_sha256,
        source=source.where,
        licence=said.licence,
        attribution=said.attribution,
        format=FORMATS[source.file],
        golden=golden,
        code=source.code,
    )
    new = NewVersion(
        model=model, weights=source.weights, entry=entry, config=text, card=card(model, source, entry, text), beside=beside or {}
    )
    there = present(repository, new)
    if there is not None:
        return model, there
    add_version(repository, new)
    return model, entry


def next_version(said: ModelFile, source: Source, repository: Path) -> int:
    """The version that was asked for; else the one that holds these weights already, else the one after the highest that is there."""
    if not _NAME.fullmatch(said.name) or said.name.endswith("."):
        raise NoSource(f'"{said.name}" is no name for a model: letters, digits, "_", "-" and "."')
    if said.version is not None:
        if said.version < 1:
            raise NoSource(f"versions count from 1, not {said.version}")
        return said.version
    try:
        there = served(repository, said.name).versions
    except ModelMissing:
        return 1
    for version in there:
        try:
            entry = Repository(repository).entry(ModelRef(name=said.name, version=version))
        except UnreadableModel:
            continue
        if entry is not None and entry.source_sha256 == source.published_sha256:
            return version
    return there[-1] + 1


def golden_shape(config: ModelConfig) -> tuple[int, ...]:
    """The shape of a golden input: one in the batch, short sides where they are open."""
    dims = tuple(side if side != ANY else _OPEN_SIDE for side in config.inputs[0].dims)
    return (1, *dims) if config.max_batch_size > 0 else dims


def _golden(model: ModelRef, source: Source, said: ModelFile, text: str) -> Golden | None:
    """Run the golden input on the embedded engine; None for a model of several inputs that one shape does not fit."""
    with tempfile.TemporaryDirectory(prefix="hilum-import-") as folder:
        trial = Path(folder)
        version = trial / model.name / str(model.version)
        version.mkdir(parents=True)
        (version / source.file).write_bytes(source.weights)
        (trial / model.name / CONFIG).write_text(text, encoding="utf-8")
        config = parse_config(trial / model.name / CONFIG, model.name)
        if config.weights and config.weights != source.file:
            raise Underivable(f'config.pbtxt of "{model.name}" names {config.weights}; in the repository the weights are {source.file}')
        if len({tensor.dims for tensor in config.inputs}) > 1:
            return None
        shape = said.golden_shape or golden_shape(config)
        with closing(EmbeddedEngine(trial, limits=Limits.usual(allow_code=said.allow_code))) as engine:
            mean, deviation = golden_run(engine, Repository(trial), model, Golden(shape=shape, mean=0.0, deviation=0.0))
    if not (np.isfinite(mean) and np.isfinite(deviation)):
        raise UnreadableModel(f'"{model.name}" gives values that are no numbers for the golden input of shape {shape}')
    return Golden(shape=shape, mean=mean, deviation=deviation)


def card(model: ModelRef, source: Source, entry: Entry, config: str) -> str:
    """The model card of an imported file, as Markdown."""
    converted = "" if entry.sha256 == entry.source_sha256 else f"\n- as served (converted at import): `{entry.sha256}`"
    golden = (
        f"\nGolden input of shape {entry.golden.shape}: mean {entry.golden.mean:.6g}, deviation {entry.golden.deviation:.6g}.\n"
        if entry.golden
        else "\nNo golden output: its inputs have several shapes.\n"
    )
    notes = "".join(f"\n- {note}" for note in source.notes)
    code = "".join(f"\n- `{each}`" for each in entry.code)
    return (
        f"# {model.name}, version {model.version}\n\n"
        "Research – not for diagnosis.\n\n"
        f"- format: {entry.format} (`{model.version}/{entry.file}`)\n"
        f"- from: {entry.source}\n"
        f"{f'- published: {source.published}{chr(10)}' if source.published else ''}"
        f"- licence: {entry.licence or '(not said)'}\n"
        f"- attribution: {entry.attribution or '(not said)'}\n\n"
        f"SHA-256\n\n- as published: `{entry.source_sha256}`{converted}\n"
        f"{golden}"
        f"{f'{chr(10)}Notes{chr(10)}{notes}{chr(10)}' if notes else ''}"
        f"{f'{chr(10)}Code of the author that was run at import, because the operator allowed it{chr(10)}{code}{chr(10)}' if code else ''}"
        f"\nTensors\n\n```\n{config.strip()}\n```\n"
    )
