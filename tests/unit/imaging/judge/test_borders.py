"""A mask that is cut by one of the six borders has a lower bound for a volume, and the reader is told at which border."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inference import codes
from inference.findings import Measurement
from inference.imaging.judge.borders import Border, borders_met
from inference.imaging.judge.expects import Expects
from inference.imaging.judge.judging import Judge
from inference.imaging.measures.calcium import CALCIUM_SCORE
from inference.imaging.measures.quantity import UPTAKE
from inference.imaging.measures.uptake import MAXIMUM, PEAK
from inference.imaging.measures.values import STANDARD_DEVIATION
from tests.unit.imaging.judge.made import brain, found, pictured, volume_of

STEPS = (2.5, 2.5, 2.5)
CUTS: dict[Border, Any] = {
    Border.LOWER: np.s_[30:],
    Border.UPPER: np.s_[:46],
    Border.FRONT: np.s_[:, 20:],
    Border.BACK: np.s_[:, :66],
    Border.RIGHT: np.s_[:, :, 25:],
    Border.LEFT: np.s_[:, :, :50],
}


@pytest.mark.parametrize("border", CUTS)
@pytest.mark.parametrize("flip", [False, True])
def test_each_of_the_six_borders(border: Border, flip: bool) -> None:
    """However the slices are stored: the volume is at least what was seen, the mean value stays, and one sentence names the border."""
    mask = np.ascontiguousarray(brain()[CUTS[border]])
    volume = volume_of(pictured(mask), STEPS)
    if flip:
        mask = np.ascontiguousarray(mask[::-1, :, ::-1])
        affine = volume.affine.copy()
        affine[:3, 0] *= -1
        affine[:3, 2] *= -1
        turned = volume_of(np.ascontiguousarray(volume.voxels[::-1, :, ::-1]), STEPS)
        object.__setattr__(turned, "affine", affine)
        volume = turned
    said = Judge(Expects(), volume, ()).after(found(volume, mask))
    assert [met.border for met in borders_met(volume, mask)] == [border]
    assert {each.name: each.at_least for each in said.measurements} == {codes.VOLUME: True, codes.ATTENUATION_COEFFICIENT: False}
    (caution,) = said.cautions
    assert f"the {border.value} border" in caution.sentence


def test_the_largest_value_and_a_score_are_lower_bounds_where_a_mask_is_cut() -> None:
    """What lies beyond the images may take up more, and hold more calcium; a mean or a deviation may be either."""
    mask = np.ascontiguousarray(brain()[CUTS[Border.LOWER]])
    volume = volume_of(pictured(mask), STEPS)
    given = found(volume, mask)
    label = given.segments[0].label
    named = [
        (CALCIUM_SCORE, None),
        (UPTAKE.name, MAXIMUM),
        (UPTAKE.name, PEAK),
        (UPTAKE.name, codes.MEAN),
        (UPTAKE.name, STANDARD_DEVIATION),
    ]
    made = tuple(Measurement(name=name, value=1.0, unit=codes.NO_UNITS, derivation=of, segment=label) for name, of in named)
    said = Judge(Expects(), volume, ()).after(replace(given, measurements=made))
    assert [one.at_least for one in said.measurements] == [True, True, True, False, False]


def test_a_whole_structure_is_not_cut() -> None:
    """A border that is not met changes nothing: same findings, no sentence."""
    mask = brain()
    volume = volume_of(pictured(mask), STEPS)
    given = found(volume, mask)
    said = Judge(Expects(), volume, ()).after(given)
    assert borders_met(volume, mask) == ()
    assert said.measurements == given.measurements
    assert said.cautions == ()


@pytest.mark.parametrize(("planes", "cut"), [(1, True), (2, True), (6, False)])
def test_a_mask_that_fades_out_before_the_last_slices_is_cut(planes: int, cut: bool) -> None:
    """A network that leaves the last slices empty, where the structure is still wide, has not seen its end; 15 mm away it may have."""
    mask = brain()[30:].copy()
    mask[:planes] = False
    volume = volume_of(pictured(mask), STEPS)
    assert bool(borders_met(volume, mask)) is cut


@pytest.mark.parametrize("above_mm", [0.5, 2.0, 6.0])
def test_a_whole_head_in_thick_slices_is_not_cut(above_mm: float) -> None:
    """Slices 6.5 mm apart, the first one above the vertex empty: two slices below it the brain is a third as wide as ever, and whole."""
    heights = np.arange(162 + above_mm, 162 + above_mm - 190, -6.5)[::-1]
    y, x = np.arange(88) * 2.5, np.arange(76) * 2.5
    along = (y - 110)[None, :, None] / 87.5
    across = (x - 95)[None, None, :] / (68 * (1 + 0.5 * np.clip(along, -1, 1)))
    mask = ((heights - 96)[:, None, None] / 66) ** 2 + along**2 + across**2 < 1
    volume = volume_of(pictured(mask), (6.5, 2.5, 2.5))
    assert borders_met(volume, mask) == ()
    cut = np.ascontiguousarray(mask[:18])
    cut[-1] = False
    assert [met.border for met in borders_met(volume_of(pictured(cut), (6.5, 2.5, 2.5)), cut)] == [Border.UPPER]


def test_a_single_voxel_at_the_border_is_no_cut() -> None:
    """Less than 10 mm² of contact: one voxel too many, of those that every network marks."""
    mask = brain()
    mask[0, 40, 40] = True
    assert borders_met(volume_of(pictured(mask), STEPS), mask) == ()
