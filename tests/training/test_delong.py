"""Areas under ROC curves and how they vary together: worked by hand, beside the bootstrap, and over many samples of chance."""

import numpy as np
import pytest

from training.evaluation.classification import auc
from training.evaluation.delong import areas


def test_five_cases_worked_by_hand() -> None:
    """Three with the finding (shares of the two without that each is above: A 1, 1, 1/2; B 1, 1/2, 3/4, where a tie is half), two
    without (shares of the three that each is below: A 1, 2/3; B 1, 1/2).

    A: (1/12)/3 + (1/18)/2 = 1/18. B: (1/16)/3 + (1/8)/2 = 1/12. Together: 0/3 + (1/12)/2 = 1/24. So A less B is 1/12, of variance 1/18:
    z = 0.35355, p = 0.72367.
    """
    positive = np.array([True, True, True, False, False])
    found = areas([np.array([5.0, 4, 2, 1, 3]), np.array([5.0, 2, 3, 1, 3])], positive)
    assert found.areas == pytest.approx([5 / 6, 3 / 4])
    assert found.covariance == pytest.approx(np.array([[1 / 18, 1 / 24], [1 / 24, 1 / 12]]))
    assert found.p([1, -1]) == found.p([-1, 1]) == pytest.approx(0.72367, abs=1e-5)


def test_it_agrees_with_the_bootstrap() -> None:
    """Two models that see much of the same: areas are the ranking's own, and standard errors of each and of the difference are those of
    resampled cases within a tenth."""
    rng = np.random.default_rng(0)
    positive = np.arange(300) % 3 > 0
    seen = positive + rng.normal(0, 0.7, 300)
    one, two = seen + rng.normal(0, 0.3, 300), seen + rng.normal(0, 0.6, 300)
    found = areas([one, two], positive)
    assert found.areas == pytest.approx([auc(one, positive), auc(two, positive)])
    drawn = rng.integers(300, size=(2000, 300))
    resampled = np.array([[auc(each[draw], positive[draw]) for each in (one, two)] for draw in drawn])
    for contrast in ([1, 0], [0, 1], [1, -1]):
        weights = np.array(contrast)
        assert np.sqrt(weights @ found.covariance @ weights) == pytest.approx((resampled @ weights).std(), rel=0.1)


def test_chance_is_called_chance() -> None:
    """Of 400 pairs of equally good models about one in twenty has p below 0.05; so have pairs of means over two trainings each."""
    rng = np.random.default_rng(1)
    positive = np.arange(80) % 2 == 0
    called = np.zeros(2)
    for _ in range(400):
        seen = positive + rng.normal(0, 1, 80)
        found = areas([seen + rng.normal(0, 0.5, 80) for _ in range(4)], positive)
        p = [found.p([1, -1, 0, 0]), found.p([0.5, 0.5, -0.5, -0.5])]
        called += [each is not None and each < 0.05 for each in p]
    assert all(8 <= each <= 36 for each in called)


def test_nothing_is_told_of_scores_that_rank_alike_or_of_one_case() -> None:
    """No p for the same ranking twice, nor where one class has one case: its variance is unknown."""
    scores, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert areas([scores, scores**3], positive).p([1, -1]) is None
    assert areas([scores, -scores], np.arange(4) == 3).p([1, -1]) is None
