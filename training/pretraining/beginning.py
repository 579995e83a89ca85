"""How a training begins with weights that were learned before: pre-trained without labels in its own run, or taken from a file.

Pre-training is a training of its own in RUN/pretraining: ended early, it goes on where it was. Patients who choose or are held out are not
looked at.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.checkpoint import load, save
from training.data.cases import Case, Split
from training.errors import BrokenRun, OtherRun, UnfitSetting
from training.fit import BEST, LAST, fit, identity, is_of, trained
from training.networks.late_fusion import LateFusion
from training.pretraining.pretexts import PRETEXTS, By, Pretext
from training.pretraining.unlabelled import unlabelled
from training.progress import Named, Progress
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Example, Outcome, Recipe, Schedule
from training.tasks.answers import Answerer
from training.tasks.regression import Estimator
from training.tasks.segmentation import Segmenter

PRETRAINED = "pretrained.pt"
"""The weights that a pre-training learned, in the run's folder; `hilum train … --from` takes it."""
PRETRAINING = "pretraining"
"""Its run, in the run's folder."""
_FEWEST = 11
"""Images: one of ten tells when to stop, and of views two at the least, as one alone is told from no other."""
_VALIDATING = 0.1
_BATCH = 16
_VOXELS = 1 << 20
"""Of a batch, about: views are compared within one, and more of them tell more."""
_RATE = 1e-3
_TOLD = 5
_UNKNOWN = "which may know who is held out"
_OTHERWISE = 1 / 8
"""The share of a file's tensors that may not fit: the last layers are as wide as there are classes or structures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What was asked for: a task without labels and a folder of more images, or a file of weights."""

    by: By | None = None
    unlabelled: Path | None = None
    file: Path | None = None
    modality: str | None = None
    epochs: int | None = None

    def checked(self) -> "Beginning":
        """What goes together.

        Raises
        ------
        UnfitSetting
        """
        if self.by is not None and self.file is not None:
            raise UnfitSetting("--pretrain and --from do not go together: weights are learned, or taken")
        if self.by is None and (self.unlabelled is not None or self.epochs is not None):
            raise UnfitSetting("--unlabelled and --pretrain-epochs go with --pretrain masked or --pretrain contrastive")
        if self.epochs is not None and self.epochs < 1:
            raise UnfitSetting(f"--pretrain-epochs {self.epochs}: 1 at the least")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained(Recipe):
    """A recipe's network in a task without labels: it is trained as the recipe is, and nothing of it is judged or served."""

    task = "pre-training"

    pretext: Pretext

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        return fit(self, sides, run, schedule, ranks, progress)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        """How small the loss is over cases that train nothing; the same views and covers in every epoch."""
        network.eval()
        augment, total = self.augment(), 0.0
        device, batch = next(network.parameters()).device, self.schedule.batch
        with torch.inference_mode():
            for start in range(0, len(cases), batch):
                some = [augment(self.example(case.load()), start + place) for place, case in enumerate(cases[start : start + batch])]
                images, targets = (torch.stack([torch.from_numpy(getattr(one, name)) for one in some]) for name in ("image", "target"))
                total += float(self.pretext.loss(network(images.to(device)).float(), targets.to(device))) * len(some)
        return -total / len(cases)

    def seed_of(self, run: Path) -> int | None:
        return None

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, **_: Any) -> dict[str, Any]:
        raise UnfitSetting("a pre-training is judged by what is trained from it")


def pretraining(recipe: Recipe, by: By) -> Pretrained:
    """The pre-training of a recipe.

    Raises
    ------
    UnfitSetting
        The recipe trains several networks, or one of another kind.
    """
    _refuse_others(recipe)
    if isinstance(recipe.network(), LateFusion):
        raise UnfitSetting("--pretrain: with --fusion late each role has a network of its own; take --fusion early")
    pretext = PRETEXTS[by]
    shape = (recipe.images, *recipe.window)
    voxels = int(torch.Size(recipe.window).numel())
    batch = max(2 * recipe.schedule.batch, min(_BATCH, _VOXELS // voxels))
    own = {field.name: getattr(recipe, field.name) for field in fields(Recipe)}
    return Pretrained(
        **own
        | {
            "name": f"{recipe.name} {by}",
            "network": lambda: pretext.network(recipe.network(), shape),
            "loss": lambda: pretext.loss,
            # windows are cut around what is labelled
            "example": partial(_without_labels, recipe.example),
            "augment": lambda: pretext.augment(recipe.augment()),
            "watched": pretext.figure,
            "averaged": 0.0,
            # a smaller window would be another network's
            "cut_by": 0,
            "schedule": replace(recipe.schedule, batch=batch, learning_rate=_RATE),
        },
        pretext=pretext,
    )


def begun(
    recipe: Recipe,
    sides: Split,
    run: Path,
    asked: Beginning,
    schedule: Schedule,
    ranks: Ranks,
    progress: Progress,
    tell: Callable[[str], None],
) -> Recipe:
    """The recipe, its network begun as was asked; `schedule` is that of the training itself.

    Raises
    ------
    UnfitSetting, UnfitData, BrokenRun, OtherRun
    """
    if asked.by is None:
        assert asked.file is not None, "one of both is asked for"
        return begun_with(recipe, asked.file, sides, tell)
    pretext, cases = pretraining(recipe, asked.by), list(sides.train)
    before = load(run / LAST)
    if before is not None and f", {_begins(pretext.name)} " not in str(before.get("identity")):
        raise OtherRun(f"{run} holds another run, which did not begin so: {before.get('identity')}. Name another --out")
    if asked.unlabelled is not None:
        more = unlabelled(asked.unlabelled, recipe, asked.modality, (*sides.validation, *sides.test))
        for reason in (*more.left_out[:_TOLD], *([f"and {len(more.left_out) - _TOLD} more"] if len(more.left_out) > _TOLD else [])):
            tell(f"left out of the pre-training: {reason}")
        if more.nameless:
            tell(
                f"OF {more.nameless} OF {len(more.cases)} IMAGES IN {asked.unlabelled} NO HEADER SAYS WHOSE THEY ARE: another image of a "
                "patient who is held out, under another name, would be learned from, and the figures be better than they are elsewhere"
            )
        cases += more.cases
    if len(cases) < _FEWEST:
        raise UnfitSetting(
            f"--pretrain {asked.by}: {len(cases)} images are too few to learn from without labels, {_FEWEST} at the least: name more with "
            "--unlabelled"
        )
    # every so many, by their order: they are of the training side, and tell only when to stop
    every = round(1 / _VALIDATING)
    parted = Split(train=tuple(case for at, case in enumerate(cases) if at % every), validation=tuple(cases[::every]), test=())
    epochs = asked.epochs or schedule.epochs
    own = replace(pretext.schedule, seed=schedule.seed, epochs=epochs, patience=epochs)
    outcome = fit(pretext, parted, run / PRETRAINING, own, ranks, Named("pre-training", progress))
    if ranks.first:
        tell(f"pre-trained on {len(cases)} images, labels unread: {outcome.epochs} epochs, {pretext.watched} {outcome.best:.4f}")
        learned = _learned(pretext, run / PRETRAINING, recipe)
        save(run / PRETRAINED, {**learned, "identity": identity(pretext, sides, own, ranks)})
    # written by the first before any other reads it
    ranks.mean(0.0)
    return begun_with(recipe, run / PRETRAINED, sides, tell)


def begun_with(recipe: Recipe, file: Path, sides: Split, tell: Callable[[str], None]) -> Recipe:
    """The recipe whose network begins with the weights of a file; those that the file does not have are drawn as always. Weights that were
    learned on other sides than `sides` may know who is held out: that is told, and stands on the card.

    Raises
    ------
    UnfitSetting
        The file holds weights of another network.
    BrokenRun
    """
    _refuse_others(recipe)
    state = load(file)
    if state is None or "network" not in state:
        raise BrokenRun(f"{file} holds no weights: name the {PRETRAINED} of a run that was pre-trained, or a run's {BEST}")
    weights: Mapping[str, torch.Tensor] = state["network"]
    there = recipe.network().state_dict()
    taken = {name: values for name, values in weights.items() if name in there and there[name].shape == values.shape}
    other = [name for name in weights if name not in taken]
    if not taken or len(other) > _OTHERWISE * len(weights):
        raise UnfitSetting(
            f'{file} holds weights of another network than recipe "{recipe.name}" has here: {len(other)} of {len(weights)} do not fit '
            f"({', '.join(other[:3])})"
        )
    digest = hashlib.sha256(b"".join(values.contiguous().numpy().tobytes() for values in taken.values())).hexdigest()[:16]
    begins = f"{_begins(str(state.get('pretext') or 'weights'))} {digest}"
    if not is_of(state, sides) or _UNKNOWN in str(state.get("identity")):
        begins += f", {_UNKNOWN}"
        tell(
            f"{file} WAS LEARNED ON OTHER CASES, OR ANOTHER SPLIT, THAN THIS RUN'S: whether it has seen those who are held out here nobody "
            "knows, and the figures may be better than they are elsewhere; the card says so"
        )
    return replace(recipe, network=partial(_with, recipe.network, taken), begins=begins)


def _begins(source: str) -> str:
    return f"begun with {source}"


def _without_labels(example: Callable[[Any], Example], case: Any) -> Example:
    shown = example(case)
    return Example(image=shown.image, target=np.zeros_like(shown.target))


def _with(network: Callable[[], Any], taken: Mapping[str, torch.Tensor]) -> Any:
    made = network()
    made.load_state_dict(dict(taken), strict=False)
    return made


def _learned(pretext: Pretrained, run: Path, recipe: Recipe) -> dict[str, Any]:
    """What a pre-training learned of the recipe's own network."""
    whole, _ = trained(pretext, run)
    names = whole.learned(torch.randn(2, recipe.images, *recipe.window))
    inside = {name.rpartition(".")[0] for name in names}
    weights = whole.network.state_dict()
    parameters = {name for name, _ in whole.network.named_parameters()}
    # what a normalisation counted goes with its weights
    kept = {
        name: values for name, values in weights.items() if name in names or (name not in parameters and name.rpartition(".")[0] in inside)
    }
    return {"network": kept, "pretext": pretext.name}


def _refuse_others(recipe: Recipe) -> None:
    """Networks that give boxes, or several networks of one run, have no one place for such weights."""
    if not isinstance(recipe, Segmenter | Answerer | Estimator):
        raise UnfitSetting(
            f'recipe "{recipe.name}" is of {recipe.task} with networks of its own, and takes no --pretrain or --from: recipes of '
            "structures, and classification and regression from a table, do"
        )
