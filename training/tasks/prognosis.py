"""Prognosis: which patients have an event sooner, learned from a user's own table of outcomes, and measurements out of reports beside it.

It is judged and told, and never served: unlike every other task it has no application, keeps no model, and exports nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.checkpoint import save_json
from training.errors import BrokenRun, OtherRun, UnfitData, UnfitSetting
from training.evaluation.prognosis import write_page
from training.evaluation.several import holm
from training.progress import Step
from training.survival.cox import Floats, baseline, maximum_likelihood, proportional, survival
from training.survival.curves import calibration, kaplan_meier, thirds
from training.survival.design import Term, matrix, terms
from training.survival.learners import Learner, boosted, cox, parts
from training.survival.order import Concordance, Pairs, ahead, concordance, pairs
from training.tabled.measured import Measured, measured
from training.tabled.outcomes import OutcomeColumn, Outcomes, read_outcomes, refuse_leak

TASK = "prognosis from a table of outcomes"
KEPT = "prognosis.json"
"""What was found, in the run's folder."""
FORMAT = 1
_AGE = "age"
_PER_FEATURE, _PER_FOLD = 10, 4
"""Events that a feature wants, and that a fold has at the least."""
_AT_RISK = 10
"""Patients who have to be followed to the horizon, at the least."""
_SHOWN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PrognosisAsked:
    """What is asked for, beside the table; `horizon` in the table's unit of time, None: the median time of the events."""

    data: Path | None
    horizon: float | None
    folds: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Model:
    """A learner over columns, and what it foretold of patients it did not see: (N,) scores, and risk by the horizon."""

    name: str
    title: str
    learner: Learner
    columns: Sequence[OutcomeColumn]
    pictured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Foretold:
    scores: Floats
    risks: Floats
    says: tuple[str, ...]


def judge(table: Path, asked: PrognosisAsked, run: Path, step: Step) -> dict[str, Any]:
    """Learn in folds, judge, and keep RUN/prognosis.json and RUN/card.html.

    Raises
    ------
    UnfitData
        The table or the reports cannot be learned from; `read_outcomes` says why.
    UnfitSetting
        Too many folds, or a horizon to which nobody was followed.
    OtherRun, BrokenRun
        The run's folder holds something else.
    """
    outcomes = read_outcomes(table)
    _refuse_other(run, outcomes, asked)
    reports = None if asked.data is None else measured(asked.data, outcomes.patients, outcomes.studies)
    for column in reports.columns if reports else ():
        refuse_leak(str(asked.data), column, outcomes.times, outcomes.events)
    columns = (*outcomes.columns, *(reports.columns if reports else ()))
    if not columns:
        raise UnfitData(f"{table} has no column that could be learned from{''.join(f'; {note}' for note in outcomes.notes[:3])}")
    events = int(outcomes.events.sum())
    if not 3 <= asked.folds <= events // _PER_FOLD:
        raise UnfitSetting(f"--folds {asked.folds}: from 3 to {events // _PER_FOLD}, so that each holds {_PER_FOLD} of the {events} events")
    horizon = _horizon(outcomes, asked.horizon)
    folds = parts(outcomes.events, asked.folds, asked.seed)
    known = pairs(outcomes.times, outcomes.events, folds)
    if not any(fold.before.any() for fold in known):
        raise UnfitData(
            f"{table}: of no two patients of a fold is it known who had the event first: all events are at one time, and nobody was "
            "followed longer. Write when each came"
        )
    models = _models(outcomes.columns, columns, reports)
    foretold = {}
    for model in models:
        foretold[model.name] = _out_of_fold(model, outcomes, folds, horizon, asked.seed)
        step(model.title, len(models))
    found = _record(table, outcomes, reports, asked, horizon, known, models, foretold)
    save_json(run / KEPT, found)
    write_page(run, found)
    return found


def _models(table: Sequence[OutcomeColumn], every: Sequence[OutcomeColumn], reports: Measured | None) -> list[_Model]:
    """Cox and boosted trees over everything; beside them Cox over the table alone where there are measurements, and over the age."""
    made = [
        _Model(name="cox", title="Cox", learner=cox, columns=every, pictured=True),
        _Model(name="boosted", title="boosted trees", learner=boosted, columns=every, pictured=True),
    ]
    if reports is not None and table and reports.columns:
        made.append(_Model(name="cox-table", title="Cox, the table alone", learner=cox, columns=table))
    age = [one for one in table if one.name.partition("(")[0].strip().casefold() == _AGE and not one.levels]
    if age:
        made.append(_Model(name=_AGE, title="Cox, age alone", learner=cox, columns=age[:1]))
    return made


def _out_of_fold(model: _Model, outcomes: Outcomes, folds: NDArray[np.intp], horizon: float, seed: int) -> _Foretold:
    scores, risks, says = np.empty(len(folds)), np.empty(len(folds)), []
    for fold in np.unique(folds):
        out = folds == fold
        made = model.learner(model.columns, outcomes.times, outcomes.events, ~out, seed)
        curve = baseline(made.scores[~out], outcomes.times[~out], outcomes.events[~out])
        scores[out], risks[out] = made.scores[out], 1 - survival(made.scores[out], curve, horizon)
        says.append(made.says)
    return _Foretold(scores=scores, risks=risks, says=tuple(says))


def _record(
    table: Path,
    outcomes: Outcomes,
    reports: Measured | None,
    asked: PrognosisAsked,
    horizon: float,
    known: Sequence[Pairs],
    models: Sequence[_Model],
    foretold: dict[str, _Foretold],
) -> dict[str, Any]:
    order = {model.name: concordance(foretold[model.name].scores, known) for model in models}
    least = _AGE if _AGE in order else None
    every = models[0].columns
    of = terms(every, np.ones(len(outcomes.times), dtype=np.bool_))
    events = int(outcomes.events.sum())
    return {
        "format": FORMAT,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "table": table.name,
        "what": _what(outcomes, asked),
        "patients": len(outcomes.patients),
        "measured": None if reports is None else reports.patients,
        "events": events,
        "unit": outcomes.unit,
        "horizon": horizon,
        "folds": asked.folds,
        "pairs": order["cox"].count,
        "columns": [{"name": one.name, "levels": len(one.levels), "missing": int((~np.isfinite(one.cells)).sum())} for one in every],
        "features": len(of),
        "baseline": "age alone" if least else "no feature (0.5)",
        "rows": [_row(model, foretold[model.name], order, least) for model in models],
        "pictured": [_picture(model, foretold[model.name], outcomes, horizon) for model in models if model.pictured],
        **_coefficients(outcomes, every, asked.seed),
        "proportional": _proportional(outcomes, every, foretold["cox"].scores),
        "warnings": _warnings(events, len(of)),
        "notes": [*outcomes.notes, *(reports.notes if reports else ()), *_missing(every)],
    }


def _row(model: _Model, foretold: _Foretold, order: dict[str, Concordance], least: str | None) -> dict[str, Any]:
    own = order[model.name]
    if model.name == least:
        difference = None
    elif least is None:
        difference = {"value": own.value - 0.5, "interval": [end - 0.5 for end in own.interval]}
    else:
        value, interval = ahead(own, order[least])
        difference = {"value": value, "interval": list(interval)}
    return {
        "model": model.name,
        "title": model.title,
        "c": own.value,
        "interval": list(own.interval),
        "ahead": difference,
        "says": "; ".join(dict.fromkeys(foretold.says)),
    }


def _picture(model: _Model, foretold: _Foretold, outcomes: Outcomes, horizon: float) -> dict[str, Any]:
    groups = thirds(foretold.risks)
    marks = [float(each) for each in np.linspace(0, float(outcomes.times.max()), 5)]
    marks = [float(f"{mark:.2g}") for mark in marks]
    seen = []
    for group in np.unique(groups):
        own = groups == group
        curve = kaplan_meier(outcomes.times[own], outcomes.events[own])
        seen.append({"third": int(group), "patients": int(own.sum()), "events": int(outcomes.events[own].sum()), **asdict(curve)})
    return {
        "title": model.title,
        "thirds": seen,
        "at_risk": {
            "times": marks,
            "rows": [
                {
                    "name": ("lowest", "middle", "highest")[int(group)],
                    "counts": [int((outcomes.times[groups == group] >= mark).sum()) for mark in marks],
                }
                for group in np.unique(groups)
            ],
        },
        "calibration": [asdict(one) for one in calibration(foretold.risks, groups, outcomes.times, outcomes.events, horizon)],
    }


def _coefficients(outcomes: Outcomes, columns: Sequence[OutcomeColumn], seed: int) -> dict[str, Any]:
    """Hazard ratios over all patients: with intervals where there are ten events a feature, else shrunk and without."""
    everybody = np.ones(len(outcomes.times), dtype=np.bool_)
    of = terms(columns, everybody)
    events = int(outcomes.events.sum())
    fitted, few = None, len(of) * _PER_FEATURE <= events
    if few:
        fitted = maximum_likelihood(matrix(columns, of), outcomes.times, outcomes.events)
    if fitted is not None:
        rows = []
        for term, value, variance in zip(of, fitted.coefficients, np.diag(fitted.covariance), strict=True):
            scale = _scale(term, columns)
            ends = [float(np.exp(scale * (value + way * 1.959964 * np.sqrt(variance)))) for way in (-1, 1)]
            rows.append({"name": _per(term, scale), "ratio": float(np.exp(scale * value)), "interval": ends})
        return {"coefficients": rows, "coefficients_note": "Without a penalty; intervals by the observed information (Wald)."}
    shrunk = cox(columns, outcomes.times, outcomes.events, everybody, seed)
    by_name = {term.name: term for term in of}
    ranked = sorted((shrunk.coefficients or {}).items(), key=lambda one: -abs(one[1]))
    kept = [(name, value) for name, value in ranked if abs(value) > 1e-8]
    rows = []
    for name, value in kept[:_SHOWN]:
        term = by_name[name]
        scale = _scale(term, columns)
        rows.append({"name": _per(term, scale), "ratio": float(np.exp(scale * value)), "interval": None})
    why = (
        "without one nothing can be told, as columns say the same, or one parts those who had the event from all others"
        if few
        else f"{len(of)} features are too many for {events} events to be told without one"
    )
    note = (
        f"Under a penalty ({shrunk.says}), which draws every ratio towards 1: {why}, and no interval is told. Shown are {len(rows)} of "
        f"{len(kept)} that are not 1."
    )
    return {"coefficients": rows, "coefficients_note": note}


def _scale(term: Term, columns: Sequence[OutcomeColumn]) -> float:
    """1: a ratio is per deviation of a number; of a level, or of what is 0 or 1, it is of those who have it."""
    cells = columns[term.column].cells
    return 1.0 if term.level is None and not np.isin(cells[np.isfinite(cells)], (0, 1)).all() else 1 / term.spread


def _per(term: Term, scale: float) -> str:
    return f"{term.name}, per {term.spread:.3g}" if scale == 1.0 else term.name


def _proportional(outcomes: Outcomes, columns: Sequence[OutcomeColumn], scores: Floats) -> dict[str, Any]:
    """Whether hazard ratios hold at all times: of the score of Cox as a whole, and of each feature by itself, Holm over them."""
    of = terms(columns, np.ones(len(outcomes.times), dtype=np.bool_))
    features = matrix(columns, of)
    whole = proportional(scores, outcomes.times, outcomes.events) if np.ptp(scores) > 0 else float("nan")
    single = [proportional(features[:, at], outcomes.times, outcomes.events) for at in range(len(of))]
    corrected = holm([p if np.isfinite(p) else None for p in single])
    apart = [term.name for term, p in zip(of, corrected, strict=True) if p is not None and p < 0.05]
    changing = f"ratios change with time in {_some(apart)}" if apart else "no ratio changes with time"
    score = "–" if not np.isfinite(whole) else "< 0.001" if whole < 0.001 else f"{whole:.3f}"
    said = (
        f"Proportional hazards (Grambsch and Therneau 1994, over ranked times): p {score} for the score as a whole; of features by "
        f"themselves (Holm, 0.05) {changing}."
    )
    return {"score": whole if np.isfinite(whole) else None, "apart": apart, "says": said}


def _warnings(events: int, features: int) -> list[str]:
    if features * _PER_FEATURE <= events:
        return []
    said = (
        f"{events} events for {features} features, fewer than {_PER_FEATURE} a feature: the models hold back by a penalty, and what they "
        "find of single features is not to be relied on."
    )
    return [said]


def _missing(columns: Sequence[OutcomeColumn]) -> list[str]:
    lacking = [(one.name, int((~np.isfinite(one.cells)).sum())) for one in columns if not np.isfinite(one.cells).all()]
    if not lacking:
        return []
    named = [f"{name} ({count})" for name, count in sorted(lacking, key=lambda one: -one[1])]
    return [f"Values are missing in {len(lacking)} columns: {_some(named)}."]


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{' …' if len(names) > 5 else ''}"


def _horizon(outcomes: Outcomes, asked: float | None) -> float:
    horizon = float(np.median(outcomes.times[outcomes.events])) if asked is None else asked
    latest = float(np.sort(outcomes.times)[-_AT_RISK])
    if not 0 < horizon <= latest:
        raise UnfitSetting(f"--horizon {horizon:g}: from above 0 to {latest:g} {outcomes.unit}, to which {_AT_RISK} patients were followed")
    return horizon


def _what(outcomes: Outcomes, asked: PrognosisAsked) -> str:
    settings = f"horizon {asked.horizon}, folds {asked.folds}, seed {asked.seed}"
    return f"table {outcomes.sha256[:16]}, data {asked.data and asked.data.resolve()}, {settings}"


def _refuse_other(run: Path, outcomes: Outcomes, asked: PrognosisAsked) -> None:
    """What another recipe made, or other data, is not written over."""
    path = run / KEPT
    if not path.is_file():
        if run.is_dir() and any(run.iterdir()):
            raise OtherRun(f"{run} holds something else than a prognosis")
        return
    try:
        before = str(json.loads(path.read_text(encoding="utf-8"))["what"])
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BrokenRun(f"{path} is not what a prognosis writes: {broken!r}") from broken
    if before != _what(outcomes, asked):
        raise OtherRun(f"{run} is of {before}, and asked for is {_what(outcomes, asked)}")
