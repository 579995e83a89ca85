"""The breast ultrasound recipe on made images: what is left out, what stands together, calipers; trained, judged, served."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from inference import codes
from inference.applications.bundle.manifest import FILE, prepared
from inference.applications.declared import check_outputs
from inference.applications.occluding import OCCLUSION
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.imaging.resample import Interpolation
from inference.imaging.subject import Images
from training import recipes
from training.data.breast_ultrasounds import MARKS, breast_ultrasounds, has_calipers
from training.data.cases import Case, Split
from training.errors import UnfitData, UnfitSetting
from training.explaining.gate import LEAST, Explained, Verdict
from training.explaining.methods import LIME, LogOdds, Method, SeenImage
from training.export import export
from training.infer import EngineInfer
from training.planning import Asked
from training.progress import Silent
from training.ranks import Ranks
from training.recipe import EvaluationOptions
from training.recipes.breast_ultrasound import MALIGNANT, WHOLE, Coloured, of_run

COLUMNS = ("file", "class", "number", "channels", "near_duplicate_group")


def ultrasounds(folder: Path, count: int = 36) -> Path:
    """Speckle with a dark disc (benign) or a dark star (malignant), calipers in every third; groups of two and a mixed one, normal ones."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96].astype(np.float64)
    rows = []
    for at in range(count):
        kind = ("benign", "malignant", "normal")[2 if at % 9 == 8 else at % 2]
        row, column = 48 + rng.uniform(-10, 10, 2)
        far, turn = np.hypot(y - row, x - column), np.arctan2(y - row, x - column)
        radius = {"benign": 16.0, "malignant": 16 + 7 * np.sin(9 * turn), "normal": 0.0}[kind]
        picture = np.where(far < radius, 30.0, 110.0) + rng.normal(0, 12, far.shape)
        if at % 3 == 0:
            cross(picture, int(row), int(column) + 20)
        file = f"{kind}/{kind}_{at:03}.png"
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / file)
        # the first two are of two classes; further pairs of one class each
        group = "1" if at < 2 else str(2 + at % 2) if at < 6 else ""
        rows.append({"file": file, "class": kind, "number": at, "channels": "grey", "near_duplicate_group": group})
    listed(folder, rows)
    return folder


def listed(folder: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> None:
    with (folder / "images.csv").open("w", encoding="utf-8", newline="") as opened:
        table = csv.DictWriter(opened, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def cross(picture: np.ndarray[Any, Any], row: int, column: int) -> None:
    picture[row - 3 : row + 4, column] = 250
    picture[row, column - 3 : column + 4] = 250


def test_mixed_groups_and_normal_images_are_left_out_and_groups_stand_together(tmp_path: Path) -> None:
    """Of 36 images four are normal and two of one group with two classes; pairs of a group stand for one patient."""
    cases = breast_ultrasounds(ultrasounds(tmp_path))
    assert len(cases) == 36 - 4 - 2
    assert not any("normal" in case.name or case.name.endswith(("_000.png", "_001.png")) for case in cases)
    assert [case.patient for case in cases[:4]] == ["group 2", "group 3", "group 2", "group 3"]
    assert len({case.patient for case in cases}) == len(cases) - 2
    assert {case.stratum: case.labels for case in cases} == {"benign": (1.0, 0.0), "malignant": (0.0, 1.0)}


def test_calipers_are_told_from_speckle(tmp_path: Path) -> None:
    """A cross on any ground is found; a disc, a line, speckle, and the maker's sign in the top rows are none."""
    cases = breast_ultrasounds(ultrasounds(tmp_path))
    for case in cases:
        loaded: Any = case.load()
        drawn = int(case.name[-7:-4]) % 3 == 0
        assert loaded.attributes == {MARKS: "calipers or colour" if drawn else "none found"}, case.name
    plain = np.full((64, 64), 90.0)
    assert not has_calipers(plain)
    line, top = plain.copy(), plain.copy()
    line[30] = 250
    cross(top, 8, 8)
    assert not has_calipers(line)
    assert not has_calipers(top)


def test_a_folder_that_is_no_such_set_is_refused(tmp_path: Path) -> None:
    """No table, no column, an image that is not there, one class only: a sentence each."""
    with pytest.raises(UnfitData, match=r"images\.csv is no table that can be read"):
        breast_ultrasounds(tmp_path)
    rows = [{"file": "benign/a.png", "class": "benign", "channels": "grey", "near_duplicate_group": ""}]
    listed(tmp_path, rows, COLUMNS[:2])
    with pytest.raises(UnfitData, match="has no column channels and no near_duplicate_group"):
        breast_ultrasounds(tmp_path)
    listed(tmp_path, rows)
    with pytest.raises(UnfitData, match=r"1 images that .* names are not there: .*Unpack"):
        breast_ultrasounds(tmp_path)
    (tmp_path / "benign").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "benign" / "a.png")
    with pytest.raises(UnfitData, match="no images of both kinds"):
        breast_ultrasounds(tmp_path)


def test_it_takes_no_settings_of_recipes_for_own_data(tmp_path: Path) -> None:
    with pytest.raises(UnfitSetting, match='recipe "breast-ultrasound" is for one kind of data, and takes no modality'):
        recipes.begun("breast-ultrasound", tmp_path, tmp_path, 0, Asked(modality="US"), print)


RECIPE = replace(WHOLE, network=partial(Coloured, False), averaged=0.0)
"""From scratch."""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return RECIPE.sides(ultrasounds(tmp_path_factory.mktemp("data"), 54), 0)


@pytest.fixture(scope="module")
def trained(sides: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch, which each test evaluates in a copy of its own."""
    folder = tmp_path_factory.mktemp("trained")
    RECIPE.fit(sides, folder, replace(RECIPE.schedule, epochs=1), Ranks(), Silent())
    return folder


@pytest.mark.slow
def test_trained_judged_and_served(sides: Split, trained: Path, tmp_path: Path) -> None:
    """A run of one epoch from scratch: the card has pictures, what was tried of methods of explanation, and the groups with and without
    calipers; the exported application says of an image what the evaluation said, as a statement about the breast, with the
    demonstration's remark."""
    run = shutil.copytree(trained, tmp_path / "run")
    evaluation = RECIPE.evaluate(sides, run, EvaluationOptions(explain_s=1))
    groups = {one["group"]: one for one in evaluation["subgroups"]}
    assert set(groups) == {"calipers or colour", "none found"}
    assert sum(one["cases"] for one in groups.values()) == len(sides.test) == evaluation["figures"]["AUC malignant"]["count"]
    said = RECIPE.table(evaluation)
    assert "marks: none found" in said
    card = (run / "card.html").read_text("utf-8")
    assert "Hits and misses" in card
    assert {one["method"] for one in evaluation["explained"]["methods"]} >= {"Grad-CAM", "Integrated gradients", "LIME"}
    for where in (card, said):
        assert "Grad-CAM" in where
        assert "not where disease is" in where
    models = tmp_path / "models"
    assert export(of_run(run), run, models).name == "breast_ultrasound"
    application = as_served(of_run(run).application, models)
    engine = EmbeddedEngine(models)
    try:
        for case, row in zip(sides.test, evaluation["each"], strict=True):
            found = application.analyse(subject(case), EngineInfer(engine))
            (answer,) = found.evaluations
            assert (answer.finding, answer.finding_site) == (MALIGNANT, codes.Code("76752008", "SCT", "Breast"))
            assert answer.probability == pytest.approx(row["probabilities"]["malignant"], abs=1e-6)
            assert any("Demonstration" in str(remark) for remark in found.remarks)
    finally:
        engine.close()


@pytest.mark.slow
def test_methods_that_passed_are_served_to_whoever_asks(
    sides: Split, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that passed the ones that a node can compute stand in application.json, and its maps are those of the network that was
    tried; evaluated again without the gate, none is."""
    run, models = shutil.copytree(trained, tmp_path / "run"), tmp_path / "models"
    tried: list[Callable[[Explained], NDArray[np.float32]]] = []

    def passed(methods: Sequence[Method], network: Any, cases: Sequence[Explained], usual: NDArray[np.float32], **_: Any) -> Any:
        occlusion = next(one for one in methods if one.label == OCCLUSION)
        shown = torch.from_numpy(usual)
        tried.append(
            lambda case: occlusion.explain(LogOdds(network, case.channel, True).eval(), SeenImage(image=case.image, usual=shown, seed=0))
        )
        return [
            Verdict(label=one.label, likeness=(0.0,) * LEAST, why="" if one.label in (OCCLUSION, LIME) else "not tried") for one in methods
        ]

    # each square is an answer of the network, on the node as in the run: 36 of them say what 196 say
    for module in ("inference.applications.bundle.explaining", "training.explaining.methods"):
        monkeypatch.setattr(f"{module}.WINDOWS", 3)
    monkeypatch.setattr("training.explaining.methods.SAMPLES", 20)
    monkeypatch.setattr("training.tasks.answers.gate", passed)
    RECIPE.evaluate(sides, run, EvaluationOptions(explain_s=1))
    export(of_run(run), run, models)
    assert json.loads((models / "breast_ultrasound" / "1" / FILE).read_text("utf-8"))["explained"] == [OCCLUSION]
    application = as_served(of_run(run).application, models)
    case = sides.test[0]
    with closing(EmbeddedEngine(models)) as engine:
        assert application.explain is not None
        (found,) = application.explain(subject(case), EngineInfer(engine))
        check_outputs(application, replace(application.analyse(subject(case), EngineInfer(engine)), explanations=(found,)), subject(case))
    assert found.finding == MALIGNANT
    seen = RECIPE.example(case.load()).image
    on_grid = prepared(of_run(run).manifest, subject(case).images[0])
    expected = on_grid.undo(tried[0](Explained(image=seen, channel=1))[None], Interpolation.LINEAR)[0]
    assert found.values == pytest.approx(expected, abs=1e-4)
    RECIPE.evaluate(sides, run)
    assert of_run(run).application.explain is None


def subject(case: Case) -> Images:
    loaded: Any = case.load()
    found: Images = loaded.subject
    return found


def test_the_real_set_has_its_groups(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Of 647 images twelve stand in mixed groups and are left out; every group stands on one side of each split."""
    from zipfile import ZipFile

    (table,) = (path for path in real("train/busi_256") if path.name == "images.csv")
    (packed,) = (path for path in real("train/busi_256") if path.suffix == ".zip")
    (tmp_path / "images.csv").write_bytes(table.read_bytes())
    with ZipFile(packed) as opened:
        opened.extractall(tmp_path)
    cases = breast_ultrasounds(tmp_path)
    assert len(cases) == 635
    assert len({case.patient for case in cases}) == 528
    sides = WHOLE.sides(tmp_path, 0)
    # every group is counted once: none stands on two sides
    train, validation, test = ({case.patient for case in side} for side in (sides.train, sides.validation, sides.test))
    assert len(train) + len(validation) + len(test) == 528
