"""lung-nodule: what it says of balls of known place, size and density in a made chest, and what the report then holds."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from inference import codes
from inference.applications.accept import check
from inference.applications.catalog import load
from inference.applications.declared import check_outputs
from inference.applications.errors import NotAccepted
from inference.applications.lung_nodule.application import DENSITY, RATING, SOLID_PART
from inference.applications.lung_nodule.preparing import SPACING_MM, NoLungs
from inference.findings import Box, Findings
from inference.imaging.assemble import assemble
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from node.domain.shortage import Lack, Shortage
from node.flow.infer import as_incomplete
from node.results.page import picture
from node.results.page.lettering import wrapped
from node.results.page.naming import number as written
from tests.lab.chest import BALLS, SHAPE, Ball, ByHeart, affine, chest, voxels
from tests.results import made
from tests.results.reports import comments, groups, number, read, reports, value

APPLICATION = load("lung-nodule")
SOLID, PART_SOLID, GLASS = "RID50151", "RID50152", "RID50153"


def alone(volume: Volume) -> VolumeSet:
    """A CT without a prior."""
    return VolumeSet(volumes={"current": volume})


@cache
def found(balls: tuple[Ball, ...] = BALLS, patient_years: int | None = 60) -> Findings:
    """What it says, as it may leave."""
    volume = chest(balls, patient_years)
    assert check(APPLICATION, alone(volume)) == ()
    findings = APPLICATION.analyse(volume, ByHeart())
    check_outputs(APPLICATION, findings, volume)
    return findings


def measured(findings: Findings, label: str) -> dict[str, float]:
    """The numbers of one nodule by name."""
    return {one.name.meaning: one.value for one in findings.measurements if one.location == label}


def middle(ball: Ball) -> tuple[float, float, float]:
    """(slice, row, column) of a ball's middle, as indices."""
    z, y, x = ((count - 1) / 2 + mm / SPACING_MM for count, mm in zip(SHAPE, ball.at_mm, strict=True))
    return z, y, x


def test_every_ball_is_found_where_it_lies() -> None:
    """Each in a box of its own, on a slice through its middle, to the pixel; of the density that it was made of."""
    findings = found()
    assert len(findings.locations) == 3
    of_slice = {round(middle(ball)[0]): (ball, density) for ball, density in zip(BALLS, (SOLID, PART_SOLID, GLASS), strict=True)}
    for location in findings.locations:
        near = min(of_slice, key=lambda z: abs(z - location.image))
        ball, density = of_slice.pop(near)
        _, row, column = middle(ball)
        half = ball.mm / 2 / SPACING_MM
        assert isinstance(location.shape, Box)
        # half a pixel from the middle of the outermost to its edge
        edges = [location.shape.top, location.shape.bottom, location.shape.left, location.shape.right]
        assert edges == pytest.approx([row + 0.5 - half, row + 0.5 + half, column + 0.5 - half, column + 0.5 + half], abs=1.01)
        assert abs(near - location.image) <= 1
        assert {one.name: one.value.value for one in location.qualities}[DENSITY] == density
        assert (location.finding, location.finding_site) == (codes.NODULE, codes.LUNG)
        assert 0.99 < (location.certainty or 0) <= 1


def test_sizes_are_those_of_the_balls() -> None:
    """Both diameters to a voxel, the average in whole mm, the volume to a sixth; the solid part's diameter of the part-solid one alone."""
    findings = found()
    for location in findings.locations:
        numbers = measured(findings, location.label)
        ball = min(BALLS, key=lambda one: abs(middle(one)[0] - location.image))
        assert numbers["Long axis"] == pytest.approx(ball.mm, abs=SPACING_MM)
        assert numbers["Short axis"] == pytest.approx(ball.mm, abs=SPACING_MM)
        assert numbers["Diameter"] == pytest.approx((numbers["Long axis"] + numbers["Short axis"]) / 2, abs=0.5)
        assert numbers["Diameter"] == int(numbers["Diameter"])
        assert numbers["Volume"] * 1000 == pytest.approx(np.pi / 6 * ball.mm**3, rel=1 / 6)
        part_solid = 0 < ball.core_mm < ball.mm
        assert (SOLID_PART.meaning in numbers) is part_solid
        if part_solid:
            assert numbers[SOLID_PART.meaning] == pytest.approx(ball.core_mm, abs=SPACING_MM)
            assert numbers[SOLID_PART.meaning] == int(numbers[SOLID_PART.meaning])


def test_a_rating_stands_at_each_nodule_with_its_interval_and_is_called_no_probability() -> None:
    """What LIDC's readers would rate goes up with the ball, from 1 to 5, and may be 1.2 off; a remark says what it is not. What is larger
    than nearly all of their nodules is not rated, and that is said."""
    findings = found()
    rated = sorted((one for one in findings.measurements if one.name == RATING), key=lambda one: one.value)
    by_size = sorted(findings.locations, key=lambda one: measured(findings, one.label)["Volume"])
    assert [one.location for one in rated] == [one.label for one in by_size]
    for one in rated:
        assert one.unit.value == "{score}"
        assert one.interval is not None
        assert 1 <= one.interval.low < one.value < one.interval.high <= 5
        assert one.interval.high - one.value <= 1.25
    (said,) = [remark for remark in findings.remarks if "LIDC" in remark]
    assert "no probability of cancer" in said
    assert RATING.meaning.endswith("no probability of cancer")
    large = found((Ball(at_mm=(0.0, 10.0, 45.0), mm=36.25, core_mm=36.25),))
    assert len(large.locations) == 1
    assert not any(one.name == RATING for one in large.measurements)
    assert [remark for remark in large.remarks if "rat" in remark and "LIDC" in remark] == [
        "Not rated is nodule 1: LIDC's readers outlined hardly any of its size."
    ]


def test_what_reaches_the_last_image_is_not_rated_and_said_to_be_cut() -> None:
    """Half of it may lie beyond: its size is that of what is shown. One that ends two slices before is whole."""
    at_end = SHAPE[0] * SPACING_MM / 2
    cut = found((Ball(at_mm=(at_end - 4.0, 10.0, 45.0), mm=15.0, core_mm=15.0),))
    assert len(cut.locations) == 1
    assert not any(one.name == RATING for one in cut.measurements)
    assert [remark for remark in cut.remarks if "rated" in remark] == [
        "Nodule 1 reaches the first or the last image: it may be larger than what was measured, and is not rated."
    ]
    whole = found((Ball(at_mm=(at_end - 10.0, 10.0, 45.0), mm=15.0, core_mm=15.0),))
    assert sum(one.name == RATING for one in whole.measurements) == 1
    assert not any("reaches" in remark and "rated" in remark for remark in whole.remarks)


def test_the_follow_up_stands_at_the_nodule_that_decides_it() -> None:
    """A single solid one of 20 mm; of the two subsolid ones that with a solid part; in words with the source, and what it is not for."""
    findings = found()
    rows = {}
    for location in findings.locations:
        answers = {one.name: one.value for one in location.qualities}
        if codes.RECOMMENDED_FOLLOW_UP in answers:
            rows[answers[DENSITY].value] = answers[codes.RECOMMENDED_FOLLOW_UP].meaning
    assert rows == {SOLID: "Fleischner 2017: single solid nodule, > 8 mm", PART_SOLID: "Fleischner 2017: multiple subsolid nodules, ≥ 6 mm"}
    said = " ".join(findings.remarks)
    for words in ("consider CT at 3 months, PET/CT or tissue sampling", "Radiology 2017;284:228-243", "cancer", "immunity", "screening"):
        assert words in said


def test_what_a_first_screening_would_call_the_most_suspicious_stands_in_one_remark() -> None:
    """The solid ball of 20 mm: 4B by size and density alone, with source and what is not judged; where no follow-up is given, nothing."""
    remarks = found().remarks
    (said,) = [remark for remark in remarks if "Lung-RADS" in remark]
    solids = [place for place, one in enumerate(found().locations, 1) if one.qualities[0].value.value == SOLID]
    assert said.startswith("Were this a first screening CT, the most suspicious by size and density alone would be nodule ")
    assert f"nodule {solids[0]}, category 4B: diagnostic CT" in said
    assert "J Am Coll Radiol 2024;21:473-488" in said
    assert said.endswith("calcium, fat, its place and growth, which change categories, are not judged.")
    for none in (found(()), found(BALLS, 34)):
        assert not any("Lung-RADS" in remark for remark in none.remarks)


@pytest.mark.parametrize(("years", "for_whom"), [(35, False), (49, False), (50, True), (80, True), (81, False), (None, False)])
def test_screening_is_spoken_of_to_those_who_are_screened(years: int | None, for_whom: bool) -> None:
    """From 50 to 80 years (USPSTF, JAMA 2021;325:962-970); the follow-up of what was found by chance is said of all these."""
    remarks = found(BALLS, years).remarks
    assert any("Lung-RADS" in remark for remark in remarks) is for_whom
    assert any("Radiology 2017;284:228-243" in remark for remark in remarks)


@pytest.mark.parametrize("years", [60, None])
def test_for_whom_it_is_not_stands_before_what_is_recommended(years: int | None) -> None:
    """What it learned from, and for whom the guideline is, stand in lines that every page has for remarks; what is recommended follows."""
    remarks = found(BALLS, years).remarks
    limits = next(index for index, remark in enumerate(remarks) if "immunity" in remark)
    recommended = [index for index, remark in enumerate(remarks) if remark.startswith("Nodule ")]
    assert limits < min(recommended)
    column = picture.COLUMN - 16
    first = [line for remark in remarks[: limits + 1] for line in wrapped(remark, 18, column, 6)]
    assert len(first) < picture.REMARKS
    assert first[-1].endswith("known here.")


def test_it_says_that_it_learned_from_planted_nodules() -> None:
    """First of all, and where nothing is found, too; then no follow-up is spoken of."""
    nothing = found(())
    for findings in (found(), nothing):
        assert "trained on planted nodules" in findings.remarks[0]
        assert "has seen no real one" in findings.remarks[0]
        assert "not for diagnosis" in findings.remarks[0]
    assert nothing.locations == ()
    assert nothing.measurements == ()
    assert [(one.value, one.finding_site) for one in nothing.evaluations] == [(codes.ABSENT, codes.LUNGS)]
    assert not any("Fleischner" in remark for remark in nothing.remarks)
    # "present in both lungs" was said of a nodule in one
    assert [(one.value, one.finding_site) for one in found().evaluations] == [(codes.PRESENT, codes.LUNG)]


def test_beside_a_mark_that_may_be_a_mass_no_nodule_is_absent() -> None:
    """A ball of 46 mm alone: it is not measured, and has to be looked at. Nobody is told that there is nothing."""
    findings = found((Ball(at_mm=(0.0, 10.0, 45.0), mm=46.0, core_mm=46.0),))
    assert findings.locations == ()
    assert [(one.value, one.finding_site) for one in findings.evaluations] == [(codes.UNDETERMINED, codes.LUNGS)]
    assert any(remark.startswith("Not measured: 1 marked that may be a mass") for remark in findings.remarks)


def test_below_35_years_no_category_is_given() -> None:
    """And the reader is told why; where the age is not known, that it matters."""
    young, unknown = found(BALLS, 34), found(BALLS, None)
    assert [one.name for location in young.locations for one in location.qualities] == [DENSITY] * 3
    assert any(remark.startswith("No follow-up category: the patient is 34 years old") for remark in young.remarks)
    assert not any("PET/CT" in remark for remark in young.remarks)
    assert any("age is not in the images" in remark for remark in unknown.remarks)
    assert not any("age is not in the images" in remark for remark in found().remarks)


def test_slices_that_are_too_thick_for_the_guideline_are_spoken_of() -> None:
    """2.5 mm apart or thick: found and measured, and said to be approximate; 3.75 mm apart, or 3 mm thick: not taken."""
    thin = chest()
    for step, taken in ((2, True), (3, False)):
        thick = thin.affine.copy()
        thick[:, 0] *= step
        image = thin.voxels[::step]
        volume = replace(thin, voxels=image, affine=thick, sources=thin.sources[: len(image)])
        if taken:
            for years in (60, 34):
                remarks = APPLICATION.analyse(replace(volume, patient_years=years), ByHeart()).remarks
                assert any(remark.startswith("Slices are 2.5 mm apart") for remark in remarks)
        else:
            with pytest.raises(NotAccepted, match=r"3\.75 mm apart"):
                check(APPLICATION, alone(volume))
    blurred = replace(thin, thickness_mm=2.5)
    check(APPLICATION, alone(blurred))
    assert any("Slices are 2.5 mm thick" in remark for remark in APPLICATION.analyse(blurred, ByHeart()).remarks)
    with pytest.raises(NotAccepted, match=r"slices are 3 mm thick, at most 2\.5 mm"):
        check(APPLICATION, alone(replace(thin, thickness_mm=3.0)))
    assert not any("apart" in remark for remark in found().remarks)


@pytest.mark.parametrize(("apart_mm", "told"), [(1.5000004, ""), (1.504, "1.504 mm"), (1.52, "1.52 mm"), (1.54, "1.54 mm")])
def test_what_is_just_beyond_the_guideline_is_told_with_its_digits(apart_mm: float, told: str) -> None:
    """Slices 1.54 mm apart or thick are told as such beside the 1.5 mm that the guideline asks for; what only rounding adds is nothing."""
    thin = chest()
    stretched = thin.affine.copy()
    stretched[:, 0] *= apart_mm / thin.spacing_mm[0]
    for volume, how in ((replace(thin, affine=stretched), "apart"), (replace(thin, thickness_mm=apart_mm), "thick")):
        said = [remark for remark in APPLICATION.analyse(volume, ByHeart()).remarks if remark.startswith("Slices are")]
        assert said == (
            [f"Slices are {told} {how}, the guideline measures on 1.5 mm: sizes and densities are approximate."] if told else []
        )


def test_what_was_not_looked_at_is_said() -> None:
    """Always, that what is longer than 40 mm is left out: an absent nodule is no absent mass. That lungs are cut off, where they are: the
    made ones run through all images; with tissue on the first and last they end there, and on one of both they do not."""
    whole, cut = chest(), "The lungs reach the first or the last image"
    for first, last, is_cut in ((0, 0, True), (12, 12, False), (12, 0, True), (0, 12, True)):
        closed = whole.voxels.copy()
        ends = np.r_[0:first, len(closed) - last : len(closed)]
        closed[ends] = np.maximum(closed[ends], 40)
        remarks = APPLICATION.analyse(replace(whole, voxels=closed), ByHeart()).remarks
        assert any(remark.startswith(cut) for remark in remarks) is is_cut
        assert any("longer than 40 mm is not reported" in remark for remark in remarks)
    assert any("longer than 40 mm is not reported" in remark for remark in found(()).remarks)


def test_without_lungs_nothing_is_said() -> None:
    """A body without air in it."""
    volume = chest()
    with pytest.raises(NoLungs):
        APPLICATION.analyse(replace(volume, voxels=np.maximum(volume.voxels, -1) * np.int16(1)), ByHeart())


@pytest.mark.slow
def test_of_a_short_series_no_follow_up_is_recommended() -> None:
    """It goes by all nodules that there are, of which some may be on what did not come; lengths and what the slices are stay. Nothing is
    rated either, and no sentence is of a rating that is not there."""
    shortage = Shortage(lack=Lack.COUNT, came=154, expected=384)
    short = as_incomplete(found(), shortage, chest(BALLS, 60), marked=True)
    large = as_incomplete(found((Ball(at_mm=(0.0, 10.0, 45.0), mm=36.25, core_mm=36.25),)), shortage, chest(BALLS, 60), marked=True)
    assert not any("LIDC" in remark for one in (short, large) for remark in one.remarks)
    assert any(quality.name == codes.RECOMMENDED_FOLLOW_UP for one in found().locations for quality in one.qualities)
    assert [[quality.name for quality in one.qualities] for one in short.locations] == [[DENSITY]] * len(found().locations)
    assert any("Follow-up" in remark for remark in found().remarks)
    assert short.remarks
    assert not any("ollow-up" in remark or remark.startswith("Nodule ") for remark in short.remarks)
    assert {one.name for one in short.measurements} <= {codes.LONG_AXIS, codes.SHORT_AXIS, codes.DIAMETER, SOLID_PART}


def test_the_report_holds_all_of_it(tmp_path: Path) -> None:
    """From files to the report, read by hand: two groups a nodule, box, numbers, density, category; the remarks; research, unverified."""
    files = write_series(voxels(), affine(), tmp_path, modality="CT", extra={"PatientAge": "060Y", "BodyPartExamined": "CHEST"})
    volume = assemble(files)
    findings = APPLICATION.analyse(volume, ByHeart())
    assert [one.qualities for one in findings.locations] == [one.qualities for one in found().locations]
    objects = reports(made.encoding(files, findings, volume=volume, application=APPLICATION))
    (report,) = read(objects, "detections")
    flags = (report.ContentQualification, report.PreliminaryFlag, report.VerificationFlag)
    assert flags == ("RESEARCH", "PRELIMINARY", "UNVERIFIED")
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"
    listed = groups(report)
    assert len(listed) == 6
    for location, bare, numbers in zip(findings.locations, listed[::2], listed[1::2], strict=True):
        expected = {one.name: one.value.value for one in location.qualities}
        for group in (bare, numbers):
            assert value(group, "121071") == codes.NODULE.value
            assert value(group, DENSITY) == expected[DENSITY]
            assert value(group, codes.RECOMMENDED_FOLLOW_UP) == expected.get(codes.RECOMMENDED_FOLLOW_UP)
        assert not [item for item in bare.ContentSequence if item.ValueType == "NUM"]
        sizes = measured(findings, location.label)
        for name, said, unit in (
            (codes.LONG_AXIS, "Long axis", codes.MILLIMETRE),
            (codes.SHORT_AXIS, "Short axis", codes.MILLIMETRE),
            (codes.VOLUME, "Volume", codes.CUBIC_CENTIMETRE),
        ):
            assert number(numbers, name) == (float(written(sizes[said], unit)), unit.value)
    assert comments(report) == list(findings.remarks)
