"""Tables that name files: how each kind is read, whose it is, and what is said of a line whose file is missing, doubled or unreadable."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.imaging.subject import Images
from inference.imaging.volume import Volume
from training import recipes
from training.data.pictures import read_picture
from training.errors import UnfitData, UnfitSetting
from training.planning import Asked
from training.tabled.files import filed
from training.tabled.labels import read_labels, read_numbers
from training.tabled.studies import TabledStudies, image_of

from .labelled_radiographs import radiograph, spotted, write_table
from .made_raw_folder import write_nifti
from .studies import thorax

COUNT = 24


def pictures(folder: Path, count: int) -> Path:
    """`count` PNGs in a folder of their own, and table.csv beside it: two pictures of each patient, fine spots or broad ones."""
    (folder / "films").mkdir(parents=True)
    lines = []
    for number in range(count):
        Image.fromarray((spotted(number, not number % 2) // 16).astype(np.uint8)).save(folder / "films" / f"{number}.png")
        lines.append({"Image Path": f"{number}.png", "patient": f"P{number // 2}", "Spots": ("fine", "broad")[number % 2]})
    write_table(folder / "table.csv", lines)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("made") / "data", 6)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A folder of one's own to spoil."""
    return Path(shutil.copytree(made, tmp_path / "data"))


def found_in(folder: Path, modality: str | None = "DX") -> TabledStudies:
    return filed(folder / "films", read_labels(folder / "table.csv"), modality)


def table(folder: Path, *lines: str) -> None:
    (folder / "table.csv").write_text("\n".join(("path,subject_id,Spots", *lines)) + "\n", encoding="utf-8")


def test_every_line_has_its_file_and_its_patient(made: Path) -> None:
    """The column of files and that of patients are no labels; pixels are those that the file's writer gave it."""
    read = read_labels(made / "table.csv")
    assert [code.meaning for code in read.channels] == ["broad", "fine"]
    found = filed(made / "films", read, "DX")
    assert [(case.name, case.patient) for case in found.cases][:3] == [("0.png", "P0"), ("1.png", "P0"), ("2.png", "P1")]
    assert (found.lost, found.unlabelled, found.modalities) == ((), (), ("DX",))
    subject, image = image_of(found.cases[3])
    assert isinstance(subject, Images)
    np.testing.assert_array_equal(image.values[0], spotted(3, False) // 16)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("9.png,P9,fine", "line 4: 9.png is not in"),
        ("sub/../1.png,P9,fine", "line 4: sub/../1.png is what line 3 names, too"),
        ("../table.csv,P9,fine", 'line 4: "../table.csv" lies outside of'),
        ("/etc/hostname,P9,fine", 'line 4: "/etc/hostname" lies outside of'),
        (",P9,fine", "line 4: it names no file"),
        (f"{300 * 'long'},P9,fine", "line 4: longlong"),
        ("notes.txt,P9,fine", "line 4: notes.txt is no image that is read here"),
        ("empty,P9,fine", "line 4: empty is an empty folder"),
    ],
)
def test_a_line_without_an_image_is_told(folder: Path, line: str, said: str) -> None:
    """By its number; all others are learned from, and pictures that no line names are told."""
    (folder / "films" / "notes.txt").write_text("no image")
    (folder / "films" / "empty").mkdir()
    table(folder, "0.png,P0,fine", "1.png,P0,broad", line)
    found = found_in(folder)
    assert [case.name for case in found.cases] == ["0.png", "1.png"]
    assert len(found.lost) == 1
    assert said in found.lost[0]
    assert found.unlabelled == ("2.png", "3.png", "4.png", "5.png")


@pytest.mark.parametrize("place", [".", "../films", "sub/.."])
def test_a_folder_that_is_named_from_where_one_stands_is_the_same(folder: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files may be named by their whole paths, what lies beside the folder lies outside, and what lines name is not told as unnamed."""
    films = folder / "films"
    (films / "sub").mkdir()
    monkeypatch.chdir(films)
    table(folder, f"{films}/0.png,P0,fine", "1.png,P0,broad", "../table.csv,P9,fine")
    found = filed(Path(place), read_labels(folder / "table.csv"), "DX")
    assert [case.files for case in found.cases] == [(films / "0.png",), (films / "1.png",)]
    assert found.lost == (f'line 4: "../table.csv" lies outside of {films}: name files below it',)
    assert found.unlabelled == ("2.png", "3.png", "4.png", "5.png")


def test_endings_may_be_left_out(folder: Path) -> None:
    """Where one file alone is called so."""
    Image.new("L", (8, 8)).save(folder / "films" / "1.jpg")
    table(folder, "0,P0,fine", "1,P0,broad")
    found = found_in(folder)
    assert [case.files[0].name for case in found.cases] == ["0.png"]
    assert found.lost == ("line 3: 1 may be any of 2 files: write its ending",)


def test_folders_may_be_left_out_and_files_be_called_as_their_patients(folder: Path) -> None:
    """As public sets have it: id_code and Image Index name files of a folder below, patientId the file itself; of two it is asked which."""
    for place in ("train", "test"):
        (folder / "films" / place).mkdir()
    Image.new("L", (8, 8), 1).save(folder / "films" / "train" / "a1.png")
    Image.new("L", (8, 8), 2).save(folder / "films" / "test" / "a2.png")
    for place in ("train", "test"):
        Image.new("L", (8, 8), 3).save(folder / "films" / place / "a3.png")
    for column in ("id_code", "Image Index", "patientId"):
        (folder / "table.csv").write_text(f"{column},Spots\na1,fine\na2.png,broad\na3,broad\ntrain/a3,broad\n")
        found = found_in(folder)
        assert [str(case.files[0].relative_to(folder / "films")) for case in found.cases] == ["train/a1.png", "test/a2.png", "train/a3.png"]
        assert found.lost == ("line 4: a3 may be any of 2 files: write its folder",)
        assert {case.patient for case in found.cases} == ({"a1", "a2.png", "train/a3"} if column == "patientId" else {""})


def test_tables_that_name_a_case_twice_are_refused(folder: Path) -> None:
    """One file on two lines, or two columns of files or of patients."""
    table(folder, "0.png,P0,fine", "0.png,P0,broad")
    with pytest.raises(UnfitData, match="lines 2 and 3 name the same case"):
        found_in(folder)
    for columns in ("path,file,Spots", "path,subject,patient"):
        (folder / "table.csv").write_text(f"{columns}\na,b,c\nd,e,f\n")
        with pytest.raises(UnfitData, match="all name one thing: take all but one out"):
            found_in(folder)


def grey(path: Path) -> None:
    values = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48) * 20
    Image.fromarray(values).save(path.with_suffix(".tif"))


def colours(path: Path) -> None:
    Image.fromarray(np.arange(64 * 48 * 3).reshape(64, 48, 3).astype(np.uint8)).save(path)


def copied(path: Path) -> None:
    Image.fromarray(np.arange(64 * 48).reshape(64, 48).astype(np.uint8)).convert("RGBA").save(path)


@pytest.mark.parametrize(
    ("write", "shape", "kind"), [(grey, (64, 48), "uint16"), (colours, (64, 48, 3), "uint8"), (copied, (64, 48), "uint8")]
)
def test_pictures_keep_their_depth_and_colours(tmp_path: Path, write: Callable[[Path], None], shape: tuple[int, ...], kind: str) -> None:
    """16 bits stay 16, colours stay colours, and three that are alike are one."""
    write(tmp_path / "one.png")
    (path,) = tmp_path.iterdir()
    pixels = read_picture(path, "OP").images[0].pixels
    assert (pixels.shape, str(pixels.dtype)) == (shape, kind)


def several(path: Path) -> None:
    first = Image.new("L", (8, 8))
    first.save(path.with_suffix(".tif"), save_all=True, append_images=[Image.new("L", (8, 8), 9)])


def cut(path: Path) -> None:
    Image.fromarray(spotted(1, True).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:300])


def even(path: Path) -> None:
    Image.new("L", (8, 8), 7).save(path)


@pytest.mark.parametrize(
    ("write", "said"), [(several, "holds 2 pictures"), (cut, "cannot be read as a picture"), (even, "has one value everywhere")]
)
def test_a_picture_that_cannot_be_learned_from_is_named(tmp_path: Path, write: Callable[[Path], None], said: str) -> None:
    write(tmp_path / "one.png")
    (path,) = tmp_path.iterdir()
    with pytest.raises(UnfitData, match=said):
        read_picture(path, "DX")


def test_volumes_and_dicom_files_are_named_too(tmp_path: Path) -> None:
    """A NIfTI file is a volume; of a DICOM file modality and patient stand in its header, where no column says whose it is."""
    (tmp_path / "films").mkdir()
    voxels, _ = thorax(0)
    write_nifti(tmp_path / "films" / "a.nii.gz", voxels)
    table(tmp_path, "a.nii.gz,P1,fine", "a,P2,broad")
    (case,) = found_in(tmp_path, "CT").cases
    subject, _ = image_of(case)
    assert isinstance(subject, Volume)
    assert (subject.modality, int(subject.voxels.sum())) == ("CT", int(voxels.sum()))
    for number in range(2):
        radiograph(tmp_path / "films" / f"{number}.dcm", spotted(number, True), number)
    (tmp_path / "table.csv").write_text("file,Spots\n0.dcm,fine\n1.dcm,broad\n")
    found = found_in(tmp_path, None)
    assert [(case.patient.partition("\\")[0], case.modality) for case in found.cases] == [("P000", "DX"), ("P001", "DX")]
    # a folder that somebody looked into on another system
    (tmp_path / "films" / "series").mkdir()
    (tmp_path / "films" / "series" / ".DS_Store").write_bytes(b"Bud1")
    radiograph(tmp_path / "films" / "series" / "2.dcm", spotted(2, True), 2)
    (tmp_path / "table.csv").write_text("file,Spots\nseries,fine\n1.dcm,broad\n")
    assert [case.files[-1].name for case in found_in(tmp_path, None).cases] == ["2.dcm", "1.dcm"]


@pytest.mark.parametrize(
    ("modality", "said"),
    [
        (None, "0.png does not say what it is an image of: say it, `--modality` CR, DX"),
        ("CT", "--modality CT, and 0.png is a file of single images"),
        ("SEG", "--modality SEG is none that is learned here"),
    ],
)
def test_what_pictures_are_images_of_is_asked(made: Path, modality: str | None, said: str) -> None:
    """They do not say it, and a route has to."""
    with pytest.raises(UnfitSetting) as refused:
        found_in(made, modality)
    assert said in str(refused.value)


def test_numbers_of_files(tmp_path: Path) -> None:
    """Columns with a unit are learned, those of files and patients are not."""
    (tmp_path / "table.csv").write_text("image,patient,Age (a)\n0.png,P0,31\n1.png,P1,32\n")
    read = read_numbers(tmp_path / "table.csv")
    assert [(line.name, line.patient, line.labels) for line in read.lines] == [("0.png", "P0", (31.0,)), ("1.png", "P1", (32.0,))]


def test_a_run_is_planned_from_files_and_goes_on(tmp_path: Path) -> None:
    """What is looked for before the first step is looked for here, too: a double stands in the table; the same cases are found again."""
    folder = pictures(tmp_path / "data", COUNT)
    shutil.copy(folder / "films" / "0.png", folder / "films" / "2.png")
    (folder / "films" / "4.png").write_bytes(b"no picture")
    with (folder / "table.csv").open("a") as more:
        more.write("100.png,P100,fine\n")
    told: list[str] = []
    asked = Asked(name="spots", labels=(str(folder / "table.csv"),), modality="dx")
    first = recipes.begun("classification", folder / "films", tmp_path / "run", 0, asked, told.append)
    looked, plan = told
    assert f"line {COUNT + 2}: 100.png is not in" in looked
    assert "line 6, 4.png: " in looked
    assert "0.png = 2.png" in looked
    # two of 24 pictures are out, and the double's patients are one
    assert plan.startswith("22 cases of 11 patients, DX: one of 2 classes")
    again = recipes.begun("classification", folder / "films", tmp_path / "run", 0, asked, told.append)
    assert len(told) == 2, "planned once"
    assert [case.name for case in again.sides(folder, 0).test] == [case.name for case in first.sides(folder, 0).test]
    assert "images and a table of one's own" in again.data.name
