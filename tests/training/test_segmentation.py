"""`hilum train segmentation` on a folder of DICOM studies with segmentations: what it learns, and that a route serves just that."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from inference.applications import catalog
from inference.applications.accept import check
from inference.applications.declared import check_outputs
from inference.engines.embedded import EmbeddedEngine
from inference.imaging.assemble import assemble
from tests.lab.node import Node, configuration, hilum
from tests.lab.program import wait_until
from training import recipes
from training.cli import evaluate, export
from training.data.dicom import LabelledSeries, studies
from training.data.split import Split, split
from training.evaluate import findings
from training.export import PACKED
from training.inferring import OfEngine
from training.recipe import Recipe

from .studies import write_studies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("node")]
"""A training on a loaded machine."""

NAME = "lesion-balls"
AHEAD = 0.1
"""By how much Dice the network has to beat what intensity alone tells; rods as bright as the balls are drawn to defeat that."""
_PATIENCE_S = 300


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_studies(tmp_path_factory.mktemp("made"), 12)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by two processes of torchrun, and evaluated, on another grid than the series', in windows smaller than them."""
    folder = tmp_path_factory.mktemp("run")
    verb = [Path(sys.executable).with_name("hilum"), "train", "segmentation", "--data", data, "--out", folder, "--name", NAME]
    said = ["--labels", "Lesion", "--spacing-mm", "2.5", "2", "2", "--window", "16", "24", "24", "--epochs", "3"]
    ranks = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    done = subprocess.run(
        [*map(str, (*ranks, *verb, *said))],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # one process speaks, and says what it found
    assert done.stderr.count("12 series of 12 patients, CT: Lesion; 2.5 × 2 × 2 mm, windows of 16 × 24 × 24 voxels") == 1, done.stderr
    assert evaluate("segmentation", data=data, out=folder) == 0
    return folder


@pytest.fixture(scope="module")
def models(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that it was exported into."""
    repository = tmp_path_factory.mktemp("served") / "models"
    assert export("segmentation", out=run, repository=repository) == 0
    return repository


@pytest.fixture(scope="module")
def recipe(run: Path) -> Recipe:
    return recipes.load("segmentation", run)


@pytest.fixture(scope="module")
def held_out(recipe: Recipe, data: Path) -> Split:
    return split(recipe.cases(data), 0)


@pytest.fixture(scope="module")
def evaluated(recipe: Recipe, held_out: Split, run: Path) -> list[np.ndarray]:
    """The mask of each held-out case, as the evaluation computes it."""
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        found = [each.segments for _, each in findings(recipe, held_out.test, run / PACKED, OfEngine(engine))]
    assert all(len(segments) == 1 for segments in found)
    return [segments[0].mask for segments in found]


def series_of(data: Path, uid: str) -> LabelledSeries:
    return next(each for each in studies(data).series if each.uid == uid)


def test_it_learns(run: Path, held_out: Split) -> None:
    """On patients that it never saw, the network tells balls from rods, which intensity alone cannot."""
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["baseline"] == "intensity alone"
    assert evaluation["cases"] == {"train": 9, "validation": 1, "test": 2}
    assert evaluation["figures"]["surface Dice Lesion"]["mean"] > 0
    figure = evaluation["figures"]["Dice Lesion"]
    assert 0.3 < figure["baseline"] < 0.8, "balls are a part of what is bright"
    assert figure["mean"] > figure["baseline"] + AHEAD, figure


def test_what_is_served_is_what_was_evaluated(
    models: Path, recipe: Recipe, held_out: Split, evaluated: list[np.ndarray], data: Path
) -> None:
    """The exported model is an application by itself, and its masks on the held-out series equal the evaluation's, voxel by voxel."""
    application = catalog.load(NAME, (models,))
    with closing(EmbeddedEngine(models)) as engine:
        for case, expected in zip(held_out.test, evaluated, strict=True):
            volume = assemble(series_of(data, case.name).files)
            check(application, volume)
            found = application.analyse(volume, OfEngine(engine))
            check_outputs(application, found, volume)
            assert [segment.label for segment in found.segments] == ["Lesion"]
            assert expected.any()
            assert np.array_equal(found.segments[0].mask, expected)
    card = (models / "lesion_balls" / "README.md").read_text()
    assert "12 series of 12 patients" in card
    assert "intensity alone (baseline)" in card


def test_a_route_serves_it(models: Path, held_out: Split, evaluated: list[np.ndarray], data: Path, tmp_path: Path) -> None:
    """A study sent to a node comes back as a segmentation with the codes of the drawn one, its voxels those of the evaluation."""
    case, expected = held_out.test[0], evaluated[0]
    settings = configuration(
        tmp_path,
        port=0,
        repository=models,
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": "1s"}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": [NAME], "send": ["results"]}],
    )
    (tmp_path / "sent").mkdir()
    for file in series_of(data, case.name).files:
        shutil.copy(file, tmp_path / "sent")
    with Node(settings, tmp_path) as node:
        said = hilum("send", tmp_path / "sent", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
        assert said.code == 0, said.out + said.err
        # no command in a loop: each would take as long as the job; leaving the node drains it
        wait_until(lambda: list((tmp_path / "results").rglob("*.dcm")), _PATIENCE_S, "a result has come")
    written = [dcmread(path) for path in (tmp_path / "results").rglob("*.dcm")]
    (seg,) = (each for each in written if each.Modality == "SEG")
    (segment,) = seg.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentedPropertyTypeCodeSequence[0].CodeValue) == ("Lesion", "52988006")
    assert int(np.asarray(seg.pixel_array).sum()) == int(expected.sum())
