"""The noise reduction recipe in its tiny form: it learns, goes on after an end, and what is served is what was evaluated."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch

from inference.applications import catalog
from inference.applications.accept import check
from inference.applications.declared import check_outputs
from inference.applications.port import ModelRef
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.imaging.assemble import assemble
from inference.imaging.write_series import write_series
from node.domain.profile import Kind
from node.results.encode import encode
from tests.lab.dcmtk import StoreScp
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.lab.validators import dciodvfy
from tests.results import made
from training import cli
from training.checkpoint import load
from training.data.cases import Split
from training.data.heads import Degraded, degraded, rician
from training.errors import BrokenRun, OtherRun, UnfitData
from training.evaluation.record import EVALUATION
from training.export import PACKED, export
from training.fit import LAST, fit
from training.infer import EngineInfer
from training.nonlocal_means import NAME as CLASSICAL
from training.progress import Silent
from training.ranks import Ranks
from training.tasks.restoration import restored

from .made_heads import LEVEL, SLICES, heads, tiny

pytestmark = pytest.mark.timeout(1500)
"""Trainings on a loaded machine."""

RECIPE = tiny()
NOISY = "as it came"
GAINED_DB = 1.0
"""By how much the network has to beat the noisy images, which it gives back as they are before it has learned; it was 3 dB."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return heads(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def sides(data: Path) -> Split:
    return RECIPE.sides(data, 0)


@pytest.fixture(scope="module")
def verbs() -> Iterator[None]:
    """The verbs of the command with the recipe in its tiny form."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("training.recipes.restore.RECIPE", RECIPE)
        yield


@pytest.fixture(scope="module")
def run(verbs: None, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained and evaluated, as the command does it."""
    folder = tmp_path_factory.mktemp("run")
    assert cli.train("restore", data=data, out=folder) == 0
    assert cli.evaluate("restore", data=data, out=folder) == 0
    # two epochs need not be ahead of the filter, and what is not is not served
    found = json.loads((folder / EVALUATION).read_text())
    found["restoration"]["offered"] = list(RECIPE.levels)
    (folder / EVALUATION).write_text(json.dumps(found))
    return folder


@pytest.fixture(scope="module")
def told(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / EVALUATION).read_text())
    return found


def test_the_noise_is_what_it_is_said_to_be(data: Path) -> None:
    """Rician noise of the level, the same for the same head; in air it is Rayleigh's, whose mean is 1.2533 deviations."""
    clean = np.zeros((40, 40, 40), dtype=np.float32)
    assert rician(clean, 10, np.random.default_rng(0)).mean() == pytest.approx(12.533, rel=0.02)
    assert rician(clean + 500, 10, np.random.default_rng(0)).std() == pytest.approx(10, rel=0.02)
    one, two = (degraded(data / "test" / "four.nii.gz", LEVEL, SLICES) for _ in range(2))
    assert np.array_equal(one.volume.voxels, two.volume.voxels)
    assert one.volume.voxels.shape[0] == one.clean.shape[0] == len(one.volume.sources) == SLICES


def test_a_head_on_two_sides_is_refused(data: Path, tmp_path: Path) -> None:
    """As are folders that are not there."""
    with pytest.raises(UnfitData, match="holds no heads"):
        RECIPE.sides(tmp_path, 0)
    for side in ("train", "validation", "test"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "one.nii.gz").write_bytes((data / "train" / "one.nii.gz").read_bytes())
    with pytest.raises(UnfitData, match="one: in more than one"):
        RECIPE.sides(tmp_path, 0)


@pytest.mark.slow
def test_it_learns(told: dict[str, Any]) -> None:
    """The network beats the noisy images by a margin; the tuned filter beats them, too; all are told."""
    psnr = {row["method"]: row["PSNR"]["mean"] for row in told["restoration"]["levels"] if row["level"] == "all"}
    assert list(psnr) == [NOISY, CLASSICAL, "CNN", "GAN"]
    served = told["restoration"]["served"]
    assert psnr[served] > psnr[NOISY] + GAINED_DB
    assert psnr[CLASSICAL] > psnr[NOISY]
    assert told["figures"]["PSNR"]["mean"] == pytest.approx(psnr[served])
    assert told["restoration"]["validation PSNR"][served] == max(told["restoration"]["validation PSNR"][name] for name in RECIPE.arms)


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on(sides: Split, tmp_path: Path) -> None:
    """The discriminator goes on with what it had learned: two epochs with an end between are the two without. One arm alone is no run."""
    recipe = replace(RECIPE.arm("GAN"), draws=4)
    whole, ended = replace(RECIPE.schedule, epochs=2), Ended()
    fit(recipe, sides, tmp_path / "whole", whole, Ranks(), Silent())
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, sides, tmp_path / "GAN", whole, Ranks(), ended)
    fit(recipe, sides, tmp_path / "GAN", whole, Ranks(), Silent())
    one, two = load(tmp_path / "whole" / LAST), load(tmp_path / "GAN" / LAST)
    assert one is not None
    assert two is not None
    assert all(torch.equal(one["network"][key], two["network"][key]) for key in one["network"])
    assert all(torch.equal(one["loss"]["judge"][key], two["loss"]["judge"][key]) for key in one["loss"]["judge"])
    with pytest.raises(BrokenRun, match="nothing was trained"):
        RECIPE.evaluate(sides, tmp_path)


@pytest.mark.slow
def test_a_run_is_scored_on_the_heads_that_it_held_out(run: Path, sides: Split) -> None:
    """A head that trained the networks among the test cases is refused."""
    with pytest.raises(OtherRun, match="could be called held out"):
        RECIPE.evaluate(replace(sides, test=(*sides.test, sides.train[0])), run)


class Ended(Silent):
    """A progress in whose second epoch somebody ends the run."""

    def begun(self, epoch: int, epochs: int, batches: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.peers
def test_a_node_gives_the_series_back(run: Path, verbs: None, sides: Split, tmp_path: Path) -> None:
    """The held-out head is sent to a node that serves what was exported; DCMTK's receiver keeps a series of as many images, valid, whose
    voxels are the evaluation's but for the last digit, and the page that says what was done."""
    assert cli.export("restore", out=run, repository=tmp_path / "models") == 0
    case: Any = sides.test[0].load()
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        evaluated = restored(RECIPE, case, run / PACKED, EngineInfer(engine))
    files = write_series(case.volume.voxels, case.volume.affine, tmp_path / "sent", modality="MR", extra={"BodyPartExamined": "HEAD"})
    with StoreScp(tmp_path / "archive") as archive:
        settings = configuration(
            tmp_path,
            port=0,
            repository=tmp_path / "models",
            peers={
                "scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
                "archive": {"ae_title": "ARCHIVE", "address": f"127.0.0.1:{archive.port}"},
            },
            sinks={"archive": {"kind": "dimse", "peer": "archive"}},
            routes=[{"name": "head MR", "when": {"Modality": "MR"}, "run": ["mr-denoise"], "send": ["archive"]}],
        )
        with Node(settings, tmp_path) as node:
            said = hilum("send", tmp_path / "sent", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
            assert said.code == 0, said.out + said.err
            wait_until(lambda: len(archive.received()) > len(files), 300, "series and page have come")
        written = {path: pydicom.dcmread(path) for path in archive.received()}
    derived = {path: one for path, one in written.items() if one.Modality == "MR"}
    assert sorted({one.Modality for one in written.values()}) == ["MR", "OT"]
    assert [fault for path in derived for fault in dciodvfy(path)] == []
    # each image by the place of its source
    by_place = {tuple(map(float, one.ImagePositionPatient)): one for one in derived.values()}
    found = np.stack([by_place[tuple(map(float, pydicom.dcmread(file).ImagePositionPatient))].pixel_array for file in files])
    assert len(derived) == len(files)
    assert np.abs(found.astype(int) - evaluated).max() <= 1
    assert np.count_nonzero(found != evaluated) <= found.size // 1000
    assert np.abs(found.astype(int) - case.volume.voxels).max() > 10
    for one in derived.values():
        assert list(one.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert "denoised, research" in one.SeriesDescription


@pytest.mark.slow
def test_what_is_served_is_what_was_evaluated(run: Path, sides: Split, tmp_path: Path) -> None:
    """The held-out head as an MR series, assembled, through the exported model: every voxel is the evaluation's, and comes back as one of a
    derived series, on the grid of its source, in its units."""
    models = tmp_path / "models"
    assert export(RECIPE, run, models) == ModelRef(name="mr_head_denoising", version=1)
    assert "| non-local means |" in (models / "mr_head_denoising" / "README.md").read_text()
    case: Any = sides.test[0].load()
    assert isinstance(case, Degraded)
    with closing(EmbeddedEngine(run / PACKED)) as engine:
        evaluated = restored(RECIPE, case, run / PACKED, EngineInfer(engine))
    files = write_series(case.volume.voxels, case.volume.affine, tmp_path / "sent", modality="MR")
    application = as_served(catalog.load("mr-denoise"), models)
    volume = assemble(files)
    check(application, volume)
    with closing(EmbeddedEngine(models)) as engine:
        findings = application.analyse(volume, EngineInfer(engine))
    check_outputs(application, findings, volume)
    assert np.array_equal(findings.derived[0].voxels, evaluated)
    assert any("neural network" in remark for remark in findings.remarks)
    objects = [one for one in encode(made.encoding(files, findings, application=application)) if one.kind is Kind.DERIVED]
    read = [pydicom.dcmread(BytesIO(one.data)) for one in objects]
    assert np.array_equal(np.stack([one.pixel_array for one in read]), evaluated)
    for one, source in zip(read, map(pydicom.dcmread, files), strict=True):
        assert list(one.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert "denoised, research" in one.SeriesDescription
        assert "denoised, research: smoothing of the images" in one.DerivationDescription
        assert one.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert (one.ImagePositionPatient, one.PixelSpacing) == (source.ImagePositionPatient, source.PixelSpacing)
        assert float(one.get("RescaleSlope", 1)) == 1
