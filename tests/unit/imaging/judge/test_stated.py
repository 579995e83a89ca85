"""What headers say of body part and projection, as people type it."""

import pytest

from inference.imaging.judge.expects import View
from inference.imaging.judge.stated import may_be, may_show


@pytest.mark.parametrize("said", ["CHEST", "Torace", "POUMONS", "klatka piersiowa", "ГРУДНАЯ КЛЕТКА", "胸部", "tórax"])
def test_a_chest_is_named_in_many_tongues(said: str) -> None:
    assert may_show(View.FRONTAL_CHEST, [said])


@pytest.mark.parametrize("said", ["HAND", "手", "HIP", "РУКА"])
def test_another_part_is_none(said: str) -> None:
    """Whatever the script: a hand is not shown to a network of chests."""
    assert not may_show(View.FRONTAL_CHEST, [said])


@pytest.mark.parametrize(
    ("stated", "fits"), [("PA", True), ("pa", True), ("AP SUPINE", True), ("PA ERECT", True), ("L LL", False), ("LL", False)]
)
def test_what_is_typed_beside_a_projection_says_nothing_of_it(stated: str, fits: bool) -> None:
    assert may_be(View.FRONTAL_CHEST, stated) is fits
