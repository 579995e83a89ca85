"""Matching says which nodule of one visit is which of another, one to one, by their places after registration; what is not sure is told so.

Breaths differ: after a rigid registration of the chest a nodule still lies some mm from where it was. The assignment of the least distance
in all is taken (Kuhn HW: The Hungarian method for the assignment problem. Naval Research Logistics Quarterly 1955;2:83-97), and of each
pair it is asked how much farther the best assignment without it would be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

REACH_MM = 15.0
"""What lies farther apart is not one nodule."""
MARGIN_MM = 3.0
"""By how much another assignment has to be farther for a pair to be sure: one alone is, up to 12 mm."""
WITHIN_MM = 2.0
"""Beyond the half of a nodule's longest diameter, what still lies in its place."""

Floats: TypeAlias = NDArray[np.float64]
_NEVER = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a nodule is, (x, y, z) in mm of one space, and half of its longest diameter."""

    at_mm: tuple[float, float, float]
    half_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Of the nodules of today and of then, by their indices.

    Attributes
    ----------
    pairs
        Today's to that of then.
    merged
        Today's that lies where several of then were.
    split
        That of then to several of today that lie where it was.
    unclear
        Those of today, and those of then, that may be more than one of the other visit, or none.
    new, gone
        Those of today, and those of then, of which there is none in the other visit.
    """

    pairs: Mapping[int, int]
    merged: Mapping[int, tuple[int, ...]]
    split: Mapping[int, tuple[int, ...]]
    unclear: tuple[frozenset[int], frozenset[int]]
    new: frozenset[int]
    gone: frozenset[int]


def match(now: Sequence[Spot], then: Sequence[Spot], alone: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())) -> Matches:
    """Match the nodules of two visits that lie in one space.

    Parameters
    ----------
    alone
        Of each visit those that are matched with none: what lies in their place in the other one is no nodule. What stays alone beside
        one of them may be it all the same: it is unclear.
    """
    apart = _apart_mm(now, then)
    away = apart.copy()
    away[sorted(alone[0]), :], away[:, sorted(alone[1])] = _NEVER, _NEVER
    assigned, least = _assigned(away)
    merged: dict[int, tuple[int, ...]] = {}
    split: dict[int, tuple[int, ...]] = {}
    left_over = frozenset(range(len(now))) - assigned.keys(), frozenset(range(len(then))) - set(assigned.values())
    for one, other in assigned.items():
        inside = [each for each in sorted(left_over[1]) if away[one, each] <= now[one].half_mm + WITHIN_MM]
        beside = [each for each in sorted(left_over[0]) if away[each, other] <= then[other].half_mm + WITHIN_MM]
        if inside:
            merged[one] = tuple(sorted((other, *inside)))
        elif beside:
            split[other] = tuple(sorted((one, *beside)))
    told = {*merged, *(each for several in split.values() for each in several)}
    told_then = {*split, *(each for several in merged.values() for each in several)}
    left = {one: other for one, other in assigned.items() if one not in told and other not in told_then}
    unsure = {one for one, other in left.items() if _without(away, one, other) - least < MARGIN_MM}
    unclear_then = {left[one] for one in unsure}
    # what stays alone beside a pair that may be another, and what lies just out of reach of another that stays alone
    open_now = (left_over[0] - told) | unsure
    open_then = (left_over[1] - told_then) | unclear_then
    near = apart < REACH_MM + MARGIN_MM
    unclear_now = unsure | {one for one in open_now - alone[0] if any(near[one, other] for other in open_then)}
    unclear_then |= {other for other in open_then - alone[1] if any(near[one, other] for one in open_now)}
    return Matches(
        pairs={one: other for one, other in left.items() if one not in unsure},
        merged=merged,
        split=split,
        unclear=(frozenset(unclear_now), frozenset(unclear_then)),
        new=frozenset(left_over[0] - told - unclear_now),
        gone=frozenset(left_over[1] - told_then - unclear_then),
    )


def _apart_mm(now: Sequence[Spot], then: Sequence[Spot]) -> Floats:
    """(N, M): from each of one visit to each of the other."""
    mine, theirs = (np.array([each.at_mm for each in spots], dtype=np.float64).reshape(-1, 3) for spots in (now, then))
    away: Floats = np.linalg.norm(mine[:, None] - theirs[None], axis=2)
    return away


def _assigned(away: Floats) -> tuple[dict[int, int], float]:
    """The pairs of the least distance in all, where who stays alone counts as half of `REACH_MM`; and that distance."""
    from scipy.optimize import linear_sum_assignment

    count, other = away.shape
    cost = np.full((count + other, other + count), _NEVER)
    cost[:count, :other] = np.where(away <= REACH_MM, away, _NEVER)
    np.fill_diagonal(cost[:count, other:], REACH_MM / 2)
    np.fill_diagonal(cost[count:, :other], REACH_MM / 2)
    cost[count:, other:] = 0.0
    rows, columns = linear_sum_assignment(cost)
    pairs = {int(row): int(column) for row, column in zip(rows, columns, strict=True) if row < count and column < other}
    return pairs, float(cost[rows, columns].sum())


def _without(away: Floats, one: int, other: int) -> float:
    """The least distance in all of assignments without a pair."""
    barred = away.copy()
    barred[one, other] = _NEVER
    return _assigned(barred)[1]
