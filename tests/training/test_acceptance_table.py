"""Acceptance tests against a table of the hospital: findings and measured values, compared with arithmetic on the same voxels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy.stats import binomtest

from inference import codes
from inference.applications.catalog import load
from inference.applications.port import MeasurementOutput
from inference.codes import Code
from inference.engines.errors import NotFinite
from inference.findings import Findings, Measurement
from inference.imaging.measures.values import STANDARD_DEVIATION
from inference.imaging.subject import Images, Subject, Takes
from inference.imaging.subjects import subjects
from tests.unit.cli.conftest import Run
from tests.unit.cli.conftest import run as run
from training.acceptance.judging import evaluate
from training.acceptance.port import UnderTest
from training.acceptance.record import figure
from training.acceptance.table import read_table, row
from training.errors import UnfitData
from training.evaluation.figures import Kind

from .applications.bright_ball import MUCH_CM3, THRESHOLD_HU
from .numbered_radiographs import write_numbered
from .studies import SPACING, thorax, write_study

_OWN = Path(__file__).parent / "applications"
_COUNT = 10
_AIR = 6
"""Nothing bright comes near a border (NEAR_MM of the border check): what does is measured as "at least", and compared with nothing."""


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten patients, two of whom have one PatientID, and one of whom has two series; no segmentation among them."""
    (tmp_path / "models").mkdir()
    (tmp_path / "hilum.yaml").write_text(f"models: {{repository: models, applications: [{_OWN}]}}\n")
    for seed in range(_COUNT):
        write_study(tmp_path / "studies", seed, air=_AIR)
    for seed in (20, 21):
        write_study(tmp_path / "studies", seed, PatientID="TWINS", PatientName=f"Twin^{seed}")
    for seed in (30, 31):
        write_study(tmp_path / "studies", seed, PatientID="AGAIN")
    for drawn in (tmp_path / "studies").rglob("ball.dcm"):
        drawn.unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cm3(seed: int) -> float:
    """How much is bright in one patient."""
    return float((thorax(seed, air=_AIR)[0] > THRESHOLD_HU).sum()) * float(np.prod(SPACING)) / 1000


@pytest.mark.slow
def test_findings_and_values_are_compared_with_the_table(run: Run, hospital: Path) -> None:
    """Sensitivity, specificity and their Wilson intervals, the area under the curve by counting pairs, bias and mean absolute error; lines
    that name nobody, two patients or two series are told and in no figure, as are columns that mean nothing, and images without a line."""
    truth = {seed: seed % 3 == 0 for seed in range(_COUNT)}
    lines = [f"P{seed:03d};{int(truth[seed])};{cm3(seed) + (1 if seed % 2 else -3):.6f};x;1" for seed in range(_COUNT - 1)]
    odd = ["P777;1;;;", "TWINS;1;;;", "AGAIN;0;;;"]
    (hospital / "truth.csv").write_text("\n".join(["PatientID;Nodule;Volume bright (cm3);reader;Volume", *lines, *odd]))
    told = run("evaluate", "bright-ball", "--data", "studies", "--table", "truth.csv", "--json").json
    known = range(_COUNT - 1)
    called = {seed: cm3(seed) > MUCH_CM3 for seed in known}
    ill, well = [seed for seed in known if truth[seed]], [seed for seed in known if not truth[seed]]
    figures = told["figures"]
    for name, inside, right in (("sensitivity", ill, True), ("specificity", well, False)):
        hits = sum(called[seed] is right for seed in inside)
        assert figures[f"{name} Nodule"]["mean"] == pytest.approx(hits / len(inside))
        low, high = binomtest(hits, len(inside)).proportion_ci(method="wilson")
        assert figures[f"{name} Nodule"]["interval"] == pytest.approx([low, high])
    pairs = [(cm3(one) > cm3(other)) + 0.5 * (cm3(one) == cm3(other)) for one in ill for other in well]
    assert figures["AUC Nodule"]["mean"] == pytest.approx(np.mean(pairs))
    off = np.array([-1 if seed % 2 else 3 for seed in known])
    assert figures["difference Volume bright"]["mean"] == pytest.approx(off.mean(), abs=1e-5)
    assert figures["absolute error Volume bright"]["mean"] == pytest.approx(np.abs(off).mean(), abs=1e-5)
    reasons = {one["what"]: one["reason"] for one in told["unusable"]}
    assert "no image here has the PatientID" in reasons["line 11"]
    assert "2 patients" in reasons["line 12"]
    assert "2 series" in reasons["line 13"]
    assert told["counts"] == {"compared": 9, "patients": 9, "refused": 0, "unusable": 3, "unlabelled": 5}
    assert "reader" in told["notes"][0]
    assert told["notes"][1] == "No case has a value of difference Volume, absolute error Volume: nothing is known of it."
    assert "sensitivity Nodule" in (hospital / "var/evaluations/bright-ball/card.html").read_text()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "names no case"),
        ("Patient,Nodule\nP1,1", "names no case"),
        ("PatientID,Fracture\nP1,1", "none of its columns (Fracture) is anything that bright-ball says: Nodule"),
        ("PatientID,Nodule\nP1,1\nP2,0\nP1,0", "lines 2 and 4 name the same case"),
        ("PatientID,Nodule\nP1,maybe", 'line 2: column "Nodule" is neither yes nor no'),
        ("PatientID,Volume bright\nP1,much", 'line 2: column "Volume bright" is no number'),
        ("PatientID,Nodule,Volume bright (ml)\nP1,1,25", 'column "Volume bright (ml)" is measured in cm3'),
        ("PatientID,Volume bright,Nodule\n\nP1,25,1,0", "line 3: it has more cells than there are columns"),
        ('PatientID,Volume bright\nP1,"2,931"', 'line 2: column "Volume bright" is no number'),
        ("PatientID,Nodule,nodule \nP1,1,0", 'column "Nodule" is there twice'),
        ("PatientID,Volume bright (cm3),Volume bright\nP1,25,26", 'column "Volume bright" is there twice'),
        ("PatientID,Nodule,PatientID\nP1,1,P2", 'column "PatientID" is there twice'),
    ],
)
def test_a_table_that_says_nothing_is_refused_with_its_line(tmp_path: Path, content: str, says: str) -> None:
    """Nobody guesses what was meant."""
    file = tmp_path / "truth.csv"
    file.write_text(content)
    with pytest.raises(UnfitData) as refused:
        read_table(file, load("bright-ball", (_OWN,)))
    assert says in str(refused.value)


def test_the_interval_of_a_share_is_of_the_cases_that_have_it() -> None:
    """A patient who is ill in one series and well in another counts once in the sensitivity: resampling cases that are all right would say
    that nothing but 1 can be."""
    share = Kind(unit="", better="more", digits=4, says="", share=True)
    low, high = binomtest(3, 3).proportion_ci(method="wilson")
    assert figure(share, [1.0, np.nan, 1.0, 1.0], ["A", "A", "B", "C"])["interval"] == pytest.approx([low, high])
    assert figure(share, [1.0, 0.0, 1.0, 1.0], ["A", "A", "B", "C"])["interval"] != pytest.approx([low, high])


@pytest.mark.slow
def test_names_of_segments_beside_a_table_are_refused(run: Run) -> None:
    """They would mean nothing: neither beside a table, nor for a recipe."""
    asked = ("evaluate", "bright-ball", "--data", "studies", "--table", "truth.csv", "--same", "knot=bright")
    assert "HLM-2064" in run(*asked).err
    assert "HLM-2064" in run("evaluate", "hippocampus", "--recipe", "--table", "truth.csv").err


def test_a_value_is_compared_where_it_is_one_alone(tmp_path: Path) -> None:
    """Of two that are called alike nobody could say which is meant."""
    file = tmp_path / "truth.csv"
    file.write_text("PatientID,Volume bright (cm3)\nP1,25")
    table = read_table(file, load("bright-ball", (_OWN,)))
    value = Measurement(name=codes.VOLUME, value=27.0, unit=codes.CUBIC_CENTIMETRE, segment="bright")
    name = "difference Volume bright"
    assert row(table, table.lines[0], Findings(measurements=(value,)))[name] == 2.0
    assert np.isnan(row(table, table.lines[0], Findings())[name])
    # the ball goes on beyond the images
    assert np.isnan(row(table, table.lines[0], Findings(measurements=(replace(value, at_least=True),)))[name])
    mean = replace(value, value=30.0, derivation=codes.MEAN)
    with pytest.raises(UnfitData, match=r'"Volume bright" is measured in 2 ways \(cm3, Mean cm3\)'):
        row(table, table.lines[0], Findings(measurements=(value, mean)))


def test_each_image_of_a_series_is_compared_with_its_own_line(tmp_path: Path) -> None:
    """Three radiographs of one series, a number each: by the series nobody could say which is meant, by SOPInstanceUID each is one case."""
    file = write_numbered(tmp_path / "studies", 3)
    uids = []
    for number, path in enumerate(sorted((tmp_path / "studies").glob("*.dcm"))):
        image = dcmread(path)
        image.StudyInstanceUID, image.SeriesInstanceUID, image.InstanceNumber = "1.2.3", "1.2.3.4", number + 1
        image.PatientID, image.PatientName = "P", "P"
        image.save_as(path)
        uids.append(str(image.SOPInstanceUID))
    width = MeasurementOutput(name=Code("WIDTH", "99HILUM", "Spot width"), unit=Code("mm", "UCUM", "millimeter"))
    ball = load("bright-ball", (_OWN,))
    of_images = replace(ball, outputs=(width,), accepts=replace(ball.accepts, takes=Takes.IMAGES))
    tested = UnderTest(application=of_images, sha256="", engine="none")

    def analyse(files: Sequence[Path], series_uid: str, /) -> tuple[Subject, Findings]:
        assert series_uid == "1.2.3.4"
        (assembled,) = subjects(Takes.IMAGES, "refuse", files)
        assert isinstance(assembled.subject, Images)
        means = [float(one.pixels.mean()) for one in assembled.subject.images]
        each = (Measurement(name=width.name, value=mean, unit=width.unit, images=(at,)) for at, mean in enumerate(means))
        return assembled.subject, Findings(measurements=tuple(each))

    file.write_text("SeriesInstanceUID,Spot width (mm)\n1.2.3.4,3\n")
    with pytest.raises(UnfitData, match='"Spot width" is measured of each of 3 images: name each of them by a column SOPInstanceUID'):
        evaluate(tested, analyse, tmp_path / "studies", tmp_path / "out", {}, file)
    means = [float(dcmread(path).pixel_array.mean()) for path in sorted((tmp_path / "studies").glob("*.dcm"))]
    file.write_text("SOPInstanceUID,Spot width (mm)\n" + "".join(f"{uid},{mean - 2}\n" for uid, mean in zip(uids, means, strict=True)))
    told = evaluate(tested, analyse, tmp_path / "studies", tmp_path / "other", {}, file)
    assert told["counts"]["compared"] == 3
    assert {row["case"] for row in told["each"]} == {*uids}
    assert [row["figures"]["difference Spot width"] for row in told["each"]] == pytest.approx([2.0] * 3, abs=1e-6)


def test_a_case_for_which_the_model_gives_no_numbers_is_listed_and_the_others_are_compared(tmp_path: Path) -> None:
    """As a job of it would be parked, and no other: it ended the whole test, at every call anew."""
    file = write_numbered(tmp_path / "studies", 3)
    width = MeasurementOutput(name=Code("WIDTH", "99HILUM", "Spot width"), unit=Code("mm", "UCUM", "millimeter"))
    ball = load("bright-ball", (_OWN,))
    of_images = replace(ball, outputs=(width,), accepts=replace(ball.accepts, takes=Takes.IMAGES))
    first = min(str(dcmread(path).SeriesInstanceUID) for path in (tmp_path / "studies").glob("*.dcm"))

    def analyse(files: Sequence[Path], series_uid: str, /) -> tuple[Subject, Findings]:
        if series_uid == first:
            raise NotFinite('model "ball" gives values that are no numbers')
        (assembled,) = subjects(Takes.IMAGES, "refuse", files)
        return assembled.subject, Findings(measurements=(Measurement(name=width.name, value=1.0, unit=width.unit),))

    told = evaluate(UnderTest(application=of_images, sha256="", engine="none"), analyse, tmp_path / "studies", tmp_path / "out", {}, file)
    assert (told["counts"]["compared"], told["counts"]["refused"]) == (2, 1)
    assert [(one["what"], one["code"]) for one in told["refused"]] == [(first, "HLM-4112")]


def test_a_slice_names_no_case_of_a_volume(tmp_path: Path) -> None:
    """A table from a PACS has a column SOPInstanceUID too, of the series' first slice say: that one alone was analysed in place of all."""
    ball, file = load("bright-ball", (_OWN,)), tmp_path / "table.csv"
    file.write_text("SOPInstanceUID,SeriesInstanceUID,Nodule\n1.2.3.4.1,1.2.3.4,1\n")
    table = read_table(file, ball)
    assert (table.identifier, [line.name for line in table.lines], table.unknown) == ("SeriesInstanceUID", ["1.2.3.4"], ("SOPInstanceUID",))
    file.write_text("SOPInstanceUID,Nodule\n1.2.3.4.1,1\n")
    with pytest.raises(UnfitData, match="names no case: it needs a line, and a column SeriesInstanceUID or"):
        read_table(file, ball)


def test_a_value_is_named_with_what_was_derived_where_there_are_several(tmp_path: Path) -> None:
    """A mean of 50 HU beside a deviation of 12: the hospital's means are compared with the mean, whichever was measured first."""
    application = load("bright-ball", (_OWN,))
    derived = (STANDARD_DEVIATION, codes.MEAN)
    outputs = [MeasurementOutput(name=codes.ATTENUATION_COEFFICIENT, unit=codes.HOUNSFIELD_UNIT, derivation=one) for one in derived]
    both = replace(application, outputs=(*application.outputs, *outputs))
    found = Findings(
        measurements=tuple(
            Measurement(name=codes.ATTENUATION_COEFFICIENT, value=value, unit=codes.HOUNSFIELD_UNIT, derivation=one, segment="bright")
            for value, one in zip((12.0, 50.0), derived, strict=True)
        )
    )
    file = tmp_path / "truth.csv"
    file.write_text("PatientID,Mean attenuation coefficient bright (HU),Standard Deviation Attenuation Coefficient bright\nP1,49,10\n")
    table = read_table(file, both)
    figures = row(table, table.lines[0], found)
    assert [value for name, value in figures.items() if name.startswith("difference")] == [1.0, 2.0]
    file.write_text("PatientID,Attenuation Coefficient bright\nP1,49\n")
    with pytest.raises(UnfitData) as refused:
        read_table(file, both)
    assert 'begin it with "Standard Deviation Attenuation Coefficient" or "Mean Attenuation Coefficient"' in str(refused.value)
    assert list(read_table(file, replace(application, outputs=(*application.outputs, outputs[1]))).measured) == [
        "Attenuation Coefficient bright"
    ]
