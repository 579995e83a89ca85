"""What a page shows of a classifier beside its figures: ROC curve, calibration, decisions at the threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.classification import BINS, Scores, Truth, confusion
from training.evaluation.plots import Curve, curves


def classifier(told: Mapping[str, Any]) -> dict[str, Any]:
    """Of the record's `classification`: `finding`, `threshold`, and of each case `positive` and `probability`."""
    scores = np.array([each["probability"] for each in told["cases"]], dtype=np.float64)
    positive = np.array([each["positive"] for each in told["cases"]], dtype=np.bool_)
    threshold = told["threshold"]
    decided = confusion(scores, positive, threshold)
    return {
        "finding": told["finding"],
        "threshold": threshold,
        "decided": decided,
        "roc": curves("ROC curve", [Curve(name="ROC", points=roc(scores, positive))], "1 − specificity", "sensitivity", even=True),
        "calibration": curves(
            "calibration",
            [Curve(name="calibration", points=_calibration(scores, positive))],
            "probability given",
            "share present",
            even=True,
        ),
    }


def roc(scores: Scores, positive: Truth) -> list[tuple[float, float]]:
    """Corners of the ROC curve: 1 − specificity and sensitivity at every threshold that tells cases apart, from the strictest on."""
    order = np.argsort(-scores, kind="stable")
    hits, alarms = np.cumsum(positive[order]), np.cumsum(~positive[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    points = zip(alarms[last] / max(int(alarms[-1]), 1), hits[last] / max(int(hits[-1]), 1), strict=True)
    return [(0.0, 0.0), *((float(x), float(y)) for x, y in points)]


def _calibration(scores: Scores, positive: Truth) -> Sequence[tuple[float, float]]:
    bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    return [(float(scores[bins == each].mean()), float(positive[bins == each].mean())) for each in np.unique(bins)]
