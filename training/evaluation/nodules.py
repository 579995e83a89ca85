"""Nodules of held-out cases, judged: what was hit, missed and marked for nothing, how well measured; what is worth a look."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from inference.applications.lung_nodule.candidates import REPORTED, Candidate
from inference.applications.lung_nodule.follow_up import Density
from inference.findings import Findings
from training.data.cases import Case
from training.data.planted_nodules import Nodule
from training.data.thoraxes import Thorax
from training.evaluation.detection import RATES, Place, Scan, compared, froc, thresholds
from training.evaluation.gallery import Marked
from training.evaluation.record import Scored

SIZES_MM = (0.0, 6.0, 8.0, float("inf"))
"""Longest diameters: follow-up goes by these bounds."""
OF_AGREEMENT = 1.96
"""Deviations from the mean within which 95 % of differences lie (Bland and Altman 1986)."""
_SHOWN = 3

Pair = tuple[Nodule, Candidate]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A held-out case: what is there, what was found and told, and both detectors' candidates after matching."""

    case: Case
    loaded: Thorax
    candidates: tuple[Candidate, ...]
    findings: Findings
    network: Scan
    classical: Scan

    def told(self) -> Iterator[Pair]:
        """Nodules that are hit by what is sure enough to be told, each with its candidate."""
        for nodule, number in zip(self.loaded.nodules, self.network.matched, strict=True):
            if number is not None and self.candidates[number].certainty >= REPORTED:
                yield nodule, self.candidates[number]

    def missed(self) -> list[Nodule]:
        """The others."""
        told = {id(nodule) for nodule, _ in self.told()}
        return [nodule for nodule in self.loaded.nodules if id(nodule) not in told]

    def alarms(self) -> list[Candidate]:
        """What is told and hits nothing."""
        places = [(nodule.centre_mm, nodule.long_mm) for nodule in self.loaded.nodules]
        told = [each for each in self.candidates if each.certainty >= REPORTED]
        return [each for each in told if not any(_hits(each, *place) for place in places)]


def as_json(findings: Findings) -> list[dict[str, Any]]:
    """Every location with its shape and its measurements."""
    return [
        {
            "label": location.label,
            "finding": location.finding.meaning,
            "image": location.image,
            "kind": type(location.shape).__name__,
            "shape": asdict(location.shape),
            "certainty": location.certainty,
            "measurements": [
                {"name": each.name.meaning, "value": each.value, "unit": each.unit.value}
                for each in findings.measurements
                if each.location == location.label
            ],
        }
        for location in findings.locations
    ]


def shares(scans: Sequence[Scan]) -> list[float]:
    """Of each scan the share of its nodules that is found, the mean over the thresholds of FROC's rates; NaN where it has none."""
    least = thresholds(scans, RATES)
    return [float(np.mean([np.mean(np.array(one.hits) > bound) for bound in least])) if one.hits else float("nan") for one in scans]


def scored(judged: Sequence[Judged]) -> list[Scored]:
    own, without = shares([one.network for one in judged]), shares([one.classical for one in judged])
    return [
        Scored(
            case=one.case,
            attributes=one.loaded.attributes,
            row={
                "FROC mean": share,
                "sensitivity as told": len(list(one.told())) / len(one.loaded.nodules) if one.loaded.nodules else float("nan"),
                "false positives as told": float(len(one.alarms())),
                **{f"{name} error": _mean([found - true for true, found in _sides(one.told(), of)]) for name, of in _LENGTHS.items()},
                "volume error nodules": _mean([100 * (found - true) / true for true, found in _sides(one.told(), _volume)]),
            },
            without={"FROC mean": other, **dict.fromkeys(_OTHERS, float("nan"))},
        )
        for one, share, other in zip(judged, own, without, strict=True)
    ]


def told_of(judged: Sequence[Judged]) -> dict[str, Any]:
    """What evaluation.json says beside the figures of each case."""
    pairs = [pair for one in judged for pair in one.told()]
    against = {name: compared([one.network for one in some], [one.classical for one in some]) for name, some in _kinds(judged).items()}
    return {
        "reported from": REPORTED,
        "told": _as_told(judged),
        "compared": against,
        "froc": {"all": against["all"]["network"], **{name: froc(scans) for name, scans in _classes(judged).items()}},
        "differences": {
            **{name: _agreement([found - true for true, found in _sides(pairs, of)], "mm") for name, of in _LENGTHS.items()},
            "volume": _agreement([100 * (found - true) / true for true, found in _sides(pairs, _volume)], "%"),
        },
        "densities": {
            true.value: {
                **{told.value: sum(nodule.density is true and found.density is told for nodule, found in pairs) for told in Density},
                "missed": sum(nodule.density is true for one in judged for nodule in one.loaded.nodules)
                - sum(nodule.density is true for nodule, _ in pairs),
            }
            for true in Density
        },
        "cases": [
            {
                "case": one.case.name,
                "nodules": len(one.loaded.nodules),
                "candidates": [{"centre_mm": list(each.centre_mm), "certainty": each.certainty} for each in one.candidates],
                "findings": as_json(one.findings),
            }
            for one in judged
        ],
    }


def _as_told(judged: Sequence[Judged]) -> dict[str, float]:
    there = sum(len(one.loaded.nodules) for one in judged)
    return {
        "nodules": there,
        "sensitivity": sum(len(list(one.told())) for one in judged) / max(there, 1),
        "false positives a scan": sum(len(one.alarms()) for one in judged) / len(judged),
    }


def _classes(judged: Sequence[Judged]) -> dict[str, list[Scan]]:
    """Of which nodules a FROC is asked."""
    found = {}
    for density in Density:
        found[density.value] = [_only(one, partial(_is_of, density)) for one in judged]
    for low, high in itertools.pairwise(SIZES_MM):
        name = f"below {high:g} mm" if not low else f"from {low:g} mm" if high == SIZES_MM[-1] else f"{low:g} to {high:g} mm"
        found[name] = [_only(one, partial(_lies_in, low, high)) for one in judged]
    return found


def _kinds(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    """Of which CTs network and baseline are compared: all of them and, where there are several, each kind by itself."""
    found = {"all": list(judged)}
    kinds = list(dict.fromkeys(one.loaded.attributes["CT"] for one in judged))
    if len(kinds) > 1:
        found |= {kind: [one for one in judged if one.loaded.attributes["CT"] == kind] for kind in kinds}
    return found


def _is_of(density: Density, nodule: Nodule) -> bool:
    return nodule.density is density


def _lies_in(least_mm: float, most_mm: float, nodule: Nodule) -> bool:
    return least_mm <= nodule.long_mm < most_mm


def _only(one: Judged, belongs: Callable[[Nodule], bool]) -> Scan:
    """The scan as if these nodules were all there is; what hits another is no false positive."""
    inside = [index for index, nodule in enumerate(one.loaded.nodules) if belongs(nodule)]
    return Scan(
        patient=one.network.patient,
        hits=tuple(one.network.hits[index] for index in inside),
        matched=tuple(one.network.matched[index] for index in inside),
        alarms=one.network.alarms,
    )


def _agreement(differences: Sequence[float], unit: str) -> dict[str, Any]:
    """Found less true: mean and limits of agreement."""
    values = np.array(differences, dtype=np.float64)
    if len(values) < 2:
        return {"unit": unit, "count": len(values), "mean": None, "limits": None}
    mean, around = float(values.mean()), OF_AGREEMENT * float(values.std(ddof=1))
    return {"unit": unit, "count": len(values), "mean": mean, "limits": [mean - around, mean + around]}


def _long(one: Nodule | Candidate) -> float:
    return one.long_mm


def _short(one: Nodule | Candidate) -> float:
    return one.short_mm


def _volume(one: Nodule | Candidate) -> float:
    return one.volume_mm3


_LENGTHS: Mapping[str, Callable[[Nodule | Candidate], float]] = {"long diameter": _long, "short diameter": _short}
_OTHERS = (
    "sensitivity as told",
    "false positives as told",
    *(f"{name} error" for name in _LENGTHS),
    "volume error nodules",
)


def _sides(pairs: Iterable[Pair], of: Callable[[Nodule | Candidate], float]) -> list[tuple[float, float]]:
    return [(of(nodule), of(found)) for nodule, found in pairs]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _hits(candidate: Candidate, centre_mm: Place, long_mm: float) -> bool:
    return float(np.linalg.norm(np.subtract(candidate.centre_mm, centre_mm))) <= long_mm / 2


def pictures(judged: Sequence[Judged]) -> Iterator[Marked]:
    """The least sure hits, the largest nodules that were missed, the surest false positives."""
    numbered = list(enumerate(judged, start=1))
    hits = [(number, one, *pair) for number, one in numbered for pair in one.told()]
    for number, one, nodule, found in sorted(hits, key=lambda each: each[3].certainty)[:_SHOWN]:
        why = f"hit: {nodule.density.value}, {nodule.long_mm:.0f} mm, called {found.density.value}, {found.long_mm:.0f} mm"
        yield _marked(number, one, why, nodule.centre_mm, found)
    missed = [(number, one, nodule) for number, one in numbered for nodule in one.missed()]
    for number, one, nodule in sorted(missed, key=lambda each: -each[2].long_mm)[:_SHOWN]:
        yield _marked(number, one, f"missed: {nodule.density.value}, {nodule.long_mm:.0f} mm", nodule.centre_mm, None)
    alarms = [(number, one, each) for number, one in numbered for each in one.alarms()]
    for number, one, each in sorted(alarms, key=lambda each: -each[2].certainty)[:_SHOWN]:
        yield _marked(number, one, f"false positive: {each.density.value}, {each.long_mm:.0f} mm", each.centre_mm, each)


def _marked(number: int, one: Judged, why: str, at_mm: Place, found: Candidate | None) -> Marked:
    return Marked(
        number=number,
        why=why,
        loaded=one.loaded,
        at_mm=at_mm,
        image=found.image if found else None,
        box=found.box if found else None,
        certainty=found.certainty if found else 0.0,
    )
