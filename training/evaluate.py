"""How well the packed model does on held-out patients: by the application's own `analyse`, on the engine that serves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.port import Infer
from inference.applications.serving import as_served
from inference.engines.embedded import EmbeddedEngine
from inference.engines.repository import Repository
from inference.findings import Findings
from training.baseline import MEAN_SHAPE
from training.card import EVALUATION
from training.checkpoint import save_json
from training.data.split import Split
from training.export import pack, packed_ref
from training.fit import trained
from training.inferring import OfEngine
from training.recipe import Case, Labelled, Recipe

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)


def evaluate(recipe: Recipe, sides: Split, run: Path) -> dict[str, Any]:
    """Pack the run's best network, score it on the held-out side, and keep the figures beside it.

    Returns
    -------
    dict
        What evaluation.json holds: the model's digest, per figure mean, bootstrap interval over patients, smallest and baseline; per case
        its figures.

    Raises
    ------
    BrokenRun
    """
    _, state = trained(recipe, run)
    repository = pack(recipe, run)
    with closing(EmbeddedEngine(repository)) as engine:
        rows = _scored(recipe, sides.test, repository, OfEngine(engine))
    guessed = (recipe.baseline or MEAN_SHAPE).make(recipe, sides.train)
    without = [recipe.score(recipe.application.analyse(each.volume, guessed), each) for each in (case.load() for case in sides.test)]
    patients = [case.patient for case in sides.test]
    evaluation = {
        "recipe": recipe.name,
        "run": state["identity"],
        "sha256": Repository(repository).digest(packed_ref(recipe)),
        "cases": {"train": len(sides.train), "validation": len(sides.validation), "test": len(sides.test)},
        "baseline": (recipe.baseline or MEAN_SHAPE).name,
        "figures": {name: _figure(name, rows, without, patients) for name in rows[0]},
        "each": [{"case": case.name, **row} for case, row in zip(sides.test, rows, strict=True)],
    }
    save_json(run / EVALUATION, evaluation)
    return evaluation


def findings(recipe: Recipe, cases: Sequence[Case], repository: Path, infer: Infer) -> Iterator[tuple[Labelled, Findings]]:
    """What the application says of each case with the model that `repository` serves."""
    application = as_served(recipe.application, repository)
    for case in cases:
        labelled = case.load()
        yield labelled, application.analyse(labelled.volume, infer)


def _scored(recipe: Recipe, cases: Sequence[Case], repository: Path, infer: Infer) -> list[Mapping[str, float]]:
    return [recipe.score(found, labelled) for labelled, found in findings(recipe, cases, repository, infer)]


def _figure(
    name: str, rows: Sequence[Mapping[str, float]], without: Sequence[Mapping[str, float]], patients: Sequence[str]
) -> dict[str, Any]:
    values = np.array([row[name] for row in rows])
    low, high = interval(values, patients)
    return {
        "mean": float(np.nanmean(values)),
        "interval": [low, high],
        "smallest": float(np.nanmin(values)),
        "baseline": float(np.nanmean([row[name] for row in without])),
    }


def interval(values: np.ndarray, patients: Sequence[str]) -> tuple[float, float]:
    """The 95 % interval of the mean by bootstrap over patients, not cases: cases of one patient are no news of each other."""
    names = sorted(set(patients))
    sums = np.array([np.nansum([value for value, patient in zip(values, patients, strict=True) if patient == name]) for name in names])
    counts = np.array(
        [sum(patient == name and not np.isnan(value) for value, patient in zip(values, patients, strict=True)) for name in names]
    )
    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / np.maximum(counts[drawn].sum(axis=1), 1)
    low, high = np.percentile(means, INTERVAL)
    return float(low), float(high)
