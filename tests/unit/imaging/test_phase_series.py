"""A series a phase: a made breath in every form is the same subject; what tells phases apart, and what is refused by name."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from inference.errors import InputError
from inference.imaging.errors import DuplicatePosition, MixedFrameOfReference, MixedIdentity, NoClock, PhasesApart, PhasesMissing
from inference.imaging.phase_series import Said, Stack, phase_series
from inference.imaging.subject import Clock, Phases, Takes
from inference.imaging.subjects import Assembled, subjects
from tests.lab import breathing
from tests.unit.imaging.conftest import as_a


def read(files: Sequence[Path]) -> Assembled:
    (made,) = subjects(Takes.PHASES, "refuse", files, breathing.series_uid(0))
    return made


def changed(paths: Sequence[Path], **said: object) -> None:
    for path in paths:
        dataset = pydicom.dcmread(path)
        for keyword, value in said.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)


@pytest.mark.parametrize("form", breathing.FORMS)
def test_the_same_breath_in_every_form(form: str, tmp_path: Path) -> None:
    """Each phase has the ball that was drawn, where it was drawn, at its share of the breath; the order of the files says nothing."""
    made = breathing.FORMS[form](tmp_path)
    files = made.files
    random.Random(5).shuffle(files)
    phases = as_a(Phases, read(files).subject)
    np.testing.assert_array_equal([volume.voxels == breathing.BALL for volume in phases.volumes], made.ball)
    np.testing.assert_allclose(phases.reference.affine, breathing.AFFINE, atol=1e-4)
    assert (phases.timing.clock, phases.timing.unit, phases.timing.values) == (Clock.BREATH, "%", breathing.SHARES)
    assert phases.moment(3) == "30 %"


def _average(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    said: dict[str, Any] = {"SeriesInstanceUID": "1.2.3", "SeriesDescription": "4D AVG 0-90%", "SeriesNumber": 20}
    return [*made.files, *breathing.phase_files(folder, 0, made.ball[0], **said)]


def test_an_average_beside_the_phases_is_left_out_and_told(tmp_path: Path) -> None:
    """A folder holds all that the scanner made: the reader of the results is told what of it was not looked at."""
    made = read(_average(tmp_path, breathing.described(tmp_path)))
    assert len(as_a(Phases, made.subject)) == len(breathing.SHARES)
    assert "Left out of the phases: series 20 (SeriesDescription is «4D AVG 0-90%»: it was computed of all phases)." in made.remarks
    assert len(made.headers) == len(breathing.SHARES) * breathing.SLICES


def _one_gone(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    return [path for number, each in enumerate(made.phases) if number != 4 for path in each]


def _twice(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    again = breathing.phase_files(folder, 4, made.ball[4], SeriesInstanceUID="1.2.3", SeriesDescription="ASIR 40% T=40%", SeriesNumber=20)
    return [*made.files, *again]


def _short(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    return [path for path in made.files if path not in made.phases[4][3:5]]


def _another_grid(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    changed(made.phases[4], PixelSpacing=[1.0, 1.0])
    return made.files


def _another_matrix(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    small = np.full((breathing.SLICES, 20, 20), breathing.LUNG, dtype=np.int16)
    said: dict[str, Any] = {"SeriesInstanceUID": "1.2.3", "SeriesDescription": "ASIR 40% T=40%"}
    return [*_one_gone(folder, made), *breathing.phase_files(folder, 4, made.ball[4], voxels=small, **said)]


def _another_space(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    changed(made.phases[4], FrameOfReferenceUID="1.9")
    return made.files


def _another_patient(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    changed(made.phases[4], PatientID="somebody else")
    return made.files


def _untold(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    changed(made.phases[4], SeriesDescription="ASIR 40%")
    return made.files


def _none_told(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    changed(made.files, SeriesDescription="4D")
    return made.files


def _another_voltage(folder: Path, made: breathing.Breath) -> Sequence[Path]:
    changed(made.phases[4], KVP="80")
    return made.files


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (_one_gone, PhasesMissing, "told apart by SeriesDescription, and the study lacks phase 40 %"),
        (_twice, DuplicatePosition, "phase 40 % by SeriesDescription came in 2 series"),
        (_short, PhasesMissing, "1 of 10 phases have not 8 slices as the others: series 9 has 6"),
        (_another_grid, PhasesApart, "phase 5 of 10 lies "),
        (_another_matrix, PhasesApart, "phase 5 of 10 has 20 × 20 × 8 voxels, the first 48 × 40 × 8"),
        (_another_space, MixedFrameOfReference, "frame"),
        (_another_patient, MixedIdentity, "PatientID"),
        (_untold, NoClock, "1 of the series on one grid have no SeriesDescription that says which phase they are, and 40 % is missing"),
        (_none_told, NoClock, "10 series lie on one grid, and nothing in their headers says which phase each is"),
        (_another_voltage, NoClock, "time alone does not tell them apart: they differ in KVP too"),
    ],
)
def test_what_is_no_breath_is_refused(
    spoil: Callable[[Path, breathing.Breath], Sequence[Path]], error: type[InputError], words: str, tmp_path: Path
) -> None:
    """Each with what is wrong; nothing is dropped or guessed."""
    files = spoil(tmp_path, breathing.described(tmp_path))
    with pytest.raises(error) as refused:
        read(files)
    assert words in str(refused.value)


def _over_midnight(phase: int) -> dict[str, str]:
    return {
        "AcquisitionTime": f"2359{40 + phase * 5:02d}" if phase < 4 else f"0000{phase * 5 - 20:02d}",
        "AcquisitionDate": "20251231" if phase < 4 else "20260101",
    }


def test_times_without_a_day_over_midnight_are_refused(tmp_path: Path) -> None:
    """The phases after midnight would be the first: nobody says which are, and nothing is guessed."""
    made = breathing.series_a_phase(tmp_path, lambda phase: {"AcquisitionTime": _over_midnight(phase)["AcquisitionTime"]})
    with pytest.raises(PhasesApart, match="phases run over midnight by AcquisitionTime, which has no date"):
        read(made.files)


@pytest.mark.parametrize(
    ("said", "clock", "unit", "last"),
    [
        (lambda phase: {"NominalPercentageOfCardiacPhase": phase * 10.0}, Clock.HEART, "%", 90),
        (lambda phase: {"SeriesDescription": f"CorCTA 0.75 {phase * 10} %"}, Clock.HEART, "%", 90),
        (lambda phase: {"SeriesDescription": f"{phase * 10}%"}, None, "%", 90),
        (lambda phase: {"TemporalPositionIdentifier": phase + 1, "NumberOfTemporalPositions": 10}, None, "", 9),
        (lambda phase: {"TriggerTime": f"{phase * 80}"}, Clock.HEART, "ms", 720),
        (lambda phase: {"AcquisitionTime": f"1011{phase * 5:02d}"}, Clock.TIME, "ms", 45000),
        (_over_midnight, Clock.TIME, "ms", 45000),
    ],
    ids=["beat", "described beat", "described", "positions", "trigger", "acquisition", "over midnight"],
)
def test_what_tells_series_apart(
    said: Callable[[int], Mapping[str, Any]], clock: Clock | None, unit: str, last: float, tmp_path: Path
) -> None:
    """Every element that may say the phase of a series does, whatever the series are numbered."""
    made = breathing.series_a_phase(tmp_path, said)
    phases = as_a(Phases, read(made.files).subject)
    np.testing.assert_array_equal([volume.voxels == breathing.BALL for volume in phases.volumes], made.ball)
    assert (phases.timing.clock, phases.timing.unit) == (clock, unit)
    assert phases.timing.values[-1] == pytest.approx(last)


def stacks(*descriptions: str, **said: Sequence[float]) -> list[Stack]:
    """Series of two images each, by their descriptions, or by a number that each has."""
    each: list[Said] = [{"SeriesDescription": (one,)} for one in descriptions]
    for keyword, values in said.items():
        each = each or [{} for _ in values]
        each = [{**one, keyword: (value,)} for one, value in zip(each, values, strict=True)]
    return [
        Stack(series_instance_uid=f"1.{number}", images=({**one, "SeriesNumber": (number,)},) * 2, depths_mm=(0.0, 3.0))
        for number, one in enumerate(each)
    ]


@pytest.mark.parametrize(
    "descriptions",
    [
        ("Gated, 0.0%", "Gated, 33.3%", "Gated, 66.7%"),
        ("Resp 0 %", "Resp 20 %", "Resp 40 %", "Resp 60 %", "Resp 80 %"),
        ("4D T=0%", "4D T=50%"),
        ("ASIR-V 50% T=0%", "ASIR-V 50% T=50%"),
        ("Cor 40%", "Cor 45%", "Cor 50%", "Cor 75%", "Cor 80%"),
        ("Cor 37%", "Cor 78%"),
    ],
)
def test_whole_breaths_and_windows_of_beats_lack_nothing(descriptions: Sequence[str]) -> None:
    found = phase_series(stacks(*descriptions))
    assert (found.fault, len(found.order)) == (None, len(descriptions))


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        (stacks("4D 0%", "4D 10%", "4D 20%", "4D 40%", "4D 50%", "4D 60%", "4D 70%", "4D 80%", "4D 90%"), "phase 30 %"),
        (stacks("4D 10%", "4D 20%", "4D 30%", "4D 40%", "4D 50%", "4D 60%", "4D 70%", "4D 80%", "4D 90%"), "phase 0 %"),
        (stacks("Cor 40%", "Cor 45%", "Cor 55%", "Cor 60%"), "phase 50 %"),
        (stacks(TemporalPositionIdentifier=(1, 2, 4)), "phase 3"),
        (stacks(TemporalPositionIdentifier=(1, 2, 3), NumberOfTemporalPositions=(5, 5, 5)), "phase 4, 5"),
        (stacks(TemporalPositionIdentifier=(1, 2, 3), NumberOfTemporalPositions=(1e9, 1e9, 1e9)), ""),
        (stacks(NominalPercentageOfRespiratoryPhase=(0, 1e-4, 2e-4)), ""),
        (stacks(NominalPercentageOfRespiratoryPhase=(0, 5e-324, 1e-323)), ""),
        (stacks(NominalPercentageOfRespiratoryPhase=(0, 1, 2, 1e5)), ""),
    ],
)
def test_a_phase_that_the_others_count_is_named(given: Sequence[Stack], lacks: str) -> None:
    fault = phase_series(given).fault
    assert f"the study lacks {lacks} (it has " in str(fault) if lacks else fault is None


def test_shares_of_the_depth_of_a_breath_are_no_phases() -> None:
    """ "25% In" and "25% Ex" are two phases, and neither says when it is."""
    assert phase_series(stacks("Resp 0% Ex", "Resp 50% In", "Resp 100% In", "Resp 50% Ex")).order == ()


@pytest.mark.parametrize(
    "descriptions", [("Chest ASIR 40%", "Chest ASIR 80%"), ("ASiR-V 0%", "ASiR-V 50%", "FBP"), ("30% ASIR", "60% ASIR")]
)
def test_shares_of_how_images_were_computed_are_no_phases(descriptions: Sequence[str]) -> None:
    """Two reconstructions of one acquisition, which no time lies between."""
    assert phase_series(stacks(*descriptions)).order == ()


@pytest.mark.parametrize(
    ("words", "clock"),
    [
        ("Thorax T={}%", Clock.BREATH),
        ("Thorax cor T={}%", None),
        ("Resp {}% cor", None),
        ("Cor gated {}%", Clock.HEART),
        ("4D heart {}%", Clock.HEART),
    ],
)
def test_what_shares_are_of_is_left_open_where_words_say_both(words: str, clock: Clock | None) -> None:
    """ "cor" is a heart in one description and a coronal reformat in the next; hearts are "gated" and "4D" too."""
    assert phase_series(stacks(words.format(0), words.format(50))).clock is clock


@pytest.mark.parametrize("value", ["", "101%", "-5%", "30 40%50%", "%", "٣٠%"])
def test_odd_descriptions_say_no_phase(value: str) -> None:
    """Nothing of them is taken for a share, and nothing breaks."""
    assert phase_series(stacks(value, f"{value} again")).order == ()


def test_phases_of_a_heart_that_lack_one_are_named() -> None:
    """65, 75 and 80 % of a beat: whether nobody wanted 70 % or it was lost the headers do not say, so it is refused, and the sentence names
    what there is; a reader sees which window it was."""
    found = phase_series(stacks("CorCTA 65 %", "CorCTA 75 %", "CorCTA 80 %"))
    assert found.clock is Clock.HEART
    assert str(found.fault) == (
        "3 phases came as a series each, told apart by SeriesDescription, and the study lacks phase 70 % (it has 65 %, 75 %, 80 %)"
    )
    windows = phase_series(stacks("CorCTA 40 %", "CorCTA 45 %", "CorCTA 50 %", "CorCTA 75 %", "CorCTA 80 %"))
    assert (windows.fault, windows.missing) == (None, ())
