"""Bundle import: enters a bundle's network into the model repository as a version of a model, and application.json beside it."""

import hashlib
import math
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.bundle.anatomy import Coded
from inference.applications.bundle.answering import ROUNDED, Samples
from inference.applications.bundle.arrays import read_values
from inference.applications.bundle.author import Author
from inference.applications.bundle.config import Config, Document, parse
from inference.applications.bundle.describing import about, attribution, licence, title
from inference.applications.bundle.detecting import Detector
from inference.applications.bundle.errors import CodeRefused, UnclearBundle, UncodedStructure, UnfitBundle, UnreadableBundle
from inference.applications.bundle.inferer import Inferer, SlidingWindow
from inference.applications.bundle.layouts import (
    INFERENCE,
    LARGE,
    METADATA,
    MOST_CONFIG_BYTES,
    MOST_WEIGHTS_BYTES,
    WEIGHTS,
    Bundle,
    Layout,
    open_bundle,
)
from inference.applications.bundle.manifest import FILE, MIN_SLICES, BundleManifest, Measured, checked_text, nothing
from inference.applications.bundle.metadata import MODALITIES, Network, network
from inference.applications.bundle.names import answers, detected_classes, structures
from inference.applications.bundle.reading import as_given, pipeline
from inference.applications.port import Accepts, Licences, Takes
from inference.engines.configtext import config_text
from inference.engines.extras import demand
from inference.engines.file_import import ModelFile, Source, import_weights, next_version
from inference.engines.modelconfig import ANY, TensorConfig, parse_text
from inference.engines.port import ModelRef
from inference.engines.repository import Entry
from inference.engines.sieve.sieve import sift

_OPEN_SIDE = 96
"""Side of the image that an open network is tried with where its windows are as long as the image."""

_TRACED = 4
"""Places of a detector's last level along each side of the image that it is converted with."""

_HELD_TIMES = 4
"""How much ONNX Runtime holds of its own, at the most, in terms of the values that a network still needs: 3.5 times as much was measured of
a detector's windows of 96 × 96 × 40 and of 192 × 192 × 80 voxels."""

_TENSORS = ("INPUT__0", "OUTPUT__0")
_FILES = {".onnx": "model.onnx", ".ts": "model.pt"}
_CHECKPOINTS = {".pt", ".pth", ".ckpt", ".safetensors"}
_SCALES = (1.0, -1.0, 30.0, -1000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the operator says of a bundle.

    Attributes
    ----------
    name
        Of model and application; None: the bundle's own.
    licences
        What a list of published models says; None where nobody did.
    codes
        By channel: what it is; None leaves the channel out.
    weights
        The member that holds them; None: the first of ONNX, TorchScript, state dict.
    to
        What a state dict becomes: "onnx" or "pt2".
    measures
        Of its structures, besides their volumes.
    certainty
        From which on a detector's box is reported; None: as the bundle keeps them.
    """

    name: str | None = None
    version: int | None = None
    licence: str = ""
    attribution: str = ""
    licences: Licences | None = None
    codes: Mapping[int, Coded | None] = field(default_factory=dict)
    listed: Mapping[str, Coded | None] = field(default_factory=dict)
    orientation: str | None = None
    modality: str | None = None
    weights: str | None = None
    to: str = "onnx"
    allow_code: bool = False
    measures: Measured = nothing
    certainty: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A model with its application that is in the repository; `found` says what was given."""

    model: ModelRef
    application: str
    entry: Entry
    manifest: BundleManifest
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTensors:
    """What goes into a network and comes out of it: the sides of its windows are the inferer's, or it says one number for each channel.

    A detector's are open, and it gives the maps of each level.
    """

    inferer: Inferer
    inputs: int = 1
    channels: int
    classifies: bool = False
    detector: Detector | None = None


def import_bundle(path: Path, wanted: Wanted, repository: Path) -> Imported:
    """Bring a bundle into the repository, as a new version of its model; importing it again changes nothing.

    Raises
    ------
    UnreadableBundle, UnknownTransform, CodeRefused, UncodedStructure, UnfitBundle, UnclearBundle, HostileBundle, AlreadyThere, OtherModel
        Nothing was written.
    """
    bundle = open_bundle(path)
    described = bundle.read(METADATA)
    metadata = parse(METADATA, described)
    place = bundle.first(*INFERENCE)
    if place is None:
        raise UnreadableBundle(f"{path} has none of {', '.join(INFERENCE)}: it does not say how its network is used")
    config, author = _config(bundle, place, wanted)
    net = network(metadata, Document(METADATA, described).at)
    steps = pipeline(config, net, wanted.orientation)
    detector = steps.detector
    try:
        chosen = () if net.classifies or detector else structures(net.names, wanted.codes, wanted.listed)
        said_of = answers(net.names, wanted.codes, steps.limit, wanted.listed) if net.classifies else ()
        if detector is not None:
            names = {channel: net.names.get(channel, "") for channel in range(detector.channels)}
            classes = detected_classes(names, wanted.codes, wanted.listed)
            detector = replace(detector, classes=classes, told=_certainty(wanted, detector))
    except UncodedStructure as uncoded:
        raise UncodedStructure(f"{net.said_at}: {uncoded}") from uncoded
    if (net.classifies or detector) and wanted.measures is not nothing:
        raise UnfitBundle(f"{net.said_at}: the network marks nothing that could be measured: leave --measure out")
    if detector is None and wanted.certainty is not None:
        raise UnfitBundle(f"{net.said_at}: the network finds no boxes that could be more or less sure: leave --certainty out")
    name = model_name(wanted.name or bundle.name)
    tensors_of = NetworkTensors(
        inferer=steps.inferer, inputs=net.inputs, channels=net.channels, classifies=net.classifies, detector=detector
    )
    source, tensors = _weights(bundle, name, config, author, tensors_of, wanted)
    if steps.unsaid:
        text = _config_text(name, source.file, tensors_of, tensors)
        steps = as_given(steps, _gives_probabilities(name, text, source, tensors_of, wanted, config.at("postprocessing")))
    said = ModelFile(
        name=name,
        version=wanted.version,
        licence=wanted.licence or licence(bundle),
        attribution=wanted.attribution or attribution(metadata),
        config=_config_text(name, source.file, tensors_of, tensors),
        allow_code=wanted.allow_code,
    )
    memory: tuple[str, ...] = ()
    if detector is not None:
        detector, said_of_memory = _measured(detector, config, steps.inferer)
        memory = (said_of_memory,)
    source = replace(source, notes=(*about(metadata), *steps.notes, *memory, *source.notes), code=tuple(config.evaluated) + source.code)
    said = replace(said, version=next_version(said, source, repository))
    assert said.version is not None, "it was just chosen"
    manifest = BundleManifest(
        name=application_name(name),
        version=f"{_semantic(metadata.get('version'))}+model.{said.version}",
        title=title(metadata, name),
        accepts=_accepts(net, wanted),
        model=ModelRef(name=name, version=said.version),
        input=tensors[0],
        output=tensors[1],
        channels=net.channels if detector is None else detector.channels,
        prepare=steps.prepare,
        inferer=steps.inferer,
        finish=steps.finish,
        structures=chosen,
        answers=said_of,
        detector=detector,
        decides=steps.decides,
        # what the bundle's own code reads of single images are picture files
        samples=Samples.PICTURE if net.single and net.samples is Samples.GREY else net.samples,
        measures=wanted.measures(chosen),
        roles=net.roles,
        notes=steps.notes,
        licences=wanted.licences or Licences(),
    )
    model, entry = import_weights(source, said, repository, {FILE: checked_text(manifest)})
    return Imported(
        model=model,
        application=manifest.name,
        entry=entry,
        manifest=manifest,
        found=". ".join((f"a MONAI Bundle, {bundle.layout.value}", *memory)),
    )


def _measured(detector: Detector, config: Config, inferer: Inferer) -> tuple[Detector, str]:
    """A detector with what its network holds of a voxel, and what its window takes, as its importer is told and its card says."""
    from inference.applications.bundle.network import window_bytes

    window = inferer.window((_OPEN_SIDE, _OPEN_SIDE, _OPEN_SIDE))
    sides = " × ".join(map(str, window))
    most = _HELD_TIMES * window_bytes(config, window)
    said = f"A window of {sides} voxels takes up to {most / 2**30:.1f} GB in its network, wherever that is computed"
    return replace(detector, held=most / math.prod(window)), said


def _certainty(wanted: Wanted, detector: Detector) -> float:
    """The probability from which on a box is reported."""
    least = detector.selection.least
    if wanted.certainty is None:
        return least
    if not least <= wanted.certainty <= 1:
        raise UnclearBundle(f"--certainty {wanted.certainty:g} is not from {least:g}, below which the bundle keeps no box, to 1")
    return wanted.certainty


def _gives_probabilities(name: str, text: str, source: Source, tensors: NetworkTensors, wanted: Wanted, at: str) -> bool:
    """Whether the numbers that a network gives for an image are the probabilities of its classes, by images of noise, faint to bright.

    Raises
    ------
    UnfitBundle
        They are from 0 to 1 each, and not 1 together: of such the largest says nothing of the others.
    """
    from inference.engines.exporting import on_trial

    sides = tensors.inferer.sides(tensors.inferer.window((_OPEN_SIDE, _OPEN_SIDE, _OPEN_SIDE)))
    (tensor,) = parse_text(text, name, name).inputs
    noise = np.random.default_rng(0).standard_normal((1, tensors.inputs, *sides)).astype(np.float32)
    with on_trial(name, text, source.file, source.weights, allow_code=wanted.allow_code) as answer:
        given = np.concatenate([next(iter(answer({tensor.name: noise * np.float32(scale)}).values())) for scale in _SCALES])
    # a softmax that is written out may overflow for what is brighter than any image: that says nothing of what it is
    given = given[np.isfinite(given).all(axis=1)]
    if not len(given) or not ((given >= -ROUNDED) & (given <= 1 + ROUNDED)).all():
        return False
    if not np.allclose(given.sum(axis=1), 1, atol=1e-3):
        raise UnfitBundle(
            f"{at} looks for the largest of numbers that are from 0 to 1 each and not 1 together, as a logistic function makes them: "
            "which findings are present, it does not say. If they are logits of which one class alone can be right, put "
            '{"_target_": "Activationsd", "keys": …, "softmax": true} before its AsDiscreted; if they are probabilities that '
            "bfloat16 rounds, let the network compute its softmax in 32 bits"
        )
    return True


def _config(bundle: Bundle, place: str, wanted: Wanted) -> tuple[Config, Author | None]:
    """The configuration, and its author's code where that may run."""
    text = bundle.read(place)
    content, document = parse(place, text), Document(place, text)
    load = cache(partial(_values, bundle))
    if not wanted.allow_code:
        return Config(content, document=document, load=load), None
    # nothing else is imported: documents and a clone's .git may be larger than what is read
    code = {name: bundle.read(name) for name in bundle.members if name.endswith(".py") or name == place}
    author = Author(bundle.path.name, code, place)
    return Config(content, author.value, document, load), author


def _values(bundle: Bundle, path: Any) -> Mapping[str, Any]:
    """Those of a file of the bundle, which its configuration names from the bundle's root."""
    member = posixpath.normpath(str(path))
    if member not in bundle.members:
        raise UnreadableBundle(f"{bundle.path} has no {member}, which its configuration reads values of")
    return read_values(bundle.read(member, MOST_CONFIG_BYTES), f"{bundle.path.name}, {member}")


def _weights(
    bundle: Bundle, name: str, config: Config, author: Author | None, tensors: NetworkTensors, wanted: Wanted
) -> tuple[Source, tuple[str, str]]:
    """What is to be served, and the names of its input and output."""
    named, unread = (None, "") if wanted.weights or bundle.first(*WEIGHTS[:-1]) else _checkpoint(bundle, config)
    member = wanted.weights or bundle.first(*WEIGHTS[:-1]) or named or bundle.first(WEIGHTS[-1])
    if member is None or member not in bundle.members:
        raise UnreadableBundle(_no_weights(bundle, wanted.weights))
    content = bundle.read(member, MOST_WEIGHTS_BYTES)
    where = bundle.path.name if bundle.layout is Layout.TORCHSCRIPT else f"{bundle.path.name}, {member}"
    published = hashlib.sha256(content).hexdigest()
    suffix = Path(member).suffix
    if suffix in _FILES and tensors.detector is not None:
        raise UnfitBundle(
            f"{where}: which output is which head of a detector, a file of its network does not say: give --weights models/model.pt"
        )
    if suffix in _FILES:
        sift(_FILES[suffix], content, where)
        if suffix == ".onnx":
            demand(where, "onnx")
        names = _onnx_names(content) if suffix == ".onnx" else _TENSORS
        return Source(file=_FILES[suffix], weights=content, published_sha256=published, where=where), names
    source, _ = converted(where, content, name, config, author, tensors, wanted.to)
    return (replace(source, notes=(f"{unread}; {member} was taken", *source.notes)) if unread else source), _TENSORS


def converted(
    where: str, content: bytes, name: str, config: Config, author: Author | None, tensors: NetworkTensors, to: str
) -> tuple[Source, str]:
    """A state dict as a model of the repository, and its config.pbtxt.

    Parameters
    ----------
    config
        Its network stands at network_def.
    author
        Whose code builds that network where it is none of the known ones, or cannot be built as one; None refuses it.

    Raises
    ------
    CodeRefused, HostileBundle, UnfitBundle, UnreadableBundle
    """
    demand(f"{where}, which becomes {to}", "torch", "monai", *(("onnx", "onnxscript") if to == "onnx" else ()))
    from inference.applications.bundle.network import answers, build, convert, load, refuse_larger, state_dict
    from inference.engines.exporting import difference_from, refuse_different

    state = state_dict(content, where)
    ran: tuple[str, ...] = ()
    inferer, inputs = tensors.inferer, tensors.inputs
    detector = tensors.detector
    window = inferer.sides(inferer.window((_OPEN_SIDE, _OPEN_SIDE, _OPEN_SIDE)))
    if detector is not None:
        window = tuple(_TRACED * side for side in detector.divisible)
    try:
        refuse_larger(config, state)
        made = load(build(config), state, config.at("network_def"))
    except (CodeRefused, UnfitBundle):
        if author is None or detector is not None:
            raise
        file, weights = author.convert(state, window, _is_open(inferer), _batch(inferer), to, inputs)
        before = author.answers(state)
        ran = (f"network_def: it builds {_target(config)}",)
    else:
        outputs = ("OUTPUT__0",) if detector is None else detector.outputs
        file, weights = convert(made, window, _is_open(inferer) or detector is not None, _batch(inferer), to, inputs, outputs)
        before = answers(made)
    text = _config_text(name, file, tensors, _TENSORS)
    far = difference_from(before, name, text, file, weights)
    refuse_different(f'"{name}" as {to}', far)
    note = f"converted from the state dict: differs by {far.largest:.2g} at most from it, over {far.inputs} inputs"
    published = hashlib.sha256(content).hexdigest()
    return Source(file=file, weights=weights, published_sha256=published, where=where, notes=(note,), code=ran), text


def _checkpoint(bundle: Bundle, config: Config) -> tuple[str | None, str]:
    """The member that the configuration's CheckpointLoader names; None where no loader names one, and what could not be read of it.

    Raises
    ------
    UnreadableBundle
        It names one that is not there, beside another one that might be taken for it; or nobody can read which of several it names.
    """
    unread = ""
    handlers = config.raw("handlers")
    loaders = ["checkpointloader", *(f"handlers::{place}" for place in range(len(handlers) if isinstance(handlers, list) else 0))]
    for loader in loaders:
        node = config.raw(loader)
        if not isinstance(node, Mapping) or str(node.get("_target_")).rpartition(".")[2] != "CheckpointLoader":
            continue
        try:
            path = config.value(f"{loader}::load_path")
        except CodeRefused:
            unread = unread or f"{config.at(f'{loader}::load_path')} names the weights by an expression that is not read"
            continue
        member = f"models/{str(path).rpartition('/')[2]}"
        if member in bundle.members:
            return member, ""
        if bundle.first(WEIGHTS[-1]) is not None:
            raise UnreadableBundle(
                f"{config.at(f'{loader}::load_path')} names {member} as the weights, which is not there; {WEIGHTS[-1]} is: give "
                f"--weights {WEIGHTS[-1]} if they are meant"
            )
    there = sorted(each for each in bundle.members if each.startswith("models/") and Path(each).suffix in _CHECKPOINTS)
    if unread and len(there) > 1:
        raise UnreadableBundle(f"{unread}, and there are {', '.join(there)}: give --weights with the one that is meant")
    return None, unread


def _target(config: Config) -> str:
    node = config.raw("network_def")
    return str(node.get("_target_")) if isinstance(node, Mapping) else repr(node)


def _no_weights(bundle: Bundle, asked: str | None) -> str:
    if asked is not None:
        return f"{bundle.path} has no {asked}"
    large = bundle.first(*LARGE)
    lacking = f"{bundle.path} has no weights: none of {', '.join(WEIGHTS)}"
    if large is None:
        return lacking
    files = parse(large, bundle.read(large)).get("large_files")
    listed = [each for each in files if isinstance(each, Mapping)] if isinstance(files, list) else []
    told = "; ".join(f"{each.get('path')} from {each.get('url')}" for each in listed[:5])
    return f"{lacking}. It is the bundle's source, which keeps them elsewhere ({large}): fetch {told}"


def _onnx_names(content: bytes) -> tuple[str, str]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load_from_string(content).graph
    except DecodeError as broken:
        raise UnreadableBundle(f"models/model.onnx is not an ONNX model: {broken}") from broken
    constants = {tensor.name for tensor in graph.initializer}
    inputs, outputs = [each.name for each in graph.input if each.name not in constants], [each.name for each in graph.output]
    if len(inputs) != 1 or not outputs:
        raise UnfitBundle(
            f"models/model.onnx takes {len(inputs)} inputs and gives {len(outputs)} outputs; one image goes in and one comes out"
        )
    return inputs[0], outputs[0]


def _is_open(inferer: Inferer) -> bool:
    return not isinstance(inferer, SlidingWindow) or min(inferer.roi_size) <= 0


def _batch(inferer: Inferer) -> int:
    return inferer.sw_batch_size if isinstance(inferer, SlidingWindow) else 1


def _config_text(name: str, file: str, of: NetworkTensors, tensors: tuple[str, str]) -> str:
    inferer, detector = of.inferer, of.detector
    sides = inferer.sides(inferer.window((ANY, ANY, ANY))) if detector is None else (ANY, ANY, ANY)
    floats = np.dtype(np.float32)
    given = [TensorConfig(name=tensors[1], dtype=floats, dims=(of.channels,) if of.classifies else (of.channels, *sides))]
    if detector is not None:
        given = [
            TensorConfig(name=name, dtype=floats, dims=(channels, *sides))
            for name, channels in zip(detector.outputs, detector.output_channels, strict=True)
        ]
    return config_text(
        name,
        "onnxruntime" if file.endswith(".onnx") else "pytorch",
        max(_batch(inferer), 1),
        (TensorConfig(name=tensors[0], dtype=floats, dims=(of.inputs, *sides)),),
        tuple(given),
        file,
    )


def model_name(given: str) -> str:
    """A model's name of what somebody calls it: lower-case words joined by "_"."""
    name = re.sub(r"[^a-z0-9]+", "_", given.strip().lower()).strip("_")
    if not name or not name[0].isalpha():
        raise UnclearBundle(f'"{given}" is no name for an application: give --name with a word that begins with a letter')
    return name


def application_name(model: str) -> str:
    """The application's name of its model's."""
    return "-".join(part for part in model.split("_") if part)


def _semantic(version: Any) -> str:
    found = re.match(r"\d+\.\d+\.\d+", str(version))
    return found[0] if found else "0.0.0"


def _accepts(net: Network, wanted: Wanted) -> Accepts:
    if net.single:
        return Accepts(modality=(_modality(net, wanted),), takes=Takes.IMAGES)
    return Accepts(modality=(_modality(net, wanted),), min_slices=MIN_SLICES, takes=Takes.VOLUMES if net.roles else Takes.VOLUME)


def _modality(net: Network, wanted: Wanted) -> str:
    if wanted.modality is not None:
        return MODALITIES.get(wanted.modality.upper(), wanted.modality.upper())
    if net.modality is None:
        raise UnclearBundle(f"{net.image_at} does not name the modality of its images: give --modality, such as CT, MR or ES")
    return net.modality
