"""The lung nodule recipe in its tiny form, on made CTs: it learns, and what is served is what was evaluated."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from inference.applications.accept import check
from inference.applications.declared import check_outputs
from inference.applications.lung_nodule.application import APPLICATION
from inference.applications.lung_nodule.follow_up import Density
from inference.applications.lung_nodule.preparing import prepare
from inference.applications.port import ModelRef
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.imaging.assemble import assemble
from inference.imaging.subject import VolumeSet
from inference.imaging.write_series import write_series
from training.blobs import LEAST, RADII_MM, RANKS, BlobSetting, blobs
from training.cli import train
from training.data.cases import Split
from training.data.thoraxes import PLANTINGS, of_made
from training.data.thoraxes import sides as sides_of
from training.errors import BrokenRun, OtherRun, UnfitData, UnfitSetting
from training.evaluation.nodules import as_json
from training.evaluation.record import EVALUATION, PAGE
from training.export import export
from training.fit import fit
from training.infer import EngineInfer
from training.progress import Silent
from training.ranks import Ranks
from training.recipes.lung_nodule import OUTSIDE, PATCH, located, loss, patch, weighed
from training.recipes.lung_nodule import RECIPE as FULL
from training.tasks.detection import detected_table, thorax

from .made_nodules import MADE, SHAPE, tiny

pytestmark = pytest.mark.timeout(1500)
"""Trainings on a loaded machine."""

RECIPE = tiny()
AHEAD = 0.1
"""By how much the sensitivity has to beat the tuned blobs', at 2, 4 and 8 false positives a CT: it was 0.23."""


@pytest.fixture(scope="module")
def sides() -> Split:
    return RECIPE.sides(None, 0)


@pytest.fixture(scope="module")
def run(sides: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained and evaluated."""
    folder = tmp_path_factory.mktemp("run")
    fit(RECIPE, sides, folder, RECIPE.schedule, Ranks(), Silent())
    RECIPE.evaluate(sides, folder)
    return folder


@pytest.fixture(scope="module")
def told(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / EVALUATION).read_text())
    return found


@pytest.mark.slow
def test_whole_cts_are_held_out(tmp_path: Path) -> None:
    """Made CTs of other seeds on each side; plantings of a given CT are where its file lies; on two sides it is refused."""
    with pytest.raises(UnfitData, match="holds no CT"):
        sides_of(tmp_path, MADE)
    ct = of_made(7, SHAPE).volume
    (tmp_path / "test").mkdir()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ct.affine[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(ct.voxels.transpose(2, 1, 0), affine), tmp_path / "test" / "given.nii.gz")
    split = sides_of(tmp_path, MADE, SHAPE)
    assert [len(side) for side in (split.train, split.validation, split.test)] == [10, 2, 4 + PLANTINGS]
    assert not {case.patient for case in split.train} & {case.patient for case in (*split.validation, *split.test)}
    first, second = map(thorax, split.test[-2:])
    assert first.nodules != second.nodules
    assert first.attributes == {"CT": "given"}
    assert first.volume.voxels.shape == first.labels.shape == SHAPE
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "given.nii.gz").write_bytes((tmp_path / "test" / "given.nii.gz").read_bytes())
    with pytest.raises(UnfitData, match="given: in more than one"):
        sides_of(tmp_path, MADE)


@pytest.mark.slow
def test_patches_are_cut_around_what_matters(sides: Split) -> None:
    """Most hold a nodule, some none; the same seed cuts the same; what lies outside of the lungs is no target."""
    example = FULL.example(sides.train[0].load())
    cuts = [patch(example, seed) for seed in range(40)]
    assert {each.image.shape for each in cuts} == {(1, *PATCH)}
    with_nodule = np.mean([np.isin(each.target, (1, 2)).any() for each in cuts])
    assert 0.5 < with_nodule < 1
    assert (example.target == OUTSIDE).any()
    again = patch(example, 3)
    assert np.array_equal(again.image, cuts[3].image)
    assert np.array_equal(again.target, cuts[3].target)
    padded = patch(located(example.image[0, :20], example.target[0, :20]), 0)
    assert padded.image.shape == (1, *PATCH)
    assert (padded.target[0, 20:] == OUTSIDE).all() or (padded.target[0, :12] == OUTSIDE).all()


def test_a_small_nodule_is_worth_more_a_voxel() -> None:
    """Up to a size each nodule counts alike; what is said outside of the lungs costs nothing."""
    target = torch.zeros((1, 1, 24, 24, 24), dtype=torch.uint8)
    target[..., 2:5, 2:5, 2:5] = 2
    target[..., 10:20, 10:20, 10:20] = 2
    target[..., 22:, :, :] = OUTSIDE
    weights = weighed((target[:, 0] * (target[:, 0] < OUTSIDE)).numpy().astype(np.int64))
    assert weights[0, 2, 2, 2] * 27 == pytest.approx(5 * 100, rel=0.01)
    assert weights[0, 15, 15, 15] == 5
    assert weights[0, 0, 0, 0] == 1
    right = torch.nn.functional.one_hot(target[:, 0].long() % OUTSIDE, 3).movedim(-1, 1).float() * 20
    wrong = right.clone()
    wrong[:, :, 22:] = torch.tensor([0.0, 20.0, 0.0])[None, :, None, None, None]
    assert loss()(wrong, target) == pytest.approx(float(loss()(right, target)))
    assert float(loss()(right, target)) < 0.01


@pytest.mark.slow
def test_blobs_are_found_where_nodules_are(sides: Split) -> None:
    """The baseline is none of straw: its surest blobs hit nodules, and they are sorted; with a third of the contrast they are the same."""
    loaded = thorax(sides.train[0])
    prepared, setting = prepare(loaded.volume), BlobSetting(radii_mm=RADII_MM[-1], least=0.0, rank=RANKS[0])
    found = blobs(prepared, setting)
    assert found[RANKS[0] - 1][1] == 1
    fainter = blobs(replace(prepared, image=prepared.image / np.float32(3)), setting)
    assert np.array([value for _, value in fainter]) == pytest.approx([value for _, value in found], rel=1e-3)
    assert len(blobs(prepared, replace(setting, least=LEAST[-1]))) < len(found)
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    large = max(loaded.nodules, key=lambda nodule: nodule.long_mm if nodule.density is Density.SOLID else 0)
    assert min(np.linalg.norm(np.subtract(place, large.centre_mm)) for place, _ in found[:30]) < large.long_mm / 2


def test_other_recipes_need_a_folder() -> None:
    """This one makes its own data; of the others, the verb says what is missing."""
    with pytest.raises(UnfitSetting, match="--data"):
        train("hippocampus")


@pytest.mark.slow
def test_it_learns(told: dict[str, Any]) -> None:
    """On held-out CTs the network beats the tuned blobs; each nodule and each class is counted once."""
    detection = told["detection"]
    assert list(detection["compared"]) == ["all"], "there are made CTs alone"
    both = detection["compared"]["all"]
    own, other = (np.mean([each["sensitivity"] for each in both[name]["points"][-3:]]) for name in ("network", "classical"))
    assert own > other + AHEAD
    assert told["figures"]["FROC mean"]["mean"] == both["network"]["mean"] == detection["froc"]["all"]["mean"]
    assert told["figures"]["FROC mean"]["baseline"] == both["classical"]["mean"]
    there = detection["told"]["nodules"]
    assert there == detection["froc"]["all"]["things"] == sum(sum(counts.values()) for counts in detection["densities"].values())
    classes = {name: each["things"] for name, each in detection["froc"].items() if name != "all"}
    assert sum(classes.values()) == 2 * there


@pytest.mark.slow
def test_the_page_shows_hits_and_misses(run: Path, told: dict[str, Any]) -> None:
    """With what was planted and what was told; and says that no nodule is real."""
    page = (run / PAGE).read_text()
    for said in (
        "FROC, all CTs",
        "network ahead by",
        "Hits and misses",
        "limits of agreement",
        "no real nodule",
        "what it was called",
        'class="found"',
        'class="true"',
    ):
        assert said in page
    table = detected_table(told)
    both = told["detection"]["compared"]["all"]
    for name in ("network", "classical"):
        low, high = both[name]["points"][3]["interval"]
        assert f"| {both[name]['points'][3]['sensitivity']:.3f} | {low:.3f} to {high:.3f} |" in table
    assert "All nodules are planted" in table


@pytest.mark.slow
def test_a_run_is_scored_on_the_cts_that_it_held_out(run: Path, sides: Split, tmp_path: Path) -> None:
    """A CT that trained the network among the test cases is refused, and so is a run that was not trained."""
    with pytest.raises(OtherRun, match="could be called held out"):
        RECIPE.evaluate(replace(sides, test=(*sides.test, sides.train[0])), run)
    with pytest.raises(BrokenRun, match="nothing was trained"):
        RECIPE.evaluate(sides, tmp_path)


@pytest.mark.slow
def test_an_evaluation_without_the_comparison_is_not_exported(run: Path, told: dict[str, Any], tmp_path: Path) -> None:
    """What was evaluated before network and blobs were compared by kind of CT is to be evaluated again."""
    older = {name: value for name, value in told["detection"].items() if name != "compared"}
    try:
        (run / EVALUATION).write_text(json.dumps({**told, "detection": older}))
        with pytest.raises(BrokenRun, match="evaluate it again"):
            export(RECIPE, run, tmp_path)
    finally:
        (run / EVALUATION).write_text(json.dumps(told))


@pytest.mark.slow
def test_what_is_served_is_what_was_evaluated(run: Path, sides: Split, told: dict[str, Any], tmp_path: Path) -> None:
    """Held-out CTs as DICOM series, assembled, through the exported model: every location, box, certainty and measurement is the
    evaluation's; at least one CT has some."""
    models = tmp_path / "models"
    assert export(RECIPE, run, models) == ModelRef(name="lung_nodule_planted", version=1)
    card = (models / "lung_nodule_planted" / "README.md").read_text()
    for said in ("no real nodule", "Laplacian of Gaussian", "limits of agreement"):
        assert said in card
    application = as_served(APPLICATION, models)
    expected = {each["case"]: each["findings"] for each in told["detection"]["cases"]}
    assert any(expected.values())
    with closing(EmbeddedEngine(models)) as engine:
        for case in sides.test:
            volume = thorax(case).volume
            served = assemble(write_series(volume.voxels, volume.affine, tmp_path / case.name, modality="CT"))
            check(application, VolumeSet(volumes={"current": served}))
            findings = application.analyse(served, EngineInfer(engine))
            check_outputs(application, findings, served)
            assert len(findings.locations) == len(expected[case.name])
            for mine, theirs in zip(as_json(findings), expected[case.name], strict=True):
                assert {name: mine[name] for name in ("label", "finding", "image", "kind", "shape")} == {
                    name: theirs[name] for name in ("label", "finding", "image", "kind", "shape")
                }
                assert mine["certainty"] == pytest.approx(theirs["certainty"], abs=1e-5)
                assert [(each["name"], each["unit"]) for each in mine["measurements"]] == [
                    (each["name"], each["unit"]) for each in theirs["measurements"]
                ]
                assert [each["value"] for each in mine["measurements"]] == pytest.approx(
                    [each["value"] for each in theirs["measurements"]], rel=1e-5
                )
