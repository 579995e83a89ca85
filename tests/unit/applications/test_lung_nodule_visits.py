"""lung-nodule with a prior: made chests whose patient lies otherwise, and whose nodules grew by known shares."""

import re
from dataclasses import replace

import numpy as np
import pytest

from inference import codes
from inference.applications.analysing import analyse
from inference.applications.catalog import load
from inference.applications.lung_nodule.application import CHANGES, DENSITY, DOUBLING
from inference.applications.lung_nodule.growth import Trend
from inference.codes import Code
from inference.findings import Box, Findings, Location, Measurement
from inference.imaging.subject import VolumeSet, pair_of
from inference.imaging.volume import Volume
from node.domain.shortage import Lack, Shortage
from node.flow.infer import as_incomplete
from tests.lab.chest import ByHeart
from tests.lab.chest_visits import DAYS, LAIN, NODULES, STEP_MM, THEN, Grown, visit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

APPLICATION = load("lung-nodule")
_OFF = 0.08
"""Share of a volume by which a ball of these sizes is off on a grid of 1.25 mm, twice."""


@pytest.fixture(scope="module")
def pair() -> VolumeSet:
    return pair_of(visit(NODULES, now=True), visit(NODULES, now=False, start_mm=0.6))


@pytest.fixture(scope="module")
def found(pair: VolumeSet) -> Findings:
    return analyse(APPLICATION, pair, ByHeart())


def of(findings: Findings, nodule: Grown, volume: Volume) -> tuple[Location, dict[tuple[Code, Code], Measurement]]:
    """The location whose box holds the middle of a nodule, and its numbers by name and unit."""
    z, row, column = volume.to_indices(np.array(nodule.at_mm))
    held = []
    for one in findings.locations:
        box = one.shape
        assert isinstance(box, Box)
        if box.top <= row + 0.5 <= box.bottom and box.left <= column + 0.5 <= box.right and abs(one.image - z) * STEP_MM < 8:
            held.append(one)
    (location,) = held
    return location, {(one.name, one.unit): one for one in findings.measurements if one.location == location.label}


def trend(location: Location) -> Code:
    return next(one.value for one in location.qualities if one.name == codes.QUALITATIVE_DIFFERENCE)


def said(findings: Findings, beginning: str) -> list[str]:
    return [remark for remark in findings.remarks if remark.startswith(beginning)]


def test_each_nodule_is_matched_and_its_growth_is_what_was_planted(found: Findings, pair: VolumeSet) -> None:
    """A third more, the same, twice as large, ground glass that stays; new; gone. Volumes of both visits within what the grid costs."""
    assert len(found.locations) == 5
    expected = (Trend.GROWTH, Trend.NO_GROWTH, Trend.GROWTH, Trend.NO_GROWTH, Trend.NEW)
    for nodule, what in zip(NODULES[:5], expected, strict=True):
        location, numbers = of(found, nodule, pair.reference)
        assert trend(location) == CHANGES[what], nodule
        volume = numbers[codes.VOLUME, codes.CUBIC_CENTIMETRE]
        assert volume.value * 1000 == pytest.approx(nodule.volume_mm3, rel=_OFF)
        if what is Trend.NEW:
            assert volume.earlier is None
            assert (codes.DIFFERENCE_IN_SIZE, codes.PERCENT) not in numbers
            continue
        assert volume.earlier is not None
        assert volume.earlier.date == THEN.isoformat()
        assert volume.earlier.value * 1000 == pytest.approx(nodule.volume_mm3 / nodule.times, rel=_OFF)
        percent = numbers[codes.DIFFERENCE_IN_SIZE, codes.PERCENT].value
        assert percent == pytest.approx(100 * (nodule.times - 1), abs=100 * _OFF * nodule.times)
        difference = numbers[codes.DIFFERENCE_IN_SIZE, codes.CUBIC_CENTIMETRE].value
        assert difference == pytest.approx(volume.value - volume.earlier.value)
        doubles = numbers.get((DOUBLING, codes.DAY))
        assert (doubles is None) is (what is Trend.NO_GROWTH)
        if doubles is not None:
            by_hand = DAYS * np.log(2) / np.log(volume.value / volume.earlier.value)
            assert doubles.value == pytest.approx(by_hand)
    assert len(said(found, "Not found again is a nodule of 10 mm")) == 1
    assert not said(found, "Growth is undetermined")
    assert said(found, f"Compared with the prior CT of {THEN.isoformat()}, {DAYS} days before.")


def test_where_what_is_gone_was_is_told_from_the_feet_on(found: Findings, pair: VolumeSet) -> None:
    """By hand: it lay 9 mm nearer to the feet, on slice 24.6 from 0, and would be on 32.3 of today's. A patient who went in feet first has
    his slices from the head on; the sentence is the same, whichever visit it was."""
    beginning = "Not found again is a nodule of 10 mm of the prior"
    feet_first = analyse(APPLICATION, pair_of(_feet_first(pair.reference), _feet_first(pair["prior"])), ByHeart())
    for findings in (found, feet_first):
        (remark,) = said(findings, beginning)
        told = re.search(r"slice (\d+) of 88 from the feet on; about slice (\d+) of 88 of today's", remark)
        assert told is not None, remark
        assert [int(number) - 1 for number in told.groups()] == pytest.approx([24.6, 32.3], abs=1)


def _feet_first(volume: Volume) -> Volume:
    """The same patient, rows and slices the other way."""
    middle = np.array(volume.voxels.shape) - 1
    turned = np.diag([-1.0, 1.0, -1.0, 1.0])
    turned[[0, 2], 3] = middle[[0, 2]]
    return replace(volume, voxels=np.ascontiguousarray(volume.voxels[::-1, :, ::-1]), affine=volume.affine @ turned)


def test_the_prior_is_laid_where_the_patient_lies(found: Findings) -> None:
    """Turned by 5 degrees and moved by 12 mm: at the corners of the chest to less than a voxel."""
    assert found.registration is not None
    corners = np.array([[x, y, z, 1] for x in (-100, 100) for y in (-70, 70) for z in (-50, 50)])
    assert np.linalg.norm((corners @ (found.registration.matrix - LAIN).T)[:, :3], axis=1).max() < STEP_MM


def test_lung_rads_takes_what_grew_into_account(found: Findings, pair: VolumeSet) -> None:
    """The one that became twice as large grew by more than 1.5 mm within the year, from 8 mm on: 4B, where at baseline it would be 4A."""
    (remark,) = said(found, "Were the prior the last screening CT")
    location, _ = of(found, NODULES[2], pair.reference)
    number = location.label.removeprefix("nodule ")
    assert f"would be nodule {number}, category 4B: diagnostic CT" in remark
    assert not said(found, "Were this a first screening CT")
    alone = analyse(APPLICATION, VolumeSet(volumes={"current": pair.reference}), ByHeart())
    assert "category 4A" in said(alone, "Were this a first screening CT")[0]
    assert [one.qualities[0].name for one in alone.locations] == [DENSITY] * 5
    assert not any(one.earlier or one.name == codes.DIFFERENCE_IN_SIZE for one in alone.measurements)


def test_of_a_short_series_no_growth_is_told(found: Findings, pair: VolumeSet) -> None:
    """It may be cut: nothing of the prior stands beside it any more, in numbers, codes or sentences."""
    short = as_incomplete(found, Shortage(lack=Lack.COUNT, came=80, expected=88), pair, marked=True)
    assert len(short.locations) == 5
    assert not any(one.earlier or one.name in (codes.DIFFERENCE_IN_SIZE, DOUBLING) for one in short.measurements)
    assert not any(quality.name == codes.QUALITATIVE_DIFFERENCE for one in short.locations for quality in one.qualities)
    assert not any("rowth" in remark or "prior" in remark for remark in short.remarks)


def test_a_prior_of_other_slices_and_of_a_part_of_the_chest(pair: VolumeSet) -> None:
    """Thicker, of another kernel, and without the upper lungs: sizes of then beside today's and no difference; what lay above is not
    covered, and neither new nor gone."""
    prior = visit(NODULES, now=False, slices=slice(0, 50), thick_mm=2.5)
    findings = analyse(APPLICATION, pair_of(pair.reference, replace(prior, kernel="B70f")), ByHeart())
    (why,) = said(findings, "Growth is undetermined")
    assert "slices are 1.25 mm thick, and were 2.5 mm; the kernel is B31f, and was B70f" in why
    for nodule, what in ((NODULES[1], Trend.UNDETERMINED), (NODULES[3], Trend.UNDETERMINED), (NODULES[4], Trend.NOT_COVERED)):
        location, numbers = of(findings, nodule, pair.reference)
        assert trend(location) == CHANGES[what]
        assert (codes.DIFFERENCE_IN_SIZE, codes.PERCENT) not in numbers
        assert (numbers[codes.VOLUME, codes.CUBIC_CENTIMETRE].earlier is None) is (what is Trend.NOT_COVERED)
    assert said(findings, "Were this a first screening CT")


_LARGE = Grown(at_mm=(45, 4, 0), half_mm=(22, 24, 22), times=6.0)
"""44 x 48 x 44 mm now, 24 x 26 x 24 mm then."""


def test_a_nodule_that_outgrew_what_is_measured_is_no_nodule_that_is_gone() -> None:
    """Of 25 mm at the prior, of 48 mm today: nobody is told that it is gone or was missed. Of the small one of the other lung, whose growth
    is told as ever, no follow-up is recommended. Where a slice is missing elsewhere, it has to be looked at all the same."""
    nodules = (_LARGE, NODULES[2])
    pair = pair_of(visit(nodules, now=True), visit(nodules, now=False, start_mm=0.6))
    findings = analyse(APPLICATION, pair, ByHeart())
    assert [trend(one) for one in findings.locations] == [CHANGES[Trend.GROWTH]]
    assert not said(findings, "Not found again")
    (remark,) = said(findings, "Where a nodule of 2")
    assert re.search(r"a nodule of 2[456] mm of the prior was", remark), remark
    assert remark.endswith("has a mark longer than 40 mm that is not measured: the nodule may have grown so far. Look at it.")
    # by hand: its middle lay 9 mm nearer to the feet
    told = re.search(r"slice (\d+) of 88 from the feet on; about slice (\d+) of 88 of today's", remark)
    assert told is not None, remark
    assert [int(number) - 1 for number in told.groups()] == pytest.approx([43.5 - 9 / STEP_MM, 43.5], abs=1.5)
    (against,) = said(findings, "No follow-up category")
    assert "a nodule of the prior may have grown beyond 40 mm" in against
    assert not any(quality.name == codes.RECOMMENDED_FOLLOW_UP for one in findings.locations for quality in one.qualities)
    (mass,) = said(findings, "Not measured: 1 marked that may be a mass")
    assert re.search(r"about slice 4[3-5] of 88", mass)
    short = as_incomplete(findings, Shortage(lack=Lack.COUNT, came=87, expected=88), pair, marked=True)
    assert [one for one in short.remarks if "prior" in one] == [remark]
    assert mass in short.remarks


def test_a_nodule_that_was_too_large_to_be_measured_is_not_called_new() -> None:
    """Of 48 mm then, of 25 mm today: undetermined, with the reason, and no row of new nodules."""
    shrunk = replace(_LARGE, half_mm=(12, 13, 12), times=(12 * 13 * 12) / (22 * 24 * 22))
    findings = analyse(APPLICATION, pair_of(visit((shrunk,), now=True), visit((shrunk,), now=False, start_mm=0.6)), ByHeart())
    (location,) = findings.locations
    assert trend(location) == CHANGES[Trend.UNDETERMINED]
    (remark,) = said(findings, "Growth of nodule 1 is undetermined")
    assert remark.endswith("the prior has a mark there that is longer than 40 mm, and was not measured.")
    assert not any("missed there" in each for each in findings.remarks)


def test_a_nodule_beside_a_long_mark_of_the_other_visit_may_be_the_one_of_then() -> None:
    """9 mm from where it was, and there runs something of 44 mm: nobody is told that the one of then is gone, or that the one of today is
    new, whichever visit it was."""
    here, there = (45.0, 0.0, 0.0), (45.0, 9.0, 0.0)
    long = Grown(at_mm=(45, -3, 0), half_mm=(3, 3, 22), left=False)
    then = (Grown(at_mm=there, half_mm=(4, 4, 4), left=False), long)
    now = (Grown(at_mm=here, half_mm=(5, 5, 5), times=0),)
    findings = analyse(APPLICATION, pair_of(visit((*now, *then), now=True), visit((*now, *then), now=False, start_mm=0.6)), ByHeart())
    assert [trend(one) for one in findings.locations] == [CHANGES[Trend.UNDETERMINED]]
    assert not said(findings, "Not found again")
    came = (*(replace(one, left=True, times=0) for one in then), Grown(at_mm=here, half_mm=(5, 5, 5), left=False))
    findings = analyse(APPLICATION, pair_of(visit(came, now=True), visit(came, now=False, start_mm=0.6)), ByHeart())
    assert [trend(one) for one in findings.locations] == [CHANGES[Trend.UNDETERMINED]]
    assert said(findings, "Where a nodule of 10 mm of the prior was")
    assert not any("missed" in remark and "prior" in remark for remark in findings.remarks)


def test_where_no_air_is_left_a_nodule_is_not_called_gone() -> None:
    """The lung about it is as dense as the wall, and the network marks nothing of it: that it is gone or was missed would be a guess."""
    whole, solid = visit(NODULES[:3], now=True), visit(NODULES[:3], now=False, start_mm=0.6)
    z, row, column = (round(float(index)) for index in whole.to_indices(np.array(NODULES[2].at_mm)))
    filled = whole.voxels.copy()
    filled[z - 18 : z + 19, row - 18 : row + 19, column - 14 : column + 15] = 60
    findings = analyse(APPLICATION, pair_of(replace(whole, voxels=filled), solid), ByHeart())
    assert len(findings.locations) == 2
    assert not said(findings, "Not found again")
    (remark,) = said(findings, "Where a nodule of 9 mm of the prior was")
    assert remark.endswith("today's CT shows no air-bearing lung: a mass, collapse or fluid may hide it, or it grew. Look at it.")
    backwards = analyse(
        APPLICATION,
        pair_of(replace(solid, acquired_on=whole.acquired_on), replace(whole, voxels=filled, acquired_on=solid.acquired_on)),
        ByHeart(),
    )
    (why,) = said(backwards, "Growth of nodule")
    assert why.endswith("the prior shows no air-bearing lung there, in which it could have been found.")


def test_of_nodules_that_stay_the_prior_is_what_screening_goes_by() -> None:
    """With a prior on which it was found alike, nobody speaks of a first screening CT."""
    nodules = (NODULES[1],)
    findings = analyse(APPLICATION, pair_of(visit(nodules, now=True), visit(nodules, now=False, start_mm=0.6)), ByHeart())
    assert [trend(one) for one in findings.locations] == [CHANGES[Trend.NO_GROWTH]]
    assert said(findings, "Were the prior the last screening CT")
    assert not said(findings, "Were this a first screening CT")


def test_a_prior_that_is_later_or_without_lung_is_compared_with_nothing(pair: VolumeSet) -> None:
    """Nodules of today are told as ever, and why there is no comparison."""
    later = replace(pair["prior"], acquired_on=pair.reference.acquired_on.replace(year=2027))  # type: ignore[union-attr]
    solid = replace(pair["prior"], voxels=np.maximum(pair["prior"].voxels, 20))
    for prior, why in ((later, "it is later than these images"), (solid, "HLM-3")):
        findings = analyse(APPLICATION, pair_of(pair.reference, prior), ByHeart())
        assert len(findings.locations) == 5
        assert findings.registration is None
        (remark,) = said(findings, "Growth is undetermined, nothing was compared with the prior")
        assert why in remark
        assert not any(quality.name == codes.QUALITATIVE_DIFFERENCE for one in findings.locations for quality in one.qualities)
