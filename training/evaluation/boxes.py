"""Figures of boxes on single images: mean average precision, FROC, what is told from a probability on; intervals over patients.

A box is a hit where it and a true one of its class share at least half of what they cover together, each true one counted once, as in
Pascal VOC (Everingham and others 2010). FROC is kinder: the middle of a box lies within a true one of its class (`detection`).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.findings import Box
from training.data.boxed import MarkedBox
from training.evaluation.bootstrap import over_patients
from training.evaluation.detection import Scan

OVERLAP = 0.5
"""Intersection over union from which on a box is a hit."""
LEAST = 0.02
"""Probability from which on boxes count in mean average precision and FROC."""
UNSURE = 0.5
"""From which probability on boxes are told where the validation cases cannot say."""
BINS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SureBox:
    """A box that was found, and how sure."""

    box: Box
    channel: int
    certainty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedImage:
    """What was found on one image, and what is there."""

    patient: str
    found: tuple[SureBox, ...]
    true: tuple[MarkedBox, ...]

    def hits(self, channel: int) -> list[tuple[float, bool]]:
        """Of each found box of a class, surest first, how sure it is, and whether it is a hit."""
        left = [one.box for one in self.true if one.channel == channel]
        answers = []
        for found in sorted((one for one in self.found if one.channel == channel), key=lambda one: -one.certainty):
            best = max(left, key=lambda box: shared(found.box, box), default=None)
            hit = best is not None and shared(found.box, best) >= OVERLAP
            if hit and best is not None:
                left.remove(best)
            answers.append((found.certainty, hit))
        return answers


def shared(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    common = _side(one.top, one.bottom, other.top, other.bottom) * _side(one.left, one.right, other.left, other.right)
    area = sum((box.bottom - box.top) * (box.right - box.left) for box in (one, other))
    return common / (area - common)


def _side(low: float, high: float, other_low: float, other_high: float) -> float:
    return max(0.0, min(high, other_high) - max(low, other_low))


def ranked(image: JudgedImage, classes: int) -> dict[str, Any]:
    """What mean average precision needs of an image, as JSON: how many true boxes of each class, and each found one."""
    return {
        "true": [sum(one.channel == channel for one in image.true) for channel in range(classes)],
        "found": [[channel, certainty, hit] for channel in range(classes) for certainty, hit in image.hits(channel)],
    }


def precisions(images: Sequence[Mapping[str, Any]], counted: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
    """The average precision of each class (K,): the area below precision over recall, precision made to fall; NaN of a class without a
    true box.

    Parameters
    ----------
    images
        As `ranked` has them.
    counted
        How often each image counts; None: once.
    """
    often = np.ones(len(images), dtype=np.intp) if counted is None else counted
    true = np.array([one["true"] for one in images], dtype=np.float64)
    found = np.array([[at, *box] for at, one in enumerate(images) for box in one["found"]], dtype=np.float64).reshape(-1, 4)
    found = found[np.argsort(-found[:, 2], kind="stable")]
    answers = np.full(true.shape[1], np.nan)
    for channel in range(true.shape[1]):
        there = float((true[:, channel] * often).sum())
        if not there:
            continue
        own = found[found[:, 1] == channel]
        weights = often[own[:, 0].astype(np.intp)]
        hits, all_found = np.cumsum(weights * own[:, 3]), np.cumsum(weights)
        precise = np.maximum.accumulate((hits / np.maximum(all_found, 1))[::-1])[::-1]
        answers[channel] = float((np.diff(hits / there, prepend=0.0) * precise).sum())
    return answers


def mean_precision(images: Sequence[Mapping[str, Any]], counted: NDArray[np.intp] | None = None) -> float:
    """Of all classes that are there."""
    each = precisions(images, counted)
    return float(np.nanmean(each)) if np.isfinite(each).any() else math.nan


def pooled_precision(images: Sequence[Mapping[str, Any]], patients: Sequence[str]) -> dict[str, Any]:
    """Mean average precision of all images together, with its 95 % interval over patients."""
    low, high = over_patients(lambda drawn: mean_precision(images, np.bincount(drawn, minlength=len(images))), patients)
    mean = mean_precision(images)
    return {"mean": None if math.isnan(mean) else mean, "interval": None if math.isnan(low) else [low, high]}


def scan(image: JudgedImage) -> Scan:
    """For FROC: a box hits the true ones of its class in which its middle lies."""
    hits, numbers = [], []
    hitting: set[int] = set()
    for one in image.true:
        inside = [at for at, found in enumerate(image.found) if found.channel == one.channel and _middle_in(found.box, one.box)]
        hitting.update(inside)
        best = max(inside, key=lambda at: image.found[at].certainty, default=None)
        hits.append(-math.inf if best is None else image.found[best].certainty)
        numbers.append(best)
    alarms = tuple(found.certainty for at, found in enumerate(image.found) if at not in hitting)
    return Scan(patient=image.patient, hits=tuple(hits), matched=tuple(numbers), alarms=alarms)


def _middle_in(found: Box, true: Box) -> bool:
    down, across = (found.top + found.bottom) / 2, (found.left + found.right) / 2
    return true.top <= down <= true.bottom and true.left <= across <= true.right


def chosen_from(images: Sequence[JudgedImage], classes: int) -> float:
    """The probability from which on boxes are told: where precision and recall together (F1) are best on these images."""
    every = [pair for one in images for channel in range(classes) for pair in one.hits(channel)]
    there = sum(len(one.true) for one in images)
    found = np.array(sorted(every, key=lambda pair: -pair[0]), dtype=np.float64).reshape(-1, 2)
    hits = np.cumsum(found[:, 1])
    if not len(hits) or not hits[-1]:
        return UNSURE
    best = int(np.argmax(2 * hits / (np.arange(1, len(hits) + 1) + there)))
    # between this box and the next one, as far as there is one: on the edge, rounding would decide
    after = found[best + 1, 0] if best + 1 < len(found) else LEAST
    middle = float(found[best, 0] + after) / 2
    short = round(middle, 3)
    # of a network that is all but certain three digits are 1, from which on nothing is told
    return short if after <= short <= found[best, 0] else middle


def reliability(images: Sequence[JudgedImage], classes: int) -> list[dict[str, Any]]:
    """Of boxes in each range of probability, how many there are, what they say in the mean, and how many of them are hits."""
    every = np.array([pair for one in images for channel in range(classes) for pair in one.hits(channel)], dtype=np.float64).reshape(-1, 2)
    told = []
    for low, high in itertools.pairwise(BINS):
        own = every[(every[:, 0] >= low) & ((every[:, 0] < high) | (high == BINS[-1]))]
        said, real = (float(each.mean()) if len(own) else None for each in own.T)
        told.append({"from": low, "to": high, "boxes": len(own), "said": said, "hits": real})
    return told
