"""Export: packs a checkpoint beside the run, where it is evaluated, then enters it into the model repository with its card.

What is evaluated is the file that is served: `pack` makes it once, `evaluate` runs it, `export` copies its bytes and refuses others.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.applications.bundle.network import convert
from inference.engines.configtext import config_text, without_digests
from inference.engines.golden import golden_input
from inference.engines.modelconfig import TensorConfig
from inference.engines.port import Golden, ModelRef
from inference.engines.repository import CONFIG, Entry, Repository
from inference.engines.writing import NewVersion, add_version
from training.card import card
from training.compressing.offered import offered
from training.errors import BrokenRun
from training.evaluation.record import EVALUATION, PAGE
from training.fit import trained
from training.recipe import Recipe
from training.space import trial_of

PACKED = "models"
"""The run's own model repository."""
_PLATFORMS, _FORMATS = {"pt2": "pytorch", "onnx": "onnxruntime"}, {"pt2": "torch.export", "onnx": "ONNX"}


def packed_ref(recipe: Recipe) -> ModelRef:
    """The one version in the run's own repository."""
    return ModelRef(name=recipe.model.name, version=1)


def pack(recipe: Recipe, run: Path) -> Path:
    """Write the run's best network as a model into the run's own repository; the repository's folder.

    Raises
    ------
    BrokenRun, UnfitBundle
    """
    network, _ = trained(recipe, run)
    return packed(recipe, network, run, (recipe.channels, *recipe.window))


def packed(
    recipe: Recipe, network: Any, run: Path, *answers: tuple[int, ...], batch: int = 1, open_frames: bool = False, to: str = "pt2"
) -> Path:
    """Write a network into the run's own repository; the repository's folder.

    Parameters
    ----------
    answers
        The shape of each of its outputs for one input; -1 of an axis that is as long as that of the frames.
    batch
        How many inputs one call may bring.
    open_frames
        Whether the first axis of the window is as long as a cine has frames.
    to
        "pt2" or "onnx".

    Raises
    ------
    UnfitBundle
    """
    file, weights = convert(network, recipe.window, open_frames, batch, to, recipe.images)
    floats = np.dtype(np.float32)
    sides = (-1, *recipe.window[1:]) if open_frames else recipe.window
    config = config_text(
        recipe.model.name,
        _PLATFORMS[to],
        batch,
        (TensorConfig(name="INPUT__0", dtype=floats, dims=(recipe.images, *sides)),),
        tuple(TensorConfig(name=f"OUTPUT__{number}", dtype=floats, dims=dims) for number, dims in enumerate(answers)),
        file,
    )
    digest = hashlib.sha256(weights).hexdigest()
    entry = Entry(
        file=file,
        sha256=digest,
        source_sha256=digest,
        source=f"hilum train {recipe.name}",
        licence=recipe.data.licence,
        attribution=recipe.data.attribution,
        format=_FORMATS[to],
        golden=_golden(network, (1, recipe.images, *recipe.window)),
    )
    model = packed_ref(recipe)
    unproven = f"# {model.name}, version 1\n\nNot evaluated yet.\n"
    new = NewVersion(model=model, weights=weights, entry=entry, config=config, card=unproven, beside=recipe.beside(model))
    add_version(run / PACKED, new, replace=True)
    return run / PACKED


def export(recipe: Recipe, run: Path, repository: Path) -> ModelRef:
    """Enter the evaluated model as the repository's next version; it is served from now on.

    Raises
    ------
    BrokenRun
        The run was not evaluated, or another file than the one that lies there, or by a release whose card told less.
    NotOffered
        It is a smaller network, and the rule does not offer it.
    OtherModel
    """
    packed = Repository(run / PACKED)
    here = packed_ref(recipe)
    evaluation = _evaluation(run)
    _, weights, digest = packed.read(here)
    entry = packed.entry(here)
    if entry is None or evaluation.get("sha256") != digest:
        raise BrokenRun(f"{run / EVALUATION} is of another model than the one in {run / PACKED}: evaluate it again")
    smaller = offered(run, digest)
    trial = trial_of(run)
    if trial is not None:
        entry = replace(entry, source=f"{entry.source}; {trial.told()}")
    there = [each.model.version for each in Repository(repository).list() if each.model.name == recipe.model.name]
    model = ModelRef(name=recipe.model.name, version=max(there, default=0) + 1)
    config = without_digests((run / PACKED / here.name / CONFIG).read_text(encoding="utf-8"))
    try:
        entry = replace(entry, call=recipe.call(evaluation))
        told = card(recipe, model, entry, evaluation, smaller)
    except (LookupError, TypeError, ValueError, AttributeError) as other:
        raise BrokenRun(f"{run / EVALUATION} lacks what the card tells today ({other!r}): evaluate it again") from other
    beside = {**recipe.beside(model), **_page(run, evaluation)}
    add_version(repository, NewVersion(model=model, weights=weights, entry=entry, config=config, card=told, beside=beside))
    return model


def _evaluation(run: Path) -> dict[str, Any]:
    try:
        found = json.loads((run / EVALUATION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as absent:
        raise BrokenRun(f"{run} was not evaluated: {absent}") from absent
    if not isinstance(found, dict):
        raise BrokenRun(f"{run / EVALUATION} is no evaluation: evaluate it again")
    return found


def _page(run: Path, evaluation: dict[str, Any]) -> dict[str, bytes]:
    """The page of this very evaluation, for the version's folder; older evaluations have none."""
    if "card_sha256" not in evaluation:
        return {}
    try:
        content = (run / PAGE).read_bytes()
    except OSError as absent:
        raise BrokenRun(f"the page of {run / EVALUATION} is not there: {absent}") from absent
    if hashlib.sha256(content).hexdigest() != evaluation["card_sha256"]:
        raise BrokenRun(f"{run / PAGE} is not the page of {run / EVALUATION}: evaluate it again")
    return {PAGE: content}


def _golden(network: Any, shape: tuple[int, ...]) -> Golden:
    with torch.inference_mode():
        answer = network(torch.from_numpy(golden_input(shape, np.dtype(np.float32))))
    first = answer if isinstance(answer, torch.Tensor) else answer[0]
    channel = first.numpy()[:, -1]
    return Golden(shape=shape, mean=float(channel.mean(dtype=np.float64)), deviation=float(channel.std(dtype=np.float64)))
