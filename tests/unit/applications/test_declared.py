"""The gate behind an application, for every kind of finding: undeclared and impossible ones do not leave."""

from dataclasses import replace

import numpy as np
import pytest

from inference import codes
from inference.applications.accept import check
from inference.applications.declared import check_outputs
from inference.applications.errors import InvalidOutput, NotAccepted, UndeclaredOutput
from inference.applications.port import (
    Accepts,
    Application,
    DeformationOutput,
    DerivedOutput,
    EvaluationOutput,
    ExplanationOutput,
    LocationOutput,
    MeasurementOutput,
    QualityOutput,
    RegistrationOutput,
    SaliencyOutput,
    SegmentOutput,
    Takes,
)
from inference.codes import Code
from inference.findings import (
    Box,
    Deformation,
    DerivedImage,
    Evaluation,
    Explanation,
    Findings,
    Line,
    Location,
    Measurement,
    Point,
    PointInSpace,
    Quality,
    Registration,
    Saliency,
    Segment,
    SegmentPoint,
    Span,
)
from inference.imaging.errors import UnfitPrior
from inference.imaging.subject import Cine, Image, Images, Subject, VolumeSet, pair_of
from inference.imaging.volume import SliceSource, Volume
from tests.unit.applications.conftest import turned_volume

LESION = Code("52988006", "SCT", "Lesion")
SMOOTHING = Code("113087", "DCM", "Smoothing")
TEXTURE, SOLID = Code("C41144", "NCIt", "Texture"), Code("RID50151", "RADLEX", "solid pulmonary nodule")
IS_SOLID = Quality(name=TEXTURE, value=SOLID)
SHAPE = (4, 6, 8)


def volume() -> Volume:
    """4 slices of 6 × 8."""
    return turned_volume(np.zeros(SHAPE, dtype=np.int16), 1.0, (0, 1, 2), (False, False, False), "MR")


def pair() -> VolumeSet:
    """The volume, and another as its prior."""
    return pair_of(current=volume(), prior=replace(volume(), series_instance_uid="1.2.3.9"))


def images() -> Images:
    """Two radiographs of 30 × 20 and 10 × 10."""
    uids = ("1.2.1", "1.2.2")
    made = [
        Image(
            pixels=np.zeros(shape, dtype=np.float32),
            source=SliceSource(sop_instance_uid=uid, sop_class_uid="1.2"),
            series_instance_uid="1.2.3",
            inverted=False,
            spacing_mm=None,
            calibrated=False,
            view="PA",
            laterality="",
        )
        for uid, shape in zip(uids, ((30, 20), (10, 10)), strict=True)
    ]
    return Images(images=tuple(made), modality="DX", study_instance_uid="1.2", series_instance_uid="1.2.3")


def cine() -> Cine:
    """Five frames of 10 × 12 in colour."""
    sources = tuple(SliceSource(sop_instance_uid="1.2.1", sop_class_uid="1.2", frame=frame) for frame in range(1, 6))
    frames = np.zeros((5, 10, 12, 3), dtype=np.uint8)
    return Cine(frames=frames, times_s=None, sources=sources, modality="US", study_instance_uid="1.2", series_instance_uid="1.2.3")


def application(takes: Takes = Takes.VOLUME) -> Application:
    """One that may say everything."""
    return Application(
        name="mr-test",
        version="1.0.0",
        title="Test",
        accepts=Accepts(modality=("MR", "DX"), takes=takes),
        models=(),
        outputs=(
            SegmentOutput(label="brain", type=codes.BRAIN),
            MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
            EvaluationOutput(finding=LESION),
            LocationOutput(finding=LESION),
            QualityOutput(name=TEXTURE, values=(SOLID,)),
            SaliencyOutput(label="map"),
            DerivedOutput(label="smooth", derivation=SMOOTHING),
            RegistrationOutput(),
            DeformationOutput(),
        ),
        analyse=lambda subject, infer: Findings(),
    )


def location(shape: Box | Point | Line | PointInSpace, image: int = 0, **more: object) -> Findings:
    """One lesion there."""
    return Findings(locations=(Location(label="lesion 1", finding=LESION, shape=shape, image=image, **more),))  # type: ignore[arg-type]


def box(top: float = 1, left: float = 2, bottom: float = 6, right: float = 8) -> Box:
    """It ends where the slice ends."""
    return Box(top=top, left=left, bottom=bottom, right=right)


def smooth(**more: object) -> Findings:
    """The derived image."""
    given = {"label": "smooth", "voxels": np.zeros(SHAPE, dtype=np.int16), "derivation": SMOOTHING, **more}
    return Findings(derived=(DerivedImage(**given),))  # type: ignore[arg-type]


def saliency(values: np.ndarray) -> Findings:
    """The map."""
    return Findings(saliencies=(Saliency(label="map", values=values, quantity=codes.MEAN, unit=codes.MILLIMETRE),))


def evaluation(**more: object) -> Findings:
    """A lesion, present or not."""
    given = {"finding": LESION, "value": codes.ABSENT, **more}
    return Findings(evaluations=(Evaluation(**given),))  # type: ignore[arg-type]


def measured(**more: object) -> Measurement:
    """A volume of something."""
    return Measurement(name=codes.VOLUME, value=1.0, unit=codes.CUBIC_CENTIMETRE, **more)  # type: ignore[arg-type]


def registered(matrix: np.ndarray) -> Findings:
    """The prior lies there."""
    return Findings(registration=Registration(matrix=matrix))


def bent(**more: object) -> Findings:
    """The prior is bent, on a grid along the patient's axes."""
    nodes = {"offsets": np.ones((2, 3, 4, 3), dtype=np.float32), "affine": PATIENT_AXES}
    return Findings(deformation=Deformation(**{"matrix": turned(30), **nodes, **more}))  # type: ignore[arg-type]


PATIENT_AXES = np.array([[0, 0, 4.0, 0], [0, 4.0, 0, 0], [4.0, 0, 0, 0], [0, 0, 0, 1]])


def turned(degrees: float) -> np.ndarray:
    """About z, and 5 mm along x."""
    matrix, angle = np.eye(4), np.radians(degrees)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[0, 3] = 5
    return matrix


MASK = Segment(label="brain", mask=np.zeros(SHAPE, dtype=np.bool_), category=codes.TISSUE, type=codes.BRAIN, rgb=(1, 2, 3))


def on_image(image: int) -> Segment:
    """The brain on the second radiograph, said to be of an image."""
    return replace(MASK, label=f"brain, image {image + 1}", mask=np.ones((1, 10, 10), dtype=np.bool_), image=image)


MIDDLE = SegmentPoint(segment="brain", purpose=codes.VOLUME, method=codes.MEAN)


@pytest.mark.parametrize(
    ("findings", "subject"),
    [
        (location(box(), image=3), volume()),
        (location(Point(row=0, column=8)), volume()),
        (location(box(), qualities=(IS_SOLID,)), volume()),
        (location(Line(start=Point(row=0, column=0), end=Point(row=6, column=8)), certainty=1.0), pair()),
        (location(PointInSpace(x=7.4, y=-0.4, z=1.4), image=1), volume()),
        (location(box(bottom=30, right=20)), images()),
        (Findings(segments=(on_image(1),)), images()),
        (location(box(bottom=10, right=12), image=4), cine()),
        (saliency(np.ones(SHAPE, dtype=np.float32)), volume()),
        (smooth(), volume()),
        (smooth(voxels=np.zeros((2, 2, 2), dtype=np.float32), affine=np.diag([2.0, 2, 2, 1])), volume()),
        (smooth(of_prior=True), pair()),
        (registered(turned(30)), pair()),
        (bent(), pair()),
        (evaluation(images=(0, 1), probability=0.0), images()),
        (evaluation(span=Span(first=0, last=4)), cine()),
        (replace(location(box()), measurements=(measured(location="lesion 1"),)), volume()),
        (Findings(measurements=(measured(span=Span(first=2, last=2)),)), cine()),
        (replace(location(box(), point=MIDDLE), segments=(MASK,)), volume()),
    ],
)
def test_what_is_declared_and_possible_leaves(findings: Findings, subject: Subject) -> None:
    """Every kind of finding, about every kind of subject that can have it, up to the last pixel and the last image."""
    check_outputs(application(), findings, subject)


@pytest.mark.parametrize(
    ("findings", "subject", "error", "said"),
    [
        (Findings(locations=(replace(location(box()).locations[0], finding=codes.BRAIN),)), volume(), UndeclaredOutput, "(Brain)"),
        (evaluation(finding=codes.BRAIN), volume(), UndeclaredOutput, "evaluation of Brain"),
        (Findings(saliencies=(replace(saliency(np.zeros(SHAPE)).saliencies[0], label="m"),)), volume(), UndeclaredOutput, 'map "m"'),
        (smooth(label="sharp"), volume(), UndeclaredOutput, 'image "sharp"'),
        (location(box(), qualities=(Quality(name=TEXTURE, value=LESION),)), volume(), UndeclaredOutput, "Texture Lesion, which is not"),
        (location(box(), qualities=(Quality(name=LESION, value=SOLID),)), volume(), UndeclaredOutput, "Lesion solid pulmonary nodule"),
        (location(box(), qualities=(IS_SOLID, IS_SOLID)), volume(), InvalidOutput, "Texture twice"),
        (location(box(), image=4), volume(), InvalidOutput, "about image 4 of 4"),
        (location(box(), point=MIDDLE), volume(), InvalidOutput, "is a point of a segment that the findings do not hold"),
        (location(box(bottom=6.01)), volume(), InvalidOutput, "outside of its image of 6 rows and 8 columns"),
        (location(box(bottom=11, right=5), image=1), images(), InvalidOutput, "outside of its image of 10 rows"),
        (location(box(top=3, bottom=3)), volume(), InvalidOutput, "is no box"),
        (location(Point(row=float("nan"), column=1)), volume(), InvalidOutput, "outside of its image"),
        (location(box(), certainty=1.2), volume(), InvalidOutput, "certainty is 1.2"),
        (location(PointInSpace(x=0, y=0, z=0)), images(), InvalidOutput, "point in space"),
        (location(PointInSpace(x=0, y=float("inf"), z=0)), volume(), InvalidOutput, "is no point"),
        (location(PointInSpace(x=0, y=0, z=2)), volume(), InvalidOutput, "lies at slice 2.0, row 0.0, column 0.0 of the volume, not on"),
        (location(PointInSpace(x=8, y=0, z=0)), volume(), InvalidOutput, "column 8.0 of the volume"),
        (saliency(np.zeros(SHAPE, dtype=np.float16)), volume(), InvalidOutput, "is float16, not float32"),
        (registered(np.eye(4, dtype=np.int64)), pair(), InvalidOutput, "homogeneous"),
        (replace(location(box()), locations=location(box()).locations * 2), volume(), InvalidOutput, '"lesion 1" is there twice'),
        (Findings(measurements=(measured(location="lesion 2"),)), volume(), InvalidOutput, "a location that the findings do not hold"),
        (Findings(measurements=(measured(span=Span(first=0, last=1)),)), volume(), InvalidOutput, "there is no cine"),
        (Findings(measurements=(measured(span=Span(first=3, last=5)),)), cine(), InvalidOutput, "of frames 3 to 5 of 5"),
        (replace(location(box()), segments=(replace(MASK, label="lesion 1"),)), volume(), InvalidOutput, "is there twice"),
        (Findings(segments=(MASK,)), images(), InvalidOutput, "is of image None of 2"),
        (Findings(segments=(on_image(2),)), images(), InvalidOutput, "is of image 2 of 2"),
        (Findings(segments=(replace(on_image(1), label="brain"),)), images(), InvalidOutput, "is not called as `of_image` has it"),
        (Findings(segments=(replace(on_image(1), mask=MASK.mask),)), images(), InvalidOutput, "has shape (4, 6, 8), its image (1, 10, 10)"),
        (Findings(segments=(replace(on_image(1), label="heart, image 2"),)), images(), UndeclaredOutput, "not among the outputs"),
        (Findings(segments=(replace(MASK, image=0),)), volume(), InvalidOutput, "the images are no single ones"),
        (Findings(segments=(MASK,)), cine(), InvalidOutput, "no place in space"),
        (saliency(np.full(SHAPE, np.nan, dtype=np.float32)), volume(), InvalidOutput, "not all of its values are finite"),
        (saliency(np.zeros((4, 8, 6), dtype=np.float32)), volume(), InvalidOutput, "shape (4, 8, 6), the volume (4, 6, 8)"),
        (saliency(np.zeros(SHAPE, dtype=np.float32)), cine(), InvalidOutput, "no place in space"),
        (smooth(voxels=np.zeros((4, 6), dtype=np.int16)), volume(), InvalidOutput, "not int16 or float32 (Z, Y, X)"),
        (smooth(voxels=np.zeros(SHAPE, dtype=np.uint8)), volume(), InvalidOutput, "is uint8"),
        (smooth(voxels=np.zeros((2, 2, 2), dtype=np.int16)), volume(), InvalidOutput, "shape (2, 2, 2)"),
        (smooth(affine=np.diag([1.0, 0, 1, 1])), volume(), InvalidOutput, "has no grid"),
        (smooth(of_prior=True), volume(), InvalidOutput, "of a prior, where there is none"),
        (registered(turned(30)), volume(), InvalidOutput, "needs a prior"),
        (registered(np.diag([1.01, 1, 1, 1])), pair(), InvalidOutput, "not rigid"),
        (registered(np.diag([-1.0, 1, 1, 1])), pair(), InvalidOutput, "not rigid"),
        (registered(np.eye(3)), pair(), InvalidOutput, "homogeneous"),
        (bent(), volume(), InvalidOutput, "needs a prior"),
        (bent(matrix=np.diag([1.01, 1, 1, 1])), pair(), InvalidOutput, "deformation is not rigid"),
        (bent(offsets=np.ones((2, 3, 4, 3))), pair(), InvalidOutput, "float64 of shape (2, 3, 4, 3), not float32"),
        (bent(offsets=np.ones((1, 3, 4, 3), np.float32)), pair(), InvalidOutput, "of two nodes or more a side"),
        (bent(offsets=np.ones((2, 3, 4), np.float32)), pair(), InvalidOutput, "not float32 (Z, Y, X, 3)"),
        (bent(offsets=np.full((2, 3, 4, 3), np.inf, np.float32)), pair(), InvalidOutput, "not all of its values are finite"),
        (bent(affine=np.eye(4) + np.eye(4, k=1) * 0.1), pair(), InvalidOutput, "no perpendicular right-handed axes"),
        (bent(affine=np.diag([4.0, 4, 4, 1])), pair(), InvalidOutput, "no perpendicular right-handed axes"),
        (bent(affine=PATIENT_AXES * 0), pair(), InvalidOutput, "homogeneous"),
        (evaluation(value=codes.LUNG), volume(), InvalidOutput, "not Present, Absent or Undetermined"),
        (evaluation(images=(2,)), images(), InvalidOutput, "about image 2 of 2"),
    ],
)
def test_what_is_not_declared_or_cannot_be_does_not_leave(findings: Findings, subject: Subject, error: type[Exception], said: str) -> None:
    """The message names the application with its version, the finding, and what is wrong with it."""
    with pytest.raises(error) as refused:
        check_outputs(application(), findings, subject)
    assert said in str(refused.value)
    assert "mr-test 1.0.0" in str(refused.value)


def test_an_explanation_lies_on_its_image() -> None:
    """Declared, of one image, pixel on pixel with it, finite, and each method once an image."""
    own = replace(application(Takes.IMAGES), outputs=(ExplanationOutput(label="Grad-CAM", finding=LESION),))
    good = Explanation(label="Grad-CAM", values=np.zeros((10, 10), dtype=np.float32), image=1, finding=LESION, quantity=codes.SALIENCY)
    other = replace(good, image=0, values=np.zeros((30, 20), dtype=np.float32))
    check_outputs(own, Findings(explanations=(good, other)), images())
    for unfit, said in (
        ((replace(good, label="Other"),), "is not among the outputs"),
        ((replace(good, finding=codes.BRAIN),), "is not among the outputs"),
        ((replace(good, image=2),), "about image 2 of 2"),
        ((replace(good, image=0),), r"not float32 \(30, 20\)"),
        ((replace(good, values=good.values.astype(np.float64)),), "is float64"),
        ((replace(good, values=np.full((10, 10), np.nan, dtype=np.float32)),), "not all of its values are finite"),
        ((good, good), "is there twice"),
    ):
        with pytest.raises((InvalidOutput, UndeclaredOutput), match=said):
            check_outputs(own, Findings(explanations=unfit), images())


def test_a_subject_of_another_kind_is_refused() -> None:
    """A cine for an application of volumes, and a pair whose prior does not fit."""
    with pytest.raises(NotAccepted, match="takes volume, not cine"):
        check(application(), cine())
    narrow = replace(application(Takes.PAIR), accepts=Accepts(modality=("MR",), takes=Takes.PAIR, min_slices=4))
    assert check(narrow, pair()) == ()
    few = replace(volume(), voxels=np.zeros((3, 6, 8), dtype=np.int16))
    with pytest.raises(UnfitPrior, match="the prior: 3 slices, at least 4 are needed"):
        check(narrow, pair_of(current=volume(), prior=few))
    with pytest.raises(NotAccepted, match="3 slices, at least 4 are needed; the prior: 3 slices"):
        check(narrow, pair_of(current=few, prior=few))
    with pytest.raises(NotAccepted, match="modality is US"):
        check(replace(application(), accepts=Accepts(modality=("XA",), takes=Takes.CINE)), cine())


@pytest.mark.parametrize("label", ["", "a\\b", "x" * 65, " lesion", "two\nlines"])
def test_a_label_that_no_element_can_hold_does_not_leave(label: str) -> None:
    """It names the finding in every object and in viewers: refused here, not when the objects are written."""
    with pytest.raises(InvalidOutput, match="printable characters without a backslash"):
        check_outputs(application(), Findings(locations=(replace(location(box()).locations[0], label=label),)), volume())
