"""Classical methods against arithmetic by hand, the optimality conditions of the literature, and what was planted."""

import numpy as np
import pytest
from scipy.stats import norm

from training.methods.classical import Standard, clusters, mixture, radiomics, sizes, vector_machine


def test_two_points_have_the_margin_worked_by_hand() -> None:
    """Of one point a class, with kernel k between them, both weights are 1/(1 − k): the decision values are 1 and −1, and 0 in between."""
    points = np.array([[0.0], [2.0]])
    machine = vector_machine(points, np.array([True, False]), penalty=100.0, gamma=0.5)
    assert machine.weights == pytest.approx(np.array([1, -1]) / (1 - np.exp(-2)), rel=1e-4)
    assert machine(np.array([[0.0], [2.0], [1.0]])) == pytest.approx([1, -1, 0], abs=1e-3)


def test_the_machine_is_optimal() -> None:
    """Karush, Kuhn and Tucker: who has no weight is beyond the margin, who has all of it is within, all others lie on it."""
    rng = np.random.default_rng(0)
    positive = np.arange(80) % 4 == 0
    points = rng.normal(0, 1, (80, 3)) + 0.8 * positive[:, None]
    machine = vector_machine(points, positive, penalty=1.0, gamma=0.3)
    sign = np.where(positive, 1, -1)
    margin, weight = sign * machine(points), sign * machine.weights
    # the rarer class weighs as much in all as the other one
    most = np.where(positive, 0.5 / 0.25, 0.5 / 0.75)
    assert (weight >= -1e-9).all()
    assert (weight <= most + 1e-9).all()
    assert (margin[weight < 1e-6] > 1 - 0.01).all()
    assert (margin[weight > most - 1e-6] < 1 + 0.01).all()
    between = (weight > 1e-3) & (weight < most - 1e-3)
    assert between.any()
    assert margin[between] == pytest.approx(np.ones(between.sum()), abs=0.01)


def test_one_gaussian_is_its_mean_and_variance_and_two_are_found() -> None:
    """The density of one part is scipy's; two planted heaps are found with their shares."""
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, (400, 1))
    one = mixture(values, 1, seed=0)
    assert one(values) == pytest.approx(norm(values.mean(), values.std()).logpdf(values[:, 0]))
    heaps = np.concatenate([rng.normal(0, 1, (300, 2)), rng.normal(9, 1, (100, 2))])
    two = mixture(heaps, 2, seed=0)
    order = np.argsort(two.means[:, 0])
    assert two.shares[order] == pytest.approx([0.75, 0.25], abs=0.01)
    assert two.means[order] == pytest.approx(np.array([[0, 0], [9, 9]]), abs=0.3)
    _, of = clusters(heaps, 2, seed=0)
    assert sorted(np.bincount(of)) == [100, 300]


def test_features_say_what_is_measured() -> None:
    """Half black, half white: one bit of entropy; and turned by a quarter, or with another unit, a picture has the same texture."""
    half = np.zeros((1, 1, 32, 32), dtype=np.float32)
    half[..., 16:] = 1
    found = radiomics(half)[0]
    assert found[0] == pytest.approx(0.5)
    assert found[13] == pytest.approx(1.0)
    assert found[14] == pytest.approx(0.5)
    assert sizes(half)[0] == pytest.approx([0.5, 0.5, 0.5, 0.5])
    rng = np.random.default_rng(0)
    picture = rng.normal(0, 1, (1, 1, 32, 32)).astype(np.float32)
    plain, turned, louder = (radiomics(each)[0] for each in (picture, np.rot90(picture, axes=(2, 3)).copy(), 3 * picture + 7))
    assert turned == pytest.approx(plain, rel=1e-4, abs=1e-4)
    assert louder[15:] == pytest.approx(plain[15:], rel=1e-2, abs=1e-2)


def test_features_are_brought_to_one_scale_by_training_alone() -> None:
    """Mean 0 and deviation 1 in training; a feature that never varies there stays 0, and nothing beyond ten deviations decides alone."""
    features = np.stack([np.arange(10.0), np.full(10, 4.0)], axis=1)
    even = Standard.of(features)
    assert even(features).mean(axis=0) == pytest.approx([0, 0])
    assert even(features)[:, 0].std() == pytest.approx(1)
    assert even(np.array([[1e9, 4.0]])).tolist() == [[10.0, 0.0]]
