"""Figures of structures: in which unit, which way is better; and what many cases say together, of these and of a task's own figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation.bootstrap import interval
from training.evaluation.segmentation import TOLERANCE_MM, Masks, agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of figure.

    Attributes
    ----------
    better
        "more", "less", or "near 0".
    digits
        How many are worth printing.
    share
        Whether it is 1 or 0 in each case.
    """

    unit: str
    better: str
    says: str
    digits: int
    share: bool = False


KINDS = {
    "Dice": Kind(unit="", better="more", digits=4, says="overlap of the two masks, 0 to 1"),
    "surface Dice": Kind(unit="", better="more", digits=4, says=f"share of both surfaces that lie within {TOLERANCE_MM:g} mm of the other"),
    "Hausdorff 95 %": Kind(unit="mm", better="less", digits=2, says="95 % of either surface lie nearer to the other than this"),
    "surface distance": Kind(unit="mm", better="less", digits=2, says="mean distance from either surface to the other"),
    "volume error": Kind(unit="%", better="near 0", digits=1, says="found volume less true volume, of the true volume"),
}
OTHER = Kind(unit="", better="more", digits=4, says="a figure of the recipe's own")


def kind_of(figure: str, own: Mapping[str, Kind]) -> Kind:
    """The kind of a figure by its name: one of a task's own, or of a structure ("surface Dice hippocampus")."""
    if figure in own:
        return own[figure]
    return KINDS[longest] if (longest := max((name for name in KINDS if figure.startswith(f"{name} ")), key=len, default="")) else OTHER


def of_structures(structures: Mapping[str, Masks], spacing_mm: tuple[float, float, float]) -> dict[str, float]:
    """The figures of one case, kind by kind."""
    found = {name: agreement(masks, spacing_mm) for name, masks in structures.items()}
    return {f"{kind} {name}": found[name][kind] for kind in KINDS for name in found}


def summary(kind: Kind, values: Sequence[float], patients: Sequence[str]) -> dict[str, Any]:
    """Mean, 95 % interval over patients, the worst case's value and how many cases have one; None where none has."""
    array = np.array(values, dtype=np.float64)
    known = array[np.isfinite(array)]
    told: dict[str, Any] = {"unit": kind.unit, "better": kind.better, "digits": kind.digits, "count": len(known)}
    if not len(known):
        return {**told, "mean": None, "interval": None, "worst": None}
    low, high = interval(array, patients)
    return {**told, "mean": float(known.mean()), "interval": [low, high], "worst": worst(known, kind)}


def worst(known: Any, kind: Kind) -> float:
    """The worst of some values."""
    return float(known.min() if kind.better == "more" else known.max() if kind.better == "less" else known[np.abs(known).argmax()])
