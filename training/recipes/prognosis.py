"""Prognosis from a user's own table of outcomes; it is judged and told, and nothing of it is served."""

from pathlib import Path
from typing import Any

from inference.engines.extras import demand
from training.errors import UnfitSetting
from training.evaluation.prognosis import lines
from training.progress import Step
from training.synopsis import FullRun, Synopsis
from training.tasks.prognosis import TASK, PrognosisAsked, judge

__all__ = ["LEFT", "NAME", "SYNOPSIS", "judged", "lines"]

NAME = "prognosis"
FOLDS = 5
LEFT = "nothing of it is exported, and no node serves it"
SYNOPSIS = Synopsis(
    recipe=NAME,
    task=TASK,
    title="Which patients have an event sooner: Cox and boosted trees over your own columns and measurements",
    application="",
    grade="research",
    weights=False,
    run=FullRun(
        wants="a table (CSV) with PatientID, time and its unit, event (1 or 0) and what else was known when the time began; with --data "
        "reports (DICOM SR) of the same patients; twenty events at the very least",
        time="by the data: seconds to minutes of a processor",
        figure="by the data: Harrell's C out of folds by patient, beside age alone; nothing is exported",
    ),
    objects=(),
)


def judged(
    data: Path | None,
    run: Path,
    labels: tuple[str, ...],
    horizon: float | None,
    folds: int | None,
    seed: int | None,
    step: Step,
) -> dict[str, Any]:
    """All that there is of it: learned, judged, kept in the run's folder.

    Raises
    ------
    UnfitSetting, UnfitData, OtherRun, BrokenRun
    LibraryNotInstalled
    """
    demand("hilum train prognosis", "xgboost")
    if len(labels) != 1:
        raise UnfitSetting('recipe "prognosis" wants one table of outcomes: --labels outcomes.csv')
    asked = PrognosisAsked(data=data, horizon=horizon, folds=FOLDS if folds is None else folds, seed=seed or 0)
    return judge(Path(labels[0]), asked, run, step)
