"""cardiac-phase: which phases of a made heart are told, whatever form it comes in and whichever frame is the first; what is declined.

The network is a count of bright pixels here: blood was drawn bright. What is judged is all that stands around it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.analysing import analyse
from inference.applications.cardiac_phase.application import SIDE, SLICES_A_CALL, NoBeatSeen, shown
from inference.applications.catalog import load
from inference.applications.left_ventricle.errors import NotShortAxis
from inference.applications.port import ModelRef, Tensors
from inference.engines.port import Call
from inference.findings import Findings
from inference.imaging.subject import Clock, Phases, Takes, Timing
from inference.imaging.subjects import subjects
from tests.lab import cine
from tests.unit.applications.test_left_ventricle import FORMS, heart, turned

APPLICATION = load("cardiac-phase")


@dataclass(frozen=True, slots=True)
class Brightness:
    """An `Infer` that takes the frame with the most bright pixels for end-diastole, that with the fewest for end-systole, or the first for
    both."""

    alike: bool = False

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        (images,) = tensors.values()
        slices, ones, frames, *sides = images.shape
        assert (ones, sides) == (1, [SIDE, SIDE])
        assert slices <= SLICES_A_CALL
        bright = np.count_nonzero(images > 1.5, axis=(1, 3, 4)).astype(np.float32)
        bright -= bright.mean(axis=1, keepdims=True)
        return {"OUTPUT__0": np.stack([bright, bright if self.alike else -bright], axis=1).reshape(slices, 2, frames)}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def told(findings: Findings) -> dict[codes.Code, set[int]]:
    """Numbers of the images that each phase of the beat rests on."""
    assert all(one.value == codes.PRESENT for one in findings.evaluations)
    return {one.finding: set(one.images) for one in findings.evaluations}


def of_phase(phase: int, slices: int) -> set[int]:
    return set(range(phase * slices, (phase + 1) * slices))


@pytest.mark.parametrize("form", FORMS)
def test_a_heart_in_every_form_has_the_same_phases(form: str, tmp_path: Path) -> None:
    """One series, a series a slice, one enhanced instance: the phases that were drawn largest and smallest, by all images of each."""
    made = FORMS[form](tmp_path)
    uid = "1.2.826.0.1.2.2" if form == "a series a slice" else ""
    subject = subjects(Takes.PHASES, "refuse", made.files, uid)[0].subject
    assert isinstance(subject, Phases)
    found = told(analyse(APPLICATION, subject, Brightness()))
    assert found == {
        codes.END_DIASTOLE: of_phase(cine.LARGEST, cine.SLICES),
        codes.END_SYSTOLE: of_phase(cine.SMALLEST, cine.SLICES),
    }


@pytest.mark.parametrize("first", [0, 3, 9])
def test_the_phases_are_told_by_their_numbers_and_times_whichever_comes_first(first: int) -> None:
    """Counted from 1, as people do, with the time that headers give; where they give none, by the number alone."""
    phases = heart(phases=10, slices=9, middle=4.0)
    rolled = replace(phases, volumes=(*phases.volumes[first:], *phases.volumes[:first]))
    findings = analyse(APPLICATION, rolled, Brightness())
    diastole, systole = -first % 10, (5 - first) % 10
    assert told(findings) == {codes.END_DIASTOLE: of_phase(diastole, 9), codes.END_SYSTOLE: of_phase(systole, 9)}
    said = " ".join(map(str, findings.remarks))
    assert f"End-diastole is phase {diastole + 1} of 10, at {80 * diastole} ms." in said
    assert f"End-systole is phase {systole + 1} of 10, at {80 * systole} ms." in said
    nameless = Timing(clock=Clock.HEART, attribute="TemporalPositionIdentifier", unit="", values=tuple(map(float, range(10))))
    said = " ".join(map(str, analyse(APPLICATION, replace(rolled, timing=nameless), Brightness()).remarks))
    assert f"End-systole is phase {systole + 1} of 10." in said


def test_the_network_sees_each_slice_over_the_whole_beat() -> None:
    """Mean 0 and deviation 1 of each frame, whatever its scale; slices first, frames after them."""
    phases = heart(slices=5, middle=2.0, phases=8)
    louder = replace(phases, volumes=tuple(replace(one, voxels=3 * one.voxels) for one in phases.volumes))
    seen = shown(phases)
    assert seen.shape == (5, 1, 8, SIDE, SIDE)
    np.testing.assert_allclose(seen, shown(louder), atol=1e-4)
    np.testing.assert_allclose(seen.mean(axis=(3, 4)), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(axis=(3, 4)), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("phases", "error", "words"),
    [
        (lambda: heart(axes=turned(0), phases=8, slices=5, middle=2.0), NotShortAxis, "64 degrees from the long axis"),
        (lambda: heart(ejected=0.0, phases=10, slices=5, middle=2.0), NoBeatSeen, "10 % of what .* speaks for phase 1 as end-diastole"),
        (lambda: heart(ejected=0.0, phases=20, slices=5, middle=2.0), NoBeatSeen, "15 % of what .* at least"),
    ],
    ids=["axial", "nothing beats, 10 phases", "nothing beats"],
)
def test_what_shows_no_beat_is_declined(phases: Any, error: type[Exception], words: str) -> None:
    """A sentence with the reason, and no phase."""
    with pytest.raises(error, match=words):
        analyse(APPLICATION, phases(), Brightness())


def test_one_phase_is_not_told_to_be_both() -> None:
    """Where the frame that looks most like end-diastole looks most like end-systole, too, neither is told."""
    with pytest.raises(NoBeatSeen, match=r"phase 1 looks most like end-diastole, and most like end-systole"):
        analyse(APPLICATION, heart(phases=10, slices=5, middle=2.0), Brightness(alike=True))
