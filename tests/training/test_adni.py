"""Folders of ADNI as its archive packs them, made: which image each line of its tables means, and what is said of one that is not there."""

from pathlib import Path

import pytest

from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from training import recipes
from training.errors import UnfitData, UnfitSetting
from training.planning import Asked
from training.tabled.adni import of_adni
from training.tabled.labels import read_labels, read_numbers

from .made_raw_folder import write_nifti
from .made_rings import AFFINES, head

HEAD = "Image Data ID,Subject,Group,Sex,Age,Visit,Modality,Description,Type,Acq Date,Format,Downloaded\n"


def place(folder: Path, subject: str, day: str, image: str, description: str = "MP-RAGE") -> Path:
    return folder / "ADNI" / subject / description / f"{day}_08_20_30.0" / image


def dicom(where: Path, number: int, name: str = "slice") -> None:
    """A series; its header knows no patient of ADNI."""
    files = write_series(
        head(number, "T1"),
        AFFINES["T1"],
        where,
        modality="MR",
        patient_id="anonymous",
        patient_name="anonymous",
        study_uid=derive_uid("adni", str(where)),
        series_uid=derive_uid("adni", str(where), "series"),
    )
    for at, file in enumerate(files):
        file.rename(file.with_name(f"{name}_{at}.dcm" if name == "slice" else f"ADNI_MR_{at}_{name}.dcm"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects, one of whom came twice; of one the image's number stands in the files' names alone; one has two images of a day."""
    folder = tmp_path_factory.mktemp("adni")
    dicom(place(folder, "002_S_0295", "2006-04-18", "I13722"), 0)
    dicom(place(folder, "002_S_0295", "2007-05-25", "I45108"), 1)
    dicom(place(folder, "002_S_0413", "2006-05-02", "S13893"), 2, "br_raw_I14437")
    for description, image in (("MPR__GradWarp", "I100"), ("MP-RAGE_REPEAT", "I101")):
        where = place(folder, "005_S_0221", "2006-01-05", image, description)
        where.mkdir(parents=True)
        write_nifti(where / f"ADNI_{image}.nii", head(int(image[1:]), "T1"))
    return folder


def test_a_line_is_an_image_by_its_number(study: Path) -> None:
    """With the number in a folder's name, or in those of the files; its subject is its patient; Sex and Visit are no labels."""
    file = study / "collection.csv"
    lines = (
        "I13722,002_S_0295,CN,M,84,sc,MRI,MP-RAGE,Original,4/18/2006,DCM,",
        "I45108,002_S_0295,CN,M,85,m12,MRI,MP-RAGE,Original,5/25/2007,DCM,",
        "14437,002_S_0413,AD,F,76,sc,MRI,MP-RAGE,Original,5/02/2006,DCM,",
        "I101,005_S_0221,AD,F,68,sc,MRI,MP-RAGE REPEAT,Original,1/05/2006,NiFTI,",
        "I999,002_S_0413,AD,F,76,sc,MRI,MP-RAGE,Original,5/02/2006,DCM,",
    )
    file.write_text(HEAD + "\n".join(lines) + "\n")
    table = read_labels(file)
    assert [code.meaning for code in table.channels] == ["AD", "CN"]
    found = of_adni(study, table, "MR")
    assert [(case.name, case.patient) for case in found.cases] == [
        ("I13722", "002_S_0295"),
        ("I45108", "002_S_0295"),
        ("I14437", "002_S_0413"),
        ("I101", "005_S_0221"),
    ]
    assert found.lost == ("line 6: I999 is not here",)
    assert found.unlabelled == ("005_S_0221 2006-01-05 MPR__GradWarp",)
    subjects = [case.subject() for case in found.cases]
    assert [int(one.voxels.sum()) for one in subjects if isinstance(one, Volume)] == [int(head(at, "T1").sum()) for at in (0, 1, 2, 101)]
    with pytest.raises(UnfitSetting, match="does not say what it is an image of"):
        of_adni(study, table, None)


def test_a_line_is_a_visit_by_subject_and_day(study: Path) -> None:
    """The diagnosis of the visit is learned before that of the enrolment; a day without an image and a visit with two are told."""
    file = study / "visits.csv"
    file.write_text(
        "PTID,VISCODE,EXAMDATE,DX,Group,MMSE\n002_S_0295,bl,2006-04-18,CN,AD,28\n002_S_0413,bl,2006-05-03,MCI,AD,27\n"
        "005_S_0221,bl,2006-01-05,MCI,AD,25\n002_S_0295,m12,2007-05-25,MCI,AD,26\n002_S_0295,m24,,MCI,AD,26\n"
    )
    found = of_adni(study, read_labels(file), None)
    assert [(case.name, case.labels) for case in found.cases] == [
        ("002_S_0295 2006-04-18", (True, False)),
        ("002_S_0295 2007-05-25", (False, True)),
    ]
    assert found.lost == (
        "line 3: 002_S_0413 2006-05-03 is not here; images of this subject are of 2006-05-02",
        "line 4: 005_S_0221 2006-01-05 has MP-RAGE_REPEAT, MPR__GradWarp: name each in a column Image Data ID",
        "line 6: it names no image",
    )
    file.write_text("PTID,EXAMDATE,Age (a)\n002_S_0295,2006-04-18,84.8\n002_S_0413,2006-05-02,76.3\n")
    assert [line.labels for line in read_numbers(file).lines] == [(84.8,), (76.3,)]


def test_what_is_no_such_folder_or_day_is_said(study: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Image Data ID,Subject,Group\nI1,002_S_0295,AD\nI2,002_S_0413,CN\n")
    table = read_labels(tmp_path / "t.csv")
    with pytest.raises(UnfitData, match="has no folder of a subject"):
        of_adni(tmp_path, table, None)
    with pytest.raises(UnfitData, match="none of 2 lines names an image"):
        of_adni(study, table, None)
    (tmp_path / "t.csv").write_text("PTID,EXAMDATE,DX\n002_S_0295,18.4.2006,AD\n002_S_0413,2.5.2006,CN\n")
    with pytest.raises(UnfitData, match=r'"18\.4\.2006" is no day'):
        read_labels(tmp_path / "t.csv")


def test_a_run_is_planned_from_a_download(tmp_path: Path) -> None:
    """By subject: both visits of one stand on one side."""
    lines = []
    for number in range(20):
        subject, group = f"002_S_{number:04}", ("CN", "AD")[number % 2]
        for visit, day in enumerate(("2006-04-18", "2007-04-20")):
            image = f"I{10 * number + visit}"
            where = place(tmp_path, subject, day, image)
            where.mkdir(parents=True)
            write_nifti(where / f"ADNI_{image}.nii", head(4 * number + 2 * visit + number % 2, "T1"))
            lines.append(f"{image},{subject},{group},M,70,sc,MRI,MP-RAGE,Original,{day},NiFTI,")
    (tmp_path / "collection.csv").write_text(HEAD + "\n".join(lines) + "\n")
    told: list[str] = []
    asked = Asked(name="dementia", labels=(str(tmp_path / "collection.csv"),), modality="MR", window=(8, 16, 16))
    recipe = recipes.begun("classification", tmp_path, tmp_path / "run", 0, asked, told.append)
    assert told[-1].startswith("40 cases of 20 patients, MR: one of 2 classes")
    sides = recipe.sides(tmp_path, 0)
    assert sum(len({case.patient for case in side}) for side in (sides.train, sides.validation, sides.test)) == 20
