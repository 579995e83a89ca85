"""The hippocampus recipe in its tiny form, on made crops: it learns, and what is served is what was evaluated."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from inference.applications import catalog
from inference.applications.accept import check
from inference.applications.declared import check_outputs
from inference.applications.hippocampus.preparing import WINDOW, NotACrop, prepare
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.golden import check_golden
from inference.engines.port import ModelRef
from inference.engines.repository import Repository
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.write_series import from_nifti, write_series
from training import recipes
from training.compressing import pace
from training.compressing.cli import THINNER, compress
from training.compressing.offered import COMPRESSED
from training.compressing.widths import WIDTHS
from training.data.cases import Split
from training.data.nifti import volume_of
from training.errors import BrokenRun, NotOffered, OtherRun
from training.evaluation.perturb import Disturbance, Perturbation
from training.evaluation.record import EVALUATION, PAGE, read
from training.export import PACKED, export
from training.fit import BEST, fit
from training.infer import EngineInfer
from training.progress import shown
from training.ranks import Ranks
from training.recipe import EvaluationOptions
from training.tasks.segmentation import BEGUN, findings

from .made import as_recipe, crops, tiny

pytestmark = pytest.mark.timeout(1500)
"""A training on a loaded machine."""

RECIPE = tiny()
AHEAD = 0.2
"""By how much Dice the network has to beat the mean training shape, which the made bodies' places are drawn to defeat."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("made"), count=16)


@pytest.fixture(scope="module")
def sides(data: Path) -> Split:
    return RECIPE.sides(data, 0)


@pytest.fixture(scope="module")
def run(sides: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained and evaluated."""
    folder = tmp_path_factory.mktemp("run")
    with shown(folder / "tensorboard") as progress:
        fit(RECIPE, sides, folder, RECIPE.schedule, Ranks(), progress)
    RECIPE.evaluate(sides, folder)
    return folder


def masks(found: Findings) -> dict[str, np.ndarray]:
    return {segment.label: segment.mask for segment in found.segments}


@pytest.mark.slow
def test_it_learns(run: Path, sides: Split) -> None:
    """On held-out crops the network finds the body that the baseline (the mean training shape) can only guess."""
    figures = json.loads((run / EVALUATION).read_text())["figures"]
    overlaps = {name: figure for name, figure in figures.items() if name.startswith("Dice ")}
    assert len(overlaps) == 3
    for name, figure in overlaps.items():
        assert figure["mean"] > figure["baseline"] + AHEAD, (name, figure)
        assert figure["interval"][0] <= figure["mean"] <= figure["interval"][1]
    assert list((run / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_what_is_served_is_what_was_evaluated(run: Path, sides: Split, data: Path, tmp_path: Path) -> None:
    """Held-out crops as DICOM series, assembled, through the exported model: every mask equals the evaluation's, voxel by voxel."""
    models = tmp_path / "models"
    assert export(RECIPE, run, models) == ModelRef(name="hippocampus_parts", version=1)
    application = as_served(catalog.load("hippocampus"), models)
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        evaluated = [masks(found) for _, found in findings(RECIPE, sides.test, run / PACKED, EngineInfer(engine))]
    with closing(EmbeddedEngine(models)) as engine:
        for case, expected in zip(sides.test, evaluated, strict=True):
            voxels, affine = from_nifti(data / "images" / f"{case.name}.nii.gz")
            volume = assemble(write_series(voxels, affine, tmp_path / case.name, modality="MR"))
            check(application, volume)
            served = application.analyse(volume, EngineInfer(engine))
            check_outputs(application, served, volume)
            # to the head, to the back, to the left: `from_nifti` stacks slices as `assemble` does
            assert np.allclose(volume.affine, affine)
            assert masks(served).keys() == expected.keys()
            assert any(mask.any() for mask in expected.values())
            for label, mask in masks(served).items():
                assert np.array_equal(mask, expected[label]), (case.name, label)


@pytest.mark.slow
def test_disturbed_images_are_scored_as_they_would_be_served(run: Path, sides: Split, tmp_path: Path) -> None:
    """Of a repository's model: noise that buries the body costs overlap, a series that the gate refuses is counted as refused, and what
    was computed before a kill stays as it was."""
    short = replace(sides, test=sides.test[:1])
    asked = [Perturbation(kind=Disturbance.NOISE, level=200), Perturbation(kind=Disturbance.THINNED, level=3)]
    with pytest.raises(InterruptedError):
        RECIPE.evaluate(short, tmp_path, EvaluationOptions(repository=run / PACKED, disturbed=asked), step=killed)
    assert (tmp_path / BEGUN).exists()
    assert not (tmp_path / EVALUATION).exists()
    evaluation = RECIPE.evaluate(short, tmp_path, EvaluationOptions(repository=run / PACKED, disturbed=asked))
    assert read(tmp_path) == evaluation
    assert not (tmp_path / BEGUN).exists()
    noisy, thinned = evaluation["disturbed"]
    plain = json.loads((run / EVALUATION).read_text())
    assert evaluation["sha256"] == plain["sha256"]
    assert evaluation["each"][0]["figures"] == plain["each"][0]["figures"]
    assert noisy["figures"]["Dice hippocampus"]["mean"] < evaluation["figures"]["Dice hippocampus"]["mean"] - AHEAD
    assert (thinned["refused"], thinned["figures"]["Dice hippocampus"]["mean"]) == (1, None)
    assert "1 of 1" in (tmp_path / PAGE).read_text()


def killed(done: str, total: int) -> None:
    raise InterruptedError


@pytest.mark.slow
def test_the_exported_model_is_whole(run: Path, tmp_path: Path) -> None:
    """Digest and golden run hold, the card has the held-out figures, a second export is the next version; a changed file never leaves."""
    models = tmp_path / "models"
    for version in (1, 2):
        assert export(RECIPE, run, models).version == version
    repository, model = Repository(models), ModelRef(name="hippocampus_parts", version=2)
    entry = repository.verify(model)
    assert entry is not None
    assert entry.golden is not None
    with closing(EmbeddedEngine(models)) as engine:
        check_golden(engine, repository, model, entry.golden)
    card = (models / "hippocampus_parts" / "README.md").read_text()
    assert "CC-BY-SA-4.0" in card
    assert "| Dice hippocampus |" in card
    evaluation = json.loads((run / EVALUATION).read_text())
    assert (models / "hippocampus_parts/2" / PAGE).read_bytes() == (run / PAGE).read_bytes()
    try:
        (run / EVALUATION).write_text(json.dumps({**evaluation, "sha256": "0" * 64}))
        with pytest.raises(BrokenRun, match="another model"):
            export(RECIPE, run, models)
    finally:
        (run / EVALUATION).write_text(json.dumps(evaluation))


@pytest.mark.slow
def test_a_thinner_network_is_made_judged_and_not_exported_where_the_rule_says_no(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of its own beside the other, from whose weights it begins; offered, it is served as any other, and its card tells both."""
    as_recipe(monkeypatch, "made", RECIPE)
    monkeypatch.setattr(pace, "pace", partial(pace.pace, pairs=1))
    best = run / "alone" / BEST
    best.parent.mkdir()
    shutil.copy(run / BEST, best)
    with pytest.raises(BrokenRun, match="was not evaluated since"):
        compress("made", data=data, out=best.parent)
    assert compress("made", data=data, out=run, epochs=1) == 0
    thin = run / THINNER
    found = json.loads((thin / COMPRESSED).read_text())
    assert f"{found['times']:.2f} times as fast" in capsys.readouterr().out
    assert "openvino f32" in found["runtime"]
    assert found["figures"][0]["first"] == read(run)["figures"][RECIPE.watched]["mean"]
    assert recipes.load("made", thin).network().state_dict()["model.0.conv.unit0.conv.weight"].shape[0] == 4
    with pytest.raises(OtherRun, match="other widths"):
        compress("made", data=data, out=run, keep=0.25)
    (thin / COMPRESSED).write_text(json.dumps(found | {"offered": False, "why": "it loses too much"}))
    with pytest.raises(NotOffered, match="it loses too much"):
        export(RECIPE, thin, tmp_path)
    (thin / COMPRESSED).write_text(json.dumps(found | {"offered": True, "sha256": "another"}))
    with pytest.raises(BrokenRun, match="compress again"):
        export(RECIPE, thin, tmp_path)
    (thin / COMPRESSED).write_text(json.dumps(found | {"offered": True}))
    export(RECIPE, thin, tmp_path)
    card = (tmp_path / RECIPE.model.name / "README.md").read_text()
    assert "0.5 of the channels of the layers of the largest images kept by the L1 norm of their filters, fine-tuned and taught" in card
    (thin / WIDTHS).write_text("[]")
    with pytest.raises(BrokenRun, match="does not say how wide"):
        recipes.load("made", thin)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_the_window_and_back(axes: tuple[int, int, int]) -> None:
    """However the crop was scanned: what lies to the head, the back and the left lies so in the window, and labels come back exactly."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (30, 40, 20)).astype(np.uint8)
    voxels = rng.normal(100, 10, labels.shape) + 100 * labels
    # indices (z, y, x) run to the head, the back and the left; then the same crop with its axes in another order
    affine = np.array([[0, 0, 1.0, 5], [0, 1.0, 0, -7], [1.0, 0, 0, 3], [0, 0, 0, 1]])
    turned = affine.copy()
    turned[:, :3] = affine[:, list(axes)]
    straight, other = prepare(volume_of(voxels, affine, "MR", "a")), prepare(volume_of(voxels.transpose(axes), turned, "MR", "b"))
    assert straight.image.shape == WINDOW
    assert np.allclose(straight.image, other.image, atol=1e-5)
    assert np.array_equal(other.back(other.onto(labels.transpose(axes))), labels.transpose(axes))
    # centred: nine voxels of zeros below, then the crop
    assert not straight.image[:9].any()
    assert np.corrcoef(straight.image[9:39, 12:52, 14:34].ravel(), voxels.ravel())[0, 1] > 0.999


def test_a_whole_head_is_refused() -> None:
    """The network would mark something in it."""
    with pytest.raises(NotACrop, match="180 × 220 × 180 mm"):
        prepare(volume_of(np.zeros((90, 110, 90)), np.diag([2.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]], "MR", "head"))
    with pytest.raises(NotACrop, match="even"):
        prepare(volume_of(np.ones((30, 30, 30)), np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]], "MR", "even"))
