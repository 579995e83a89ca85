"""A model that its folder's app.yaml describes: what that says, and its import as a version with application.json beside it.

How app.yaml is written is the node's (`node.settings.app_yaml`); here it has been read.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.bundle.answering import AnswerChannel
from inference.applications.bundle.config import Config
from inference.applications.bundle.errors import UnclearBundle, UnfitBundle, UnreadableBundle
from inference.applications.bundle.finish import Finishing
from inference.applications.bundle.importing import Imported, NetworkTensors, converted
from inference.applications.bundle.inferer import Inferer, SlidingWindow
from inference.applications.bundle.layouts import MOST_WEIGHTS_BYTES, read_file
from inference.applications.bundle.manifest import FILE, BundleManifest, checked_text
from inference.applications.bundle.steps import Resize, Transform
from inference.applications.bundle.structures import Structure
from inference.applications.port import Accepts, Licences
from inference.engines.deriving import derive_config
from inference.engines.file_import import SUFFIXES, ModelFile, Source, import_weights, next_version
from inference.engines.jail.model import Limits
from inference.engines.modelconfig import ANY, ModelConfig, parse_text
from inference.engines.port import ModelRef
from inference.engines.sieve.sieve import sift
from inference.imaging.judge.expects import Expects
from inference.imaging.measures.measure import Measure

APP = "app.yaml"
SAFETENSORS = ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """All that an app.yaml says.

    Attributes
    ----------
    version
        Of the description; the model's version is added to it.
    model
        The file; it lies in the folder of app.yaml.
    network
        Name and arguments of the network whose weights `model` holds, where it holds nothing else.
    channels
        Of the output, where the file leaves them open.
    """

    name: str
    version: str
    title: str
    noun: str
    model: Path
    network: Mapping[str, Any] | None
    channels: int | None
    accepts: Accepts
    expects: Expects
    prepare: tuple[Transform, ...]
    inferer: Inferer
    finish: tuple[Finishing, ...]
    structures: tuple[Structure, ...]
    answers: tuple[AnswerChannel, ...]
    volumes: bool
    measures: tuple[Measure, ...]
    licences: Licences
    attribution: str
    grade: str

    @property
    def used(self) -> tuple[int, ...]:
        """The channels that something is said of."""
        return (*(one.channel for one in self.structures), *(one.channel for one in self.answers))


def import_declared(declared: Declared, repository: Path, *, version: int | None = None, allow_code: bool = False) -> Imported:
    """Bring the model of an app.yaml into the repository as a new version; importing it again changes nothing.

    Raises
    ------
    UnreadableBundle, UnfitBundle, UnclearBundle, HostileModel, Underivable, AlreadyThere, OtherModel
        Nothing was written.
    """
    name = declared.name.replace("-", "_")
    file = declared.model
    if not file.is_file():
        raise UnreadableBundle(f"{file} is not there; app.yaml names it as its model")
    if not file.resolve().is_relative_to(file.parent.resolve()):
        raise UnreadableBundle(f"{file} is a link that leads out of the folder, to {file.resolve()}")
    content = read_file(file, MOST_WEIGHTS_BYTES)
    limits = Limits.usual(allow_code=allow_code)
    if file.suffix.lower() == SAFETENSORS:
        source, text = _of_weights(declared, name, file, content)
    else:
        kind = SUFFIXES[file.suffix.lower()]
        sift(kind, content, file.name)
        source = Source(file=kind, weights=content, published_sha256=hashlib.sha256(content).hexdigest(), where=file.name)
        text = derive_config(name, kind, content, _shape(declared, kind), limits=limits)
    config = parse_text(text, name, f'config.pbtxt of "{name}"')
    _fits(declared, config)
    said = ModelFile(
        name=name,
        version=version,
        licence=declared.licences.weights,
        attribution=declared.attribution,
        config=text,
        golden_shape=_golden_shape(declared, config),
        allow_code=allow_code,
    )
    source = replace(source, notes=(*_notes(declared), *source.notes))
    said = replace(said, version=next_version(said, source, repository))
    assert said.version is not None, "it was just chosen"
    manifest = BundleManifest(
        name=declared.name,
        version=f"{declared.version}+model.{said.version}",
        title=declared.title,
        noun=declared.noun,
        accepts=declared.accepts,
        expects=declared.expects,
        model=ModelRef(name=name, version=said.version),
        input=config.inputs[0].name,
        output=config.outputs[0].name,
        channels=_channels(declared, config),
        prepare=declared.prepare,
        inferer=declared.inferer,
        finish=declared.finish,
        structures=declared.structures,
        answers=declared.answers,
        volumes=declared.volumes,
        measures=declared.measures,
        licences=declared.licences,
        grade=declared.grade,
    )
    model, entry = import_weights(source, said, repository, {FILE: checked_text(manifest)})
    return Imported(model=model, application=manifest.name, entry=entry, manifest=manifest, found=f"{APP} and {file.name}")


def _of_weights(declared: Declared, name: str, file: Path, content: bytes) -> tuple[Source, str]:
    """Weights alone, and the network that they are of."""
    if declared.network is None:
        raise UnclearBundle(f"{file.name} holds weights and no network; say in app.yaml whose they are: `network: {{class: UNet, …}}`")
    channels = declared.channels or max(declared.used) + 1
    tensors = NetworkTensors(inferer=declared.inferer, channels=channels, classifies=bool(declared.answers))
    config = Config({"network_def": {"_target_": declared.network["class"], **declared.network["arguments"]}})
    return converted(file.name, content, name, config, None, tensors, "onnx")


def _shape(declared: Declared, kind: str) -> tuple[int, ...] | None:
    """Of what the network sees, which TorchScript does not say by itself."""
    if kind != "model.pt":
        return None
    sides = _sides(declared)
    if sides is None:
        raise UnclearBundle("TorchScript does not say what it takes, and app.yaml names neither a window nor a size: give one of them")
    return (1, *sides)


def _sides(declared: Declared) -> tuple[int, int, int] | None:
    if isinstance(declared.inferer, SlidingWindow):
        return declared.inferer.roi_size
    return next((step.size for step in declared.prepare if isinstance(step, Resize)), None)


def _golden_shape(declared: Declared, config: ModelConfig) -> tuple[int, ...] | None:
    sides = _sides(declared)
    return None if sides is None or ANY not in config.inputs[0].dims else (1, 1, *sides)


def _unbatched(config: ModelConfig, dims: tuple[int, ...]) -> tuple[int, ...]:
    return dims if config.max_batch_size > 0 else dims[1:]


def _fits(declared: Declared, config: ModelConfig) -> None:
    """One image of one channel goes in, and what app.yaml says comes out."""
    where = declared.model.name
    if len(config.inputs) != 1 or not config.outputs:
        raise UnfitBundle(f"{where} takes {len(config.inputs)} inputs and gives {len(config.outputs)} outputs; one image goes in")
    takes, gives = (_unbatched(config, tensors[0].dims) for tensors in (config.inputs, config.outputs))
    if len(takes) != 4 or takes[0] not in (1, ANY) or config.inputs[0].dtype != np.float32:
        what = f"{config.inputs[0].dtype} of shape {takes} for one image"
        raise UnfitBundle(f"{where} takes {what}; float32 of one channel and three axes (1, …, …, …) is what one series gives")
    axes = 1 if declared.answers else 4
    if len(gives) != axes:
        what = "findings: one number for each" if declared.answers else "segments: channels and three axes"
        raise UnfitBundle(f"{where} gives {gives} for one image; app.yaml says {what}")
    sides = _sides(declared)
    if sides is not None and any(fixed not in (ANY, side) for fixed, side in zip(takes[1:], sides, strict=True)):
        raise UnfitBundle(f"{where} takes images of {_by(takes[1:])} voxels, app.yaml gives it {_by(sides)}")
    if sides is None and ANY not in takes[1:]:
        raise UnfitBundle(f"{where} takes images of {_by(takes[1:])} voxels alone: name them in app.yaml, as `run: {{window: …}}`")
    channels = _channels(declared, config)
    if max(declared.used) >= channels:
        raise UnfitBundle(f"{where} has the channels 0 to {channels - 1}; app.yaml names channel {max(declared.used)}")


def _channels(declared: Declared, config: ModelConfig) -> int:
    there = _unbatched(config, config.outputs[0].dims)[0]
    if there == ANY and declared.channels is None:
        raise UnclearBundle(f"{declared.model.name} does not say how many channels it gives: say it in app.yaml, `output: {{channels: 2}}`")
    if declared.channels not in (None, there) and there != ANY:
        raise UnfitBundle(f"{declared.model.name} gives {there} channels, app.yaml says {declared.channels}")
    return there if there != ANY else declared.channels or 0


def _by(sides: tuple[int, ...]) -> str:
    return " × ".join("any" if side == ANY else str(side) for side in sides)


def _notes(declared: Declared) -> tuple[str, ...]:
    """For the model card."""
    licences = declared.licences
    said = [(name, getattr(licences, name)) for name in ("code", "weights", "data")]
    return (
        f"grade: {declared.grade}",
        "licences: " + ", ".join(f"{name} {value or '(not said)'}" for name, value in said) + f"; commercial use: {licences.commercial}",
    )


NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""Of an application."""
