"""Paired comparison of two evaluations over the same held-out cases: differences, their intervals, and a test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import OtherCases
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED, means
from training.evaluation.classification import auc
from training.evaluation.delong import areas

LEAST_PAIRS = 6
"""Of five that all agree, the signed-rank test's p is 0.0625 at the least: an interval of so few tells nothing."""
SURE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of two models.

    Attributes
    ----------
    cases
        How many have the figure in both evaluations.
    mean
        The second's less the first's; of figures whose best is 0, of their absolute values. `interval`: 95 %, over patients.
    p
        Of the test that `test` names; None where nothing differs or too few patients are there.
    better
        "A" or "B" from `LEAST_PAIRS` patients on, where the interval does not hold 0 and p is below `SURE`; else "".
    """

    figure: str
    unit: str
    cases: int
    first: float
    second: float
    mean: float
    interval: tuple[float, float]
    p: float | None
    test: str
    better: str


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Difference, ...]:
    """All figures that both evaluations have.

    Raises
    ------
    OtherCases
    """
    _refuse_other_cases(first, second)
    patients = [each["patient"] for each in first["each"]]
    there = {each["case"]: each["figures"] for each in second["each"]}
    found = []
    for name in first["figures"]:
        if name not in second["figures"]:
            continue
        # of a classifier's figures no single case has a value
        pairs = np.array([(each["figures"].get(name), there[each["case"]].get(name)) for each in first["each"]], dtype=np.float64)
        known = np.isfinite(pairs[:, 0]) & np.isfinite(pairs[:, 1])
        if known.any():
            of_known = [patient for patient, one in zip(patients, known.tolist(), strict=True) if one]
            found.append(_paired(name, first["figures"][name], pairs[known], of_known))
    if "classification" in first and "classification" in second:
        found.append(_ranked(first["classification"], second["classification"]))
    if not found:
        raise OtherCases("the two evaluations have no figure in common")
    return tuple(found)


def _refuse_other_cases(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    one, other = ({(each["patient"], each["case"]) for each in told["each"]} for told in (first, second))
    if one == other:
        return
    missing = sorted(case for _, case in one ^ other)
    some = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
    raise OtherCases(
        f"{len(one - other)} of {len(one)} cases are only in the first evaluation and {len(other - one)} only in the second: {some}"
    )


def _paired(name: str, told: Mapping[str, Any], pairs: NDArray[np.float64], patients: list[str]) -> Difference:
    from scipy.stats import wilcoxon

    near_0 = told["better"] == "near 0"
    sides = np.abs(pairs) if near_0 else pairs
    differences = sides[:, 1] - sides[:, 0]
    low, high = np.percentile(means(differences, patients), INTERVAL)
    # cases of one patient are no news of each other
    names, places = np.unique(np.array(patients), return_inverse=True)
    each = np.bincount(places, differences, len(names)) / np.bincount(places, minlength=len(names))
    p = float(wilcoxon(each).pvalue) if np.count_nonzero(each) > 0 and len(each) > 1 else None
    return Difference(
        figure=f"|{name}|" if near_0 else name,
        unit=told["unit"],
        cases=len(pairs),
        first=float(sides[:, 0].mean()),
        second=float(sides[:, 1].mean()),
        mean=float(differences.mean()),
        interval=(float(low), float(high)),
        p=p,
        test="Wilcoxon signed-rank",
        better=_better(low, high, p, len(each), told["better"] == "more"),
    )


def _ranked(first: Mapping[str, Any], second: Mapping[str, Any]) -> Difference:
    """Of two classifiers the areas under their ROC curves: interval by bootstrap over patients, each resample scored by both.

    p is of DeLong's test where every case is a patient of its own, which it takes them for; else of that bootstrap.
    """
    other = {each["case"]: each for each in second["cases"]}
    cases = first["cases"]
    if {each["case"] for each in cases} != other.keys() or any(each["positive"] != other[each["case"]]["positive"] for each in cases):
        raise OtherCases("the two classifiers were not asked about the same cases with the same truth")
    positive = np.array([each["positive"] for each in cases], dtype=np.bool_)
    one = np.array([each["probability"] for each in cases], dtype=np.float64)
    two = np.array([other[each["case"]]["probability"] for each in cases], dtype=np.float64)
    names, places = np.unique(np.array([each["patient"] for each in cases]), return_inverse=True)
    of = [np.flatnonzero(places == place) for place in range(len(names))]
    rng = np.random.default_rng(SEED)
    drawn = []
    for chosen in rng.integers(len(names), size=(RESAMPLES, len(names))):
        index = np.concatenate([of[place] for place in chosen])
        drawn.append(auc(two[index], positive[index]) - auc(one[index], positive[index]))
    low, high = np.nanpercentile(drawn, INTERVAL)
    known = np.array(drawn)[np.isfinite(drawn)]
    before, after = auc(one, positive), auc(two, positive)
    apart = len(names) == len(cases)
    if np.array_equal(one, two):
        p = None
    elif apart:
        p = areas([one, two], positive).p([-1, 1])
    else:
        # both tails; never 0, which so many resamples cannot show
        tail = min(float((known <= 0).mean()), float((known >= 0).mean()))
        p = min(1.0, max(2 * tail, 1 / len(known)))
    return Difference(
        figure="AUC",
        unit="",
        cases=len(cases),
        first=before,
        second=after,
        mean=after - before,
        interval=(float(low), float(high)),
        p=p,
        test="DeLong" if apart else "paired bootstrap",
        better=_better(low, high, p, len(names), True),
    )


def _better(low: float, high: float, p: float | None, pairs: int, more: bool) -> str:
    if low <= 0 <= high or p is None or p >= SURE or pairs < LEAST_PAIRS:
        return ""
    return "B" if (low > 0) == more else "A"
