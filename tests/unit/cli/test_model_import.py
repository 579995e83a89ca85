"""`hilum models import`: what is said of a model has to be about its kind, and tables of codes come in with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from inference.applications.bundle.manifest import application_of, from_text
from inference.applications.bundle.nnunet import importing as nnunet_importing
from inference.applications.bundle.nnunet.checkpoint import Checkpoint
from inference.applications.port import LocationOutput, MeasurementOutput
from inference.engines.file_import import ModelFile, Source
from inference.engines.port import ModelRef
from inference.engines.repository import Entry
from inference.imaging.write_series import write_series
from tests.unit.applications.bundle import made
from tests.unit.applications.bundle.nnunet_plans import dataset, plans
from tests.unit.cli.conftest import Run

_ENTRY = Entry(file="model.onnx", sha256="", source_sha256="", source="", licence="MIT", attribution="", format="ONNX")
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
        (("asymmetry",), "no segments are the left and the right side of one structure"),
        (("muscle_area=L9",), '"muscle_area" needs its vertebra, one from C1 to C7'),
        (("muscle_area=L3",), "--measure muscle_area: no segment is the vertebra L3"),
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


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, bytes]]:
    """What imports of nnU-Nets write beside their weights, which are neither read nor converted: that takes seconds."""
    beside: list[Mapping[str, bytes]] = []

    def import_weights(
        source: Source, said: ModelFile, repository: Path, files: Mapping[str, bytes] = MappingProxyType({})
    ) -> tuple[ModelRef, Entry]:
        beside.append(files)
        return ModelRef(name=said.name, version=1), _ENTRY

    def read_checkpoint(content: bytes, where: str) -> Checkpoint:
        return Checkpoint(weights={}, trainer="nnUNetTrainer", configuration=content.decode(), mirrored=(), numbers=0)

    def converted(of: object, name: str, *_: object, **__: object) -> tuple[Source, ModelFile]:
        source = Source(file="model.onnx", weights=b"", published_sha256="", where="here")
        return source, ModelFile(name=name, version=1, licence="MIT", attribution="")

    for name, stands_in in (("import_weights", import_weights), ("read_checkpoint", read_checkpoint), ("_converted", converted)):
        monkeypatch.setattr(nnunet_importing, name, stands_in)
    return beside


def test_what_is_measured_of_an_nnunet(run: Run, tmp_path: Path, written: list[Mapping[str, bytes]]) -> None:
    """Of each of its labels, and of both sides, as of a bundle's; what is said twice counts once. Calcium of MR is refused before the
    coarser network of a cascade is written."""
    labels = {"left kidney": 1, "right kidney": 2, "spleen": 3}
    for configuration in ("3d_lowres", "3d_cascade_fullres"):
        folder = tmp_path / "Dataset321_Made" / f"nnUNetTrainer__nnUNetPlans__{configuration}"
        (folder / "fold_0").mkdir(parents=True)
        (folder / "plans.json").write_text(json.dumps(plans(coarser=(2.0, 2.0, 2.0))))
        (folder / "dataset.json").write_text(json.dumps(dataset() | {"labels": {"background": 0, **labels}}))
        (folder / "fold_0" / "checkpoint_final.pth").write_text(configuration)
    path = str(tmp_path / "Dataset321_Made")
    asked = ("models", "import", path, "--configuration", "3d_cascade_fullres", "--orientation", "LPS", "--no-tune")
    words = (*asked, "--repository", str(tmp_path / "models"))
    refused = run(*words, "--measure", "agatston")
    assert "it declares that the Agatston score is measured, which no MR image has" in " ".join(refused.err.split())
    assert written == []
    run(*words, "--measure", "mean", "--measure", "asymmetry", "--measure", "mean")
    coarser, finer = written
    assert (dict(coarser), json.loads(finer["application.json"])["measures"]) == (
        {},
        [{"name": "Mean", "segments": [*labels]}, {"name": "Asymmetry", "segments": ["left kidney", "right kidney"]}],
    )


def test_muscle_at_a_vertebra_is_measured_of_what_is_muscle(run: Run, tmp_path: Path, written: list[Mapping[str, bytes]]) -> None:
    """The codes tell which labels are: the iliopsoas, and not the liver; and which is the vertebra. Points are declared of every label."""
    labels = {"vertebrae_L3": 1, "iliopsoas_left": 2, "liver": 3, "iliopsoas_right": 4}
    folder = tmp_path / "Dataset321_Made" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans()))
    said = dataset() | {"channel_names": {"0": "CT"}, "labels": {"background": 0, **labels}}
    (folder / "dataset.json").write_text(json.dumps(said))
    (folder / "fold_0" / "checkpoint_final.pth").write_text("3d_fullres")
    asked = ("--orientation", "LPS", "--no-tune", "--repository", str(tmp_path / "models"))
    run("models", "import", str(folder), *asked, "--measure", "muscle_area=L3", "--measure", "centroid")
    (files,) = written
    centroids, muscle = json.loads(files["application.json"])["measures"]
    assert centroids == {"name": "Centroid", "segments": ["vertebrae L3", "iliopsoas left", "liver", "iliopsoas right"]}
    muscles = ["iliopsoas left", "iliopsoas right"]
    assert muscle == {"name": "MuscleArea", "segments": muscles, "vertebra": "vertebrae L3", "level": "L3"}
    outputs = application_of(from_text(files["application.json"], "application.json")).outputs
    assert {one.finding.meaning for one in outputs if isinstance(one, LocationOutput)} == {"L3 vertebra", "Iliopsoas muscle", "Liver"}
    assert "MUSCLE-AREA-L3" in {one.name.value for one in outputs if isinstance(one, MeasurementOutput)}


def test_explain_says_what_an_imported_model_would_measure(run: Run, place: Path) -> None:
    """Declared at the import; of a native CT at 100 kV the mean, and no score, with its reason: for people and for scripts."""
    bundle = made.folder(place / "a_ct", {"model.ts": made.script(made.bright())}, meta=made.metadata())
    measure = ("--measure", "mean", "--measure", "agatston")
    imported = run("models", "import", str(bundle), "--repository", str(place / "models"), "--no-tune", "--licence", "MIT", *measure)
    assert imported.code == 0, imported.err
    (name,) = (json.loads(path.read_text())["name"] for path in (place / "models").rglob("application.json"))
    (place / "hilum.yaml").write_text(
        "node: {ae_title: HILUM, listen: '127.0.0.1:0'}\nmodels: {repository: models}\nsinks: {copies: {kind: folder, path: out}}\n"
        f"routes: [{{name: all, run: [{name}], send: [copies]}}]\n"
    )
    affine = np.diag([3.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    write_series(np.zeros((40, 128, 128), np.int16), affine, place / "study", modality="CT", extra={"KVP": "100", "SliceThickness": "3"})
    answer = run("routes", "explain", "study", "--json")
    assert answer.code == 0, answer
    (route,) = answer.json["routes"]
    (series,) = route["series"]
    (application,) = series["applications"]
    assert application["measures"] == [
        {"measure": "the mean value", "answer": "measured", "reason": ""},
        {"measure": "the Agatston score", "answer": "not measured", "reason": "the tube voltage is 100 kV, not 120 kV"},
    ], application
    told = " ".join(run("routes", "explain", "study").out.split())
    assert f"{name} measures the mean value" in told
    assert f"{name} does not measure the Agatston score, because the tube voltage is 100 kV, not 120 kV" in told
