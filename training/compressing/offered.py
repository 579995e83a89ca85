"""The rule by which a smaller network is offered: what it loses on the held-out cases, and how many times as fast it is; set beforehand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.compressing.pace import CallTimes
from training.compressing.widths import WIDTHS
from training.errors import BrokenRun, NotOffered
from training.evaluation.bootstrap import over_patients
from training.evaluation.classification import auc
from training.evaluation.compare import compare

MOST_LOST = 0.005
"""Of a figure whose best is 1: the upper end of the paired loss' 95 % interval, by bootstrap over patients."""
LEAST_TIMES = 1.5
COMPRESSED = "compressed.json"
"""Of a run whose network is a smaller one, in its folder: what was found of it."""


def judged(
    first: Mapping[str, Any], second: Mapping[str, Any], found: CallTimes, how: str, weights: tuple[int, int] | None = None
) -> dict[str, Any]:
    """What COMPRESSED holds of a smaller network, from both evaluations and how fast the two are.

    Raises
    ------
    OtherCases
    """
    rows = losses(first, second)
    quick, kept = found.times >= LEAST_TIMES, all(row["bound"] <= MOST_LOST for row in rows)
    against = [why for holds, why in ((kept, "it loses too much"), (quick, "too little time is gained")) if not holds]
    return {
        "how": how,
        "sha256": second["sha256"],
        "weights": None if weights is None else list(weights),
        "figures": rows,
        "patients": len({each["patient"] for each in first["each"]}),
        "seconds": [found.first_s, found.second_s],
        "times": found.times,
        "times at least": found.at_least,
        "runtime": found.runtime,
        "offered": not against,
        "why": " and ".join(against),
    }


def losses(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the figures that decide, both values, the first's less the second's, and the upper end of its 95 % interval over patients: the
    watched one of structures, of findings the area under each ROC curve.

    Raises
    ------
    OtherCases
    """
    paired = {one.figure: one for one in compare(first, second)}
    if "findings" not in first:
        watched = paired[first["watched"]]
        return [
            {
                "figure": watched.figure,
                "first": watched.first,
                "second": watched.second,
                "lost": -watched.mean,
                "bound": -watched.interval[0],
            }
        ]
    patients = [row["patient"] for row in first["each"]]
    there = {row["case"]: row["probabilities"] for row in second["each"]}
    rows = []
    for finding in (each["finding"] for each in first["findings"]):
        real = np.array([row["labels"][finding] for row in first["each"]])
        one = np.array([row["probabilities"][finding] for row in first["each"]])
        other = np.array([there[row["case"]][finding] for row in first["each"]])

        def lost(at: NDArray[np.intp], one: Any = one, other: Any = other, real: Any = real) -> float:
            return auc(one[at], real[at]) - auc(other[at], real[at])

        bound = over_patients(lost, patients)[1]
        row = {"figure": f"AUC {finding}", "first": auc(one, real), "second": auc(other, real), "lost": lost(np.arange(len(real)))}
        rows.append(row | {"bound": bound})
    return rows


def told(found: Mapping[str, Any]) -> str:
    """The table of COMPRESSED as Markdown, for a terminal and for the card."""
    slow, quick = (f"{1000 * seconds:.1f} ms" for seconds in found["seconds"])
    times = f"{found['times']:.2f} times as fast, {found['times at least']:.2f} at least"
    lines = [
        "| figure | of the network that it takes the place of | of this one | lost, upper end of 95 % |",
        "|---|---|---|---|",
        *(
            f"| {row['figure']} | {row['first']:.4f} | {row['second']:.4f} | {row['lost']:.4f}, {row['bound']:.4f} |"
            for row in found["figures"]
        ),
        f"| processor time of a call, {found['runtime']} | {slow} | {quick} | {times} |",
        *(f"| weights | {before:,} | {after:,} | |" for before, after in ([found["weights"]] if found["weights"] else [])),
        "",
    ]
    rule = f"at most {MOST_LOST:g} lost by the upper end, {LEAST_TIMES:g} times as fast"
    verdict = f"Offered ({rule})" if found["offered"] else f"Not offered: {found['why']} ({rule})"
    return "\n".join(lines) + f"\n{found['how']}. {verdict}.\n"


def read(run: Path) -> dict[str, Any] | None:
    """What was found of a run's smaller network; None where it is none.

    Raises
    ------
    BrokenRun
    """
    path = run / COMPRESSED
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found["offered"], found["why"], found["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BrokenRun(f"{path} is not what `hilum compress` writes: {broken!r}") from broken
    return found


def offered(run: Path, sha256: str) -> dict[str, Any] | None:
    """What was found of a smaller network that the rule offers; None where a run's is none.

    Raises
    ------
    NotOffered
        By the rule; or nobody has asked it yet.
    BrokenRun
        The network was changed since.
    """
    found = read(run)
    if found is None:
        if (run / WIDTHS).is_file():
            raise NotOffered(f"the thinner network of {run} was not judged yet: call `hilum compress` again, which goes on")
        return None
    if found["sha256"] != sha256:
        raise BrokenRun(f"{run / COMPRESSED} is of another network than the one that lies there: compress again")
    if not found["offered"]:
        raise NotOffered(f"the network of {run} is not offered in the place of the one that it was made from: {found['why']}")
    return found
