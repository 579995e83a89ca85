"""Segmentation: recipes whose application marks structures; one training, judged by each structure's overlap, surfaces and volume."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from inference.applications.accept import check
from inference.applications.port import Infer
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import NotFinite
from inference.engines.repository import Repository
from inference.engines.serving import resolved
from inference.errors import InputError
from inference.findings import Findings
from inference.imaging.volume import Volume
from training.baselines import MEAN_SHAPE, Baseline
from training.checkpoint import save_json
from training.data.cases import Case, Labelled, Split
from training.errors import UnfitData
from training.evaluation import gallery
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.evaluation.classification import auc
from training.evaluation.figures import of_structures
from training.evaluation.kept import Kept, Row, kept
from training.evaluation.page import Gallery, Parts, write_page
from training.evaluation.perturb import Perturbation, perturbed
from training.evaluation.record import EVALUATION, FORMAT, Scored, record
from training.evaluation.segmentation import TOLERANCE_MM, Masks
from training.evaluation.subgroups import SIZE
from training.export import pack, packed_ref
from training.fit import fit, refuse_other_sides, seed_of, trained
from training.infer import EngineInfer, mean_score, naming
from training.progress import Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule

BEGUN = "evaluating.jsonl"
"""What is computed already, in the run's folder, while an evaluation is under way."""
_OUTLINES = Markup(
    '<span class="key true"></span>true outline <span class="key found"></span>found outline; where they agree, both are drawn over each '
    "other. By {}."
)
_COLOURS = Markup(
    " In colours how unsure the network is: the entropy of the probabilities that decide, from 0 to the largest there can be (white). "
    "Within 8 mm of the outlines it tells wrong voxels from right ones, in {} of these cases, with an area under the ROC curve of "
    "{:.2f} in the middle and {:.2f} at the least; where a network is sure, it may be wrong all the same."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is evaluated: the model that `repository` serves, where it came from and its digest."""

    repository: Path
    source: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmenter(Recipe):
    """A recipe whose cases are `Labelled`, with structures as labels.

    Attributes
    ----------
    score
        Figures of one case: the application's findings against the truth. `watched` is one of them; NaN where a case cannot tell.
    structures
        The structures of one case by name, found and true, for distances between surfaces, volumes and pictures.
    baseline
        The mean shape of the training labels, where every example is one window.
    """

    task = "segmentation"

    score: Callable[[Findings, Labelled], Mapping[str, float]]
    structures: Callable[[Findings, Labelled], Mapping[str, Masks]]
    baseline: Baseline = MEAN_SHAPE

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        # whatever is found where nothing is, no figure says how well
        if not any(case.load().labels.any() for case in sides.validation):
            raise UnfitData(
                f"none of the {len(sides.validation)} validation cases has a labelled voxel: no checkpoint could be chosen by them"
            )
        return fit(self, sides, run, schedule, ranks, progress)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        return mean_score(self.application, self.score, self.watched, network, cases)

    def seed_of(self, run: Path) -> int | None:
        return seed_of(run)

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Score a model on the held-out side. Called again after a kill, it goes on.

        Raises
        ------
        BrokenRun, ModelMissing
        OtherRun
            The run held out other cases.
        """
        model = _packed(self, sides, run) if options.repository is None else _served(self, options.repository)
        identity = {
            "format": FORMAT,
            "recipe": self.name,
            "sha256": model.sha256,
            "test": [case.name for case in sides.test],
            "settings": [TOLERANCE_MM, RESAMPLES, SEED, *INTERVAL],
        }
        with kept(run / BEGUN, identity) as known, closing(EmbeddedEngine(model.repository)) as engine:
            asked = _Asked(known, model.repository, EngineInfer(engine), step)
            evaluation = record(
                self, sides, identity | {"run": model.source}, self.baseline.name, *_scored(self, sides, asked, options.disturbed)
            )
            parts = _parts(self, sides.test, evaluation, asked)
            # the page first: a record that is there has its page
            evaluation["card_sha256"] = write_page(run, evaluation, parts)
            save_json(run / EVALUATION, evaluation)
        return evaluation


def findings(recipe: Recipe, cases: Sequence[Case], repository: Path, infer: Infer) -> Iterator[tuple[Labelled, Findings]]:
    """What the application says of each case with the model that `repository` serves."""
    application = as_served(recipe.application, repository)
    for case in cases:
        labelled = case.load()
        with naming(case):
            found = application.analyse(labelled.subject, infer)
        yield labelled, found


@dataclass(frozen=True, slots=True)
class _Asked:
    kept: Kept
    repository: Path
    infer: Infer
    step: Step


def _parts(recipe: Segmenter, cases: Sequence[Case], evaluation: dict[str, Any], asked: _Asked) -> Parts:
    """The pictures of some cases, and what their outlines and colours mean; the record gets how well entropy told their wrong voxels."""
    application = as_served(recipe.application, asked.repository)
    areas: list[float] = []

    def seen(case: Case) -> tuple[Volume, Sequence[Masks], NDArray[np.float32] | None]:
        labelled = case.load()
        structures = list(recipe.structures(application.analyse(labelled.subject, asked.infer), labelled).values())
        if application.unsure is None:
            return labelled.volume, structures, None
        unsure = application.unsure(labelled.subject, asked.infer)[0].values
        areas.append(_telling(unsure, structures, labelled.volume.spacing_mm))
        return labelled.volume, structures, unsure

    pictures = gallery.chosen([each["figures"][recipe.watched] for each in evaluation["each"]], lambda index: seen(cases[index]))
    note = _OUTLINES.format(recipe.watched)
    if told := [area for area in areas if not np.isnan(area)]:
        evaluation["unsure"] = {"cases": len(told), "median AUC": float(np.median(told)), "least AUC": min(told)}
        note += _COLOURS.format(len(told), float(np.median(told)), min(told))
    return Parts(
        kinds_note="A case in which the structure was not found has no distance and is not among its cases; its Dice is 0.",
        gallery=Gallery(title="Best, middle and worst cases", note=note, pictures=pictures),
    )


def _telling(unsure: NDArray[np.float32], structures: Sequence[Masks], spacing_mm: tuple[float, float, float]) -> float:
    """How often a wrong voxel has more entropy than a right one, near the structures: far away every network is right and sure."""
    wrong = np.logical_or.reduce([masks.found != masks.true for masks in structures])
    near = gallery.around(np.logical_or.reduce([masks.found | masks.true for masks in structures]), spacing_mm)
    return auc(unsure[near].ravel().astype(np.float64), wrong[near].ravel())


def _packed(recipe: Segmenter, sides: Split, run: Path) -> Model:
    _, state = trained(recipe, run)
    refuse_other_sides(state, sides, run)
    repository = pack(recipe, run)
    return Model(repository=repository, source=state["identity"], sha256=Repository(repository).digest(packed_ref(recipe)))


def _served(recipe: Segmenter, repository: Path) -> Model:
    version = resolved((recipe.model,), repository)[recipe.model]
    entry = Repository(repository).entry(version)
    source = f"version {version.version} of {version.name}" + (f", {entry.source}" if entry else "")
    return Model(repository=repository, source=source, sha256=Repository(repository).digest(version))


def _scored(
    recipe: Segmenter, sides: Split, asked: _Asked, disturbed: Sequence[Perturbation]
) -> tuple[list[Scored], dict[Perturbation, list[Row]]]:
    """Every held-out case as it is, with its baseline; and the rows under each disturbance, empty where the application refuses."""
    application = as_served(recipe.application, asked.repository)
    guessed = recipe.baseline.make(recipe, sides.train)
    scored: list[Scored] = []
    rows: dict[Perturbation, list[Row]] = {each: [] for each in disturbed}
    total = len(sides.test) * (1 + len(disturbed))
    for case in sides.test:
        labelled = case.load()

        def plain(labelled: Labelled = labelled) -> Row:
            return figures(recipe, application.analyse(labelled.subject, asked.infer), labelled)

        def baseline(labelled: Labelled = labelled) -> Row:
            return figures(recipe, recipe.application.analyse(labelled.subject, guessed), labelled)

        with naming(case):
            row, without = asked.kept.row(f"{case.name} | plain", plain), asked.kept.row(f"{case.name} | baseline", baseline)
        size_ml = float(np.count_nonzero(labelled.labels)) * labelled.volume.voxel_volume_mm3 / 1000
        attributes = {**labelled.attributes, SIZE: f"{size_ml:.4g}"}
        scored.append(Scored(case=case, attributes=attributes, row=row, without=without))
        asked.step(case.name, total)
        for each in disturbed:

            def under(labelled: Labelled = labelled, each: Perturbation = each, name: str = case.name) -> Row:
                worse = perturbed(labelled, each, name)
                try:
                    check(application, worse.subject)
                    found = application.analyse(worse.subject, asked.infer)
                except (InputError, NotFinite):  # a refusal is an answer, too, and a safe one: it is counted
                    return {}
                return figures(recipe, found, worse)

            rows[each].append(asked.kept.row(f"{case.name} | {each.name}", under))
            asked.step(f"{case.name}, {each.name}", total)
    return scored, rows


def figures(recipe: Segmenter, found: Findings, labelled: Labelled) -> Mapping[str, float]:
    """All figures of one case: the recipe's own, and those of its structures."""
    return {**recipe.score(found, labelled), **of_structures(recipe.structures(found, labelled), labelled.volume.spacing_mm)}
