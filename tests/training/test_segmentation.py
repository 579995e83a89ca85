"""`hilum train segmentation` on a folder of DICOM studies with segmentations: what it learns, and that a route serves just that.

Its commands are those of docs/howto/train-on-your-own-studies.md, but for how long it is trained.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import chdir, closing
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from inference.engines.embedded.engine import EmbeddedEngine
from inference.imaging.assemble import assemble
from node.cli.main import main
from tests.lab.howto import HowTo
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from training import recipes
from training.data.cases import Split
from training.data.dicom import LabelledSeries, studies
from training.data.segments import masks
from training.export import PACKED
from training.infer import EngineInfer
from training.recipe import Recipe
from training.tasks.segmentation import findings

from .studies import write_studies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
"""A training on a loaded machine."""

NAME = "lesion-balls"
AHEAD = 0.1
"""By how much Dice the network has to beat what intensity alone tells; rods as bright as the balls are drawn to defeat that."""
UNDECIDED = 2
"""Voxels."""
_PATIENCE_S = 300
PAGE = HowTo("train-on-your-own-studies.md")
HILUM = Path(sys.executable).with_name("hilum")
_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the reader types."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def data(place: Path) -> Path:
    return write_studies(place / "studies", 10)


@pytest.fixture(scope="module")
def run(data: Path, place: Path) -> Path:
    """Trained by two processes of torchrun, and evaluated, on another grid than the series', in windows smaller than them."""
    (train,) = PAGE.commands("2. Train")
    torchrun, *words = shlex.split(PAGE.typed(train))
    assert (torchrun, words[4:6], words[-1]) == ("torchrun", ["hilum", "train"], NAME)
    words[4] = str(HILUM)
    said = ["--labels", "Lesion", "--spacing-mm", "2.5", "2", "2", "--window", "16", "24", "24", "--epochs", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words, *said],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # one process speaks, and says what it found
    assert done.stderr.count("10 series of 10 patients, CT: Lesion; 2.5 × 2 × 2 mm, windows of 16 × 24 × 24 voxels") == 1, done.stderr
    (evaluate,) = PAGE.commands("3. Evaluate")
    with chdir(place):
        assert main(shlex.split(PAGE.typed(evaluate))[1:]) == 0
    return place / "var" / "training" / "segmentation"


@pytest.fixture(scope="module")
def models(run: Path, place: Path) -> Path:
    """The repository that it was exported into."""
    export, _ = PAGE.commands("4. Serve")
    with chdir(place):
        assert main(shlex.split(PAGE.typed(export))[1:]) == 0
    return place / "models"


@pytest.fixture(scope="module")
def recipe(run: Path) -> Recipe:
    return recipes.load("segmentation", run)


@pytest.fixture(scope="module")
def held_out(recipe: Recipe, data: Path) -> Split:
    return recipe.sides(data, 0)


@pytest.fixture(scope="module")
def evaluated(recipe: Recipe, held_out: Split, run: Path) -> list[np.ndarray]:
    """The mask of each held-out case, as the evaluation computes it."""
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        found = [each.segments for _, each in findings(recipe, held_out.test, run / PACKED, EngineInfer(engine))]
    assert all(len(segments) == 1 for segments in found)
    return [segments[0].mask for segments in found]


def series_of(data: Path, uid: str) -> LabelledSeries:
    return next(each for each in studies(data).series if each.uid == uid)


def test_it_learns(run: Path, held_out: Split) -> None:
    """On patients that it never saw, the network tells balls from rods, which intensity alone cannot."""
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["baseline"] == "intensity alone"
    assert evaluation["cases"] == {"train": 7, "validation": 1, "test": 2}
    assert evaluation["figures"]["surface Dice Lesion"]["mean"] > 0
    figure = evaluation["figures"]["Dice Lesion"]
    assert 0.3 < figure["baseline"] < 0.8, "balls are a part of what is bright"
    assert figure["mean"] > figure["baseline"] + AHEAD, figure


def test_the_demo_shows_it(models: Path, place: Path) -> None:
    """The page's last command, in the page's words but for the volume."""
    _, demo = PAGE.commands("4. Serve")
    done = subprocess.run([HILUM, *shlex.split(PAGE.typed(demo))[1:]], cwd=place, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    PAGE.followed()
    served, measured = (line for line in PAGE.printed("4. Serve") if line != "…")
    assert served == "models/lesion_balls: version 1 is served"
    assert (models / "lesion_balls" / "1").is_dir()
    assert re.search(re.sub(r"[\d.]+", r"[\\d.]+", re.escape(measured.strip()).replace("\\.", ".")), done.stdout), done.stdout


def test_what_a_route_serves_is_what_was_evaluated(
    models: Path, held_out: Split, evaluated: list[np.ndarray], data: Path, tmp_path: Path
) -> None:
    """The exported model is an application by itself: held-out studies sent to a node come back as segmentations with the codes of the
    drawn ones, and their masks are the evaluation's, but for voxels at which the network is undecided.
    """
    settings = configuration(
        tmp_path,
        port=0,
        repository=models,
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": [NAME], "send": ["results"]}],
    )
    sent = [series_of(data, case.name) for case in held_out.test]
    with Node(settings, tmp_path) as node:
        images = [file for series in sent for file in series.files]
        said = hilum("send", *images, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
        assert said.code == 0, said.out + said.err
        # no command in a loop: each would take as long as the job; leaving the node drains it
        wait_until(lambda: len(segmentations(tmp_path / "results")) == len(sent), _PATIENCE_S, "every study has its segmentation")
    written = segmentations(tmp_path / "results")
    for series, expected in zip(sent, evaluated, strict=True):
        path = written[series.patient.removesuffix("\\")]
        (segment,) = dcmread(path).SegmentSequence
        assert (segment.SegmentLabel, segment.SegmentedPropertyTypeCodeSequence[0].CodeValue) == ("Lesion", "52988006")
        assert expected.any()
        # the node may compute with another number of threads: a voxel whose two probabilities are alike to six digits may fall either way
        assert np.count_nonzero(masks(path, assemble(series.files), [1])[1] != expected) <= UNDECIDED
    card = (models / "lesion_balls" / "README.md").read_text()
    assert "10 series of 10 patients" in card
    assert "intensity alone (baseline)" in card


def test_a_backup_brings_it_to_an_empty_host(models: Path, held_out: Split, data: Path, tmp_path: Path) -> None:
    """A node that serves it, beside an application of one's own, is backed up and lost with all its folders. By the commands of
    docs/howto/back-up-and-restore.md alone the next study gets both results, and the model's card is there."""
    old = tmp_path / "old"
    shutil.copytree(models, old / "models")
    shutil.copytree(_APPLICATIONS / "bench_threshold", old / "own" / "bench_threshold")
    settings = configuration(
        old,
        port=0,
        repository=old / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": [NAME, "bench-threshold"], "send": ["results"]}],
    )
    settings["models"] = {"repository": str(old / "models"), "applications": [str(old / "own")]}
    node = Node(settings, old)
    (old / "routes.test.yaml").write_text("- {name: no MR, headers: [{Modality: MR, images: 9}], expect: {}}\n")
    assert node.hilum("studies", "list", "--json").json == []  # makes the store
    card = (old / "models" / "lesion_balls" / "README.md").read_bytes()
    told = node.hilum("backup", "--to", tmp_path / "backups", "--check", "--json")
    assert told.code == 0, told.out + told.err
    taken = told.json
    assert (taken["models"], taken["applications"]) == (["lesion_balls/1"], ["bench_threshold"])
    again = node.hilum("backup", "--to", tmp_path / "backups", "--json").json
    assert again["linked"] >= len([path for path in (old / "models").rglob("*") if path.is_file()])
    configured = node.config.name
    shutil.rmtree(old)

    old.mkdir()
    shutil.copy(Path(taken["folder"]) / "hilum.yaml", old / configured)
    for verb in (("restore", taken["folder"]), ("models", "verify"), ("routes", "test")):
        done = node.hilum(*verb)
        assert done.code == 0, done.out + done.err
    assert (old / "models" / "lesion_balls" / "README.md").read_bytes() == card
    (first, *_) = (series_of(data, case.name) for case in held_out.test)
    with node:
        said = hilum("send", *first.files, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
        assert said.code == 0, said.out + said.err
        wait_until(lambda: [job["state"] for job in node.jobs()] == ["done"] * 2, _PATIENCE_S, "both applications are done")
    found = [dcmread(path, stop_before_pixels=True) for path in (tmp_path / "results").rglob("*.dcm")]
    assert {header.SegmentSequence[0].SegmentLabel for header in found if header.Modality == "SEG"} == {"Lesion", "above zero"}


def segmentations(folder: Path) -> dict[str, Path]:
    """Those that a folder holds, by PatientID."""
    found = ((dcmread(path, stop_before_pixels=True), path) for path in folder.rglob("*.dcm"))
    return {str(header.PatientID): path for header, path in found if header.Modality == "SEG"}
