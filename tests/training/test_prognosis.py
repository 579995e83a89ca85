"""`hilum train prognosis` over made tables and reports that the node made: figures, page, warnings, refusals; nothing is left to serve."""

import csv
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from docs.example_results import example
from node.domain.profile import Kind
from tests.lab.howto import HowTo
from training import cli
from training.errors import NothingServed, OtherRun, UnfitData, UnfitSetting
from training.tabled.measured import measured
from training.tasks.prognosis import KEPT

from .made_outcomes import predictors, write_outcomes
from .tabled_page import typed
from .test_outcomes import every, rewritten

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 patients, of whose volumes the table says nothing."""
    return write_outcomes(tmp_path_factory.mktemp("table") / "outcomes.csv", without=("Volume (cm3)",))


@pytest.fixture(scope="module")
def report() -> bytes:
    """A measurement report of the node, of a volume."""
    return next(one.data for one in example(0).objects if one.kind is Kind.SR and b"Volume" in one.data)


def numeric(item: Dataset) -> list[Dataset]:
    """Every item of a content tree that is a volume."""
    own = [item] if item.get("ValueType") == "NUM" and item.ConceptNameCodeSequence[0].CodeMeaning == "Volume" else []
    return own + [each for child in item.get("ContentSequence", ()) for each in numeric(child)]


def write_report(file: Path, report: bytes, patient: str, volume: float, studied: str, made: str = "20250101") -> Path:
    """The report as one of another patient, study and day, in which every volume is this one."""
    dataset = dcmread(BytesIO(report))
    dataset.PatientID, dataset.StudyDate, dataset.ContentDate = patient, studied, made
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[patient, studied])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient, studied, made])
    for one in numeric(dataset):
        one.MeasuredValueSequence[0].NumericValue = f"{volume:.4g}"
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file)
    return file


@pytest.fixture(scope="module")
def reports(report: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of each patient but the last ten, with the volume that the hazard was made of; some have a later study, too."""
    folder = tmp_path_factory.mktemp("reports")
    for at, volume in enumerate(predictors(160)["Volume (cm3)"][:150]):
        write_report(folder / f"{at}" / "one.dcm", report, f"P{at:03}", float(volume), "20200102")
        if at % 10 == 0:
            write_report(folder / f"{at}" / "later.dcm", report, f"P{at:03}", 999.0, "20220102")
    write_report(folder / "stranger.dcm", report, "X1", 5.0, "20200102")
    (folder / "notes.txt").write_text("no report")
    return folder


def test_measurements_are_those_of_the_named_or_earliest_study(reports: Path, report: bytes, tmp_path: Path) -> None:
    """Each number by its concept, structure and unit; of a report that was made again the later one, of a patient with two studies the
    earlier or the named one; whom the table does not know is counted, who has none is missing."""
    patients = [f"P{at:03}" for at in range(160)]
    found = measured(reports, patients, [""] * 160)
    assert found.patients == 150
    volumes = [one for one in found.columns if one.name.startswith("Volume")]
    assert volumes
    assert all(one.name.endswith("(cm3)") for one in volumes)
    expected = predictors(160)["Volume (cm3)"][:150]
    assert volumes[0].cells[:150] == pytest.approx(expected, rel=1e-3)
    assert np.isnan(volumes[0].cells[150:]).all()
    said = " ".join(found.notes)
    for part in ("15 patients have reports of several studies", "1 reports are of patients whom", "10 of 160 patients have no report"):
        assert part in said, part

    later = generate_uid(entropy_srcs=["P000", "20220102"])
    named = measured(reports, patients, [later, *[""] * 159])
    assert next(one for one in named.columns if one.name == volumes[0].name).cells[0] == pytest.approx(999)

    for patient, volume in (("A", 1.0), ("B", 2.0)):
        write_report(tmp_path / f"{patient}.dcm", report, patient, volume, "20200102")
    write_report(tmp_path / "again.dcm", report, "A", 7.0, "20200102", made="20250505")
    twice = measured(tmp_path, ["A", "B"], ["", ""])
    assert next(one for one in twice.columns if one.name == volumes[0].name).cells.tolist() == [7, 2]
    with pytest.raises(UnfitData, match="2 are of others"):
        measured(reports / "0", ["Q"], [""])


def test_reports_whose_numbers_are_none_are_counted_or_passed_over(report: bytes, tmp_path: Path) -> None:
    """A measurement without a value (it could not be made) is missing; one of two values, and one that is no number, is a report that
    cannot be read: others are."""
    for patient, value in (("A", "5"), ("B", "7"), ("F", "9"), ("C", None), ("D", ["1", "2"]), ("E", "8765.25")):
        file = write_report(tmp_path / f"{patient}.dcm", report, patient, 1.0, "20200102")
        dataset = dcmread(file)
        for one in numeric(dataset):
            one.MeasuredValueSequence[0].NumericValue = value
        dataset.save_as(file)
        file.write_bytes(file.read_bytes().replace(b"8765.25", b"8765,25"))
    found = measured(tmp_path, [*"ABFCDE"], [""] * 6)
    (volumes, *_) = (one for one in found.columns if one.name.startswith("Volume"))
    assert volumes.cells[:3].tolist() == [5, 7, 9]
    assert np.isnan(volumes.cells[3:]).all()
    assert "2 files cannot be read (HLM-3006)" in found.notes, "and not by their names, which are often a patient's"


def test_it_is_judged_beside_age_and_told_on_a_page(table: Path, reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With volumes Cox is ahead of age alone and of the table alone; the record holds figures and no patient, the card every picture; the
    same call again gives the same record, and another table is refused."""
    run = tmp_path / "run"
    assert cli.train("prognosis", data=reports, labels=(str(table),), out=run, horizon=12.0) == 0
    said = capsys.readouterr().out
    found = json.loads((run / KEPT).read_text("utf-8"))
    by_model = {row["model"]: row for row in found["rows"]}
    assert set(by_model) == {"cox", "boosted", "cox-table", "age"}
    assert by_model["cox"]["c"] > by_model["cox-table"]["c"]
    assert by_model["cox"]["ahead"]["interval"][0] > 0
    assert by_model["cox"]["interval"][0] < by_model["cox"]["c"] < by_model["cox"]["interval"][1]
    assert (found["patients"], found["measured"], found["horizon"]) == (160, 150, 12.0)
    assert "no application, no number in a patient's report" in said
    kept = (run / KEPT).read_text("utf-8")
    assert not any(f"P{at:03}" in kept for at in range(160))
    assert {path.name for path in run.iterdir()} == {KEPT, "card.html"}, "no model"
    page = (run / "card.html").read_text("utf-8")
    assert page.count("<svg") == 4
    for part in ("not served", "Volume", "Calibration at 12 mo", "highest third", "Proportional hazards", "hazard ratios"):
        assert part in page, part
    cox = found["pictured"][0]
    assert [third["third"] for third in cox["thirds"]] == [0, 1, 2]
    seen = [group["seen"] for group in cox["calibration"]]
    assert seen[0] < seen[2]
    assert all(group["interval"][0] - 0.15 < group["foretold"] < group["interval"][1] + 0.15 for group in cox["calibration"])

    assert cli.train("prognosis", data=reports, labels=(str(table),), out=run, horizon=12.0, as_json=True) == 0
    again = json.loads(capsys.readouterr().out)
    assert {**again, "at": ""} == {**found, "at": ""}
    with pytest.raises(OtherRun, match="horizon 24"):
        cli.train("prognosis", data=reports, labels=(str(table),), out=run, horizon=24.0)


def test_more_columns_than_patients_are_held_back_and_said(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """200 genes beside 160 patients: warned of, ratios without intervals; without age in the table chance is what is compared with."""
    file = tmp_path / "genes.csv"
    file.write_bytes(table.read_bytes())
    draw = np.random.default_rng(1)
    genes = draw.normal(size=(160, 200)).round(3)

    def widened(rows: list[dict[str, str]]) -> None:
        for row, values in zip(rows, genes, strict=True):
            row.pop("Age (a)")
            row.update({f"gene {at}": str(value) for at, value in enumerate(values)})

    rewritten(file, widened)
    assert cli.train("prognosis", labels=(str(file),), out=tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "fewer than 10 a feature" in said
    assert "ahead of no feature (0.5)" in said
    found = json.loads((tmp_path / "run" / KEPT).read_text("utf-8"))
    assert found["features"] == 203
    assert {row["interval"] for row in found["coefficients"]} == {None}
    assert "Under a penalty" in found["coefficients_note"]


def test_columns_that_say_the_same_are_told_under_a_penalty_which_says_so(table: Path, tmp_path: Path) -> None:
    """The year of birth beside the age: events are enough, and no ratio is known by itself."""
    file = tmp_path / "born.csv"
    file.write_bytes(table.read_bytes())
    rewritten(file, every("Born", lambda _, row: round(2020 - float(row["Age (a)"]), 1)))
    assert cli.train("prognosis", labels=(str(file),), out=tmp_path / "run", folds=3) == 0
    found = json.loads((tmp_path / "run" / KEPT).read_text("utf-8"))
    assert found["warnings"] == []
    assert {row["interval"] for row in found["coefficients"]} == {None}
    assert "columns say the same" in found["coefficients_note"]
    assert "too many" not in found["coefficients_note"]


def refused(error: type[Exception], says: str, **asked: object) -> None:
    with pytest.raises(error) as no:
        cli.train("prognosis", **asked)  # type: ignore[arg-type]
    assert says in str(no.value)


def test_what_is_asked_wrongly_is_refused(table: Path, reports: Path, tmp_path: Path) -> None:
    """Options of networks, a horizon nobody reached, too many folds, no or two tables, a table without columns, reports of nobody, a leak
    among measurements, another recipe's folder; and nothing is evaluated or exported."""
    labels, run = (str(table),), tmp_path / "run"
    refused(UnfitSetting, "takes no --epochs or --modality", labels=labels, epochs=3, modality="CT", out=run)
    refused(UnfitSetting, "takes no --methods", labels=labels, methods=(), out=run)
    refused(UnfitSetting, "--horizon 500: from above 0 to", labels=labels, horizon=500.0, out=run)
    refused(UnfitSetting, "--folds 60: from 3 to", labels=labels, folds=60, out=run)
    refused(UnfitSetting, "one table of outcomes", out=run)
    refused(UnfitSetting, "one table of outcomes", labels=(*labels, "b.csv"), out=run)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(UnfitData, "none of its reports", labels=labels, data=empty, out=run)
    refused(UnfitData, "is no folder", labels=labels, data=tmp_path / "nowhere", out=run)
    bare = write_outcomes(tmp_path / "bare.csv", without=("Volume (cm3)", "Age (a)", "TP53", "Grade"))
    refused(UnfitData, "no column that could be learned from", labels=(str(bare),), out=run)
    at_once = write_outcomes(tmp_path / "visit.csv")
    rewritten(at_once, every("time (mo)", lambda at, row: 12 if row["event"] == "1" else at % 11 + 1))
    refused(UnfitData, "of no two patients of a fold is it known who had the event first", labels=(str(at_once),), out=run)
    assert not run.exists(), "what is refused leaves nothing"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "last.pt").write_bytes(b"")
    refused(OtherRun, "something else than a prognosis", labels=labels, out=tmp_path / "other")
    with pytest.raises(UnfitSetting, match="--horizon"):
        cli.train("hippocampus", data=tmp_path, horizon=3.0)
    with pytest.raises(NothingServed, match="no node serves it"):
        cli.evaluate("prognosis", out=run)
    with pytest.raises(NothingServed, match="no node serves it"):
        cli.export("prognosis", repository=tmp_path / "models", out=run)
    assert not (tmp_path / "models").exists()


def test_a_measurement_that_knows_the_end_is_refused(report: bytes, tmp_path: Path) -> None:
    """Reports whose volume is the time itself: they were made afterwards, or of something else than the patient."""
    file = write_outcomes(tmp_path / "outcomes.csv")
    with file.open() as rows:
        until: Sequence[float] = [float(row["time (mo)"]) for row in csv.DictReader(rows)]
    for at, time in enumerate(until):
        write_report(tmp_path / "reports" / f"{at}.dcm", report, f"P{at:03}", time, "20200102")
    refused(UnfitData, "says the time", labels=(str(file),), data=tmp_path / "reports", out=tmp_path / "run")


def test_columns_that_say_nothing_leave_chance(table: Path, tmp_path: Path) -> None:
    """Noise alone: the interval of C holds 0.5, and nothing is ahead of it."""
    draw = np.random.default_rng(4)
    file = tmp_path / "noise.csv"
    file.write_bytes(table.read_bytes())
    rewritten(file, every("Noise", lambda *_: round(float(draw.normal()), 3)))

    def bared(rows: list[dict[str, str]]) -> None:
        for row in rows:
            for name in ("Age (a)", "TP53", "Grade"):
                row.pop(name)

    rewritten(file, bared)
    assert cli.train("prognosis", labels=(str(file),), out=tmp_path / "run") == 0
    found = json.loads((tmp_path / "run" / KEPT).read_text("utf-8"))
    for row in found["rows"]:
        assert row["interval"][0] <= 0.5 <= row["interval"][1], row


def test_the_page_is_typed_as_it_stands(table: Path, reports: Path, tmp_path: Path) -> None:
    """docs/howto/prognosis.md: its command, over a table and reports of these names, ends with a card."""
    page = HowTo("prognosis.md")
    (tmp_path / "outcomes.csv").write_bytes(table.read_bytes())
    (tmp_path / "reports").symlink_to(reports)
    (judge,) = page.commands()
    said = typed(page.typed(judge), tmp_path)
    page.followed()
    assert "| Cox, the table alone |" in said
    assert (tmp_path / "var" / "training" / "prognosis" / "card.html").is_file()
