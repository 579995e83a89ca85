"""docs/howto/train-on-other-layouts.md typed as it stands, over made data: what is served of a DICOM series is what was evaluated."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from inference.applications.bundle.manifest import FILE, application
from inference.applications.declared import check_outputs
from inference.engines.embedded.engine import EmbeddedEngine
from inference.imaging.assemble import assemble
from inference.imaging.subject import VolumeSet
from inference.imaging.write_series import write_series
from tests.lab.howto import HowTo
from training import recipes
from training.export import PACKED
from training.infer import EngineInfer
from training.tasks.segmentation import findings

from .made_heads_of_brats import CONTRASTS, brats_folder, head
from .made_raw_folder import raw_folder
from .studies import AFFINE, thorax
from .tabled_page import typed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = HowTo("train-on-other-layouts.md")
CASES = 12


def test_a_raw_folder_becomes_a_served_application(tmp_path: Path) -> None:
    """Trained, evaluated and exported by the page's commands; the held-out cases as DICOM series get the masks of the evaluation."""
    part = "A raw folder of nnU-Net"
    data = raw_folder(tmp_path / "Dataset001_Balls", CASES, axes="LPS")
    train, evaluate, export = PAGE.commands(part)
    said = typed(PAGE.typed(train), tmp_path)
    assert [line for line in said.splitlines() if " series of " in line] == [PAGE.printed(part)[-1]]
    assert "| Dice lesion |" in typed(PAGE.typed(evaluate), tmp_path)
    typed(PAGE.typed(export), tmp_path)
    PAGE.followed("A raw folder of nnU-Net")
    run = tmp_path / "var" / "training" / "segmentation"
    told = json.loads((run / "evaluation.json").read_text())
    assert told["cases"] == {"train": 9, "validation": 1, "test": 2}
    assert told["unsure"]["cases"] == 2
    assert 0.5 < told["unsure"]["least AUC"] <= told["unsure"]["median AUC"] <= 1
    assert (run / "card.html").read_text("utf-8").count("<title>axial, unsure</title>") == 2
    recipe = recipes.load("segmentation", run)
    held_out = recipe.sides(data, 0).test
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        evaluated = [found.segments for _, found in findings(recipe, held_out, run / PACKED, EngineInfer(engine))]
    served = application(tmp_path / "models" / "nnunet_balls" / "1" / FILE)
    with closing(EmbeddedEngine(tmp_path / "models")) as engine:
        for case, expected in zip(held_out, evaluated, strict=True):
            voxels, _ = thorax(int(case.name.removeprefix("ball_")))
            volume = assemble(write_series(voxels, AFFINE, tmp_path / case.name, modality="CT"))
            found = served.analyse(volume, EngineInfer(engine))
            check_outputs(served, found, volume)
            assert [one.label for one in found.segments] == [one.label for one in expected] == ["lesion"]
            np.testing.assert_array_equal(found.segments[0].mask, expected[0].mask)


def test_four_contrasts_become_an_application_over_roles(tmp_path: Path) -> None:
    """Trained, evaluated and exported by the page's commands: a held-out case as four DICOM series gets the masks of the evaluation; one
    that lacks a series which may be missing is answered, too, and its channel is what the training showed in its place."""
    data = brats_folder(tmp_path / "brats", 16)
    train, evaluate, export = PAGE.commands("BraTS")
    said = typed(PAGE.typed(train), tmp_path)
    assert [line for line in said.splitlines() if " series of " in line] == [PAGE.printed("BraTS")[-1]]
    assert "| Dice enhancing tumor |" in typed(PAGE.typed(evaluate), tmp_path)
    typed(PAGE.typed(export), tmp_path)
    PAGE.followed("BraTS")
    run = tmp_path / "var" / "training" / "segmentation"
    recipe = recipes.load("segmentation", run)
    case = recipe.sides(data, 0).test[0]
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        ((_, evaluated),) = findings(recipe, [case], run / PACKED, EngineInfer(engine))
    served = application(tmp_path / "models" / "brats_made" / "1" / FILE)
    assert [(role.name, role.optional) for role in served.roles] == [("FLAIR", False), ("T1", True), ("T1c", True), ("T2", False)]
    images, _ = head(int(case.name.rpartition("_")[2]) - 1)
    volumes = {
        role: assemble(write_series(images[contrast], AFFINE, tmp_path / role, modality="MR"))
        for role, contrast in zip(("FLAIR", "T1", "T1c", "T2"), CONTRASTS, strict=True)
    }
    with closing(EmbeddedEngine(tmp_path / "models")) as engine:
        subject = VolumeSet(volumes=volumes)
        found = served.analyse(subject, EngineInfer(engine))
        check_outputs(served, found, subject)
        assert [one.label for one in found.segments] == [one.label for one in evaluated.segments] != []
        for one, expected in zip(found.segments, evaluated.segments, strict=True):
            np.testing.assert_array_equal(one.mask, expected.mask)
        lacking = VolumeSet(volumes={role: volume for role, volume in volumes.items() if role != "T1c"})
        check_outputs(served, served.analyse(lacking, EngineInfer(engine)), lacking)
