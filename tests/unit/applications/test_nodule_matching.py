"""Nodules of two visits are matched by their places, one to one; what may be one or another is not guessed."""

import pytest

from inference.applications.lung_nodule.matching import MARGIN_MM, REACH_MM, Matches, Spot, match


def spots(*at: float, half_mm: float = 4.0) -> list[Spot]:
    """Along one line."""
    return [Spot(at_mm=(x, 0.0, 0.0), half_mm=half_mm) for x in at]


def pairs(found: Matches) -> dict[int, int]:
    return dict(found.pairs)


def test_each_is_matched_with_the_nearest_that_is_left() -> None:
    """Three that all moved by 5 mm, in another order; one that is new, and one that is gone."""
    found = match(spots(0, 100, 200, 300), spots(205, 5, 105, 400))
    assert pairs(found) == {0: 1, 1: 2, 2: 0}
    assert (found.new, found.gone) == (frozenset({3}), frozenset({3}))
    assert (found.merged, found.split, found.unclear) == ({}, {}, (frozenset(), frozenset()))


def test_neighbours_that_moved_together_are_not_taken_for_each_other() -> None:
    """20 mm from one another, both moved by 6 mm: the second of then lies nearer to the first of today than a lone one might."""
    assert pairs(match(spots(0, 20), spots(6, 26))) == {0: 0, 1: 1}


@pytest.mark.parametrize(
    ("away", "sure", "new"),
    [(11.9, True, False), (12.1, False, False), (14.9, False, False), (17.9, False, False), (18.1, False, True)],
)
def test_what_lies_far_away_is_not_surely_the_same(away: float, sure: bool, new: bool) -> None:
    """By reach and margin: up to 12 mm it is, up to 18 mm it may be, from there on it is another."""
    assert (REACH_MM, MARGIN_MM) == (15.0, 3.0)
    found = match(spots(0), spots(away))
    assert (pairs(found) == {0: 0}) is sure
    assert (found.new == {0} and found.gone == {0}) is new
    assert (found.unclear == (frozenset({0}), frozenset({0}))) is (not sure and not new)


def test_of_two_that_lie_alike_none_is_taken() -> None:
    """One of today between two of then that lie 7 mm to either side: unclear, all three; nothing is called new or gone."""
    found = match(spots(0), spots(-7, 7.5))
    assert (pairs(found), found.new, found.gone) == ({}, frozenset(), frozenset())
    assert found.unclear == (frozenset({0}), frozenset({0, 1}))


def test_several_that_became_one_and_one_that_became_several_are_told() -> None:
    """Two of then, 6 mm apart, within one large one of today; and the other way round."""
    merged = match(spots(0, half_mm=8), spots(-3, 3, half_mm=2))
    assert (merged.merged, merged.split, pairs(merged)) == ({0: (0, 1)}, {}, {})
    split = match(spots(-3, 3, half_mm=2), spots(0, half_mm=8))
    assert (split.split, split.merged, pairs(split)) == ({0: (0, 1)}, {}, {})
    for one in (merged, split):
        assert (one.new, one.gone) == (frozenset(), frozenset())


def test_without_nodules_on_one_side_there_is_nothing_to_match() -> None:
    """All are new, or all are gone."""
    assert match(spots(1, 50), []).new == {0, 1}
    assert match([], spots(1, 50)).gone == {0, 1}
    assert match([], []).pairs == {}


def test_what_stays_alone_beside_one_that_is_matched_with_none_is_unclear() -> None:
    """5 mm from one another, one of them where the other visit has what is no nodule: it may be the other all the same.
    That one is neither new nor gone; 20 mm away it is."""
    nobody, first = frozenset[int](), frozenset({0})
    now_alone, then_alone = (match(spots(0), spots(5), alone) for alone in ((first, nobody), (nobody, first)))
    assert (now_alone.new, now_alone.gone, now_alone.unclear) == (first, nobody, (nobody, first))
    assert (then_alone.new, then_alone.gone, then_alone.unclear) == (nobody, first, (first, nobody))
    far = match(spots(0), spots(20), (first, nobody))
    assert (far.new, far.gone, far.pairs) == (first, first, {})
