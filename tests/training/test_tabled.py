"""A table of labels over a folder of studies: what its lines name, and what is looked at before the first step."""

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from inference.imaging.write_series import write_series
from training import recipes
from training.data.cases import Case, Fold, split
from training.data.coded import PRIVATE, coded
from training.errors import UnfitData, UnfitSetting
from training.planning import Asked
from training.recipes.classification import KIND
from training.tabled import beginning
from training.tabled.hygiene import Clean, clean, told
from training.tabled.labels import LabelTable, read_labels
from training.tabled.plan import planned
from training.tabled.plan import read as read_plan
from training.tabled.studies import TabledStudies, tabled

from .labelled_radiographs import ROOT, radiograph, spotted, write_labelled, write_table

COUNT = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("made"), COUNT).parent


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "studies"))


def looked_at(folder: Path, tell: Callable[[str], None] = print) -> Clean:
    table = read_labels(folder / "labels.csv")
    return clean(table, tabled(folder, table), tell)


def found(kept: Clean) -> dict[str, int]:
    """How many each question concerns, those of none left out."""
    return {one.what: len(one.cases) for one in kept.questions if one.cases}


def relabelled(folder: Path, number: int, word: str) -> None:
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        lines = [*csv.DictReader(file)]
    lines[number]["Spots"] = word
    write_table(folder / "labels.csv", lines)


def with_line(folder: Path, study: str, word: str) -> None:
    with (folder / "labels.csv").open("a", encoding="utf-8") as file:
        file.write(f"{study},{word}\n")


def uid(number: int) -> str:
    return f"{ROOT}.{number}.1"


def test_sound_data_raise_no_question(made: Path) -> None:
    """Every case is kept, and the table says of each question that nothing was found."""
    kept = looked_at(made)
    assert (len(kept.seen), kept.by_patient, found(kept)) == (COUNT, True, {})
    assert told(kept.questions).count("\n") == len(kept.questions)


def test_lines_and_images_that_do_not_meet_are_told(folder: Path) -> None:
    """A line of another hospital's study, one without a label, and a study that no line names: each is named, none is learned from."""
    with_line(folder, "1.2.3", "fine")
    relabelled(folder, 0, "")
    radiograph(folder / "more.dcm", spotted(99, True), 99)
    kept = looked_at(folder)
    assert found(kept) == {"lines that name no image": 1, "lines with an empty label": 1, "images without a label": 2}
    assert len(kept.seen) == COUNT - 1
    assert "line 26: no image here has the StudyInstanceUID that it names" in told(kept.questions)


def test_doubles_are_left_out_and_those_under_two_labels_altogether(folder: Path) -> None:
    """The same pixels under another patient's name: one is kept where both are called alike, none where they are not."""
    with_line(folder, radiograph(folder / "same.dcm", spotted(0, True), 50), "fine")
    with_line(folder, radiograph(folder / "other.dcm", spotted(1, False), 51), "fine")
    kept = looked_at(folder)
    assert {name: count for name, count in found(kept).items() if "exact" in name} == {
        "exact doubles": 1,
        "exact doubles under two labels": 1,
    }
    names = {one.case.name for one in kept.seen}
    assert len({uid(0), uid(50)} & names) == 1
    assert not {uid(1), uid(51)} & names


def test_patients_of_one_picture_are_one(folder: Path) -> None:
    """The picture of one patient is there under another's ID: what else the two have stands on one side, whether or not it is kept."""
    with_line(folder, radiograph(folder / "same.dcm", spotted(0, True), 50, PatientID="P006"), "fine")
    with_line(folder, radiograph(folder / "other.dcm", spotted(1, False), 51, PatientID="P007"), "fine")
    with_line(folder, radiograph(folder / "more.dcm", spotted(70, False), 70, PatientID="P001"), "broad")
    kept = looked_at(folder)
    group = {one.case.name: at for one, at in zip(kept.seen, kept.groups, strict=True)}
    assert group[uid(0)] == group[uid(6)]
    assert group[uid(70)] == group[uid(7)]


def test_near_doubles_stand_on_one_side(folder: Path) -> None:
    """A picture that was made a little brighter and cut by a row, under another patient's name, belongs to the patient of the first."""
    again = (spotted(2, True).astype(np.float64) * 1.02).astype(np.uint16)
    with_line(folder, radiograph(folder / "near.dcm", np.ascontiguousarray(again[1:]), 52), "fine")
    kept = looked_at(folder)
    assert {name: count for name, count in found(kept).items() if "near" in name} == {
        "near-doubles": 1,
        "near-doubles of two patients": 1,
    }
    group = {one.case.name: at for one, at in zip(kept.seen, kept.groups, strict=True)}
    assert group[uid(2)] == group[uid(52)]
    assert len(set(kept.groups)) == COUNT


def test_who_is_one_patient(folder: Path) -> None:
    """Two IDs of one name and birth date count as one; one ID with two names too, and is told; cases without an ID are said loudly."""
    for number in (3, 60):
        study = radiograph(folder / f"{number}.dcm", spotted(number, True), number, PatientName="Doe^Jo", PatientBirthDate="19610203")
    with_line(folder, study, "fine")
    with_line(folder, radiograph(folder / "b.dcm", spotted(61, True), 61, PatientID="P004"), "fine")
    with_line(folder, radiograph(folder / "c.dcm", spotted(62, True), 62, PatientID="", PatientName="", IssuerOfPatientID="HERE"), "fine")
    with_line(folder, radiograph(folder / "d.dcm", spotted(63, False), 63, PatientID="", PatientName="", IssuerOfPatientID="HERE"), "broad")
    kept = looked_at(folder)
    assert {name: count for name, count in found(kept).items() if "patient" in name} == {
        "two patients of one name and birth date": 1,
        "one patient ID, several names": 1,
        "cases that name no patient": 2,
    }
    group = {one.case.name: at for one, at in zip(kept.seen, kept.groups, strict=True)}
    assert group[uid(60)] == group[uid(3)]
    assert group[uid(61)] == group[uid(4)]
    assert group[uid(62)] != group[uid(63)]
    assert not kept.by_patient
    assert "THE SPLIT MAY NOT BE BY PATIENT" in told(kept.questions)


def test_volumes_are_near_doubles_by_all_of_their_axes(tmp_path: Path) -> None:
    """The same slices in another order have the same mean along the axis of slices, as heads of two people nearly have: not one patient. A
    little brighter they are. What has two slices would not be served, and is not learned from."""
    rng = np.random.default_rng(0)
    volumes = [rng.normal(0, 300, (6, 12, 12)).repeat(3, 1).repeat(3, 2).astype(np.int16) for _ in range(COUNT)]
    volumes[1], volumes[3] = volumes[0][::-1].copy(), (volumes[2] * 1.02).astype(np.int16)
    volumes.append(volumes[4][:2])
    affine = np.array([[0, 0, 1.0, 0], [0, 1.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
    lines = []
    for number, voxels in enumerate(volumes):
        files = write_series(
            voxels, affine, tmp_path / f"{number}", modality="CT", patient_id=f"P{number:03d}", patient_name=f"Doe^{number}"
        )
        lines.append({"SeriesInstanceUID": dcmread(files[0]).SeriesInstanceUID, "Spots": ("fine", "broad")[number % 2]})
    write_table(tmp_path / "labels.csv", lines)
    kept = looked_at(tmp_path)
    assert {name: count for name, count in found(kept).items() if "near-doubles" in name or "read" in name} == {
        "cases that cannot be read": 1,
        "near-doubles": 1,
        "near-doubles of two patients": 1,
        "near-doubles under two labels": 1,
    }
    group = {one.case.name: at for one, at in zip(kept.seen, kept.groups, strict=True)}
    names = [str(line["SeriesInstanceUID"]) for line in lines]
    assert group[names[0]] != group[names[1]]
    assert group[names[2]] == group[names[3]]


@pytest.mark.parametrize("born", ["", "19000101"])
def test_names_that_were_taken_out_make_nobody_one_patient(folder: Path, born: str) -> None:
    """All are called alike, as after de-identification, with or without one birth date: who has an ID of their own stays somebody else."""
    for number in range(COUNT):
        pixels = spotted(number, not number % 2)
        radiograph(folder / f"{number}.dcm", pixels, number, PatientName="Anonymous", PatientBirthDate=born)
    kept = looked_at(folder)
    assert (len(set(kept.groups)), kept.by_patient) == (COUNT, True)
    assert found(kept) == ({"one name and birth date, more than 3 IDs": 1} if born else {})


def test_a_mistaken_label_is_pointed_at(folder: Path) -> None:
    """Fine spots that somebody called broad: kept, and named."""
    relabelled(folder, 6, "broad")
    (unlikely,) = [one for one in looked_at(folder).questions if one.what == "labels that the image makes unlikely"]
    assert any(uid(6) in case for case in unlikely.cases)


def letters(pixels: np.ndarray) -> np.ndarray:
    """HILUM-like bars at the upper border, as bright as can be."""
    made = pixels.copy()
    for at in range(5):
        made[3:10, 4 + 6 * at : 7 + 6 * at] = 4095
    return made


@pytest.mark.parametrize("by_header", [True, False])
def test_marks_that_go_with_a_label_are_refused(folder: Path, by_header: bool) -> None:
    """Letters on every picture of one class, said by the header or seen in the pixels: a network would read the letters."""
    for number in range(0, COUNT, 2):
        pixels = spotted(number, True)
        said = {"BurnedInAnnotation": "YES"} if by_header else {}
        radiograph(folder / f"{number}.dcm", pixels if by_header else letters(pixels), number, **said)
    table: list[str] = []
    with pytest.raises(UnfitData, match=r"stand in 0 of 12 images with \"broad\" and in 12 of 12 without"):
        looked_at(folder, table.append)
    assert "REFUSED: a label goes with them" in "".join(table)


def test_marks_on_both_sides_are_told(folder: Path) -> None:
    """Two of either class: no label goes with them."""
    for number in range(4):
        radiograph(folder / f"{number}.dcm", letters(spotted(number, not number % 2)), number)
    assert found(looked_at(folder))["marks or text in the image"] == 4


def test_a_class_with_three_patients_is_refused(folder: Path) -> None:
    """One of them would be held out, and none could choose: it is said which class, and what to do."""
    for number in range(3):
        relabelled(folder, number, "rare")
    with_line(folder, "1.2.3", "fine")
    table: list[str] = []
    with pytest.raises(UnfitData, match=r'class "rare" has 3 patients.*at least 10 of each') as said:
        looked_at(folder, table.append)
    assert said.value.code == "HLM-8002"
    assert "no image here has the StudyInstanceUID that it names" in "".join(table), "what was left out is told all the same"


def test_findings_are_each_yes_or_no(folder: Path) -> None:
    """Several columns: each is a finding by itself, both its kinds are needed, and one that has words is refused."""
    lines = [{"SeriesInstanceUID": uid(number), "Fine": number % 2, "SCT:1:Even": number % 4 < 2} for number in range(COUNT)]
    write_table(folder / "labels.csv", [{**line, "SCT:1:Even": "yes" if line["SCT:1:Even"] else "no"} for line in lines])
    table = read_labels(folder / "labels.csv")
    assert (table.exclusive, [code.meaning for code in table.channels]) == (False, ["Fine", "Even"])
    assert table.channels[1].scheme == "SCT"
    assert read_labels(folder / "labels.csv", ["Fine"]).channels == (coded("Fine"),)
    write_table(folder / "labels.csv", [{**line, "Note": "seen"} for line in lines])
    with pytest.raises(UnfitData, match=r'column "Note" is not yes or no.*--target'):
        read_labels(folder / "labels.csv")


def test_a_finding_may_be_written_with_a_point(tmp_path: Path) -> None:
    """As pandas writes a column of 1 and 0 in which a cell is empty: a finding, and no classes "0.0" and "1.0"."""
    (tmp_path / "labels.csv").write_text("SeriesInstanceUID,Mass\n1.2,1.0\n1.3,0.0\n1.4,\n1.5,1\n")
    read = read_labels(tmp_path / "labels.csv")
    assert (read.exclusive, [code.meaning for code in read.channels]) == (False, ["Mass"])
    assert [line.labels for line in read.lines] == [(True,), (False,), (True,)]
    assert read.unlabelled == (4,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Study,Spots\n1,fine\n", "names no case"),
        ("StudyInstanceUID,Spots\n1.2,fine\n1.2,broad\n", "lines 2 and 3 name the same case"),
        ("StudyInstanceUID,Spots\n1.2,fine\n1.3,fine\n", "has 1 classes: nothing could be told apart"),
        ("StudyInstanceUID\n1.2\n", "no column of labels"),
        ("StudyInstanceUID,Spots,Spots\n1.2,a,b\n", 'column "Spots" is there twice'),
        ("StudyInstanceUID,Frame,Spots\n1.2,first,a\n1.3,1,b\n", 'column "Frame" is no number'),
        ("StudyInstanceUID,Spots\n1.2,a b\n1.3,a-b\n", "have one code"),
        ("StudyInstanceUID,Spots\n1.2,Fine spots all over\n1.3,fine spots all over\n", "differ in signs or capitals"),
        ("StudyInstanceUID,SCT:1:Even,SCT:2:Even\n1.2,1,0\n", "have one code or one meaning"),
        ("StudyInstanceUID,Spots\n1.2,fine\n1.3,normal\n1.4,none\n", "none, normal all say that nothing was found"),
        ("StudyInstanceUID,Spots\n1.2,fine\n1.3,broad\\round\n", "a backslash"),
    ],
)
def test_tables_that_say_too_little_are_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "labels.csv").write_text(content, encoding="utf-8")
    with pytest.raises(UnfitData, match=said):
        read_labels(tmp_path / "labels.csv")


def test_tables_of_other_programs(tmp_path: Path) -> None:
    """A column of line numbers without a name, missing values by name, and a note of two lines: none becomes a class or another line."""
    content = ',StudyInstanceUID,Spots,Note\n0,1.2,1,"of two\nlines\u2028or three"\n1,1.3,0,\n2,1.4,nan,\n'
    (tmp_path / "labels.csv").write_text("\ufeff" + content, encoding="utf-8")
    table = read_labels(tmp_path / "labels.csv", ["Spots"])
    assert (table.exclusive, [line.name for line in table.lines], table.unlabelled) == (False, ["1.2", "1.3"], (5,))
    (tmp_path / "labels.csv").write_text(",StudyInstanceUID,Spots\n0,1.2,1\n7,1.3,0\n", encoding="utf-8")
    assert [code.meaning for code in read_labels(tmp_path / "labels.csv").channels] == ["Spots"]


def test_a_column_that_is_not_there_is_refused(made: Path) -> None:
    with pytest.raises(UnfitSetting, match=r"--target Dots: .* has no such column; it has StudyInstanceUID, Spots"):
        read_labels(made / "labels.csv", ["Dots"])


def test_names_become_codes() -> None:
    """A code is taken as it is; a name is its own meaning in a private scheme, and its value fits an element (PS3.5 6.2, SH)."""
    pneumonia = coded("SCT:233604007:Pneumonia")
    assert (pneumonia.scheme, pneumonia.value, pneumonia.meaning) == ("SCT", "233604007", "Pneumonia")
    long = coded("opacity of the lower lobe on the left")
    assert (long.scheme, long.meaning, len(long.value)) == (PRIVATE, "opacity of the lower lobe on the left", 16)
    assert coded("Größe").value != coded("Grösse").value


def test_every_side_has_its_share_of_every_class() -> None:
    """Of ten patients with the rare class and ninety without, two are held out, one chooses and seven train; no patient is on two sides."""
    cases = [
        Case(patient=f"P{number}", name=f"{number} {image}", load=lambda: None, stratum="rare" if number < 10 else "common")
        for number in range(100)
        for image in range(2)
    ]
    for seed in range(5):
        sides = split(cases, seed)
        rare = [len({case.patient for case in side if case.stratum == "rare"}) for side in (sides.train, sides.validation, sides.test)]
        assert rare == [7, 1, 2]
    folds = [split(cases, 0, Fold(number=number, count=5)).test for number in range(1, 6)]
    assert [len({case.patient for case in side if case.stratum == "rare"}) for side in folds] == [2] * 5
    halves = [Case(patient=str(number), name=str(number), load=lambda: None, stratum=str(number % 2)) for number in range(40)]
    assert {case.stratum for case in split(halves, 0, Fold(number=1, count=2)).test} == {"0", "1"}


def test_the_plan_counts_classes_and_sizes(made: Path) -> None:
    """The image keeps its sides, classes of the same size weigh alike; a size that is no image's is refused."""
    table = read_labels(made / "labels.csv")
    studies = tabled(made, table)
    kept = clean(table, studies, print)
    plan = planned(studies, table, kept, kept.seen, Asked(), name="spots", seed=0, digest="")
    assert (plan.window, plan.weights, plan.names) == ((64, 48), (1.0, 1.0), ("broad", "fine"))
    with pytest.raises(UnfitSetting, match="--window 2 64 48: 1 32 32 at least"):
        planned(studies, table, kept, kept.seen, Asked(window=(2, 64, 48)), name="spots", seed=0, digest="")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(labels=("t.csv",), spacing_mm=(1, 1, 1)), "takes --window and no --spacing-mm"),
        (Asked(labels=("t.csv",), name="mr-brain"), "is an application of hilum already"),
        (Asked(), "name it, `--labels FILE.csv`"),
    ],
)
def test_options_that_mean_nothing_here_are_refused_before_anything_is_read(tmp_path: Path, asked: Asked, said: str) -> None:
    """Not after minutes of looking at images."""
    with pytest.raises(UnfitSetting, match=said):
        recipes.begun("classification", tmp_path, tmp_path, 0, asked, print)


def test_a_case_of_two_images_is_told(folder: Path) -> None:
    """Two images in one series: nobody could say which of them the label is about; named one by one, each is a case."""
    dataset = dcmread(folder / "0.dcm")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{uid(0)}.2")
    dataset.save_as(folder / "second.dcm")
    assert "has 2 images: name one by its SOPInstanceUID" in told(looked_at(folder).questions)
    lines = [{"SOPInstanceUID": f"{uid(number)}.1", "Spots": ("fine", "broad")[number % 2]} for number in range(COUNT)]
    write_table(folder / "labels.csv", lines)
    kept = looked_at(folder)
    assert (len(kept.seen), found(kept)) == (COUNT, {})


def test_every_fold_and_trial_is_of_one_look_at_the_images(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each has a plan of its own; a file more in the folder, and it is looked at again."""
    looks: list[TabledStudies] = []

    def look(table: LabelTable, found: TabledStudies, tell: Callable[[str], None]) -> Clean:
        looks.append(found)
        return clean(table, found, tell)

    monkeypatch.setattr(beginning, "clean", look)
    asked = Asked(labels=(str(folder / "labels.csv"),))
    for number in (1, 2):
        KIND.begun(folder, tmp_path / f"fold-{number}", 0, asked, print, Fold(number=number, count=2))
        assert read_plan(tmp_path / f"fold-{number}") is not None
    assert len(looks) == 1
    (folder / "note.txt").write_text("of no image")
    KIND.begun(folder, tmp_path / "run", 0, asked, print, None)
    assert len(looks) == 2


def test_a_file_that_goes_while_the_folder_is_looked_through_stops_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A viewer's lock, a download's partial file: listed, and gone before it is asked for its size."""
    lock, walk = folder / ".lock", os.walk
    lock.touch()

    def going(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for place, folders, names in walk(top):
            lock.unlink(missing_ok=True)
            yield place, folders, names

    monkeypatch.setattr(os, "walk", going)
    KIND.begun(folder, tmp_path / "run", 0, Asked(labels=(str(folder / "labels.csv"),)), print, None)
    assert not lock.exists()
    assert read_plan(tmp_path / "run") is not None
