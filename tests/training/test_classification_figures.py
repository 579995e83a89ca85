"""Figures of a classifier against values counted by hand, or by definition."""

import numpy as np
import pytest

from training.evaluation import classification as figures

SCORES = np.array([0.1, 0.4, 0.35, 0.8])
TRUTH = np.array([False, False, True, True])


def test_auc_counts_pairs() -> None:
    """Three of four pairs are in order: 0.75; over ties and noise it is the share of ordered pairs, counted one by one."""
    assert figures.auc(SCORES, TRUTH) == 0.75
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 20, 200) / 20, rng.random(200) < 0.3
    pairs = [1.0 if one > other else 0.5 if one == other else 0.0 for one in scores[truth] for other in scores[~truth]]
    assert figures.auc(scores, truth) == pytest.approx(np.mean(pairs))
    assert np.isnan(figures.auc(scores, np.zeros(200, dtype=bool)))


def test_the_interval_of_the_auc_holds_its_value_and_narrows() -> None:
    """About as wide as Hanley and McNeil's standard error (1982) says, and half as wide over four times as many cases."""
    rng = np.random.default_rng(1)
    widths = []
    for count in (100, 400):
        truth = np.arange(2 * count) < count
        scores = rng.normal(truth * 1.5, 1)
        area = figures.auc(scores, truth)
        low, high = figures.interval(figures.auc, scores, truth)
        assert low < area < high
        one, two = area / (2 - area), 2 * area**2 / (1 + area)
        error = np.sqrt((area * (1 - area) + (count - 1) * (one - area**2) + (count - 1) * (two - area**2)) / count**2)
        assert high - low == pytest.approx(2 * 1.96 * error, rel=0.2)
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.3)


def test_decisions_at_a_threshold() -> None:
    """Counted by hand; a score at the threshold is positive; F1 is twice the hits over all that was called or is."""
    found = figures.confusion(SCORES, TRUTH, 0.35)
    assert found == figures.Confusion(true_positive=2, false_negative=0, true_negative=1, false_positive=1)
    assert (found.sensitivity, found.specificity, found.accuracy) == (1, 0.5, 0.75)
    assert found.f1 == pytest.approx(0.8)
    assert np.isnan(figures.confusion(SCORES, np.ones(4, dtype=bool), 0.5).specificity)


def test_the_best_threshold_lies_between() -> None:
    """Separable cases: half way between the two sides; otherwise where sensitivity and specificity together are largest."""
    assert figures.best_threshold(np.array([0.1, 0.3, 0.7, 0.9]), TRUTH) == pytest.approx(0.5)
    threshold = figures.best_threshold(SCORES, TRUTH)
    best = figures.confusion(SCORES, TRUTH, threshold)
    assert best.sensitivity + best.specificity == 1.5


def test_calibration_finds_what_was_drawn() -> None:
    """Cases drawn by sigmoid(0.5 × logit − 1) give back 0.5 and −1, and their error sinks; separable ones stay short of certainty."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 4, 40_000)
    real = 1 / (1 + np.exp(-(0.5 * logits - 1)))
    truth = rng.random(len(real)) < real
    found = figures.calibrated(logits, truth)
    assert found.slope == pytest.approx(0.5, rel=0.05)
    assert found.offset == pytest.approx(-1, rel=0.08)
    assert figures.calibration_error(found(logits), truth) < 0.01
    assert figures.calibration_error(1 / (1 + np.exp(-logits)), truth) > 0.05
    separable = figures.calibrated(np.array([-3.0, -2.0, 2.0, 3.0]), TRUTH)
    assert np.isfinite([separable.slope, separable.offset]).all()
    assert 0.5 < separable(np.array([3.0]))[0] < 0.9


def test_the_calibration_error_by_hand() -> None:
    """Two cases at 0.25, one of them positive, and two at 0.95, both positive: 0.25 × ½ + 0.05 × ½."""
    assert figures.calibration_error(np.array([0.25, 0.25, 0.95, 0.95]), np.array([True, False, True, True])) == pytest.approx(0.15)


def test_the_band_keeps_its_promise() -> None:
    """Below it lie no more of the positives, above it no more of the negatives than allowed; separable cases give a band, too."""
    rng = np.random.default_rng(3)
    for distance in (1.0, 6.0):
        truth = rng.random(2000) < 0.6
        probabilities = 1 / (1 + np.exp(-rng.normal(np.where(truth, distance, -distance), 2)))
        found = figures.band(probabilities, truth, missed=0.02, alarmed=0.05)
        assert 0 <= found.low <= found.high
        assert (probabilities[truth] < found.low).mean() <= 0.02
        assert (probabilities[~truth] >= found.high).mean() <= 0.05
    wide = figures.band(np.array([0.4, 0.6, 0.4, 0.6]), TRUTH, missed=0, alarmed=0)
    assert wide.low == pytest.approx(0.4)
    assert wide.high > 0.6
