"""One plan out of those that sites made of their own cases: what the network sees has to be the same everywhere.

A site tells what its plan says of spacing, window, grey values, classes and their weights, and how many cases train; not which they are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from training.errors import OtherPlan

Told: TypeAlias = Any
"""JSON: a dict, a list, a number, a text, a truth or None."""

_MEANS = ("weights", "scales")
"""What is averaged over all cases; of other numbers the median site's is taken, which some site has."""
_FREE = (("application", "prepare"), ("application", "inferer", "roi_size"), ("weights",), ("scales",))
"""Where numbers may differ from site to site: spacing, size and grey values of the network's image, its window, weights of classes, spread
of numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    """What a site tells of its plan; `cases` of its patients train."""

    site: str
    cases: int
    plan: Mapping[str, Told]


def agreed(told: Sequence[SitePlan]) -> dict[str, Told]:
    """The plan for all sites: the same words, and numbers between theirs, each site counting by its cases.

    Raises
    ------
    OtherPlan
        Sites differ in what no number between could mend: classes, structures, modality, how grey values are taken.
    """
    found: dict[str, Told] = _together((), told, [each.plan for each in told])
    return found


def _together(path: tuple[str, ...], told: Sequence[SitePlan], values: Sequence[Told]) -> Told:
    first = values[0]
    if all(value == first for value in values):
        return first
    if all(isinstance(value, dict) and value.keys() == first.keys() for value in values):
        return {name: _together((*path, name), told, [value[name] for value in values]) for name in first}
    if all(isinstance(value, list) and len(value) == len(first) for value in values):
        return [_together(path, told, [value[place] for value in values]) for place in range(len(first))]
    if any(path[: len(free)] == free for free in _FREE) and all(map(_is_number, values)):
        cases = [each.cases for each in told]
        return float(np.average(values, weights=cases)) if path[0] in _MEANS else _middle(values, cases)
    said = "; ".join(f"{each.site} has {_short(value)}" for each, value in zip(told, values, strict=True))
    raise OtherPlan(f"the sites' plans do not go together in {' '.join(path) or 'what they are of'}: {said}")


def _middle(values: Sequence[float], cases: Sequence[int]) -> float:
    """The median over all cases, each of which has its site's value."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    half, counted = sum(cases) / 2, 0
    for place in order:
        counted += cases[place]
        if counted >= half:
            return values[place]
    return values[order[-1]]


def _is_number(value: Told) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Told, most: int = 160) -> str:
    said = json.dumps(value, ensure_ascii=False)
    return said if len(said) <= most else f"{said[:most]}…"
