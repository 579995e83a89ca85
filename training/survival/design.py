"""Columns as features of a model: what is missing, a category, or large is settled by those patients who are learned from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.survival.cox import Floats
from training.tabled.outcomes import OutcomeColumn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Term:
    """One feature: of a column by its place, a number, or whether it is of a level; `filled` stands where nothing is said, and what lies
    farther than `reach` deviations from the middle lies there."""

    name: str
    column: int
    level: float | None
    filled: float
    middle: float
    spread: float
    reach: float


_FAR = 10.0


def terms(columns: Sequence[OutcomeColumn], learned: NDArray[np.bool_]) -> tuple[Term, ...]:
    """The features of columns, as the patients in `learned` (N,) have them: missing numbers are their median, missing categories their most
    frequent; mean 0 and deviation 1. What is the same in all of them is none."""
    made = []
    for place, column in enumerate(columns):
        own = column.cells[learned]
        said = own[np.isfinite(own)]
        if not len(said):
            continue
        if column.levels:
            filled = float(np.bincount(said.astype(np.intp)).argmax())
            wanted: list[tuple[str, float | None]] = [
                (f"{column.name}: {word}, against {column.levels[0]}", float(at)) for at, word in enumerate(column.levels) if at
            ]
        else:
            filled = float(np.median(said))
            wanted = [(column.name, None)]
        for name, level in wanted:
            values = _values(column.cells[learned], level, filled)
            middle, spread = float(values.mean()), float(values.std())
            if spread > 1e-9 * max(1.0, abs(middle)):
                # of two values that few patients have may lie far from the middle, and its ratio rests on where
                reach = max(_FAR, float(np.abs(values - middle).max()) / spread) if len(np.unique(values)) == 2 else _FAR
                made.append(Term(name=name, column=place, level=level, filled=filled, middle=middle, spread=spread, reach=reach))
    return tuple(made)


def matrix(columns: Sequence[OutcomeColumn], of: Sequence[Term]) -> Floats:
    """The features (N, F) of everybody."""
    if not of:
        return np.zeros((len(columns[0].cells) if columns else 0, 0))
    # what lies far beyond all who were learned from would decide alone
    away = [(_values(columns[one.column].cells, one.level, one.filled) - one.middle) / one.spread for one in of]
    return np.stack([np.clip(far, -one.reach, one.reach) for far, one in zip(away, of, strict=True)], axis=1)


def _values(cells: Floats, level: float | None, filled: float) -> Floats:
    values: Floats = np.where(np.isfinite(cells), cells, filled)
    return values if level is None else (values == level).astype(np.float64)
