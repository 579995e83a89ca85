"""How well a model does on held-out cases: by the application's own `analyse`, on the engine that serves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.accept import check
from inference.applications.port import Infer
from inference.applications.serving import as_served
from inference.engines.embedded import EmbeddedEngine
from inference.engines.repository import Repository
from inference.engines.serving import resolved
from inference.errors import InputError
from inference.findings import Findings
from training.baseline import MEAN_SHAPE
from training.checkpoint import save_json
from training.data.split import Split
from training.evaluation import gallery
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.evaluation.figures import of_structures
from training.evaluation.kept import Kept, Row, kept
from training.evaluation.page import write_page
from training.evaluation.perturb import Perturbation, perturbed
from training.evaluation.record import EVALUATION, FORMAT, Scored, record
from training.evaluation.segmentation import TOLERANCE_MM
from training.evaluation.subgroups import SIZE
from training.export import pack, packed_ref
from training.fit import refuse_other_sides, trained
from training.inferring import OfEngine
from training.progress import Step, silent
from training.recipe import Case, Labelled, Recipe

BEGUN = "evaluating.jsonl"
"""What is computed already, in the run's folder, while an evaluation is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is evaluated: the model that `repository` serves, where it came from and its digest."""

    repository: Path
    source: str
    sha256: str


def evaluate(
    recipe: Recipe,
    sides: Split,
    run: Path,
    *,
    repository: Path | None = None,
    disturbed: Sequence[Perturbation] = (),
    step: Step = silent,
) -> dict[str, Any]:
    """Score a model on the held-out side; evaluation.json and card.html are kept in `run`. Called again after a kill, it goes on.

    Parameters
    ----------
    repository
        Whose served model is scored; None: the run's best network is packed and scored.
    disturbed
        How the images are disturbed, beside being taken as they are.

    Returns
    -------
    dict
        What evaluation.json holds: `record.record` says what that is.

    Raises
    ------
    BrokenRun, ModelMissing
    OtherRun
        The run held out other cases.
    """
    model = _packed(recipe, sides, run) if repository is None else _served(recipe, repository)
    identity = {
        "format": FORMAT,
        "recipe": recipe.name,
        "sha256": model.sha256,
        "test": [case.name for case in sides.test],
        "settings": [TOLERANCE_MM, RESAMPLES, SEED, *INTERVAL],
    }
    with kept(run / BEGUN, identity) as known, closing(EmbeddedEngine(model.repository)) as engine:
        evaluation = record(
            recipe,
            sides,
            identity | {"run": model.source},
            (recipe.baseline or MEAN_SHAPE).name,
            *_scored(recipe, sides, _Asked(known, model.repository, OfEngine(engine), step), disturbed),
        )
        pictures = gallery.chosen(recipe, sides.test, evaluation, model.repository, OfEngine(engine))
        # the page first: a record that is there has its page
        evaluation["card_sha256"] = write_page(run, evaluation, pictures)
        save_json(run / EVALUATION, evaluation)
    return evaluation


def findings(recipe: Recipe, cases: Sequence[Case], repository: Path, infer: Infer) -> Iterator[tuple[Labelled, Findings]]:
    """What the application says of each case with the model that `repository` serves."""
    application = as_served(recipe.application, repository)
    for case in cases:
        labelled = case.load()
        yield labelled, application.analyse(labelled.volume, infer)


@dataclass(frozen=True, slots=True)
class _Asked:
    kept: Kept
    repository: Path
    infer: Infer
    step: Step


def _packed(recipe: Recipe, sides: Split, run: Path) -> Model:
    _, state = trained(recipe, run)
    refuse_other_sides(state, sides, run)
    repository = pack(recipe, run)
    return Model(repository=repository, source=state["identity"], sha256=Repository(repository).digest(packed_ref(recipe)))


def _served(recipe: Recipe, repository: Path) -> Model:
    version = resolved((recipe.model,), repository)[recipe.model]
    entry = Repository(repository).entry(version)
    source = f"version {version.version} of {version.name}" + (f", {entry.source}" if entry else "")
    return Model(repository=repository, source=source, sha256=Repository(repository).digest(version))


def _scored(
    recipe: Recipe, sides: Split, asked: _Asked, disturbed: Sequence[Perturbation]
) -> tuple[list[Scored], dict[Perturbation, list[Row]]]:
    """Every held-out case as it is, with its baseline; and the rows under each disturbance, empty where the application refuses."""
    application = as_served(recipe.application, asked.repository)
    guessed = (recipe.baseline or MEAN_SHAPE).make(recipe, sides.train)
    scored: list[Scored] = []
    rows: dict[Perturbation, list[Row]] = {each: [] for each in disturbed}
    total = len(sides.test) * (1 + len(disturbed))
    for case in sides.test:
        labelled = case.load()

        def plain(labelled: Labelled = labelled) -> Row:
            return figures(recipe, application.analyse(labelled.volume, asked.infer), labelled)

        def baseline(labelled: Labelled = labelled) -> Row:
            return figures(recipe, recipe.application.analyse(labelled.volume, guessed), labelled)

        row, without = asked.kept.row(f"{case.name} | plain", plain), asked.kept.row(f"{case.name} | baseline", baseline)
        size_ml = float(np.count_nonzero(labelled.labels)) * labelled.volume.voxel_volume_mm3 / 1000
        attributes = {**labelled.attributes, **({SIZE: f"{size_ml:.4g}"} if recipe.structures else {})}
        scored.append(Scored(case=case, attributes=attributes, row=row, without=without))
        asked.step(case.name, total)
        for each in disturbed:

            def under(labelled: Labelled = labelled, each: Perturbation = each, name: str = case.name) -> Row:
                worse = perturbed(labelled, each, name)
                try:
                    check(application, worse.volume)
                    found = application.analyse(worse.volume, asked.infer)
                except InputError:  # a refusal is an answer, too, and a safe one: it is counted
                    return {}
                return figures(recipe, found, worse)

            rows[each].append(asked.kept.row(f"{case.name} | {each.name}", under))
            asked.step(f"{case.name}, {each.name}", total)
    return scored, rows


def figures(recipe: Recipe, found: Findings, labelled: Labelled) -> Mapping[str, float]:
    """All figures of one case: the recipe's own, and those of its structures."""
    structures = recipe.structures(found, labelled) if recipe.structures else {}
    return {**recipe.score(found, labelled), **of_structures(structures, labelled.volume.spacing_mm)}
