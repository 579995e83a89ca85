"""The gates: which series an application takes, and which findings leave it."""

from dataclasses import replace

import numpy as np
import pytest

from inference import codes
from inference.applications.accept import check, slice_orientation
from inference.applications.declared import check_outputs
from inference.applications.errors import InvalidOutput, NotAccepted, UndeclaredOutput
from inference.applications.port import Accepts, Application, MeasurementOutput, SegmentOutput
from inference.findings import Evaluation, Findings, Measurement, Segment
from inference.imaging.volume import Volume
from tests.unit.applications.conftest import turned_volume

STRAIGHT = (False, False, False)
APPLICATION = Application(
    name="mr-test",
    version="1.0.0",
    title="Test",
    accepts=Accepts(modality=("MR",), min_slices=10, max_spacing_mm=6, min_extent_mm=30, orientation="axial"),
    models=(),
    outputs=(
        SegmentOutput(label="brain", type=codes.BRAIN),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    analyse=lambda volume, infer: Findings(),
)


def volume(slices: int = 12, spacing_mm: float = 3.0, axes: tuple[int, int, int] = (0, 1, 2), modality: str = "MR") -> Volume:
    """An empty volume of `slices` × 16 × 20 voxels."""
    return turned_volume(np.zeros((slices, 16, 20), dtype=np.int16), spacing_mm, axes, STRAIGHT, modality)


def test_what_fits_is_taken_without_a_word() -> None:
    """36 × 48 × 60 mm, 12 slices, 3 mm."""
    assert check(APPLICATION, volume()) == ()


def test_thick_slices_are_taken_with_a_remark() -> None:
    """The reader sees it beside the number."""
    assert check(APPLICATION, volume(spacing_mm=4.8)) == ("Voxels are 4.8 mm apart: volumes are approximate.",)


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        (volume(modality="CT"), ["modality is CT, not MR"]),
        (volume(modality=""), ["modality is (absent), not MR"]),
        (volume(slices=9, spacing_mm=5), ["9 slices, at least 10 are needed"]),
        (volume(spacing_mm=7), ["7 mm apart, at most 6 mm"]),
        (volume(spacing_mm=1), ["cover 12 × 16 × 20 mm, at least 30 mm"]),
        (volume(axes=(2, 1, 0)), ["slices are sagittal, not axial"]),
        (volume(slices=4, spacing_mm=1, modality="CT"), ["modality is CT", "4 slices", "cover 4 × 16 × 20 mm"]),
    ],
)
def test_what_does_not_fit_is_refused_with_every_reason(given: Volume, reasons: list[str]) -> None:
    """And with the series; a person decides, a retry does not help."""
    with pytest.raises(NotAccepted) as refused:
        check(APPLICATION, given)
    assert all(reason in str(refused.value) for reason in [*reasons, "1.2.3.4", "mr-test"])
    assert not refused.value.retry


@pytest.mark.parametrize(
    ("thickness_mm", "taken"),
    [(None, True), (1.0, True), (2.5, True), (2.5000002, True), (2.5009, True), (2.5011, False), (2.504, False), (5.0, False)],
)
def test_slices_may_be_too_thick_however_near_they_lie(thickness_mm: float | None, taken: bool) -> None:
    """Overlapping slices of 5 mm, 1 mm apart, blur as much as those 5 mm apart; what no header states is not guessed."""
    application = replace(APPLICATION, accepts=Accepts(modality=("MR",), max_thickness_mm=2.5))
    given = replace(volume(spacing_mm=1.0), thickness_mm=thickness_mm)
    if taken:
        assert check(application, given) == ()
    else:
        with pytest.raises(NotAccepted, match=f"slices are {thickness_mm:.4g} mm thick, at most 2.5 mm are taken"):
            check(application, given)


def test_a_bound_is_not_missed_by_rounding() -> None:
    """Positions that a scanner wrote with a few digits: 6.0000004 mm are 6, to a thousandth of a mm; 6.002 are not, and are told so."""
    assert check(APPLICATION, volume(spacing_mm=6.0000004)) != ()
    for spacing_mm, told in ((6.0011, "6.001"), (6.002, "6.002"), (6.01, "6.01")):
        with pytest.raises(NotAccepted, match=f"voxels are {told} mm apart, at most 6 mm"):
            check(APPLICATION, volume(spacing_mm=spacing_mm))


def test_slices_may_lie_too_near() -> None:
    """Of an application for thick ones; rounding in the files is taken here, too."""
    application = replace(APPLICATION, accepts=Accepts(modality=("MR",), min_apart_mm=2.5))
    assert check(application, volume(spacing_mm=2.4999996)) == ()
    with pytest.raises(NotAccepted, match=r"slices are 1 mm apart, at least 2\.5 mm are needed"):
        check(application, volume(spacing_mm=1.0))


def test_orientation_is_that_of_the_slices() -> None:
    """Stacked along z: axial; along y: coronal; along x: sagittal. A tilt of 30° changes nothing."""
    assert [slice_orientation(volume(axes=axes)) for axes in ((0, 1, 2), (1, 0, 2), (2, 1, 0))] == ["axial", "coronal", "sagittal"]
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]
    assert slice_orientation(replace(volume(), affine=tilt @ volume().affine)) == "axial"


def segment(label: str = "brain", mask: np.ndarray | None = None) -> Segment:
    """The declared segment."""
    mask = np.ones((12, 16, 20), dtype=np.bool_) if mask is None else mask
    return Segment(label=label, mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=codes.BRAIN, rgb=(1, 2, 3))


def measured(value: float = 1.0, segment: str | None = "brain") -> Measurement:
    """The declared measurement."""
    return Measurement(name=codes.VOLUME, value=value, unit=codes.CUBIC_CENTIMETRE, segment=segment)


def test_declared_findings_pass() -> None:
    """All of them, some of them, none of them."""
    for findings in (
        Findings(segments=(segment(),), measurements=(measured(),)),
        Findings(measurements=(measured(segment=None),)),
        Findings(),
    ):
        check_outputs(APPLICATION, findings, volume())


@pytest.mark.parametrize(
    ("findings", "error", "said"),
    [
        (Findings(segments=(segment(label="liver"),)), UndeclaredOutput, 'segment "liver"'),
        (Findings(segments=(replace(segment(), type=codes.LUNG),)), UndeclaredOutput, "(Lung)"),
        (Findings(measurements=(replace(measured(segment=None), unit=codes.MILLIMETRE),)), UndeclaredOutput, "Volume in mm"),
        (Findings(measurements=(replace(measured(segment=None), derivation=codes.MEAN),)), UndeclaredOutput, "Volume, Mean"),
        (Findings(evaluations=(Evaluation(finding=codes.BRAIN, value=codes.PRESENT),)), UndeclaredOutput, "evaluation of Brain"),
        (Findings(measurements=(measured(),)), InvalidOutput, 'of segment "brain" refers to a segment'),
        (Findings(measurements=(measured(float("nan"), None),)), InvalidOutput, "is nan"),
        (Findings(segments=(segment(), segment())), InvalidOutput, "twice"),
        (Findings(segments=(segment(mask=np.ones((12, 16, 20), dtype=np.uint8)),)), InvalidOutput, "uint8, not bool"),
        (Findings(segments=(segment(mask=np.ones((12, 20, 16), dtype=np.bool_)),)), InvalidOutput, "(12, 20, 16), the volume (12, 16, 20)"),
    ],
)
def test_undeclared_and_impossible_findings_do_not_leave(findings: Findings, error: type[Exception], said: str) -> None:
    """The message names application, version and finding."""
    with pytest.raises(error) as refused:
        check_outputs(APPLICATION, findings, volume())
    assert said in str(refused.value)
    assert "mr-test 1.0.0" in str(refused.value)
