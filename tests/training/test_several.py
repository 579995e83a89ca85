"""Tests of several methods at once: worked by hand, by published examples, and where nothing may be told."""

import numpy as np
import pytest

from training.evaluation.classification import auc
from training.evaluation.delong import areas
from training.evaluation.several import holm, over_cases, over_folds


def test_holm_step_by_step() -> None:
    """Four p: 0.005 times 4, 0.01 times 3, 0.03 times 2, 0.04 once but never less than the one before; what is no p stays out."""
    assert holm([0.01, 0.04, 0.03, None, 0.005]) == pytest.approx([0.03, 0.06, 0.06, None, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_folds_that_share_their_training_cases_count_less() -> None:
    """Mean 0.03, variance 0.00025, five folds of a fifth: deviation √(0.00025 (1/5 + 1/4)), so t = 2√2 with four degrees of freedom.

    There p = 1 − sin θ (1 + cos² θ / 2) with tan θ = t/2: sin θ = √(2/3), cos² θ = 1/3, so p = 0.04742. Without what is shared t would be
    4.24 and p 0.013.
    """
    found = over_folds([0.02, 0.04, 0.03, 0.05, 0.01], 0.25)
    assert found.p == pytest.approx(1 - np.sqrt(2 / 3) * (1 + 1 / 6))
    assert found.mean == pytest.approx(0.03)
    # t of four degrees of freedom is beyond 2.776445 once in twenty
    assert found.interval == pytest.approx([0.03 - 2.776445 * np.sqrt(0.0001125), 0.03 + 2.776445 * np.sqrt(0.0001125)], abs=1e-7)


def test_of_one_fold_or_of_equal_folds_no_p_is_told() -> None:
    """One difference has no variance, and equal ones have none, either."""
    assert over_folds([0.1], 0.25).p is None
    assert over_folds([0.1, 0.1, 0.1], 0.25).p is None
    assert over_folds([0.1, float("nan")], 0.25).interval is None


def test_the_paired_bootstrap_is_of_one_mind_with_delong() -> None:
    """Two scores of 120 patients: the difference is that of the areas, and p is DeLong's within four hundredths."""
    rng = np.random.default_rng(3)
    positive = np.arange(120) % 2 == 0
    seen = positive + rng.normal(0, 0.8, 120)
    one, two = seen + rng.normal(0, 0.2, 120), seen + rng.normal(0, 0.5, 120)
    found = over_cases(lambda at: auc(two[at], positive[at]) - auc(one[at], positive[at]), [str(at) for at in range(120)])
    asked = areas([one, two], positive).p([-1, 1])
    assert found.mean == pytest.approx(auc(two, positive) - auc(one, positive))
    assert found.p is not None
    assert asked is not None
    assert 0.05 < asked < 0.6
    assert found.p == pytest.approx(asked, abs=0.04)


def test_of_few_patients_or_no_difference_nothing_is_told() -> None:
    """Thirty cases of five patients are five; and of what never differs there is no p."""
    values = np.arange(30.0)
    assert over_cases(lambda at: float(values[at].mean()), [str(at % 5) for at in range(30)]).p is None
    assert over_cases(lambda at: 0.0, [str(at) for at in range(30)]).p is None
