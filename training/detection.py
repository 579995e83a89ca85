"""Recipes whose applications find nodules in a CT: how candidates are matched with what is there, and a checkpoint chosen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.lung_nodule.candidates import Candidate, Detected
from inference.applications.port import Infer
from inference.imaging.volume import Volume
from training.data.planted_nodules import Nodule
from training.data.split import Split
from training.data.thoraxes import Thorax
from training.evaluation.detection import RATES, Place, Scan, matched, sensitivities, thresholds
from training.inferring import OfNetwork
from training.recipe import Case, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector(Recipe):
    """A recipe whose cases are `Thorax`: CTs with nodules of known place, size and density.

    Attributes
    ----------
    sides
        The split of a folder's CTs and of made ones; of made ones alone where no folder is named.
    detect
        By the application's code: all candidates, also those that it does not report.
    classical
        What a network has to beat: made of the training cases, it says (place, certainty) of each candidate in a volume.
    """

    sides: Callable[[Path | None], Split]
    detect: Callable[[Volume, Infer], Detected]
    classical: Callable[[Sequence[Case]], "Classical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classical:
    """A detector that has not learned but was tuned, and as what."""

    name: str
    setting: str
    find: Callable[[Volume], Sequence[tuple[Place, float]]]


def thorax(case: Case) -> Thorax:
    """The case, read."""
    loaded = case.load()
    assert isinstance(loaded, Thorax), "a detector's cases are"
    return loaded


def scan(case: Case, candidates: Sequence[Candidate], nodules: Sequence[Nodule]) -> Scan:
    """Candidates against nodules."""
    found = [(each.centre_mm, each.certainty) for each in candidates]
    return matched(case.patient, found, [(nodule.centre_mm, nodule.long_mm) for nodule in nodules])


def scans(recipe: Detector, network: Any, cases: Sequence[Case]) -> Iterator[Scan]:
    """Each case by the application's code on a network that is being trained."""
    network.eval()
    for case in cases:
        loaded = thorax(case)
        yield scan(case, recipe.detect(loaded.volume, OfNetwork(network)).candidates, loaded.nodules)


def validation(recipe: Detector, network: Any, cases: Sequence[Case]) -> float:
    """The mean sensitivity at the rates of FROC, over all validation cases at once."""
    return float(np.mean(sensitivities(list(scans(recipe, network, cases)))))


def shares(scans: Sequence[Scan]) -> list[float]:
    """Of each scan the share of its nodules that is found, the mean over the thresholds of FROC's rates; NaN where it has none."""
    least = thresholds(scans, RATES)
    return [float(np.mean([np.mean(np.array(one.hits) > bound) for bound in least])) if one.hits else float("nan") for one in scans]
