"""Page section of a classifier: ROC curve, calibration, decisions at the threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from training.evaluation.classification import BINS, Scores, Truth, confusion
from training.evaluation.gallery import Picture
from training.evaluation.page import Gallery, Parts, fragment
from training.evaluation.plots import Curve, curves

_NOTE = Markup("The surest right answers and the furthest wrong ones at the threshold, with the probability that was given.{}")
_MAPS = " Beside each image, what moved the answer: {}, in log odds. They explain the network and are no location of anything."


def classifier_parts(told: Mapping[str, Any], pictures: Sequence[Picture]) -> Parts:
    """Of the record's `classification`, as `classifier`, with pictures of cases."""
    maps = pictures[0].maps if pictures else ()
    note = _NOTE.format(_MAPS.format(", ".join(maps)) if maps else "")
    return Parts(
        section=fragment("classifier.html", **classifier(told)),
        gallery=Gallery(title="Hits and misses", note=note, pictures=pictures, digits=3),
    )


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
