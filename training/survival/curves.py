"""What was seen: the share without the event as time goes on (Kaplan and Meier 1958), and what was foretold for a time beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.survival.cox import Floats

_Z = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalCurve:
    """A Kaplan–Meier curve: at `times`, 0 first, the share without the event from then on, and its 95 % interval (log minus log)."""

    times: tuple[float, ...]
    shares: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]

    def at(self, time: float) -> tuple[float, tuple[float, float]]:
        """The share at a time, and its interval."""
        place = int(np.searchsorted(self.times, time, side="right")) - 1
        return self.shares[place], self.intervals[place]


def kaplan_meier(times: Floats, events: NDArray[np.bool_]) -> SurvivalCurve:
    """Of patients, by Greenwood's variance; where nobody has had the event, or everybody, there is no variance to be told from."""
    moments, shares, intervals = [0.0], [1.0], [(1.0, 1.0)]
    share, variance = 1.0, 0.0
    for moment in np.unique(times[events]):
        at_risk, had = int((times >= moment).sum()), int((events & (times == moment)).sum())
        share *= 1 - had / at_risk
        variance += had / at_risk / (at_risk - had) if had < at_risk else 0.0
        moments.append(float(moment))
        shares.append(share)
        if 0 < share < 1:
            away = np.exp(_Z * np.sqrt(variance) / np.log(share))
            intervals.append((float(share ** (1 / away)), float(share**away)))
        else:
            intervals.append((share, share))
    return SurvivalCurve(times=tuple(moments), shares=tuple(shares), intervals=tuple(intervals))


def thirds(foretold: Floats) -> NDArray[np.intp]:
    """Of risks (N,) the third that each is of: 0 the lowest; equal risks are of one third."""
    first, second = np.quantile(foretold, (1 / 3, 2 / 3))
    return np.asarray((foretold > first).astype(np.intp) + (foretold > second), dtype=np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A group of patients: how many, how many of them were followed to a time, the mean risk that was foretold for it, and the one that was
    seen, with its 95 % interval; None where nobody had the event by then, or everybody, which has no variance."""

    patients: int
    followed: int
    foretold: float
    seen: float
    interval: tuple[float, float] | None


def calibration(
    foretold: Floats, groups: NDArray[np.intp], times: Floats, events: NDArray[np.bool_], horizon: float
) -> Sequence[Calibrated]:
    """Of each group of patients, the risk by a horizon."""
    made = []
    for group in np.unique(groups):
        own = groups == group
        share, (low, high) = kaplan_meier(times[own], events[own]).at(horizon)
        made.append(
            Calibrated(
                patients=int(own.sum()),
                followed=int((times[own] >= horizon).sum()),
                foretold=float(foretold[own].mean()),
                seen=1 - share,
                interval=(1 - high, 1 - low) if 0 < share < 1 else None,
            )
        )
    return made
