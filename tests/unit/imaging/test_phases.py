"""Slices over time: a made heart in every form that it is sent in is the same subject, and what is not over time is refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from inference.errors import InputError
from inference.imaging.assemble import assemble
from inference.imaging.clock import may_be_apart
from inference.imaging.errors import DuplicatePosition, FourDimensional, NoClock, PhasesApart, PhasesMissing
from inference.imaging.subject import Clock, Phases, Takes
from inference.imaging.subjects import Assembled, subjects
from tests.lab import cine
from tests.unit.imaging.conftest import as_a

FORMS = {"one series": cine.one_series, "a series a slice": cine.series_a_slice, "enhanced": cine.enhanced}


def read(files: list[Path]) -> Assembled:
    first = str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    (made,) = subjects(Takes.PHASES, "refuse", files, first)
    return made


def cine_of_25(folder: Path, said: Callable[[int, int], dict[str, str]]) -> Assembled:
    """As scanners send them, of 25 phases; `said` are the elements of an image, by its slice and phase."""
    first = cine.one_series(folder).files[: cine.SLICES]
    files = []
    for z, path in enumerate(first):
        dataset = pydicom.dcmread(path)
        for phase in range(25):
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.1.6.{phase}.{z}")
            for keyword, value in said(z, phase).items():
                setattr(dataset, keyword, value)
            files.append(folder / f"of_25_{phase}_{z}.dcm")
            dataset.save_as(files[-1])
    return read(files)


def changed(path: Path, **said: object) -> None:
    dataset = pydicom.dcmread(path)
    for keyword, value in said.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_heart_in_every_form(form: str, tmp_path: Path) -> None:
    """Each phase has the blood that was drawn, where it was drawn, at the time that was written; the order of the files says nothing."""
    made = FORMS[form](tmp_path)
    phases = as_a(Phases, read(made.files[::-1]).subject)
    np.testing.assert_array_equal([volume.voxels == cine.BLOOD for volume in phases.volumes], made.blood)
    np.testing.assert_allclose(phases.reference.affine, cine.AFFINE, atol=1e-4)
    assert (phases.timing.clock, phases.timing.unit) == (Clock.HEART, "ms")
    assert phases.timing.values == pytest.approx([100 * phase for phase in range(cine.PHASES)])
    assert len(phases.sources) == cine.PHASES * cine.SLICES


def test_each_image_stands_behind_its_own_phase_and_slice(tmp_path: Path) -> None:
    """What `sources` names for a phase and a slice is the file that was written for it."""
    phases = as_a(Phases, read(cine.one_series(tmp_path).files).subject)
    named = [source.sop_instance_uid for source in phases.sources]
    assert named == [f"1.2.826.0.1.3.{phase}.{z}" for phase in range(cine.PHASES) for z in range(cine.SLICES)]


def test_beats_of_other_lengths_are_shares_of_each_beat_and_told(tmp_path: Path) -> None:
    """Slices of breath-holds at 60 and 90 a minute are one cine: times are the median's, and the reader is told."""
    beats = (667.0, 800.0, 800.0, 800.0, 900.0, 1000.0)
    made = read(cine.series_a_slice(tmp_path, beats_ms=beats).files)
    assert as_a(Phases, made.subject).timing.values[4] == pytest.approx(400)
    assert any("(667 to 1000 ms)" in remark for remark in made.remarks)


BREATH_HOLDS_MS = (850, 870, 900, 910, 940, 960)
"""Of each slice: how long a beat was in its breath-hold."""


def _prospective(z: int, phase: int) -> dict[str, str]:
    return {"TriggerTime": f"{31 * phase}", "NominalInterval": f"{BREATH_HOLDS_MS[z]}"}


def _retrospective(z: int, phase: int) -> dict[str, str]:
    return {"TriggerTime": f"{BREATH_HOLDS_MS[z] * phase / 25:.1f}", "HeartRate": "66"}


def _one_interval_off(z: int, phase: int) -> dict[str, str]:
    return {"TriggerTime": f"{900 * phase / 25:.1f}", "NominalInterval": "927" if z == 2 else "900"}


@pytest.mark.parametrize("said", [_prospective, _retrospective, _one_interval_off])
def test_what_a_slice_states_of_its_beat_refuses_no_ordinary_cine(said: Callable[[int, int], dict[str, str]], tmp_path: Path) -> None:
    """The same delays under beats that differ, a beat each under one rate for the scan, an interval that is a mean: each is one cine."""
    timing = as_a(Phases, cine_of_25(tmp_path, said).subject).timing
    assert (timing.clock, timing.attribute, len(timing.values)) == (Clock.HEART, "TriggerTime", 25)


@pytest.mark.parametrize(
    ("attributes", "clock", "unit", "last"),
    [
        ({"TriggerTime": "{:.1f}", "scale": 1000.0}, Clock.TIME, "ms", 7000.0),
        ({"NominalPercentageOfCardiacPhase": "{:.1f}", "scale": 12.5}, Clock.HEART, "%", 87.5),
        ({"NominalPercentageOfRespiratoryPhase": "{:.1f}", "scale": 12.5}, Clock.BREATH, "%", 87.5),
        ({"AcquisitionTime": "1011{:05.2f}", "scale": 2.5}, Clock.TIME, "ms", 17500.0),
        ({"AcquisitionDateTime": "204012311011{:05.2f}", "scale": 2.5}, Clock.TIME, "ms", 17500.0),
        ({"TemporalPositionIdentifier": "{:.0f}", "scale": 1.0}, None, "", 7.0),
    ],
    ids=["long trigger times", "beat", "breath", "acquisition", "acquisition in another decade", "order alone"],
)
def test_what_says_the_time(attributes: dict[str, object], clock: Clock | None, unit: str, last: float, tmp_path: Path) -> None:
    """Every element that may say it does, in its own unit; a trigger time that runs for seconds is no beat."""
    ((keyword, form),) = [(key, value) for key, value in attributes.items() if key != "scale"]
    scale = attributes["scale"]
    assert isinstance(form, str)
    assert isinstance(scale, float)
    files = cine.one_series(tmp_path).files
    for number, path in enumerate(files):
        changed(path, TriggerTime=None)
        value = form.format(number // cine.SLICES * scale)
        changed(path, **{keyword: float(value) if "Percentage" in keyword else value})
    made = read(files)
    timing = as_a(Phases, made.subject).timing
    assert (timing.clock, timing.unit, timing.attribute) == (clock, unit, keyword if clock else "")
    assert timing.values[-1] == pytest.approx(last)
    assert any("in which order" in remark for remark in made.remarks) == (clock is None)


@pytest.mark.parametrize("by_one", [2, 4])
def test_phases_that_are_numbered_on_within_a_beat_are_one_cine(by_one: int, tmp_path: Path) -> None:
    """AcquisitionNumber counts segments of phases: what follows each other in time is no second cine."""
    files = cine.one_series(tmp_path).files
    for number, path in enumerate(files):
        changed(path, AcquisitionNumber=str(1 + number // cine.SLICES // by_one))
    assert len(as_a(Phases, read(files).subject)) == cine.PHASES


@pytest.mark.parametrize(
    ("covered_ms", "said", "told"),
    [(950.0, {"HeartRate": "100"}, False), (2000.0, {}, True), (1600.0, {"NominalInterval": "1600"}, False), (1400.0, {}, False)],
    ids=["rate preset", "nothing", "a slow heart", "nothing, one beat"],
)
def test_a_rate_that_was_entered_refuses_no_beat_and_what_may_be_two_is_told(
    covered_ms: float, said: dict[str, str], told: bool, tmp_path: Path
) -> None:
    """A rate of 100 entered at the console and a beat of 950 ms are one cine; 2 s without a stated beat are taken and told."""
    made = read(cine.one_series(tmp_path, beats_ms=(covered_ms,) * cine.SLICES, **said).files)
    assert as_a(Phases, made.subject).timing.clock is Clock.HEART
    assert any(f"cover {covered_ms:.0f} ms and do not state how long a beat is" in remark for remark in made.remarks) == told


def _without_three(files: list[Path]) -> list[Path]:
    return [path for number, path in enumerate(files) if number not in (3, 9, 10)]


def _another_heart(files: list[Path]) -> list[Path]:
    for phase in range(cine.PHASES):
        changed(files[phase * cine.SLICES + 2], TriggerTime=f"{100 * phase + 300 * (phase > 3)}")
    return files


def _begins_later(files: list[Path]) -> list[Path]:
    for phase in range(cine.PHASES):
        changed(files[phase * cine.SLICES + 2], TriggerTime=f"{100 * phase + 300}")
    return files


def _half_a_window(files: list[Path]) -> list[Path]:
    for number, path in enumerate(files):
        phase, z = divmod(number, cine.SLICES)
        changed(path, TriggerTime=f"{(50 if z == 2 else 100) * phase}", NominalInterval="900")
    return files


def _two_beats(files: list[Path]) -> list[Path]:
    for number, path in enumerate(files):
        changed(path, TriggerTime=f"{200 * (number // cine.SLICES)}", HeartRate="75")
    return files


def _two_acquisitions(files: list[Path]) -> list[Path]:
    for number, path in enumerate(files):
        phase = number // cine.SLICES
        changed(path, TriggerTime=f"{100 * (phase // 2) + 45 * (phase % 2)}", AcquisitionNumber=str(1 + phase % 2))
    return files


def _two_by_shares(files: list[Path]) -> list[Path]:
    for number, path in enumerate(_two_acquisitions(files)):
        phase = number // cine.SLICES
        changed(path, TriggerTime=None, NominalPercentageOfCardiacPhase=float(25 * (phase // 2) + 11 * (phase % 2)))
    return files


def _over_midnight(files: list[Path]) -> list[Path]:
    for number, path in enumerate(files):
        phase = number // cine.SLICES
        changed(path, TriggerTime=None, AcquisitionTime=f"2359{52 + 2 * phase}.0" if phase < 4 else f"0000{2 * (phase - 4):02d}.0")
    return files


def test_a_series_that_was_acquired_over_midnight_is_in_the_order_of_its_days(tmp_path: Path) -> None:
    """By AcquisitionDate and AcquisitionTime: by the time alone the phases behind midnight came first, and the series was refused."""
    files = _over_midnight(cine.one_series(tmp_path).files)
    for number, path in enumerate(files):
        changed(path, AcquisitionDate="20240229" if number // cine.SLICES < 4 else "20240301")
    made = as_a(Phases, read(files).subject)
    assert made.timing.attribute == "AcquisitionTime"
    assert [round(value - made.timing.values[0]) for value in made.timing.values] == [2000 * phase for phase in range(cine.PHASES)]
    first = {str(pydicom.dcmread(path).SOPInstanceUID) for path in files[: cine.SLICES]}
    assert {source.sop_instance_uid for source in made.volumes[0].sources} == first


def _no_time(files: list[Path]) -> list[Path]:
    for path in files:
        changed(path, TriggerTime=None)
    return files


def _echoes(files: list[Path]) -> list[Path]:
    for number, path in enumerate(files):
        changed(path, EchoTime=str(2 + 3 * (number // cine.SLICES)))
    return files


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (_without_three, PhasesMissing, "2 of 6 slices have not 8 images as the others, but 6 at"),
        (_another_heart, PhasesApart, "1 of 6 slices are at other times than the others, by TriggerTime: phase"),
        (_begins_later, PhasesApart, "1 of 6 slices are at other times than the others, by TriggerTime: phase 1 at 300"),
        (_half_a_window, PhasesApart, "1 of 6 slices are at other times than the others, by TriggerTime: phase 3 at 100 ms"),
        (_half_a_window, PhasesApart, "where phases run for 400 of a beat of 900 ms, elsewhere for 800 of 900"),
        (_two_beats, PhasesApart, "phases run for 1600 ms where a beat is stated to be 800 ms: more than one beat"),
        (_two_acquisitions, PhasesApart, "each slice was acquired 2 times, by AcquisitionNumber: more than one cine"),
        (_two_by_shares, PhasesApart, "each slice was acquired 2 times, by AcquisitionNumber: more than one cine"),
        (_over_midnight, PhasesApart, "phases run over midnight by AcquisitionTime, which has no date"),
        (_no_time, NoClock, "8 images at each of 6 positions, and time alone does not tell them apart"),
        (_echoes, NoClock, "8 echo times"),
    ],
    ids=[
        "missing",
        "other times",
        "begins later",
        "half a window",
        "half a window is told",
        "two beats",
        "two acquisitions",
        "two acquisitions by shares",
        "over midnight",
        "no time",
        "echoes",
    ],
)
def test_what_is_no_cine_is_refused(spoil: Callable[[list[Path]], list[Path]], error: type[InputError], words: str, tmp_path: Path) -> None:
    """Each with what is wrong; nothing is flattened, dropped or guessed."""
    with pytest.raises(error, match=words.replace("(", r"\(")):
        read(spoil(cine.one_series(tmp_path).files))


def test_a_repeated_slice_is_refused(tmp_path: Path) -> None:
    """A breath-hold that was taken twice: which of the two counts nobody says."""
    files = cine.series_a_slice(tmp_path / "once").files
    again = [path for path in cine.series_a_slice(tmp_path / "again").files if "_0003" in path.name or path.stem.endswith("3")]
    assert again
    for number, path in enumerate(again):
        changed(path, SOPInstanceUID=f"1.2.826.0.1.9.{number}", SeriesInstanceUID="1.2.826.0.1.9")
    with pytest.raises(DuplicatePosition, match="1 of 6 slices came in several series, for example"):
        read([*files, *again])


@pytest.mark.parametrize("series", ["1.2.826.0.1.2", "1.2.826.0.1.7"], ids=["in one series", "in two"])
def test_rest_and_stress_are_not_one_heart_that_beats_twice(series: str, tmp_path: Path) -> None:
    """Two cines of one place, of beats of 800 and 600 ms: their trigger times lie between each other, each its own, and are refused."""
    rest = cine.one_series(tmp_path / "rest").files
    stress = cine.one_series(tmp_path / "stress", beats_ms=(600.0,) * cine.SLICES, SeriesInstanceUID=series).files
    for number, path in enumerate(stress):
        trigger = float(pydicom.dcmread(path, stop_before_pixels=True).TriggerTime) + 7
        changed(path, SOPInstanceUID=f"1.2.826.0.1.8.{number}", TriggerTime=f"{trigger:.2f}")
    with pytest.raises((DuplicatePosition, PhasesApart), match=r"more than one cine|came in several series"):
        read([*rest, *stress])


def test_what_does_not_move_has_one_phase_and_a_cine_is_no_volume(tmp_path: Path) -> None:
    """A static series comes as one phase, which `Accepts.min_phases` refuses; a cine for a volume is refused by its heart phases."""
    files = cine.one_series(tmp_path).files
    assert len(as_a(Phases, read(files[: cine.SLICES]).subject)) == 1
    with pytest.raises(FourDimensional, match="8 heart phases"):
        assemble(files)


def test_what_headers_leave_to_the_images_is_what_these_may_refuse(tmp_path: Path) -> None:
    """Phases in unequal steps, a slice eight seconds late: images refuse it by the mean step, so headers do not say that it is taken."""
    times = [0.0, 1000.0, 11000.0, 21000.0]
    late = [time + 8000 for time in times]
    assert may_be_apart([times] * 4 + [late], Clock.TIME)
    assert not may_be_apart([times] * 5, Clock.TIME)
    files = cine.one_series(tmp_path).files[: len(times) * cine.SLICES]
    for number, path in enumerate(files):
        phase, z = divmod(number, cine.SLICES)
        changed(path, TriggerTime=str((late if z == cine.SLICES - 1 else times)[phase]))
    with pytest.raises(PhasesApart, match="1 of 6 slices are at other times than the others"):
        read(files)
