"""`hilum models import`: what is said of a model has to be about its kind, and tables of codes come in with it."""

import json
from pathlib import Path

from tests.unit.applications.bundle import made
from tests.unit.cli.conftest import Run

TYPE = "SegmentedPropertyTypeCodeSequence"


def test_what_is_said_of_another_kind_is_refused(run: Run, tmp_path: Path) -> None:
    """Before anything is read: whoever says it relies on it."""
    file = tmp_path / "liver.onnx"
    file.touch()
    answer = run(
        "models", "import", str(file), "--name", "liver", "--folds", "0", "--code", "1=none", "--repository", str(tmp_path / "models")
    )
    assert answer.code == 1
    assert "--code, --folds says nothing of a model file" in " ".join(answer.err.split())
    assert not (tmp_path / "models").exists()


def test_what_an_application_has_of_its_own_is_not_said_anew(run: Run, tmp_path: Path) -> None:
    """Its codes, its name and its licence come with it."""
    answer = run("models", "import", "hippocampus", "--licence", "MIT", "--name", "mine", "--repository", str(tmp_path / "models"))
    assert answer.code == 1
    assert "--licence, --name says nothing of the application hippocampus" in " ".join(answer.err.split())
    assert not (tmp_path / "models").exists()


def test_what_cannot_be_measured_is_said_before_anything_is_imported(run: Run, tmp_path: Path) -> None:
    """A word that nobody knows, a number in vain, one that is missing, two sides of nothing, calcium of MR."""
    bundle = made.folder(tmp_path / "a_ct", {"model.ts": made.script(made.bright())})
    words = ("models", "import", str(bundle), "--repository", str(tmp_path / "models"), "--no-tune")
    for measure, said in (
        (("maen",), 'nothing that is measured; did you mean "mean"?'),
        (("volume",), '"volume" is measured anyway'),
        (("mean=3",), '"mean" takes no number'),
        (("share_below",), '"share_below" needs its number, in HU'),
        (("share_below=low",), '"low" is no number'),
        (("asymmetry",), "no structures are the left and the right side of one"),
        (("agatston",), "it declares that the Agatston score is measured, which no MR image has"),
    ):
        answer = run(*words, "--modality", "MR", *(one for each in measure for one in ("--measure", each)))
        assert (answer.code, said in " ".join(answer.err.split())) == (1, True), answer
    assert not (tmp_path / "models").exists()


def test_sides_of_two_pairs_under_one_code_are_not_mixed(run: Run, tmp_path: Path) -> None:
    """As an app.yaml of them is refused: what is said of both sides names their code, and not which pair it is of."""
    names = ("background", "left lung vessel", "right lung vessel", "left vessel", "right vessel")
    meta = made.metadata(outputs={"num_channels": len(names), "channel_def": {str(place): name for place, name in enumerate(names)}})
    bundle = made.folder(tmp_path / "a_ct", {"model.ts": made.script(made.bright())}, meta=meta)
    words = ("models", "import", str(bundle), "--repository", str(tmp_path / "models"), "--no-tune")
    answer = run(*words, "--measure", "asymmetry")
    assert (answer.code, 'two pairs of segments have the code of "Blood vessel"' in " ".join(answer.err.split())) == (1, True), answer
    assert not (tmp_path / "models").exists()


def test_a_table_of_codes(run: Run, tmp_path: Path) -> None:
    """What the labels stand for; without it nothing is imported. What is measured of them is declared at the command line."""
    meta = made.metadata(outputs={"channel_def": {"0": "background", "1": "funny_gland"}})
    bundle = made.folder(tmp_path / "a_ct", {"model.pt": made.state(made.unet())}, meta=meta)
    models = bundle.parent / "models"
    words = ("models", "import", str(bundle), "--repository", str(models), "--licence", "MIT", "--no-tune")
    assert "HLM-4123" in run(*words).err
    table = bundle.parent / "codes.csv"
    table.write_text(f"Structure,{TYPE}.CodingSchemeDesignator,{TYPE}.CodeValue\nfunny gland,SCT,23451007\n")
    assert "HLM-4131" in run(*words, "--codes", str(table)).err
    assert not models.exists()
    table.write_text(
        f"Structure,{TYPE}.CodingSchemeDesignator,{TYPE}.CodeValue,{TYPE}.CodeMeaning\nfunny gland,SCT,23451007,Adrenal gland\n"
    )
    assert run(*words, "--codes", str(table), "--measure", "mean", "--measure", "share_below=-950").code == 0
    (written,) = models.rglob("application.json")
    said = json.loads(written.read_text())
    (structure,) = said["structures"]
    assert [{**one, "segments": None} for one in said["measures"]] == [
        {"name": "Mean", "segments": None},
        {"name": "ShareBelow", "segments": None, "limit": -950.0},
    ]
    assert (structure["label"], structure["type"]["value"]) == ("funny gland", "23451007")
