"""Methods compared on a recipe's data: each is run once a fold and kept; then one table says which are ahead of which beyond chance.

The method that did best on the validation cases is what all others are compared with. On one held-out side, one picture a patient and one
finding: DeLong's test; else the bootstrap by patient; over folds the corrected resampled t-test; p by Holm over the table.
"""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.checkpoint import save_json
from training.compute import Compute
from training.data.cases import Split, digest
from training.errors import BrokenRun, OtherRun, UnfitSetting
from training.evaluation.bootstrap import RESAMPLES, over_patients
from training.evaluation.delong import areas
from training.evaluation.methods import METHODS as TOGETHER
from training.evaluation.several import LEAST_PATIENTS, Paired, holm, over_cases, over_folds
from training.methods import classifying, outlining
from training.methods.learning import Pace
from training.methods.shown import Shown, channels, shown
from training.progress import Step
from training.recipe import Recipe

SURE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodsAsked:
    """What is compared, and how.

    Attributes
    ----------
    names
        Of the methods; () for all of the recipe's task.
    side
        Pixels along a side of every picture.
    """

    names: tuple[str, ...]
    side: int
    pace: Pace


Place = tuple[Recipe, Split, Path]
"""One fold, or the only one: recipe, sides, and the folder of its run."""


def compared(places: Iterable[Place], asked: MethodsAsked, compute: Compute, run: Path, step: Step) -> dict[str, Any]:
    """Run what was not run before in each place, and put all into RUN/methods.json.

    Raises
    ------
    UnfitSetting
        No such method, or the recipe is of another task.
    OtherRun
        A method was run there on other cases, or otherwise.
    BrokenRun
    """
    there = list(places)
    found = [_in_place(*place, asked, compute, step, len(there)) for place in there]
    record = _record(found, asked)
    save_json(run / TOGETHER, record)
    return record


def _in_place(recipe: Recipe, sides: Split, run: Path, asked: MethodsAsked, compute: Compute, step: Step, places: int) -> dict[str, Any]:
    what = f"{digest(sides.train, sides.validation, sides.test)}; {asked.side}; {asdict(asked.pace)}; {compute.precision.value}"
    counts = [len(sides.train), len(sides.validation), len(sides.test)]
    names = _chosen(asked.names, recipe)
    total = places * (sum(counts) + len(names))
    methods = {name: _kept(run, name, what) for name in names}
    if None in methods.values():
        seen = shown(recipe, sides, asked.side, lambda done, _: step(done, total))
        for name in names:
            if methods[name] is None:
                methods[name] = _run(name, seen, asked.pace, compute) | {"what": what, "device": compute.device.type}
                save_json(_file(run, name), methods[name])
            step(name, total)
    return {
        "recipe": recipe.name,
        "task": recipe.task,
        "split": recipe.data.split,
        "cases": counts,
        "methods": methods,
    }


def _chosen(names: Sequence[str], recipe: Recipe) -> tuple[str, ...]:
    there = tuple(classifying.METHODS if channels(recipe).answered else outlining.METHODS)
    unknown = [name for name in names if name not in there]
    if unknown:
        raise UnfitSetting(f'--methods {unknown[0]}: for recipe "{recipe.name}" there are {", ".join(there)}')
    return tuple(dict.fromkeys(names)) or there


def _file(run: Path, name: str) -> Path:
    return run / "methods" / f"{name}.json"


def _kept(run: Path, name: str, what: str) -> dict[str, Any] | None:
    path = _file(run, name)
    if not path.is_file():
        return None
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        before, _ = told["what"], told["device"]
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BrokenRun(f"{path} is not what a comparison writes: {broken!r}") from broken
    if before != what:
        raise OtherRun(f"{path} was made with {before}; asked for is {what}. Take the same settings and data, or another --out")
    return told


def _run(name: str, seen: Shown, pace: Pace, compute: Compute) -> dict[str, Any]:
    """One method: how long it took, the figure on the validation cases, and what it says of each held-out case."""
    begun = time.perf_counter()
    said: dict[str, Any] = {"patients": list(seen.test.patients), "cases": list(seen.test.names)}
    if seen.channels.answered:
        title, method = classifying.METHODS[name]
        scored = method(seen, pace, compute)
        asked = list(seen.channels.answered)
        said["figure"], said["names"] = "AUC", [seen.channels.names[at] for at in asked]
        said["validation"] = classifying.ranked(scored.validation, seen.validation.truth[:, asked])
        said["scores"], said["truth"] = scored.test.tolist(), seen.test.truth[:, asked].tolist()
        parameters, epochs = scored.parameters, scored.epochs
    else:
        title, outlines = outlining.METHODS[name]
        marked = outlines(seen, pace, compute)
        count = len(seen.channels.names)
        said["figure"], said["names"] = "Dice", list(seen.channels.names)
        said["validation"] = outlining.overlap(marked.validation, seen.validation, count)
        each = outlining.overlaps(marked.test, seen.test, count)
        said["scores"], said["truth"] = np.where(np.isfinite(each), each, -1).tolist(), None
        parameters, epochs = marked.parameters, marked.epochs
    took = time.perf_counter() - begun
    return {"title": title, "seconds": round(took, 1), "parameters": parameters, "epochs": epochs} | said


def _record(places: Sequence[dict[str, Any]], asked: MethodsAsked) -> dict[str, Any]:
    """The table: each method's figure, and its difference from the one that was best on the validation cases."""
    names = list(places[0]["methods"])
    validation = {name: float(np.mean([place["methods"][name]["validation"] for place in places])) for name in names}
    # nothing is more or less than what is no number: max would keep it where it comes first
    first = max(names, key=lambda name: validation[name] if math.isfinite(validation[name]) else -math.inf)
    tests = {name: _tested(places, first, name) for name in names if name != first}
    corrected = dict(zip(tests, holm([each.p for each, _ in tests.values()]), strict=True))
    rows = []
    figures = {name: _figure(places, name) for name in names}
    for name in sorted(names, key=lambda name: -figures[name] if math.isfinite(figures[name]) else math.inf):
        told = [place["methods"][name] for place in places]
        row = {
            "method": name,
            "title": told[0]["title"],
            "figure": figures[name],
            "interval": _interval(places, name),
            "folds": [_of(each) for each in told],
            "validation": validation[name],
            "parameters": told[0]["parameters"],
            "epochs": [each["epochs"] for each in told],
            "seconds": [each["seconds"] for each in told],
            "difference": None,
        }
        if name in tests:
            test, _ = tests[name]
            p = corrected[name]
            row["difference"] = {"mean": test.mean, "interval": test.interval and list(test.interval), "p": test.p, "holm": p}
            row["apart"] = p is not None and p < SURE
        rows.append(row)
    one = places[0]["methods"][names[0]]
    return {
        **{key: places[0][key] for key in ("recipe", "task", "split")},
        "device": " and ".join(sorted({told["device"] for place in places for told in place["methods"].values()})),
        "cases": [place["cases"] for place in places],
        "folds": len(places),
        "figure": one["figure"],
        "names": one["names"],
        "side": asked.side,
        "pace": asdict(asked.pace),
        "compared_with": first,
        "test": next((said for _, said in tests.values()), ""),
        "resamples": RESAMPLES,
        "rows": rows,
    }


def _of(told: Mapping[str, Any], places: Any = slice(None)) -> float:
    """The figure of one method on one held-out side, or on some of its cases."""
    scores = np.array(told["scores"], dtype=np.float64)[places]
    if told["truth"] is None:
        known = np.where(scores < 0, np.nan, scores)
        return float(np.nanmean(known)) if np.isfinite(known).any() else float("nan")
    return classifying.ranked(scores, np.array(told["truth"])[places])


def _figure(places: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.mean([_of(place["methods"][name]) for place in places]))


def _interval(places: Sequence[dict[str, Any]], name: str) -> list[float] | None:
    """Over the patients of one held-out side; over folds, with the correction for the cases that they share in training."""
    if len(places) == 1:
        told = places[0]["methods"][name]
        if len(set(told["patients"])) < LEAST_PATIENTS:
            return None
        low, high = over_patients(lambda drawn: _of(told, drawn), told["patients"])
        return [low, high] if np.isfinite([low, high]).all() else None
    test = over_folds([_of(place["methods"][name]) for place in places], _share(places))
    # beyond what a figure can be nothing is told
    return None if test.interval is None else [max(test.interval[0], 0.0), min(test.interval[1], 1.0)]


def _share(places: Sequence[dict[str, Any]]) -> float:
    """Held-out over training cases; those that choose are neither."""
    return float(np.mean([test / max(train, 1) for train, _, test in (place["cases"] for place in places)]))


def _tested(places: Sequence[dict[str, Any]], first: str, name: str) -> tuple[Paired, str]:
    """How far a method is from the first, and by what test that was asked."""
    if len(places) > 1:
        differences = [_of(place["methods"][name]) - _of(place["methods"][first]) for place in places]
        return over_folds(differences, _share(places)), "corrected resampled t-test over folds"
    one, other = (places[0]["methods"][each] for each in (first, name))
    patients: list[str] = one["patients"]
    test = over_cases(lambda drawn: _of(other, drawn) - _of(one, drawn), patients)
    if one["truth"] is None or len(one["names"]) > 1 or not LEAST_PATIENTS <= len(set(patients)) == len(patients):
        return test, "paired bootstrap by patient"
    positive = np.array(one["truth"])[:, 0] > 0
    both = [np.array(each["scores"])[:, 0] for each in (one, other)]
    return Paired(mean=test.mean, interval=test.interval, p=areas(both, positive).p([-1, 1])), "DeLong"
