"""The ways in which the embedded engine computes a model: which one is taken, what is refused, and what is said about it."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engines import choosing, processors, runtimes, tuning
from inference.engines.choosing import Fallback
from inference.engines.comparing import difference
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import NotEntered, PrecisionRefused, WrongTensors
from inference.engines.execution import Compute, Execution, Precision, Runtime, installed
from inference.engines.golden import golden_input
from inference.engines.jail.errors import ModelDied
from inference.engines.jail.model import Limits, computation_in_jail
from inference.engines.measured import Measured
from inference.engines.measured_entry import enter_measured, forget_measured
from inference.engines.openvino_model import can_compute_in, openvino_computation
from inference.engines.port import ModelRef
from inference.engines.repository import Repository
from inference.engines.runtimes import computation
from tests.unit.engines.models import CONFIG, fill, put, scripted

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore::DeprecationWarning:openvino.*")

NORMAL = ModelRef(name="normal")
OPENVINO = Execution(runtime=Runtime.OPENVINO)
TORCH = Execution(runtime=Runtime.TORCH)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds what another kept; what is measured is small, the figures are nobody's."""
    monkeypatch.setattr(tuning, "GROW_S", 0.0)
    monkeypatch.setattr(tuning, "RUN_S", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """One model: convolution, instance normalisation, convolution, two channels of a softmax; with an entry and a golden output."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.InstanceNorm3d(8, affine=True), nn.ReLU(), nn.Conv3d(8, 2, 3, padding=1), nn.Softmax(dim=1)
    )
    config = CONFIG.format(name="normal", backend="pytorch", input="INPUT__0", output="OUTPUT__0", dims="{dims}", batch=1)
    put(tmp_path, "normal", "model.pt", scripted(layers), config.replace("{dims}", "1, -1, -1, -1", 1).replace("{dims}", "2, -1, -1, -1"))
    with torch.inference_mode():
        answer = layers.eval()(torch.from_numpy(golden_input((1, 1, 16, 16, 16), np.dtype(np.float32)))).numpy()[:, -1]
    golden = {"mean": float(answer.mean()), "deviation": float(answer.std()), "shape": [1, 1, 16, 16, 16], "scale": 1.0, "tolerance": 1e-3}
    weights = (tmp_path / "normal/1/model.pt").read_bytes()
    entry = {
        "file": "model.pt",
        "sha256": hashlib.sha256(weights).hexdigest(),
        "source_sha256": "x",
        "source": "made by the test",
        "licence": "MIT",
        "attribution": "nobody",
        "format": "TorchScript",
        "golden": golden,
    }
    (tmp_path / "normal/hilum.json").write_text(json.dumps({"name": "normal", "versions": {"1": entry}}))
    (tmp_path / "normal/README.md").write_text("# normal\n\nSomething.\n\n## Tensors\n\nmany\n")
    return Repository(tmp_path)


def record(execution: Execution, **other: Any) -> Measured:
    """As if it had been measured here."""
    found = Measured(
        execution=execution,
        machine=processors.machine(),
        threads=1,
        seconds={str(execution): 0.1},
        difference=0.0,
        dice=1.0,
        versions={runtime.value: installed(runtime) or "" for runtime in Runtime},
        shapes=((1, 1, 16, 16, 16),),
    )
    return replace(found, **other)


def opened(repository: Repository, told: list[Fallback]) -> str:
    """What computes the model, after one call."""
    engine = EmbeddedEngine(repository.path, threads=1, tell=told.append)
    engine.infer(NORMAL, {"INPUT__0": np.ones((1, 1, 8, 8, 8), dtype=np.float32)})
    return engine.runtime(NORMAL)


def test_a_model_that_was_never_measured_is_computed_by_its_own_library(repository: Repository) -> None:
    """Nobody compared OpenVINO with it yet; that is no fallback, nothing is told."""
    told: list[Fallback] = []
    assert opened(repository, told).startswith("torch f32 ")
    assert told == []


def test_the_entered_way_is_taken_and_named(repository: Repository) -> None:
    """Library, precision, version and threads: what the record of a job says."""
    enter_measured(repository, NORMAL, record(OPENVINO))
    told: list[Fallback] = []
    assert opened(repository, told) == f"openvino f32 {installed(Runtime.OPENVINO)}, 1 thread"
    assert told == []


def test_without_the_entered_library_another_one_computes_and_it_is_told(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose installation lacks OpenVINO goes on with torch."""
    enter_measured(repository, NORMAL, record(OPENVINO))
    monkeypatch.setattr(runtimes, "installed", lambda runtime: None if runtime is Runtime.OPENVINO else "1")
    told: list[Fallback] = []
    file, content, _ = repository.read(NORMAL)
    entered = {"measured": record(OPENVINO), "golden": None, "tell": told.append}
    chosen = choosing.open_model(NORMAL, repository.config(NORMAL), file, content, threads=1, **entered)  # type: ignore[arg-type]
    assert chosen.execution == TORCH
    (fallback,) = told
    assert (fallback.model, fallback.wanted, fallback.used) == (NORMAL, OPENVINO, TORCH)
    assert "HLM-4001" in fallback.reason


def test_a_way_that_no_longer_gives_the_golden_output_is_not_used(repository: Repository) -> None:
    """An updated library, another processor: found out before a study is."""
    file = repository.path / "normal/hilum.json"
    enter_measured(repository, NORMAL, record(OPENVINO))
    entries = json.loads(file.read_text())
    entries["versions"]["1"]["golden"]["mean"] += 0.1
    file.write_text(json.dumps(entries))
    told: list[Fallback] = []
    assert opened(repository, told).startswith("torch f32")
    assert "HLM-4107" in told[0].reason


def test_lower_precision_is_not_carried_to_another_machine(repository: Repository) -> None:
    """The gate judged another processor's arithmetic: here the same library computes in single precision."""
    enter_measured(repository, NORMAL, record(Execution(runtime=Runtime.OPENVINO, precision=Precision.BF16), machine="another"))
    told: list[Fallback] = []
    assert opened(repository, told).startswith("openvino f32")
    assert "judged on another" in told[0].reason


def test_a_record_that_cannot_be_read_is_no_reason_to_stop(repository: Repository) -> None:
    """What was measured is advice: a later version's record, or one that somebody edited, leaves the model usable."""
    file = repository.path / "normal/hilum.json"
    entries = json.loads(file.read_text())
    entries["versions"]["1"]["embedded"] = {"runtime": "abacus"}
    file.write_text(json.dumps(entries))
    assert opened(repository, []).startswith("torch f32")


@pytest.mark.slow
def test_openvino_gives_the_same_bytes_with_any_number_of_threads_and_in_a_fresh_process(repository: Repository) -> None:
    """Sums over the volume are made in one order; the digest of findings, and so the results' UIDs, do not depend on the machine's load."""
    config = repository.config(NORMAL)
    file, content, _ = repository.read(NORMAL)
    inputs = {"INPUT__0": golden_input((1, 1, 40, 36, 28), np.dtype(np.float32), 1000)}
    answers = [openvino_computation(config, file, content, threads)(inputs)["OUTPUT__0"] for threads in (1, 2, 3)]
    assert len({answer.tobytes() for answer in answers}) == 1
    for threads in (1, 2):
        fresh = computation_in_jail(NORMAL, OPENVINO, config, file, content, threads, Limits.usual())
        assert fresh(inputs)["OUTPUT__0"].tobytes() == answers[0].tobytes()


@pytest.mark.slow
def test_instance_normalisation_loses_no_digits_in_openvino(repository: Repository) -> None:
    """Compared with the same network in double precision, on sides that are no multiple of eight."""
    import io

    import torch

    config = repository.config(NORMAL)
    file, content, _ = repository.read(NORMAL)
    values = golden_input((1, 1, 61, 93, 77), np.dtype(np.float32), 1000)
    found = openvino_computation(config, file, content, 1)({"INPUT__0": values})["OUTPUT__0"]
    exact = torch.jit.load(io.BytesIO(content)).double()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        meant = exact(torch.from_numpy(values).double()).numpy()
    assert np.abs(found - meant).max() < 2e-5


@pytest.mark.slow
def test_a_converted_model_is_read_back_without_torch(repository: Repository) -> None:
    """The second process that serves a model with OpenVINO never imports torch: a quarter of a gigabyte and seconds of start."""
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from inference.engines.comparing import digest_of\nfrom inference.engines.openvino_model import openvino_computation\n"
        "from inference.engines.port import ModelRef\nfrom inference.engines.repository import Repository\n"
        "model, opened = ModelRef(name='normal'), Repository(Path(sys.argv[1]))\nfile, content, _ = opened.read(model)\n"
        "compute = openvino_computation(opened.config(model), file, content, 1)\n"
        "print(digest_of(compute({'INPUT__0': np.ones((1, 1, 8, 8, 8), dtype=np.float32)})))\n"
        "print('torch' in sys.modules, 'openvino_telemetry' in sys.modules and sys.modules['openvino_telemetry'] is not None)"
    )
    command = [sys.executable, "-c", code, str(repository.path)]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(2))
    assert first[0] == second[0], "read back, the model computes the same"
    assert (first[1], second[1]) == ("True", "False")
    assert second[2] == "False", "nobody is told that OpenVINO is used"


def test_half_a_kept_model_is_converted_again(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A disk that was full when it was kept."""
    import os

    config = repository.config(NORMAL)
    file, content, _ = repository.read(NORMAL)
    inputs = {"INPUT__0": golden_input((1, 1, 8, 8, 8), np.dtype(np.float32))}
    first = openvino_computation(config, file, content, 1)(inputs)["OUTPUT__0"]
    (kept,) = Path(os.environ["XDG_CACHE_HOME"]).glob("hilum/openvino/*/model.bin")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-8])
    again = openvino_computation(config, file, content, 1)(inputs)["OUTPUT__0"]
    np.testing.assert_array_equal(first, again)
    assert kept.read_bytes() == whole


def test_without_a_cache_to_write_to_a_model_is_converted_every_time(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container whose file system is read-only."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    config = repository.config(NORMAL)
    file, content, _ = repository.read(NORMAL)
    answer = openvino_computation(config, file, content, 1)({"INPUT__0": np.ones((1, 1, 8, 8, 8), dtype=np.float32)})
    assert answer["OUTPUT__0"].shape == (1, 2, 8, 8, 8)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_size_that_the_network_refuses_spoils_no_other(threads: int, tmp_path: Path) -> None:
    """Two branches, one of which sees every third place: what it gives for 16 places does not fit beside the other's. OpenVINO refuses
    that, answers with nothing, or dies; 15 places fit, as before."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {"start": [0], "end": [1 << 30], "axes": [2], "step": [3]}
    kernel = numpy_helper.from_array(np.ones((1, 1, 1), dtype=np.float32), "kernel")
    scales = numpy_helper.from_array(np.array([1, 1, 3], dtype=np.float32), "scales")
    nodes = [
        helper.make_node("Slice", ["x", *constants], ["thin"]),
        helper.make_node("Conv", ["thin", "kernel"], ["seen"]),
        helper.make_node("Resize", ["seen", "", "scales"], ["wide"], coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        helper.make_node("Conv", ["x", "kernel"], ["whole"]),
        helper.make_node("Concat", ["wide", "whole"], ["y"], axis=1),
    ]
    values = [kernel, scales, *(numpy_helper.from_array(np.array(value), name) for name, value in constants.items())]
    places = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, count, None]) for name, count in (("x", 1), ("y", 2))]
    graph = helper.make_model(
        helper.make_graph(nodes, "branches", places[:1], places[1:], values), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(graph)
    config = CONFIG.format(name="branches", backend="onnxruntime", input="x", output="y", dims="{dims}", batch=1)
    put(tmp_path, "branches", "model.onnx", graph.SerializeToString(), config.replace("{dims}", "1, -1", 1).replace("{dims}", "2, -1"))
    model = ModelRef(name="branches")
    file, content, _ = Repository(tmp_path).read(model)
    compute = computation_in_jail(model, OPENVINO, Repository(tmp_path).config(model), file, content, threads, Limits.usual())
    fits = {"x": golden_input((1, 1, 15), np.dtype(np.float32))}
    meant = compute(fits)["y"].copy()
    for _ in range(2):
        with pytest.raises((WrongTensors, ModelDied)):
            compute({"x": golden_input((1, 1, 16), np.dtype(np.float32))})
        np.testing.assert_array_equal(compute(fits)["y"], meant)


def test_outputs_stay_what_they_are_when_the_model_is_called_again(repository: Repository) -> None:
    """They are handed out without a copy: the next call, from this thread or another, must not write into them."""
    config = repository.config(NORMAL)
    file, content, _ = repository.read(NORMAL)
    compute = openvino_computation(config, file, content, 1)
    first = compute({"INPUT__0": golden_input((1, 1, 8, 8, 8), np.dtype(np.float32))})["OUTPUT__0"]
    before = first.copy()
    for scale in (2, 3):
        compute({"INPUT__0": golden_input((1, 1, 8, 8, 8), np.dtype(np.float32), scale)})
    np.testing.assert_array_equal(first, before)


@pytest.mark.slow
def test_tuning_measures_every_way_and_enters_one(repository: Repository) -> None:
    """The entry and the card say what was measured; what they said before of other things stays."""
    lines: list[str] = []
    measured = tuning.tune(repository, NORMAL, threads=1, say=lines.append)
    assert set(measured.seconds) == {"torch f32", "torch f32 channels last", "openvino f32"}
    assert len(lines) == 3
    assert measured.difference < 1e-3
    enter_measured(repository, NORMAL, measured)
    enter_measured(repository, NORMAL, measured)
    entry = repository.entry(NORMAL)
    assert entry is not None
    assert entry.embedded is not None
    assert entry.embedded.execution == measured.execution
    assert entry.embedded.elsewhere() == ""
    card = (repository.path / "normal/README.md").read_text()
    assert card.count("## On the embedded engine, version 1") == 1
    assert card.startswith("# normal\n\nSomething.\n\n## Tensors\n\nmany\n")
    assert "| torch f32 |" in card
    forget_measured(repository, NORMAL)
    entry = repository.entry(NORMAL)
    assert entry is not None
    assert entry.embedded is None
    assert (repository.path / "normal/README.md").read_text() == "# normal\n\nSomething.\n\n## Tensors\n\nmany\n"


def test_figures_of_another_machine_or_library_are_known_as_such(repository: Repository) -> None:
    """A repository that was copied, a library that was updated: doctor says so."""
    here = record(OPENVINO)
    assert "measured on a calculator, this is" in replace(here, machine="a calculator").elsewhere()
    assert "openvino 1999.1" in replace(here, versions={"openvino": "1999.1"}).elsewhere()


@pytest.mark.slow
def test_a_way_with_other_answers_is_never_chosen(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast it is; the entry says why, with the figure."""
    real = computation_in_jail

    def wrong(model: ModelRef, execution: Execution, *arguments: Any) -> Compute:
        compute = real(model, execution, *arguments)
        return (lambda inputs: {name: answer + 0.002 for name, answer in compute(inputs).items()}) if execution == OPENVINO else compute

    monkeypatch.setattr(tuning, "computation_in_jail", wrong)
    monkeypatch.setattr(tuning, "compare_golden", lambda *_, **__: None)
    measured = tuning.tune(repository, NORMAL, threads=1)
    assert measured.execution.runtime is Runtime.TORCH
    assert "differs from the reference by" in measured.refused["openvino f32"]


@pytest.mark.slow
def test_a_way_that_is_not_repeatable_is_never_chosen(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same inputs have to give the same bytes: results' UIDs hang on them."""
    real = computation_in_jail
    drift = iter(range(1000))

    def drifting(model: ModelRef, execution: Execution, *arguments: Any) -> Compute:
        compute = real(model, execution, *arguments)
        if execution != OPENVINO:
            return compute
        return lambda inputs: {name: answer + np.float32(1e-6) * next(drift) for name, answer in compute(inputs).items()}

    monkeypatch.setattr(tuning, "computation_in_jail", drifting)
    measured = tuning.tune(repository, NORMAL, threads=1)
    assert measured.execution.runtime is Runtime.TORCH
    assert measured.refused["openvino f32"] == "does not give the same bytes again"


def test_a_lower_precision_below_the_gate_is_refused_with_its_figure(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model stays as it was; nothing is entered."""
    real = computation_in_jail

    def coarse(model: ModelRef, execution: Execution, *arguments: Any) -> Compute:
        if execution.precision is Precision.F32:
            return real(model, execution, *arguments)
        compute = real(model, OPENVINO, *arguments)
        return lambda inputs: {name: answer[:, ::-1].copy() for name, answer in compute(inputs).items()}

    monkeypatch.setattr(tuning, "computation_in_jail", coarse)
    monkeypatch.setattr(tuning, "compare_golden", lambda *_, **__: None)
    monkeypatch.setattr(tuning, "impossible", lambda _: "")
    with pytest.raises(PrecisionRefused, match=r"in bf16: the masks' Dice to the reference is 0\.\d+, at least 0\.999") as refused:
        tuning.tune(repository, NORMAL, precision=Precision.BF16, threads=1)
    assert refused.value.code == "HLM-4150"


@pytest.mark.skipif(not can_compute_in(Precision.BF16), reason="this processor has no instructions for bf16")
def test_bf16_computes_where_the_processor_can(repository: Repository) -> None:
    """Close to single precision, and not the same."""
    config = repository.config(NORMAL)
    file, content, _ = repository.read(NORMAL)
    inputs = {"INPUT__0": golden_input((1, 1, 32, 32, 32), np.dtype(np.float32))}
    whole, half = (openvino_computation(config, file, content, 1, precision)(inputs)["OUTPUT__0"] for precision in Precision)
    assert 0 < np.abs(whole - half).max() < 0.05
    assert half.dtype == np.float32


def test_a_model_without_an_entry_is_not_measured(repository: Repository) -> None:
    """There is nowhere to write it."""
    (repository.path / "normal/hilum.json").unlink()
    with pytest.raises(NotEntered, match="has no entry"):
        tuning.tune(repository, NORMAL)


def test_difference_by_hand() -> None:
    """0.1 of a range of 2 is 0.05; 200 voxels of 400 in common of masks of 400 each are a Dice of one half."""
    meant = np.zeros((1, 2, 10, 10, 10), dtype=np.float32)
    meant[:, 1].reshape(-1)[:400] = 1
    meant[:, 0] = 1 - meant[:, 1]
    found = np.zeros_like(meant)
    found[:, 1].reshape(-1)[200:600] = 1
    found[:, 0] = 1 - found[:, 1]
    assert difference({"y": meant}, {"y": found}).dice == pytest.approx(0.5)
    line = np.array([[-1.0, 0.0, 1.0]], dtype=np.float32)
    assert difference({"y": line}, {"y": line + np.array([0, 0.1, 0], dtype=np.float32)}).values == pytest.approx(0.05)
    assert difference({"y": line}, {"y": line * np.nan}).values == np.inf


def test_a_container_pays_for_fewer_cores_than_the_machine_has(tmp_path: Path) -> None:
    """cgroup v2 `cpu.max` and v1 `cpu.cfs_quota_us`: one and a half cores are one thread, never none."""
    present = processors.usable_cores(v2=tmp_path / "none", v1=(tmp_path / "none", tmp_path / "none"))
    maximum, quota, period = tmp_path / "cpu.max", tmp_path / "quota", tmp_path / "period"
    period.write_text("100000\n")
    for text, cores in (("max 100000", present), ("150000 100000", 1), ("50000 100000", 1), ("99900000 100000", present)):
        maximum.write_text(text + "\n")
        assert processors.usable_cores(v2=maximum, v1=(quota, period)) == cores
    for text, cores in (("-1", present), ("150000", 1)):
        quota.write_text(text + "\n")
        assert processors.usable_cores(v2=tmp_path / "none", v1=(quota, period)) == cores


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores: one worker takes all, three take two each, twenty one each."""
    monkeypatch.setattr(processors, "usable_cores", lambda: 8)
    assert [processors.threads_each(workers) for workers in (1, 2, 3, 20)] == [8, 4, 2, 1]


def test_nothing_is_left_but_what_the_reference_says(repository: Repository) -> None:
    """Weights that no library can read: the error is that of the model's own library."""
    from inference.engines.errors import UnreadableModel

    config = repository.config(NORMAL)
    with pytest.raises(UnreadableModel, match="is not a TorchScript file"):
        choosing.open_model(
            NORMAL, config, Path("model.pt"), b"nothing", threads=1, measured=record(OPENVINO), golden=None, tell=lambda _: None
        )


@pytest.mark.parametrize(
    ("name", "input", "output"),
    [("double_pt", "INPUT__0", "OUTPUT__0"), ("double_pt2", "INPUT__0", "OUTPUT__0"), ("double_onnx", "x", "y")],
)
def test_openvino_reads_every_format(name: str, input: str, output: str, tmp_path: Path) -> None:
    """TorchScript, torch.export and ONNX of y = 2 x, for a batch of one and of three."""
    fill(tmp_path)
    opened = Repository(tmp_path)
    model = ModelRef(name=name)
    file, content, _ = opened.read(model)
    compute = openvino_computation(opened.config(model), file, content, 1)
    cube = np.arange(64, dtype=np.float32).reshape(1, 1, 4, 4, 4)
    for batch in (cube, np.concatenate([cube, cube + 1, cube + 2])):
        np.testing.assert_array_equal(compute({input: batch})[output], 2 * batch)


def test_openvino_puts_arguments_and_results_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Triton's convention: NAME__<index> is the place among a script's arguments and results."""
    fill(tmp_path)
    opened = Repository(tmp_path)
    model = ModelRef(name="both")
    file, content, _ = opened.read(model)
    compute = openvino_computation(opened.config(model), file, content, 1)
    answer = compute({"A__0": np.array([5, 7], dtype=np.float32), "B__1": np.array([1, 2], dtype=np.float32)})
    np.testing.assert_array_equal(answer["DIFFERENCE__0"], [4, 5])
    np.testing.assert_array_equal(answer["SUM__1"], [6, 9])


def test_what_onnxruntime_fails_at_is_said_of_the_model(tmp_path: Path) -> None:
    """A resize to no pixels at all fails inside onnxruntime, with an error class of its own: a ModelError, not a crash."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"])],
        "resize",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4]),
            helper.make_tensor_value_info("sizes", TensorProto.INT64, [4]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "rows", "columns"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    config = """
    name: "resize" backend: "onnxruntime" max_batch_size: 0
    input [ { name: "x" data_type: TYPE_FP32 dims: [ 1, 1, 4, 4 ] }, { name: "sizes" data_type: TYPE_INT64 dims: [ 4 ] } ]
    output [ { name: "y" data_type: TYPE_FP32 dims: [ 1, 1, -1, -1 ] } ]
    """
    put(tmp_path, "resize", "model.onnx", model.SerializeToString(), config)
    opened = Repository(tmp_path)
    file, content, _ = opened.read(ModelRef(name="resize"))
    compute = computation(Execution(runtime=Runtime.ONNXRUNTIME), opened.config(ModelRef(name="resize")), file, content, 1)
    image = np.ones((1, 1, 4, 4), dtype=np.float32)
    assert compute({"x": image, "sizes": np.array([1, 1, 8, 2])})["y"].shape == (1, 1, 8, 2)
    with pytest.raises(WrongTensors, match="resize"):
        compute({"x": image, "sizes": np.array([1, 1, 0, 2])})
