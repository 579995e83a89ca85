"""What a manifest may not say, among it a triage-only application that would point at something: refused when it is loaded."""

from dataclasses import replace

import pytest

from inference import codes
from inference.applications.errors import BrokenApplication
from inference.applications.manifest import check_manifest
from inference.applications.port import (
    Accepts,
    DeformationOutput,
    DerivedOutput,
    EvaluationOutput,
    ExplanationOutput,
    LocationOutput,
    MeasurementOutput,
    Output,
    RegistrationOutput,
    SaliencyOutput,
    SegmentOutput,
    Takes,
)
from inference.imaging.judge.expects import Expects, Plausible, VolumeRange
from inference.imaging.measures.calcium import Agatston
from inference.translatable import say
from tests.unit.applications.test_declared import LESION, SMOOTHING, application

TRIAGE = replace(
    application(),
    triage_only=True,
    outputs=(EvaluationOutput(finding=LESION), MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)),
)


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (SegmentOutput(label="brain", type=codes.BRAIN), "a mask"),
        (LocationOutput(finding=LESION), "a location"),
        (SaliencyOutput(label="map"), "a map"),
        (DerivedOutput(label="smooth", derivation=SMOOTHING), "an image"),
        (RegistrationOutput(), "a registration"),
        (DeformationOutput(), "a deformation"),
    ],
)
def test_a_triage_only_application_cannot_declare_where(output: Output, what: str) -> None:
    """Result case 20: it loads with evaluations and values alone; with anything that localises it is refused, before any study came."""
    assert check_manifest(TRIAGE, "mr-test", "here") is TRIAGE
    with pytest.raises(BrokenApplication, match=f"cleared for triage only and declares {what}"):
        check_manifest(replace(TRIAGE, outputs=(*TRIAGE.outputs, output)), "mr-test", "here")


@pytest.mark.parametrize("series", [100, -1, 7.5, True, "7"])
def test_a_number_in_series_numbers_is_a_whole_one_of_two_digits(series: object) -> None:
    """Series Numbers are reckoned with it; application.json, where it may stand too, has numbers and texts of any kind."""
    assert check_manifest(replace(TRIAGE, series=99), "mr-test", "here").series == 99
    with pytest.raises(BrokenApplication, match="not a whole number from 1 to 99"):
        check_manifest(replace(TRIAGE, series=series), "mr-test", "here")  # type: ignore[arg-type]


EXPLAINED = replace(
    TRIAGE,
    accepts=Accepts(modality=("DX",), takes=Takes.IMAGES),
    outputs=(EvaluationOutput(finding=LESION), ExplanationOutput(label="Grad-CAM", finding=LESION)),
    explain=lambda subject, infer: (),
)


def test_research_may_explain_an_answer_and_a_product_that_says_whether_may_not() -> None:
    """A map looks like a place to whoever reads it: none comes from an application that is cleared for triage alone."""
    assert check_manifest(EXPLAINED, "mr-test", "here") is EXPLAINED
    with pytest.raises(BrokenApplication, match="declares explanations, which only research may show"):
        check_manifest(replace(EXPLAINED, qualification="PRODUCT"), "mr-test", "here")
    answers_too = replace(EXPLAINED, qualification="PRODUCT", triage_only=False)
    assert check_manifest(answers_too, "mr-test", "here") is answers_too


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"explain": None}, "declares explanations and has no explain"),
        ({"outputs": (EvaluationOutput(finding=LESION),)}, "has explain and declares no explanations"),
        ({"accepts": Accepts(modality=("MR",))}, "explanations, which are of single images, and takes volume"),
        ({"outputs": (ExplanationOutput(label="Grad-CAM", finding=LESION),)}, "an explanation of Lesion, of which it says nothing"),
    ],
)
def test_an_explanation_explains_an_answer_about_an_image(changed: dict[str, object], said: str) -> None:
    """It is declared and made, or neither; of a finding that is answered; on single images."""
    with pytest.raises(BrokenApplication, match=said):
        check_manifest(replace(EXPLAINED, **changed), "mr-test", "here")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accepts", "said"),
    [
        (Accepts(modality=("DX",), takes=Takes.IMAGES), "declares a map or an image in space, and takes images"),
        (Accepts(modality=("US",), takes=Takes.CINE), "declares a mask, and takes cine"),
        (Accepts(modality=("MR",)), "declares a registration, and takes volume"),
        (Accepts(modality=("MR",)), "declares a deformation, and takes volume"),
        (Accepts(modality=("MR",), takes=Takes.PAIR, parts="each"), 'accepts.parts "each" is for volumes and cines, and it takes pair'),
        (Accepts(modality=("US",), takes=Takes.CINE, parts="b0"), 'accepts.parts "b0" is for volumes, and it takes cine'),
        (Accepts(modality=("CT",), without_prior=True), "accepts.without_prior is for a pair, and it takes volume"),
        (Accepts(modality=("MR",), whole_study=True), "accepts.whole_study is for images, and it takes volume"),
        (Accepts(modality=("DX",), takes=Takes.IMAGES, max_thickness_mm=2), "accepts.max_thickness_mm is for slices, and it takes images"),
        (Accepts(modality=("DX",), takes=Takes.IMAGES, min_apart_mm=2), "accepts.min_apart_mm is for slices, and it takes images"),
        (Accepts(modality=("MR",), min_apart_mm=0), "accepts.min_apart_mm is 0, not above 0"),
        (Accepts(modality=("MR",), max_thickness_mm=0), "accepts.max_thickness_mm is 0, not above 0"),
        (Accepts(modality=("DX",), takes=Takes.IMAGES, years=(5, 1)), "accepts.years is 5 to 1: whole years from 0 on"),
    ],
)
def test_outputs_that_the_subject_rules_out_are_refused(accepts: Accepts, said: str) -> None:
    """No map without a place in space, no mask on a loop, no registration without a prior, no parts of what is no volume."""
    with pytest.raises(BrokenApplication) as broken:
        check_manifest(replace(application(), accepts=accepts), "mr-test", "here")
    assert said in str(broken.value)


def test_one_that_takes_a_pair_may_say_everything() -> None:
    """A pair is in space, and has a prior."""
    pair = application(Takes.PAIR)
    assert check_manifest(pair, "mr-test", "here") is pair


def test_codes_fit_their_elements_and_measures_the_images() -> None:
    """A meaning of 65 characters would end every job when its result is encoded, and calcium of MR is refused in each."""
    long = replace(codes.BRAIN, meaning="b" * 65)
    for changed, said in (
        ({"outputs": (SegmentOutput(label="brain", type=long),)}, 'the code (12738006, SCT, "bbb'),
        (
            {"outputs": (SegmentOutput(label="brain", type=replace(codes.BRAIN, value="1" * 17)),)},
            "value and scheme have 1 to 16 characters",
        ),
        ({"measures": (Agatston(segments=("brain",)),)}, "it declares that the Agatston score is measured, which no MR or DX image has"),
    ):
        with pytest.raises(BrokenApplication) as broken:
            check_manifest(replace(application(), **changed), "mr-test", "here")
        assert said in str(broken.value)


def test_what_the_judge_is_to_go_by_is_checked() -> None:
    """Segments that there may be, every age, what is usual within what is possible, a source: a mistake refuses when it is loaded."""
    spans = (VolumeRange(from_years=None, possible=(1, 9), usual=(2, 8)), VolumeRange(from_years=0, possible=(1, 9), usual=(2, 8)))
    right = Plausible(structure=say("a brain"), segments=("brain",), spans=spans, source="a book")
    sound = replace(
        application(),
        outputs=(SegmentOutput(label="brain", type=codes.BRAIN), MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)),
        expects=Expects(plausible=(right,)),
    )
    assert check_manifest(sound, sound.name, "here") is sound
    for wrong, said in (
        (replace(right, segments=("liver",)), 'segment "liver", which it does not declare'),
        (replace(right, spans=spans[1:]), "spans begin with that of an unknown age"),
        (replace(right, spans=(replace(spans[0], usual=(0, 8)), spans[1])), "what is usual lies within"),
        (replace(right, source=""), "bounds without a source"),
    ):
        broken = replace(sound, expects=Expects(plausible=(wrong,)))
        with pytest.raises(BrokenApplication, match=said):
            check_manifest(broken, broken.name, "here")
