"""Cross-validation: every patient is held out once, by a training of the rest; and what the evaluations of all folds say together.

Each fold is a run of its own in the run's folder, as `hilum train` makes one: what depends on the data is found in the fold's own training
patients, and `hilum evaluate` and `hilum export` take it like any other.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.card import table
from training.checkpoint import save_json
from training.data.cases import Fold
from training.errors import UnfitSetting
from training.evaluation.figures import kind_of, summary
from training.evaluation.record import EVALUATION
from training.fit import BEST
from training.recipe import Recipe

TOGETHER = "folds.json"
"""What the folds say together, in the run's folder."""


def folds(count: int, run: Path, only: int | None = None) -> Iterator[tuple[Fold, Path]]:
    """Every fold, or `only` this one, and the folder of its run.

    Raises
    ------
    UnfitSetting
    """
    if count < 2:
        raise UnfitSetting(f"--folds {count}: there are two at least; one training that holds out a fifth needs no --folds")
    if only is not None and not 1 <= only <= count:
        raise UnfitSetting(f"--fold {only}: of --folds {count} there are 1 to {count}")
    for number in (only,) if only else range(1, count + 1):
        yield Fold(number=number, count=count), run / f"fold-{number}"


def is_evaluated(run: Path) -> bool:
    """Whether the evaluation that lies there is of the best network that lies there."""
    made, best = run / EVALUATION, run / BEST
    return made.is_file() and made.stat().st_mtime_ns >= best.stat().st_mtime_ns


def together(recipe: Recipe, evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the evaluations of all folds each figure over all cases, its interval over all patients, and the mean of each fold."""
    rows = [row for evaluation in evaluations for row in evaluation["each"]]
    patients = [row["patient"] for row in rows]
    own = recipe.kinds()
    figures = {}
    for name in evaluations[0]["figures"]:
        of_folds = [evaluation["figures"][name] for evaluation in evaluations]
        values = [row["figures"].get(name) for row in rows]
        known = [(each["baseline"], each["count"]) for each in of_folds if each["baseline"] is not None and each["count"]]
        figures[name] = summary(kind_of(name, own), [np.nan if value is None else value for value in values], patients) | {
            "folds": [each["mean"] for each in of_folds],
            # as many cases stand behind each fold's baseline as behind its figure
            "baseline": float(np.average([value for value, _ in known], weights=[count for _, count in known])) if known else None,
        }
    pooled = recipe.pooled(rows)
    for name, figure in figures.items():
        figure |= pooled.get(name, {})
    return {
        "recipe": recipe.name,
        "split": recipe.data.split,
        "folds": len(evaluations),
        "cases": len(rows),
        "patients": len(set(patients)),
        "watched": recipe.watched,
        "baseline": evaluations[0]["baseline"],
        "figures": figures,
        "runs": [evaluation["run"] for evaluation in evaluations],
        "each": rows,
    }


def keep_together(recipe: Recipe, evaluations: Sequence[Mapping[str, Any]], run: Path) -> str:
    """Write what the folds say together into the run's folder, and say it, as Markdown."""
    found = together(recipe, evaluations)
    save_json(run / TOGETHER, found)
    return said(found)


def said(found: Mapping[str, Any]) -> str:
    """What the folds say together, as Markdown: whom the split is by, all figures, and the watched one fold by fold."""
    watched = found["figures"][found["watched"]]
    means = ", ".join("–" if mean is None else f"{mean:.{watched['digits']}f}" for mean in watched["folds"])
    return (
        f"{found['cases']} cases, each held out once in {found['folds']} folds, split {found['split']}.\n\n{table(dict(found))}\n"
        f"{found['watched']} of each fold: {means}\n"
    )
