"""The gate of a method of explanation: a map that stays much the same when the network has learned nothing tells of the image alone.

After Adebayo and others 2018 (Sanity checks for saliency maps): the map of a held-out image by the network, and by networks of the same
layers with random weights. A method is offered for a model where the two are hardly alike in nearly all cases, and only there.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.explaining.methods import LogOdds, Method, SeenImage
from training.explaining.randomised import randomised
from training.progress import Step, silent

MOST = 0.3
"""The rank correlation up to which two maps count as different."""
SHARE = 0.9
"""In how many of the cases they have to."""
RANDOMISED = 8
"""Networks of random weights. A map of few cells is like any other by chance: over 16 cells one of four correlates by more than 0.3; the
mean over eight networks does not."""
CASES, LEAST = 20, 10
"""Held-out cases that are looked at; of fewer than the least, nine of ten would say nothing."""
USUAL = 16
"""Images that gradient SHAP begins at, and by which networks of random weights are normalised."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """One held-out image (C, …) as the network sees it, and the channel whose answer is explained."""

    image: NDArray[np.float32]
    channel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """On one method: how alike its maps were in each case, and why it is not offered; "" where it is."""

    label: str
    likeness: tuple[float, ...]
    why: str

    @property
    def offered(self) -> bool:
        return not self.why


def gate(
    methods: Sequence[Method],
    network: Any,
    cases: Sequence[Explained],
    usual: NDArray[np.float32],
    *,
    exclusive: bool,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    step: Step = silent,
) -> tuple[Verdict, ...]:
    """Try each method on these cases, until `seconds` are over; a method that has failed too often is tried no further.

    Parameters
    ----------
    network
        As it is served, but with gradients: logits (N, K), or (N,).
    usual
        Images (N, C, …) that the network may have learned from.
    exclusive
        Whether an image is of exactly one of the channels' classes.
    """
    begun = clock()
    network.eval()
    seen = torch.from_numpy(np.ascontiguousarray(usual))
    others = [randomised(network, seen, seed) for seed in range(RANDOMISED)]
    found: dict[str, list[float]] = {method.label: [] for method in methods}
    going = [method for method in methods if not method.absent and len(cases) >= LEAST]
    for number, case in enumerate(cases):
        if clock() - begun > seconds or not going:
            break

        def drawn(method: Method, of: Any, seed: int, case: Explained = case) -> NDArray[np.float32]:
            return method.explain(LogOdds(of, case.channel, exclusive).eval(), SeenImage(image=case.image, usual=seen, seed=seed))

        for method in going:
            before = drawn(method, network, 0)
            found[method.label].append(likeness(before, [drawn(method, other, seed) for seed, other in enumerate(others, 1)]))
        going = [method for method in going if _failed(found[method.label]) <= (1 - SHARE) * len(cases)]
        step(f"explaining {number + 1}", len(cases))
    return tuple(
        Verdict(label=one.label, likeness=tuple(found[one.label]), why=_why(one, found[one.label], len(cases), seconds)) for one in methods
    )


def likeness(before: NDArray[np.float32], after: Sequence[NDArray[np.float32]]) -> float:
    """How alike a map is to those by networks of random weights, 0 to 1: the mean size of the rank correlation.

    Of the values as they are, or without their signs, whichever is more: the edges of an image with signs by chance are still its edges,
    and a map that has become its own negative is still that map. A map of one value alone shows nothing, and counts as like any other.
    """
    return max(float(np.mean([_rank_correlation(form(before), form(each)) for each in after])) for form in (np.asarray, np.abs))


def _rank_correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The size of Spearman's."""
    from scipy.stats import rankdata

    ranks = [rankdata(np.round(values.ravel().astype(np.float64), 12)) for values in (first, second)]
    if any(np.ptp(each) == 0 for each in ranks):
        return 1.0
    return abs(float(np.corrcoef(*ranks)[0, 1]))


def _failed(found: Sequence[float]) -> int:
    return sum(each > MOST for each in found)


def _why(method: Method, found: Sequence[float], cases: int, seconds: float) -> str:
    if method.absent:
        return "not tried: captum is not installed (pip install 'PATH[training]')"
    if cases < LEAST:
        return f"not tried: {cases} held-out cases, and fewer than {LEAST} tell nothing"
    if _failed(found) > (1 - SHARE) * len(found):
        return "its maps are much the same when the network has learned nothing"
    if len(found) < LEAST:
        return f"{len(found)} cases were looked at in {seconds:.0f} s, and fewer than {LEAST} tell nothing"
    return ""


def spread(count: int, classes: Sequence[int]) -> list[int]:
    """Places of at most so many cases, from each class in turn, and in each from the first to the last."""
    of_class = [[place for place, each in enumerate(classes) if each == one] for one in sorted(set(classes))]
    chosen: list[int] = []
    for turn in range(max(map(len, of_class), default=0)):
        chosen += [places[turn] for places in of_class if turn < len(places)]
    return chosen[:count]


def told(verdicts: Sequence[Verdict], seconds: float) -> Mapping[str, Any]:
    """What evaluation.json says of it."""
    return {
        "at most": MOST,
        "share": SHARE,
        "randomised": RANDOMISED,
        "seconds": seconds,
        "methods": [
            {
                "method": one.label,
                "cases": len(one.likeness),
                "median": float(np.median(one.likeness)) if one.likeness else None,
                "different": float(np.mean(np.array(one.likeness) <= MOST)) if one.likeness else None,
                "offered": one.offered,
                "why": one.why,
            }
            for one in verdicts
        ],
    }
