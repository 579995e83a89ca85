"""Tables of participants beside a BIDS folder: whose image each line means, which image, and what is said of a line that has none."""

import json
from pathlib import Path

import numpy as np
import pytest

from inference.imaging.volume import Volume
from training import recipes
from training.data.outlined import ONE, Roles
from training.errors import UnfitData, UnfitSetting
from training.planning import Asked
from training.tabled.labels import read_labels, read_numbers
from training.tabled.participants import of_participants

from .made_heads_of_brats import bids_folder, head
from .made_raw_folder import write_nifti

VISITS = {"sub-01": ("ses-1", "ses-2"), "sub-02": ("",), "sub-03": ("",)}
SAID = "participant_id\tage\tgroup\tsex\nsub-01\t61\tpatient\tF\n02\t48\tcontrol\tM\nsub-03\tn/a\tn/a\tF\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bids_folder(tmp_path / "study", VISITS, SAID)


def test_all_visits_of_a_participant_have_its_class(folder: Path) -> None:
    """A visit is a case of its subject, by the image that is named; "n/a" is no label; sex is known of a case, its class is no group."""
    table = read_labels(folder / "participants.tsv", ("group",))
    assert [code.meaning for code in table.channels] == ["control", "patient"]
    assert table.unlabelled == (4,)
    found = of_participants(folder, table, None, Roles(names=("T1w",)))
    assert [(case.name, case.patient, case.labels) for case in found.cases] == [
        ("sub-01_ses-1", "sub-01", (False, True)),
        ("sub-01_ses-2", "sub-01", (False, True)),
        ("sub-02", "sub-02", (True, False)),
    ]
    assert found.unlabelled == ("sub-03",)
    assert found.modalities == ("MR",)
    assert found.cases[0].attributes == {"sex": "F", "age": "61"}
    subject = found.cases[1].subject()
    assert isinstance(subject, Volume)
    np.testing.assert_array_equal(subject.voxels, head(1)[0]["t1"])


def test_numbers_are_of_one_visit_and_have_their_unit_beside_the_table(folder: Path) -> None:
    """Units of participants.json are read, in words too; where a participant came twice, a line says which visit it is about."""
    with pytest.raises(UnfitData, match='column "age" has no unit'):
        read_numbers(folder / "participants.tsv", ("age",))
    (folder / "participants.json").write_text(json.dumps({"age": {"Description": "at the visit", "Units": "years"}, "sex": {}}))
    table = read_numbers(folder / "participants.tsv", ("age",))
    assert [(line.name, line.labels) for line in table.lines] == [("sub-01", (61.0,)), ("sub-02", (48.0,))]
    assert table.units[0].value == "a"
    found = of_participants(folder, table, None, Roles(names=("T1w",)))
    assert [case.name for case in found.cases] == ["sub-02"]
    assert found.lost == ("line 2: sub-01 has the sessions ses-1, ses-2: a column session_id says which",)
    (folder / "visits.tsv").write_text("participant_id\tsession_id\tage (a)\nsub-01\tses-2\t62\nsub-01\t1\t61\nsub-02\t\t48\n")
    found = of_participants(folder, read_numbers(folder / "visits.tsv"), None, Roles(names=("FLAIR",)))
    assert [(case.name, case.labels) for case in found.cases] == [("sub-01_ses-2", (62.0,)), ("sub-01_ses-1", (61.0,)), ("sub-02", (48.0,))]
    (folder / "participants.json").write_text("[1")
    with pytest.raises(UnfitData, match=r"participants\.json is no description of the columns"):
        read_numbers(folder / "participants.tsv", ("age",))


def test_lines_without_an_image_are_told(folder: Path) -> None:
    """A participant or a session that is not there, an image that a visit lacks, a visit that two lines name."""
    (folder / "sub-02" / "anat" / "sub-02_T1w.nii.gz").unlink()
    lines = ("sub-01\t1\tpatient", "sub-01\t7\tpatient", "sub-01\t\tcontrol", "sub-02\t\tcontrol", "sub-09\t\tcontrol")
    (folder / "visits.tsv").write_text("\n".join(("participant_id\tsession_id\tgroup", *lines)) + "\n")
    found = of_participants(folder, read_labels(folder / "visits.tsv"), None, Roles(names=("T1w",)))
    assert [case.name for case in found.cases] == ["sub-01_ses-1", "sub-01_ses-2"]
    assert [one.partition(" in ")[0] for one in found.lost] == [
        "line 3: sub-01, session 7, has no image",
        "line 4: sub-01_ses-1 is what line 2 names, too",
        "line 5: sub-02: it has no T1w; it has FLAIR",
        "line 6: sub-09 has no image",
    ]


def test_which_image_is_asked_where_visits_have_several(folder: Path, tmp_path: Path) -> None:
    """And what cannot be is refused: several images of a visit, a modality beside one, a folder that is no BIDS folder."""
    table = read_labels(folder / "participants.tsv", ("group",))
    with pytest.raises(UnfitData, match="all visits have FLAIR, T1w: say which is learned from, `--roles`"):
        of_participants(folder, table, None, ONE)
    with pytest.raises(UnfitSetting, match="--optional T1w: it is one of --roles T1w FLAIR, and not the first"):
        of_participants(folder, table, None, Roles(names=("T1w", "FLAIR"), optional=("T1w",)))
    with pytest.raises(UnfitSetting, match="which says it itself"):
        of_participants(folder, table, "MR", Roles(names=("T1w",)))
    with pytest.raises(UnfitData, match="is no BIDS folder: it has no dataset_description"):
        of_participants(tmp_path, table, None, ONE)


def test_a_run_is_planned_from_participants_and_goes_on(tmp_path: Path) -> None:
    """By subject, all visits of one on one side; the only image of all visits is learned from; roles of other tables are refused."""
    study = tmp_path / "study"
    study.mkdir()
    (study / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.9.0"}')
    lines, rng = ["participant_id\tgroup"], np.random.default_rng(1)
    for number in range(20):
        lines.append(f"sub-{number:02}\t{('control', 'patient')[number % 2]}")
        for session in ("ses-a", "ses-b"):
            place = study / f"sub-{number:02}" / session / "anat"
            place.mkdir(parents=True)
            voxels = rng.integers(0, 200 + 300 * (number % 2), (16, 20, 18)).astype(np.int16)
            write_nifti(place / f"sub-{number:02}_{session}_T1w.nii.gz", voxels)
    (study / "participants.tsv").write_text("\n".join(lines) + "\n")
    told: list[str] = []
    asked = Asked(name="groups", labels=(str(study / "participants.tsv"),))
    recipe = recipes.begun("classification", study, tmp_path / "run", 0, asked, told.append)
    assert told[-1].startswith("40 cases of 20 patients, MR: one of 2 classes, control × 1, patient × 1;")
    assert told[-1].endswith("split by patient")
    again = recipes.begun("classification", study, tmp_path / "run", 0, asked, told.append)
    sides = again.sides(study, 0)
    assert len(told) == 2, "planned once"
    assert [case.name for case in sides.test] == [case.name for case in recipe.sides(study, 0).test]
    patients = [{case.patient for case in side} for side in (sides.train, sides.validation, sides.test)]
    assert sum(map(len, patients)) == 20
    (study / "files.csv").write_text("path,group\nsub-00,control\nsub-01,patient\n")
    with pytest.raises(UnfitSetting, match="--roles T1w: the table names the images themselves"):
        recipes.begun(
            "classification", study, tmp_path / "other", 0, Asked(labels=(str(study / "files.csv"),), roles=("T1w",)), told.append
        )
