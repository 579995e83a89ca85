"""Figures of detection: sensitivity against false positives a scan (FROC), with intervals by bootstrap over patients.

As in LUNA16 (Setio and others 2017): a candidate hits what it lies in, within half of the longest diameter from the centre; further
candidates that hit the same thing count neither way; the final figure is the mean sensitivity at seven rates of false positives.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED

RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False positives a scan."""

Place = tuple[float, float, float]
"""(x, y, z) in mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan after matching.

    Attributes
    ----------
    hits
        Of each true thing the certainty of the surest candidate that hits it; -inf where none does.
    matched
        Of each true thing the number of that candidate; None where there is none.
    alarms
        Certainties of the candidates that hit nothing.
    """

    patient: str
    hits: tuple[float, ...]
    matched: tuple[int | None, ...]
    alarms: tuple[float, ...]


def matched(patient: str, found: Sequence[tuple[Place, float]], true: Sequence[tuple[Place, float]]) -> Scan:
    """Candidates (place, certainty) against what is there (place, longest diameter in mm)."""
    places = np.array([place for place, _ in found], dtype=np.float64).reshape(-1, 3)
    hitting = np.zeros(len(found), dtype=np.bool_)
    hits: list[float] = []
    numbers: list[int | None] = []
    for centre, diameter_mm in true:
        near = np.flatnonzero(np.linalg.norm(places - np.array(centre), axis=1) <= diameter_mm / 2)
        hitting[near] = True
        best = max(near.tolist(), key=lambda number: found[number][1], default=None)
        hits.append(-math.inf if best is None else found[best][1])
        numbers.append(best)
    alarms = tuple(certainty for (_, certainty), hit in zip(found, hitting.tolist(), strict=True) if not hit)
    return Scan(patient=patient, hits=tuple(hits), matched=tuple(numbers), alarms=alarms)


def thresholds(scans: Sequence[Scan], rates: Sequence[float] = RATES) -> NDArray[np.float64]:
    """The certainty that a candidate has to exceed for at most so many false positives a scan to be; -inf where there never are as many."""
    alarms = -np.sort(-np.array([certainty for scan in scans for certainty in scan.alarms]))
    return _bounds(alarms, len(scans), rates)


def _bounds(alarms: NDArray[np.float64], scans: int, rates: Sequence[float]) -> NDArray[np.float64]:
    """Of alarms that descend."""
    allowed = [math.floor(rate * scans + 1e-9) for rate in rates]
    # as sure as the first alarm that is one too many is not sure enough
    return np.array([alarms[count] if count < len(alarms) else -math.inf for count in allowed])


def sensitivities(scans: Sequence[Scan], rates: Sequence[float] = RATES) -> NDArray[np.float64]:
    """The share of true things that are found where at most so many false positives a scan are; NaN where there is nothing to find."""
    hits = np.array([certainty for scan in scans for certainty in scan.hits])
    if not len(hits):
        return np.full(len(rates), np.nan)
    return np.array([float(np.mean(hits > least)) for least in thresholds(scans, rates)])


def froc(scans: Sequence[Scan]) -> dict[str, Any]:
    """Sensitivity at each of `RATES` and their mean, with 95 % intervals over patients."""
    return _told(scans, _resampled(scans))


def compared(own: Sequence[Scan], other: Sequence[Scan]) -> dict[str, Any]:
    """FROC of two detectors on the same scans, and by how much the first is ahead; both are resampled on the same patients."""
    drawn, others = _resampled(own), _resampled(other)
    mine, theirs = _told(own, drawn), _told(other, others)
    apart = drawn - others
    low, high = np.nanpercentile(apart, INTERVAL, axis=0)
    return {
        "network": mine,
        "classical": theirs,
        "difference": {
            "points": [
                {"rate": one["rate"], "difference": one["sensitivity"] - two["sensitivity"], "interval": [float(a), float(b)]}
                for one, two, a, b in zip(mine["points"], theirs["points"], low, high, strict=True)
            ],
            "mean": mine["mean"] - theirs["mean"],
            "interval": np.nanpercentile(apart.mean(axis=1), INTERVAL).tolist(),
        },
    }


def _resampled(scans: Sequence[Scan]) -> NDArray[np.float64]:
    """Sensitivities of each resample of the patients (resamples, rates), the same patients at every call; NaN where they have nothing."""
    by_patient: dict[str, list[Scan]] = {}
    for scan in scans:
        by_patient.setdefault(scan.patient, []).append(scan)
    groups = list(by_patient.values())
    counts = np.array([len(group) for group in groups])
    hits = [np.array([certainty for scan in group for certainty in scan.hits]) for group in groups]
    alarms = [np.array([certainty for scan in group for certainty in scan.alarms]) for group in groups]
    drawn = np.full((RESAMPLES, len(RATES)), np.nan)
    for answer, numbers in zip(drawn, np.random.default_rng(SEED).integers(len(groups), size=(RESAMPLES, len(groups))), strict=True):
        found = np.concatenate([hits[number] for number in numbers])
        if len(found):
            descending = -np.sort(-np.concatenate([alarms[number] for number in numbers]))
            answer[:] = (found > _bounds(descending, int(counts[numbers].sum()), RATES)[:, None]).mean(axis=1)
    return drawn


def _told(scans: Sequence[Scan], drawn: NDArray[np.float64]) -> dict[str, Any]:
    points = sensitivities(scans)
    low, high = np.nanpercentile(drawn, INTERVAL, axis=0)
    mean_low, mean_high = np.nanpercentile(drawn.mean(axis=1), INTERVAL)
    return {
        "scans": len(scans),
        "patients": len({scan.patient for scan in scans}),
        "things": sum(len(scan.hits) for scan in scans),
        "points": [
            {"rate": rate, "sensitivity": float(value), "interval": [float(a), float(b)]}
            for rate, value, a, b in zip(RATES, points, low, high, strict=True)
        ],
        "mean": float(points.mean()),
        "interval": [float(mean_low), float(mean_high)],
    }
