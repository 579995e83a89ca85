"""Choices of whom to label next: those of whom a network is least sure, or those that are farthest from all that is labelled.

Both name patients, as the split does: whose images are labelled goes to one side with all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist


class Choice(StrEnum):
    """By what is chosen."""

    ENTROPY = "entropy"
    CORE_SET = "core-set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A patient, and the figure by which it was chosen: the mean entropy of its images, or how far its features were from the nearest that
    was labelled, or chosen, by then."""

    patient: str
    figure: float


def of_patients(patients: Sequence[str], values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The mean of the rows of `values` (cases, …) over each patient's cases, by the patients' names in order."""
    names = np.array(patients)
    return {str(one): values[names == one].mean(axis=0) for one in np.unique(names)}


def most_unsure(unsure: Mapping[str, float], count: int) -> list[Chosen]:
    """Uncertainty sampling (Lewis and Gale 1994): the `count` patients with the largest entropy, the largest first."""
    return [Chosen(patient=one, figure=unsure[one]) for one in sorted(unsure, key=lambda one: (-unsure[one], one))[:count]]


def core_set(labelled: NDArray[np.float64], pool: Mapping[str, NDArray[np.float64]], count: int) -> list[Chosen]:
    """Greedy k-centre (Sener and Savarese 2018): time after time the patient whose features (K,) are farthest from the nearest of those
    that are labelled (N, K), or were chosen before."""
    if not pool:
        return []
    names = sorted(pool)
    rows = np.stack([pool[one] for one in names])
    nearest = cdist(rows, labelled).min(axis=1)
    chosen: list[Chosen] = []
    left = np.ones(len(names), dtype=np.bool_)
    for _ in range(min(count, len(names))):
        farthest = int(np.argmax(np.where(left, nearest, -1)))
        chosen.append(Chosen(patient=names[farthest], figure=float(nearest[farthest])))
        left[farthest] = False
        nearest = np.minimum(nearest, np.linalg.norm(rows - rows[farthest], axis=1))
    return chosen
