"""Asymmetry of two sides: of boxes by arithmetic, mirrored with the other sign, refused where a side is cut or lacks."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.findings import Segment
from inference.imaging.measures.sides import Asymmetry
from tests.unit.applications.bundle.images import volume
from tests.unit.imaging.measures.segments import refusal, results, segment

SHAPE = (30, 40, 60)
IMAGE = volume(np.zeros(SHAPE, np.int16), (2.0, 1.0, 1.0))
MEASURE = Asymmetry(segments=("kidney left", "kidney right"))


def box(label: str, wide: int, at: int, z: int = 10) -> Segment:
    """10 slices × 10 rows × `wide` columns of 2 mm³."""
    mask: NDArray[np.bool_] = np.zeros(SHAPE, np.bool_)
    mask[z : z + 10, 15:25, at : at + wide] = True
    return segment(label, mask, type=codes.BRAIN)


def test_two_boxes_differ_by_the_arithmetic() -> None:
    """12 against 8 columns: 2.4 and 1.6 cm³, together 4, their difference 0.8 of a mean of 2: 40 %; the other way round -40 %."""
    both, index = results(MEASURE, IMAGE, box("kidney left", 12, 40), box("kidney right", 8, 12))
    assert (both.name, both.total, both.parts) == (codes.VOLUME, codes.BRAIN, MEASURE.segments)
    assert (both.value, index.value) == pytest.approx((4.0, 40.0))
    assert (index.unit.value, index.total) == ("%", codes.BRAIN)
    _, mirrored = results(MEASURE, IMAGE, box("kidney left", 8, 40), box("kidney right", 12, 12))
    assert mirrored.value == pytest.approx(-40.0)


def test_a_side_that_is_cut_or_absent_has_no_asymmetry() -> None:
    """What lies beyond the images would be told as a difference."""
    cut = box("kidney right", 8, 12, z=20)
    told = 'Not measured: the asymmetry of "kidney left" and "kidney right", because '
    assert refusal(MEASURE, IMAGE, box("kidney left", 12, 40), cut) == told + "a side reaches the border of the images."
    assert refusal(MEASURE, IMAGE, box("kidney left", 12, 40)) == told + "not both sides were found."
