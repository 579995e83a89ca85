"""Import of a trained model of nnU-Net v2, a folder or a zip: its folds become one model of the repository, application.json beside it."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.bundle.anatomy import Coded
from inference.applications.bundle.config import parse
from inference.applications.bundle.errors import UnclearBundle, UnfitCheckpoint, UnknownInPlans, UnreadableBundle
from inference.applications.bundle.finish import Regions, Return
from inference.applications.bundle.importing import Imported, application_name, model_name
from inference.applications.bundle.layouts import MOST_CONFIG_BYTES, MOST_WEIGHTS_BYTES, files_of
from inference.applications.bundle.manifest import FILE, MIN_SLICES, BundleManifest, Measured, checked_text, nothing
from inference.applications.bundle.metadata import MODALITIES, role_names
from inference.applications.bundle.names import structures
from inference.applications.bundle.nnunet.cascade import Coarser
from inference.applications.bundle.nnunet.checkpoint import Checkpoint, read_checkpoint
from inference.applications.bundle.nnunet.layout import CHECKPOINT, DATASET, FOLD, PLANS, trained_in
from inference.applications.bundle.nnunet.patches import Patches
from inference.applications.bundle.nnunet.plans import REORIENTED, Labels, Plans, read_labels, read_plans
from inference.applications.bundle.reading import axcodes
from inference.applications.bundle.steps import Orientation
from inference.applications.bundle.structures import Structure
from inference.applications.port import Accepts, Licences, Takes
from inference.engines.configtext import config_text
from inference.engines.extras import demand
from inference.engines.file_import import ModelFile, Source, import_weights, next_version
from inference.engines.modelconfig import TensorConfig
from inference.engines.port import ModelRef

_INPUT, _OUTPUT = "INPUT__0", "OUTPUT__0"
_MOST_ONNX_BYTES = (1 << 31) - (1 << 24)
"""Of weights in one ONNX file: protobuf ends at 2 GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What the operator says of the model.

    Attributes
    ----------
    name
        Of model and application; None: "nnunet-" and the dataset's name.
    licences
        What a list of published models says; None: `licence`, and what the dataset says of itself.
    configuration
        Of several trained models in one folder or zip, "3d_fullres"; None where there is one.
    folds
        () for all that are there.
    checkpoint
        The file of a fold.
    codes
        By label: what it is; None leaves it out.
    listed
        By name: what a file of codes says.
    orientation
        How the training images lie in their files (i, j, k), "RAS"; None where the plans' reader turns them.
    to
        "onnx" or "pt2".
    measures
        Of its structures, besides their volumes.
    """

    name: str | None = None
    version: int | None = None
    licence: str = ""
    attribution: str = ""
    licences: Licences | None = None
    configuration: str | None = None
    folds: tuple[str, ...] = ()
    checkpoint: str | None = None
    codes: Mapping[int, Coded | None] = field(default_factory=dict)
    listed: Mapping[str, Coded | None] = field(default_factory=dict)
    orientation: str | None = None
    modality: str | None = None
    to: str = "onnx"
    measures: Measured = nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """One trained-model folder: its path within what was given, and what reads its files."""

    path: str
    files: Mapping[str, Callable[[int], bytes]]

    def json(self, name: str) -> Mapping[str, Any]:
        content: Mapping[str, Any] = parse(name, self.files[name](MOST_CONFIG_BYTES))
        return content

    def folds(self, checkpoint: str) -> dict[str, str]:
        """Members that hold the checkpoint, by the fold's name."""
        found = {}
        for name in sorted(self.files):
            folder, _, file = name.partition("/")
            match = FOLD.fullmatch(folder)
            if match is not None and file == checkpoint:
                found[match[1]] = name
        return found


def import_nnunet(path: Path, wanted: Trained, repository: Path) -> Imported:
    """Bring a trained model into the repository as a new version; importing it again changes nothing.

    Raises
    ------
    UnreadableBundle, UnknownInPlans, UnfitCheckpoint, UncodedStructure, UnclearBundle, HostileBundle, AlreadyThere, OtherModel,
    BrokenApplication
        Nothing was written; but of a cascade whose finer network has a number or a name that is taken, the coarser one may have been.
    """
    trained = _chosen(path, wanted)
    main = _read(path, trained, wanted)
    before = _coarser(path, trained.path, main, wanted)
    name = model_name(wanted.name or f"nnunet {re.sub(r'^Dataset[0-9]+_', '', main.plans.dataset)}")
    seen, chosen, modality = _seen(main.plans, wanted), _structures(main.labels, wanted), _modality(main.labels, wanted)
    source, said = _converted(main, name, wanted, marked=0 if before is None else main.labels.channels - 1)
    first = None if before is None else _converted(before, f"{name}_{before.first.configuration}", wanted)
    said = replace(said, version=next_version(said, source, repository))
    assert said.version is not None, "it was just chosen"
    manifest = BundleManifest(
        name=application_name(name),
        version=f"1.0.0+model.{said.version}",
        title=_line(main.dataset.get("name") or main.plans.dataset)[:64].replace("\\", " ").strip() or name,
        accepts=Accepts(modality=(modality,), min_slices=MIN_SLICES, takes=Takes.VOLUMES if len(main.labels.inputs) > 1 else Takes.VOLUME),
        model=ModelRef(name=name, version=said.version),
        input=_INPUT,
        output=_OUTPUT,
        channels=main.labels.channels,
        prepare=(Orientation(axcodes=seen), *main.plans.prepare),
        inferer=_patches(main),
        finish=(Return(nearest=False), main.labels.decided),
        structures=chosen,
        measures=wanted.measures(chosen),
        roles=_roles(main.labels),
        licences=wanted.licences
        or Licences(weights=wanted.licence, data=_line(main.dataset.get("licence") or main.dataset.get("license"))),
    )
    # before the coarser network is written
    checked_text(manifest)
    if before is not None and first is not None:
        manifest = replace(manifest, before=_imported(before, main, first, seen, repository))
    model, entry = import_weights(source, said, repository, {FILE: checked_text(manifest)})
    refines = "" if before is None else f", which refines {before.first.configuration}"
    found = f"a trained model of nnU-Net, {main.first.configuration}, {_several(len(main.checkpoints), 'fold')}{refines}"
    return Imported(model=model, application=manifest.name, entry=entry, manifest=manifest, found=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One trained model, read: what its files say, and its folds."""

    where: str
    dataset: Mapping[str, Any]
    labels: Labels
    plans: Plans
    checkpoints: Sequence[Checkpoint]
    published: str

    @property
    def first(self) -> Checkpoint:
        """A checkpoint; the others are of the same training."""
        return self.checkpoints[0]


def _read(path: Path, trained: _Folder, wanted: Trained) -> _Read:
    said, dataset = trained.json(PLANS), trained.json(DATASET)
    labels = read_labels(dataset)
    checkpoints, published = _checkpoints(trained, wanted)
    return _Read(
        where=f"{path.name}, {trained.path}" if trained.path else path.name,
        dataset=dataset,
        labels=labels,
        plans=read_plans(said, checkpoints[0].configuration, len(labels.inputs)),
        checkpoints=checkpoints,
        published=published,
    )


def _coarser(path: Path, folder: str, main: _Read, wanted: Trained) -> _Read | None:
    """The network whose labels the main one refines; None where that sees images alone."""
    previous = main.plans.previous
    if previous is None:
        return None
    if isinstance(main.labels.decided, Regions):
        raise UnknownInPlans(f"{main.first.configuration} refines regions that overlap, which hilum does not compute")
    files = files_of(path)
    # of the same trainer and plans, as nnU-Net looks for it
    wanted_folder = f"{folder.rpartition('__')[0]}__{previous}"
    there = [one for one in trained_in(list(files)) if one == wanted_folder]
    if len(there) != 1:
        raise UnclearBundle(
            f"{main.first.configuration} refines what {previous} marks, and {path.name} does not hold that: give the folder or the zip "
            f"that holds both, …__{main.first.configuration} and …__{previous} of the same trainer and plans"
        )
    before = _read(path, _folder(files, there[0]), wanted)
    if before.plans.previous is not None:
        raise UnknownInPlans(f"{previous} refines another network, too: hilum computes cascades of two")
    said = [(one.labels, one.plans.transpose, one.plans.reader) for one in (before, main)]
    if said[0] != said[1]:
        raise UnclearBundle(f"{previous} and {main.first.configuration} are of two datasets: their channels, labels or axes differ")
    return before


def _imported(before: _Read, main: _Read, converted: tuple[Source, ModelFile], seen: str, repository: Path) -> Coarser:
    """The coarser network, in the repository."""
    source, said = converted
    said = replace(said, version=next_version(said, source, repository))
    model, _ = import_weights(source, said, repository)
    assert main.plans.labels is not None, "a network that refines another says how"
    order, order_apart, apart = main.plans.labels
    prepare = (Orientation(axcodes=seen), *before.plans.prepare)
    return Coarser(model=model, prepare=prepare, inferer=_patches(before), order=order, order_apart=order_apart, apart=apart)


def _patches(of: _Read) -> Patches:
    return Patches(side=of.plans.patch, channels=of.labels.channels, folds=len(of.checkpoints), mirrored=_mirrored(of.first, of.plans))


def _chosen(path: Path, wanted: Trained) -> _Folder:
    files = files_of(path)
    there = trained_in(list(files))
    if not there:
        raise UnreadableBundle(f"{path} has no folder with {PLANS}, {DATASET} and fold_*/{CHECKPOINT}: it is no trained model of nnU-Net")
    if wanted.configuration is not None:
        fitting = [one for one in there if (one or path.resolve().name).rpartition("__")[2] == wanted.configuration]
    else:
        fitting = list(there)
    if len(fitting) != 1:
        listed = ", ".join(sorted({(one or path.resolve().name).rpartition("__")[2] for one in there}))
        asked = f'no "{wanted.configuration}"' if wanted.configuration is not None else f"{len(there)} trained models"
        raise UnclearBundle(f"{path} holds {asked}: name one with --configuration, of {listed}")
    return _folder(files, fitting[0])


def _folder(files: Mapping[str, Callable[[int], bytes]], path: str) -> _Folder:
    prefix = f"{path}/" if path else ""
    return _Folder(path=path, files={name.removeprefix(prefix): read for name, read in files.items() if name.startswith(prefix)})


def _checkpoints(trained: _Folder, wanted: Trained) -> tuple[list[Checkpoint], str]:
    """The folds that were asked for, and the digest of their files."""
    file = wanted.checkpoint or CHECKPOINT
    there = trained.folds(file)
    absent = [fold for fold in wanted.folds if fold not in there]
    if absent or not there:
        raise UnreadableBundle(f"fold {', '.join(absent) or '*'} has no {file}; there are the folds {', '.join(there) or '(none)'}")
    asked = wanted.folds or tuple(there)
    demand("a checkpoint of nnU-Net", "torch", "onnx", "onnxscript")
    digest, made = hashlib.sha256(), []
    # the order of the operator's words changes no bytes: the mean of folds has none
    for fold in sorted(dict.fromkeys(asked)):
        content = trained.files[there[fold]](MOST_WEIGHTS_BYTES)
        digest.update(hashlib.sha256(content).digest())
        made.append(read_checkpoint(content, there[fold]))
    digest.update(trained.files[PLANS](MOST_CONFIG_BYTES))
    said = {(each.configuration, each.mirrored) for each in made}
    if len(said) > 1:
        raise UnfitCheckpoint(f"the folds are of several trainings: {sorted(said)}")
    return made, digest.hexdigest()


def _seen(plans: Plans, wanted: Trained) -> str:
    """To what the axes run of the array that the network sees."""
    stored = REORIENTED.get(plans.reader)
    if stored is not None and wanted.orientation is not None and wanted.orientation != stored:
        raise UnclearBundle(f"the plans' reader {plans.reader} turns images to {stored}; --orientation {wanted.orientation} says otherwise")
    if stored is None:
        if wanted.orientation is None:
            raise UnclearBundle(
                f"the plans' reader {plans.reader} takes images as they lie in their files, and nothing says how the training's lay: "
                "give --orientation (nibabel.aff2axcodes of one of them; LPS for files that ITK made of DICOM, LAS for those of dcm2niix)"
            )
        stored = axcodes(wanted.orientation, "--orientation")
    # readers give k, j, i
    given = stored[::-1]
    return "".join(given[axis] for axis in plans.transpose)


def _structures(labels: Labels, wanted: Trained) -> tuple[Structure, ...]:
    """The segments; of regions, each has its channel, which counts from 0."""
    chosen = structures(labels.names, wanted.codes, wanted.listed)
    if not isinstance(labels.decided, Regions):
        return chosen
    return tuple(replace(one, channel=one.channel - 1) for one in chosen)


def _roles(labels: Labels) -> tuple[str, ...]:
    """A role for each of several channels, by its name; () for one."""
    if len(labels.inputs) == 1:
        return ()
    names = role_names(labels.inputs)
    if not names:
        raise UnclearBundle(
            f"dataset.json calls the channels {', '.join(labels.inputs)}: give each a name of its own there, as routes say it"
        )
    return names


def _modality(labels: Labels, wanted: Trained) -> str:
    if wanted.modality is not None:
        return MODALITIES.get(wanted.modality.upper(), wanted.modality.upper())
    if labels.modality is None:
        raise UnclearBundle("dataset.json does not name the modality of its images: give --modality CT or --modality MR")
    return labels.modality


def _mirrored(checkpoint: Checkpoint, plans: Plans) -> tuple[int, ...]:
    """Axes of a patch of three, along which it is mirrored."""
    axes = plans.architecture.axes
    if any(not 0 <= axis < axes for axis in checkpoint.mirrored):
        raise UnfitCheckpoint(f"the checkpoint mirrors along the axes {checkpoint.mirrored}, a patch has {axes}")
    return tuple(axis + 3 - axes for axis in checkpoint.mirrored)


def _converted(of: _Read, name: str, wanted: Trained, marked: int = 0) -> tuple[Source, ModelFile]:
    """All folds as one model of the repository, their logits behind each other; `marked` are channels of its input beside the images."""
    from inference.applications.bundle.network import answers, convert
    from inference.applications.bundle.nnunet.networks import Folds, network
    from inference.engines.exporting import difference_from, refuse_different

    plans, labels, checkpoints = of.plans, of.labels, of.checkpoints
    inputs = len(labels.inputs) + marked
    size = sum(int(tensor.numel()) * 4 for each in checkpoints for tensor in each.weights.values())
    if wanted.to == "onnx" and size > _MOST_ONNX_BYTES:
        raise UnclearBundle(
            f"{_several(len(checkpoints), 'fold')} hold {size / 2**30:.1f} GB of weights, and one ONNX file takes 2: "
            "choose fewer with --folds, or give --to pt2"
        )
    made = []
    for each in checkpoints:
        try:
            made.append(network(plans.architecture, inputs, labels.channels, each.weights, 2 * each.numbers + 1_000_000))
        except ValueError as differs:
            raise UnfitCheckpoint(f"{of.where}: the checkpoint is not of the network that {PLANS} describes: {differs}") from differs
    folds = Folds(made).eval()
    try:
        file, weights = convert(folds, plans.patch, False, 1, wanted.to, inputs)
    except RuntimeError as failed:
        raise UnfitCheckpoint(f"{of.where}: the network cannot be computed with patches of {plans.patch}: {failed}") from failed
    floats = np.dtype(np.float32)
    text = config_text(
        name,
        "onnxruntime" if file.endswith(".onnx") else "pytorch",
        1,
        (TensorConfig(name=_INPUT, dtype=floats, dims=(inputs, *plans.patch)),),
        (TensorConfig(name=_OUTPUT, dtype=floats, dims=(len(checkpoints) * labels.channels, *plans.patch)),),
        file,
    )
    far = difference_from(answers(folds), name, text, file, weights)
    refuse_different(f'"{name}" as {wanted.to}', far)
    note = f"converted from {_several(len(checkpoints), 'checkpoint')}: differs by {far.largest:.2g} at most, over {far.inputs} inputs"
    notes = (*_notes(of.dataset, of.first, len(checkpoints), wanted), note)
    said = ModelFile(
        name=name,
        version=wanted.version,
        licence=wanted.licence,
        attribution=wanted.attribution or _line(of.dataset.get("reference")),
        config=text,
        golden_shape=(1, inputs, *plans.patch),
    )
    return Source(file=file, weights=weights, published_sha256=of.published, where=of.where, notes=notes), said


def _notes(said: Mapping[str, Any], first: Checkpoint, folds: int, wanted: Trained) -> tuple[str, ...]:
    """For the model card."""
    lines = [f"nnU-Net: {first.configuration}, {_several(folds, 'fold')}, trained by {first.trainer}"]
    lines += [f"{key}: {_line(said[key])}" for key in ("description", "reference", "licence", "release") if said.get(key)]
    if wanted.orientation is not None:
        lines.append(f"The training images lay {wanted.orientation} in their files, as the operator said.")
    lines.append("Its authors' postprocessing, if any, is not applied, as nnUNetv2_predict does not.")
    return tuple(lines)


def _line(said: Any) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in str(said or "")).split())[:500]


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
