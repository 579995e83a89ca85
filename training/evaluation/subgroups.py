"""Groups of cases: by what is known of each (sex, age, site), and by the size of the structure; numbers are cut into thirds."""

from collections.abc import Mapping, Sequence

import numpy as np

SIZE = "size"
"""True volume of all structures together, in ml."""
_LEAST_DISTINCT = 6
_MOST_GROUPS = 12
"""Words that are nearly as many as the cases tell who each case is, and nothing of groups."""


def groups(attributes: Sequence[Mapping[str, str]]) -> dict[str, dict[str, list[int]]]:
    """By attribute, by group: which cases (indices) belong to it, two or more.

    An attribute that makes fewer than two of them, or more than `_MOST_GROUPS`, makes none.
    """
    names = sorted({name for each in attributes for name in each})
    made = {name: _of([each.get(name, "") for each in attributes]) for name in names}
    several = {name: {group: inside for group, inside in found.items() if len(inside) > 1} for name, found in made.items()}
    return {name: found for name, found in several.items() if len(found) > 1 and len(made[name]) <= _MOST_GROUPS}


def _of(values: Sequence[str]) -> dict[str, list[int]]:
    numbers = _numbers(values)
    known = numbers[np.isfinite(numbers)]
    if len(np.unique(known)) >= _LEAST_DISTINCT:
        low, high = np.percentile(known, (100 / 3, 200 / 3))
        thirds = (
            (f"below {low:.3g}", numbers < low),
            (f"{low:.3g} to {high:.3g}", (numbers >= low) & (numbers < high)),
            (f"from {high:.3g}", numbers >= high),
            ("not known", ~np.isfinite(numbers)),
        )
        return {name: np.flatnonzero(inside).tolist() for name, inside in thirds if inside.any()}
    named = [value or "not known" for value in values]
    return {name: [index for index, value in enumerate(named) if value == name] for name in sorted(set(named))}


def _numbers(values: Sequence[str]) -> np.ndarray:
    """Values as numbers, NaN where one is absent; all NaN where one is a word."""
    try:
        return np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return np.full(len(values), np.nan)
