"""What headers say of body part and projection, as people type it."""

import pytest

from inference.imaging.judge.expects import BodyPart, View
from inference.imaging.judge.stated import elsewhere, may_be, may_show


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


@pytest.mark.parametrize(
    ("part", "typed", "described", "said"),
    [
        (BodyPart.CHEST, ["HEAD"], "HEAD", True),
        (BodyPart.CHEST, ["HEAD"], "CT Gehirn nativ", True),
        (BodyPart.HEAD, ["KNEE"], "MR right knee", True),
        (BodyPart.CHEST, ["HEAD"], "CT head and thorax", False),  # both were scanned
        (BodyPart.CHEST, ["HEAD"], "Stroke", False),  # one of seven is typed wrong
        (BodyPart.CHEST, ["HEAD", "CHEST"], "CT head", False),
        (BodyPart.CHEST, [], "CT head", False),
        (BodyPart.CHEST, ["HEAD"], "head first supine", False),  # how the patient lies
        (BodyPart.CHEST, ["NECK"], "CT neck", False),  # it begins above the lungs, and may reach them
        (BodyPart.HEAD, ["WHOLEBODY"], "PET CT whole body", False),
        (BodyPart.HEAD, ["CHEST"], "CT neurocranium", False),
        (BodyPart.HEAD, ["胸部"], "CT CHEST", False),  # what it means is not known here
    ],
)
def test_another_part_is_believed_where_two_name_it_and_none_the_right_one(
    part: BodyPart, typed: list[str], described: str, said: bool
) -> None:
    """Who orders and who scans type apart: a mistake of one is told, and the pixels decide."""
    assert bool(elsewhere(part, typed, {"StudyDescription": [described]})) is said
