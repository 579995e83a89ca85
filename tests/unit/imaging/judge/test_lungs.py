"""Lungs have vessels in them and air about -850 HU; foam, free gas and soft tissue are not lungs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.imaging.judge.errors import OtherAnatomy
from inference.imaging.judge.expects import BodyPart, Expects, Form, Marked
from inference.imaging.judge.judging import Judge
from tests.unit.imaging.judge.made import LABEL, found, volume_of

CHEST = Expects(part=BodyPart.CHEST, marked=(Marked(segments=(LABEL,), form=Form.LUNGS),))


def judged(lung_hu: float, *, vessels: bool) -> tuple[str, ...]:
    """A body of 40 HU with two cylinders of lung, 240 mm high, in air."""
    z, y, x = np.indices((80, 80, 110))
    body = ((y - 40) / 36) ** 2 + ((x - 55) / 50) ** 2 < 1
    lungs: NDArray[np.bool_] = (np.minimum((x - 33) ** 2, (x - 77) ** 2) + (y - 40) ** 2 < 15**2) & (abs(z - 40) < 30)
    hu = np.where(body, 40, -1000) + np.random.default_rng(2).normal(0, 8, body.shape)
    hu[lungs] += lung_hu - 40
    if vessels:
        hu[lungs & ((x % 9 < 2) | (y % 11 < 2))] += 350
    volume = volume_of(hu.astype(np.int16), (3.0,) * 3, "CT")
    judge = Judge(CHEST, volume, ())
    return tuple(each.sentence for each in (*judge.before(), *judge.after(found(volume, lungs)).cautions))


def test_lungs_are_taken() -> None:
    """With vessels, breathed in and half breathed out."""
    assert judged(-880, vessels=True) == () == judged(-750, vessels=True)


@pytest.mark.parametrize(("hu", "vessels", "said"), [(-850, False, "no vessels"), (-1000, False, "free gas"), (0, True, "mean is")])
def test_foam_gas_and_tissue_are_declined(hu: float, vessels: bool, said: str) -> None:
    """A phantom's foam is even; gas is lighter than any lung; tissue is no lung."""
    with pytest.raises(OtherAnatomy, match=said):
        judged(hu, vessels=vessels)


def test_where_nothing_was_marked_there_is_no_chest() -> None:
    """A belly, a head, a difference of two images: no value of 0 is given. A series that is known to be short may lack the lungs."""
    hu = np.full((40, 40, 40), 40, np.int16)
    hu[:, 5:30, 5:30] = 300
    volume = volume_of(hu, (3.0,) * 3, "CT")
    nothing = found(volume, np.zeros(hu.shape, np.bool_))
    with pytest.raises(OtherAnatomy, match="was marked as lungs"):
        Judge(CHEST, volume, ()).after(nothing)
    assert Judge(CHEST, volume, (), whole=False).after(nothing).cautions == ()
