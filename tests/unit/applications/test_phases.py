"""Applications over time: what a manifest may ask and declare, what the gate says of headers, and what a segment of a phase has to be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import codes
from inference.applications.accept import check
from inference.applications.analysing import analyse
from inference.applications.catalog import load
from inference.applications.declared import check_outputs
from inference.applications.errors import BrokenApplication, InvalidOutput, NotAccepted, UndeclaredOutput
from inference.applications.manifest import check_manifest
from inference.applications.port import Accepts, Clock, LocationOutput, Takes
from inference.findings import Findings
from inference.imaging.judge.expects import Expects, Form, Marked
from inference.imaging.subject import Phases
from inference.imaging.subjects import subjects
from node.dicom.header import read_header
from node.routing.decisions import SeriesView, seen
from node.routing.gate import Fit, answer, asks_text
from tests.lab import cine
from tests.unit.applications.test_mr_register import INFER

APPLICATION = load("short-axis", (Path(__file__).parents[2] / "node" / "applications",))
VOLUMES = replace(APPLICATION, accepts=Accepts(modality=("MR",), min_slices=5, remark_spacing_mm=10), outputs=APPLICATION.outputs)


def phases_of(files: list[Path]) -> Phases:
    first = str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    subject = subjects(Takes.PHASES, "refuse", files, first)[0].subject
    assert isinstance(subject, Phases)
    return subject


def view_of(files: list[Path]) -> SeriesView:
    read = [read_header(path) for path in files]
    return seen(read[0][0].series_instance_uid, [(identity.sop_class_uid, header) for identity, header in read])


@pytest.mark.parametrize(
    ("accepts", "words"),
    [
        ({"min_phases": 10}, "8 phases, at least 10 phases are needed"),
        ({"max_phases": 6, "min_phases": 2}, "8 phases, at most 6 are taken"),
        ({"clock": (Clock.BREATH, Clock.TIME)}, "the time of the phases is that of the heart, not breath or time"),
        ({"min_slices": 7}, "6 slices, at least 7 are needed"),
        ({}, ""),
    ],
    ids=["too few", "too many", "another clock", "slices", "fits"],
)
def test_what_a_manifest_asks_of_phases(accepts: dict[str, object], words: str, tmp_path: Path) -> None:
    """The pixels' gate refuses it with its words; where headers tell it, the gate of routes says the very same, and excludes it."""
    files = cine.one_series(tmp_path).files
    asking = replace(APPLICATION, accepts=replace(APPLICATION.accepts, **accepts))  # type: ignore[arg-type]
    said = answer(asking, view_of(files))
    if not words:
        check(asking, phases_of(files))
        assert said.fit is Fit.TAKES
        return
    with pytest.raises(NotAccepted, match=words):
        check(asking, phases_of(files))
    assert said.fit is Fit.REFUSES
    assert words in said.exclusion


def test_a_perfusion_is_no_cine_of_a_beat_by_its_headers(tmp_path: Path) -> None:
    """Trigger times that run for seconds are time as it passes: an application of beats does not take it, by headers as by images."""
    files = cine.one_series(tmp_path, beats_ms=(8000.0,) * cine.SLICES).files
    asking = replace(APPLICATION, accepts=replace(APPLICATION.accepts, clock=(Clock.HEART,)))
    words = "the time of the phases is that which passes, not heart"
    assert answer(asking, view_of(files)).exclusion == words
    with pytest.raises(NotAccepted, match=words):
        check(asking, phases_of(files))
    assert answer(replace(asking, accepts=replace(asking.accepts, clock=(Clock.TIME,))), view_of(files)).fit is Fit.TAKES


@pytest.mark.parametrize(
    ("keyword", "values", "clock"),
    [
        ("TemporalPositionIdentifier", [str(1 + phase) for phase in range(cine.PHASES)], Clock.TIME),
        ("NominalPercentageOfRespiratoryPhase", [12.5 * phase for phase in range(cine.PHASES)], Clock.BREATH),
    ],
    ids=["perfusion", "breath"],
)
def test_trigger_times_that_do_not_rise_are_no_beat_by_headers_as_by_images(
    keyword: str, values: list[str | float], clock: Clock, tmp_path: Path
) -> None:
    """They jitter from beat to beat, each its own; what puts the phases in order is something else, and the application takes them."""
    files = cine.one_series(tmp_path).files
    for number, path in enumerate(files):
        phase = number // cine.SLICES
        dataset = pydicom.dcmread(path)
        setattr(dataset, keyword, values[phase])
        dataset.TriggerTime, dataset.AcquisitionTime = f"{300 + 7 * ((5 * phase) % cine.PHASES)}", f"1011{2 * phase:02d}.0"
        dataset.save_as(path)
    asking = replace(APPLICATION, accepts=replace(APPLICATION.accepts, clock=(clock,)))
    check(asking, phases_of(files))
    assert answer(asking, view_of(files)).fit is (Fit.OPEN if clock is Clock.TIME else Fit.TAKES)


@pytest.mark.parametrize(
    "said",
    [
        lambda z, phase: {"TriggerTime": f"{100 * phase + 300 * (z == 2)}"},
        lambda z, phase: {"TriggerTime": f"{100 * phase - 70 * (phase == 3)}"},
        lambda z, phase: {"AcquisitionNumber": str(1 + phase % 2)},
        lambda z, phase: {"TriggerTime": f"{200 * phase}", "HeartRate": "75"},
    ],
    ids=["begins later", "between each other", "acquisitions", "two beats"],
)
def test_what_images_may_say_is_no_one_beat_is_left_open(said: Callable[[int, int], dict[str, str]], tmp_path: Path) -> None:
    """The images refuse each: headers do not promise that the application takes it."""
    files = cine.one_series(tmp_path).files
    for number, path in enumerate(files):
        phase, z = divmod(number, cine.SLICES)
        dataset = pydicom.dcmread(path)
        for keyword, value in said(z, phase).items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    found = answer(APPLICATION, view_of(files))
    assert (found.fit, "over one beat, is looked at when they are read" in found.text) == (Fit.OPEN, True)


def test_the_gate_tells_a_cine_from_what_does_not_move(tmp_path: Path) -> None:
    """By headers alone: a static series is not applicable over time, a cine is no volume, and a slice that lacks an image is named."""
    files = cine.one_series(tmp_path).files
    static = answer(APPLICATION, view_of(files[: cine.SLICES]))
    assert (static.fit, static.exclusion) == (Fit.REFUSES, "one image at each position, at least 6 phases are needed")
    with pytest.raises(NotAccepted, match="one image at each position, at least 6 phases are needed"):
        check(APPLICATION, phases_of(files[: cine.SLICES]))
    moving = answer(VOLUMES, view_of(files))
    assert moving.fit is Fit.REFUSES
    assert moving.text.startswith("8 images at each of 6 positions")
    lacking = answer(APPLICATION, view_of(files[1:]))
    assert lacking.fit is Fit.REFUSES
    assert lacking.text.startswith("1 of 6 slices have not 8 images as the others, but 7 at")


def test_of_enhanced_frames_headers_leave_open_what_tells_them_apart(tmp_path: Path) -> None:
    said = answer(APPLICATION, view_of(cine.enhanced(tmp_path).files))
    assert said.fit is Fit.OPEN
    assert said.text == "may still be refused: whether time tells the images of each place apart is looked at when they are read"


def test_what_the_application_asks_reads_as_words() -> None:
    assert "6 or more phases of the heart" in asks_text(APPLICATION)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"accepts": {"takes": Takes.VOLUME}}, "accepts.min_phases is for phases, and it takes volume"),
        ({"accepts": {"min_phases": 1}}, "accepts.min_phases is 1 and max_phases None"),
        ({"accepts": {"max_phases": 3}}, "accepts.min_phases is 6 and max_phases 3"),
        ({"accepts": {"clock": "heart"}}, "accepts.clock is 'heart', not a tuple of heart, breath, time"),
        ({"outputs": (LocationOutput(finding=codes.BRAIN),)}, "it declares a location, and takes phases, of which it says none"),
        ({"expects": Expects(marked=(Marked(segments=("cavity",), form=Form.BRAIN),))}, "expects a form or a size of segments"),
    ],
    ids=["keys of phases elsewhere", "one phase", "most below least", "no tuple", "locations", "form"],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes: dict[str, object], problem: str) -> None:
    given = dict(changes)
    if isinstance(accepts := given.get("accepts"), dict):
        given["accepts"] = replace(APPLICATION.accepts, **accepts)
    with pytest.raises(BrokenApplication, match=problem):
        check_manifest(replace(APPLICATION, **given), "short-axis", "a test")  # type: ignore[arg-type]


def test_segments_are_of_a_phase_that_there_is_and_called_so(tmp_path: Path) -> None:
    """What says no phase, another label than that of its phase, or a phase where nothing moves, is no finding."""
    phases = phases_of(cine.one_series(tmp_path).files)
    found = analyse(APPLICATION, phases, INFER)
    first = found.segments[0]
    wrong: list[tuple[object, Callable[[], None]]] = [
        (InvalidOutput, lambda: check_outputs(APPLICATION, Findings(segments=(replace(first, phase=None),)), phases)),
        (InvalidOutput, lambda: check_outputs(APPLICATION, Findings(segments=(replace(first, phase=8),)), phases)),
        (InvalidOutput, lambda: check_outputs(APPLICATION, Findings(segments=(replace(first, phase=1),)), phases)),
        (UndeclaredOutput, lambda: check_outputs(APPLICATION, Findings(segments=(replace(first, label="myocardium, phase 1"),)), phases)),
        (InvalidOutput, lambda: check_outputs(VOLUMES, Findings(segments=(replace(first, label="cavity"),)), phases.reference)),
    ]
    for error, checked in wrong:
        with pytest.raises(error):  # type: ignore[call-overload]
            checked()


def test_phases_on_a_tilted_stack_come_back_onto_their_slices(tmp_path: Path) -> None:
    """A stack that is sheared as by a tilted gantry is analysed straight in every phase, and each mask lies where its slices do."""
    files = cine.one_series(tmp_path).files
    lean = np.array([0.0, 0.0, -2.0])  # mm along the rows from slice to slice
    for number, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        position = np.array(dataset.ImagePositionPatient, dtype=np.float64) + lean * (number % cine.SLICES)
        dataset.ImagePositionPatient = [f"{mm:.5f}" for mm in position]
        dataset.save_as(path)
    phases = phases_of(files)
    assert phases.reference.tilt_degrees > 10
    found = analyse(APPLICATION, phases, INFER)
    there = cine.blood()
    for segment in found.segments:
        assert segment.phase is not None
        assert segment.mask.shape == there[0].shape
        both = (segment.mask & there[segment.phase]).sum()
        assert 2 * both / (segment.mask.sum() + there[segment.phase].sum()) > 0.85


def test_phases_of_a_tilted_stack_are_made_straight_alike(tmp_path: Path) -> None:
    """Slices that lie half a pixel on, each, and one phase's 2 µm less: rounding moves no phase by a pixel, and what is found in each lies
    where it was drawn."""
    made = cine.one_series(tmp_path)
    down = cine.AFFINE[:3, 1] / cine.PIXEL_MM
    for number, path in enumerate(made.files):
        phase, z = divmod(number, cine.SLICES)
        dataset = pydicom.dcmread(path)
        moved = np.array(dataset.ImagePositionPatient, float) + down * (cine.PIXEL_MM / 2 - 0.002 * (phase == 3) + 1e-4) * z
        dataset.ImagePositionPatient = [f"{mm:.5f}" for mm in moved]
        dataset.save_as(path)
    said = analyse(APPLICATION, phases_of(made.files), INFER)
    np.testing.assert_array_equal([segment.mask for segment in said.segments], made.blood)
