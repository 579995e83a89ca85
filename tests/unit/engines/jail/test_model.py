"""Models in their processes: the answers are the library's own, and what a model does in there stays there."""

import fcntl
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.applications.ct_lung.stored import finishing
from inference.engines import pinned
from inference.engines.errors import HostileModel, OutOfMemory, UnreadableModel, WrongTensors
from inference.engines.execution import Execution, Runtime
from inference.engines.jail import memory, messages, probe, process, template
from inference.engines.jail import model as jail
from inference.engines.jail.errors import JailBroken, MemoryBound, ModelDied, ModelHung, Unconfined
from inference.engines.jail.messages import shared_memory
from inference.engines.jail.model import Limits, ModelInJail, call_in_jail, checked
from inference.engines.jail.process import AnswerLimits, Jailed
from inference.engines.modelconfig import ModelConfig, TensorConfig
from inference.engines.port import ModelRef
from inference.engines.runtimes import computation
from inference.errors import HilumError
from tests.lab.program import wait_until
from tests.unit.engines.models import doubling_onnx, scripted

REF = ModelRef(name="m")
FLOATS = np.dtype(np.float32)
LIMITS = Limits(memory=4 << 30)
CUBES = (1, -1, -1, -1)

Opener = Callable[..., ModelInJail]


_NUMBERS = itertools.count()


def config(input: str, output: str, dims: tuple[int, ...] = CUBES) -> ModelConfig:
    tensors = (TensorConfig(name=name, dtype=FLOATS, dims=dims) for name in (input, output))
    return ModelConfig(name="m", backend="", max_batch_size=4, inputs=(next(tensors),), outputs=(next(tensors),))


SCRIPT = config("INPUT__0", "OUTPUT__0")
GRAPH = config("x", "y")


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens models, and ends their processes."""
    made: list[ModelInJail] = []

    def open_one(content: bytes, file: str = "model.pt", *, limits: Limits = LIMITS, execution: Execution | None = None) -> ModelInJail:
        said = GRAPH if file.endswith(".onnx") else SCRIPT
        made.append(ModelInJail(REF, said, Path(file), lambda: content, threads=1, limits=limits, execution=execution))
        return made[-1]

    yield open_one
    for each in made:
        each.end()


def noise(side: int = 4) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(7).standard_normal((1, 1, side, side, side)).astype(np.float32)


def module(forward: str) -> bytes:
    """TorchScript with a method of its own."""
    import io

    import torch

    # a class of its own: torch keeps the methods of one that it knows
    scripted_module = torch.jit.script(type(f"Module{next(_NUMBERS)}", (torch.nn.Module,), {})())
    scripted_module.define(forward + "\n")

    buffer = io.BytesIO()
    torch.jit.save(scripted_module, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("runtime", Runtime)
def test_the_answers_are_those_of_the_library_to_the_last_bit(runtime: Runtime, opened: Opener) -> None:
    import torch

    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.InstanceNorm3d(4), torch.nn.Conv3d(4, 1, 3, padding=1))
    content, file = (doubling_onnx(), "model.onnx") if runtime is Runtime.ONNXRUNTIME else (scripted(net), "model.pt")
    said, name = (GRAPH, "x") if file == "model.onnx" else (SCRIPT, "INPUT__0")
    here = computation(Execution(runtime=runtime), said, Path(file), content, 1)
    there = opened(content, file, execution=Execution(runtime=runtime))
    # where the shapes are those of the last answer, it is computed where it is read
    for side in (4, 4) if file == "model.onnx" else (24, 24, 12, 24, 24):
        given = {name: noise(side)}
        meant = here(given)
        assert {key: (array.shape, array.tobytes()) for key, array in there(given).items()} == {
            key: (array.shape, array.tobytes()) for key, array in meant.items()
        }


@pytest.mark.parametrize("threads", [1, 2])
def test_an_answer_may_be_larger_than_the_last_one_to_inputs_of_the_same_shapes(threads: int) -> None:
    """Slices of 20 x 10 pixels and of 20 x 20 of one field of view are one image to the lungs' network: what the values of an input say
    makes the answer larger. It was offered the memory of the last answer: on two threads every job failed from then on, and on one thread
    what lay there, of the patient before, was the answer."""
    inputs = [TensorConfig(name="LUNG", dtype=FLOATS, dims=CUBES[:3])]
    inputs += [TensorConfig(name=name, dtype=np.dtype(np.int64), dims=(2,)) for name in ("PIXELS", "SIDES")]
    mask = TensorConfig(name="MASK", dtype=np.dtype(np.uint8), dims=CUBES[:3])
    said = ModelConfig(name="m", backend="", max_batch_size=8, inputs=tuple(inputs), outputs=(mask,))
    execution = Execution(runtime=Runtime.OPENVINO)
    compute = ModelInJail(REF, said, Path("model.onnx"), finishing, threads=threads, limits=LIMITS, execution=execution)
    try:
        for number, sides in enumerate(((20, 10), (20, 20), (30, 20), (20, 10), (20, 10))):
            lung = np.full((2, 1, 56, 56), number % 2, np.float32)
            given = {"LUNG": lung, "PIXELS": np.array([[20, 20]] * 2), "SIDES": np.array([sides] * 2)}
            answer = compute(given)["MASK"]
            assert (answer.shape, answer.min(), answer.max()) == ((2, 1, *sides), number % 2, number % 2)
    finally:
        compute.end()


@pytest.mark.parametrize("threads", [1, 2])
def test_sides_that_a_network_does_not_take_have_no_answer(threads: int) -> None:
    """Three times five values are no three times four, as a classifier makes a row of what it saw: on one thread OpenVINO said so to
    nobody, and what lay in the memory of the answer was the answer."""
    from onnx import helper, numpy_helper

    shape = numpy_helper.from_array(np.array([3, 4]), "shape")
    compute = mean_by_openvino([helper.make_node("Reshape", ["x", "shape"], ["h"])], [shape], threads)
    try:
        for value in (1, 2):
            assert compute({"x": np.full((3, 4), value, np.float32)})["y"].item() == value
            with pytest.raises(WrongTensors, match="cannot compute these inputs"):
                compute({"x": np.full((3, 5), value, np.float32)})
    finally:
        compute.end()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_takes_too_much_memory_leaves_nothing_to_the_next(threads: int) -> None:
    """A row of twelve million values as a square of each with each takes 576 TB. OpenVINO kept asking for as much for the row of two behind
    it, which it had computed before."""
    from onnx import helper

    square = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["t", "x"], ["h"])]
    compute = mean_by_openvino(square, [], threads)
    try:
        for value in (1, 2):
            assert compute({"x": np.full((1, 2), value, np.float32)})["y"].item() == value**2
            with pytest.raises(OutOfMemory, match="576000000000000 bytes"):
                compute({"x": np.full((1, 12_000_000), value, np.float32)})
    finally:
        compute.end()


def mean_by_openvino(nodes: list[Any], constants: list[Any], threads: int) -> ModelInJail:
    """The mean `y`, (1, 1), of what ONNX nodes make of `x`, (rows, columns), and call `h`."""
    import onnx
    from onnx import TensorProto, helper

    mean = helper.make_node("ReduceMean", ["h"], ["y"], axes=[0, 1], keepdims=1)
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "columns"])]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])]
    graph = helper.make_graph([*nodes, mean], "mean", given, made, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    tensors = [TensorConfig(name=name, dtype=FLOATS, dims=dims) for name, dims in (("x", (-1, -1)), ("y", (1, 1)))]
    said = ModelConfig(name="m", backend="", max_batch_size=0, inputs=(tensors[0],), outputs=(tensors[1],))
    content, execution = model.SerializeToString(), Execution(runtime=Runtime.OPENVINO)
    return ModelInJail(REF, said, Path("model.onnx"), lambda: content, threads=threads, limits=LIMITS, execution=execution)


def test_inputs_stay_and_outputs_are_the_caller_s(opened: Opener) -> None:
    """In-place operators of the model change its own copy; the answer may be written to, and the next call does not touch it."""
    compute = opened(module("def forward(self, x):\n  return x.mul_(2)"))
    given = noise()
    before = given.copy()
    first = compute({"INPUT__0": given})["OUTPUT__0"]
    assert np.array_equal(given, before)
    second = compute({"INPUT__0": np.zeros_like(given)})["OUTPUT__0"]
    assert np.array_equal(first, before * 2)
    first += 1
    assert not second.any()


def test_arrays_of_any_layout_and_of_no_size(opened: Opener) -> None:
    compute = opened(module("def forward(self, x):\n  return x * 2"))
    turned = np.asfortranarray(noise(6))[:, :, ::-1, ::2]
    assert np.array_equal(compute({"INPUT__0": turned})["OUTPUT__0"], turned * 2)
    empty = np.empty((1, 1, 0, 3, 3), dtype=np.float32)
    assert compute({"INPUT__0": empty})["OUTPUT__0"].shape == empty.shape


def test_what_the_library_says_is_said(opened: Opener) -> None:
    with pytest.raises(UnreadableModel, match="is not a TorchScript file"):
        opened(b"nothing").open()
    compute = opened(module("def forward(self, x):\n  return x.reshape(7, 7)"))
    with pytest.raises(WrongTensors, match="cannot compute these inputs"):
        compute({"INPUT__0": noise()})
    assert compute.warm, "a refusal is an answer"


def test_a_script_that_writes_a_file_writes_none(opened: Opener, tmp_path: Path) -> None:
    """aten::from_file makes the file that it names: by torch alone it does (the first half of this test), here it is not even loaded."""
    import io

    import torch

    wanted = tmp_path / "made-by-a-model"
    content = module(f"def forward(self, x):\n  return x + torch.from_file('{wanted}', shared=True, size=64).reshape(1, 1, 4, 4, 4)")
    torch.jit.load(io.BytesIO(content))(torch.zeros(1, 1, 4, 4, 4))  # type: ignore[no-untyped-call]
    assert wanted.is_file(), "a script that cannot write anywhere proves nothing"
    wanted.unlink()
    with pytest.raises(HostileModel, match=r"torch\.from_file, which is not on the list"):
        opened(content)({"INPUT__0": noise()})
    assert not wanted.exists()


def test_a_model_that_dies_is_replaced(opened: Opener) -> None:
    compute = opened(doubling_onnx(), "model.onnx")
    given = {"x": noise()}
    first = compute(given)
    assert compute.pid is not None
    died = compute.pid
    os.kill(died, signal.SIGKILL)
    with pytest.raises(ModelDied, match=r'model "m" version 1: its process ended in the middle of a call \(signal 9\)'):
        compute(given)
    assert np.array_equal(compute(given)["y"], first["y"])
    assert compute.pid != died


def test_a_process_that_breaks_down_says_its_last_words(opened: Opener) -> None:
    compute = opened(module("def forward(self, x):\n  print('this and no more')\n  return x"))
    compute({"INPUT__0": noise()})
    assert compute.pid is not None
    os.kill(compute.pid, signal.SIGABRT)
    with pytest.raises(ModelDied, match=r"\(signal 6\); its last words: «this and no more»") as died:
        compute({"INPUT__0": noise()})
    assert died.value.retry


def looping_onnx() -> bytes:
    """y = x, after a loop that ends when pigs fly."""
    from onnx import TensorProto, helper, numpy_helper

    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Mul", ["was", "was"], ["is"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("was", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("is", TensorProto.FLOAT, None)],
    )
    axes = ["n", 1, "z", "y", "x"]
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)],
        "loop",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)],
        [numpy_helper.from_array(np.array(True), "true")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_an_endless_loop_is_ended(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = opened(looping_onnx(), "model.onnx")
    compute.open()
    monkeypatch.setattr(jail, "CALL_S", 1.0)
    with pytest.raises(ModelHung, match="no answer within 1 s"):
        compute({"x": noise()})
    assert not compute.warm


def test_a_deadline_ends_a_computation(opened: Opener) -> None:
    """The engine's own promise until now was that one that had begun goes on."""
    from inference.engines.errors import EngineTimeout

    compute = opened(looping_onnx(), "model.onnx")
    compute.open()
    with pytest.raises(EngineTimeout, match="the deadline passed"):
        compute({"x": noise()}, ends_at=time.monotonic() + 0.5)


def test_a_model_that_eats_memory_is_ended(opened: Opener) -> None:
    content = module("def forward(self, x):\n  y = [x]\n  while True:\n    y.append(torch.ones(16000000) + x.sum())\n  return y[0]")
    compute = opened(content, limits=Limits(memory=1 << 29))
    with pytest.raises(MemoryBound, match=r"took \d+\.\d GiB, one model may take 0\.5"):
        compute({"INPUT__0": noise()})


def test_a_flood_on_standard_output_goes_nowhere(opened: Opener, capfd: pytest.CaptureFixture[str]) -> None:
    """50,000 lines, more than a pipe holds: they neither reach the worker's own output nor stop the model."""
    compute = opened(module("def forward(self, x):\n  for i in range(50000):\n    print('patients by the thousand', i)\n  return x"))
    given = noise()
    assert np.array_equal(compute({"INPUT__0": given})["OUTPUT__0"], given)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_starts_threads_without_end_is_ended(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """They count for the node's user, who needs one for each sender; here the bound is lower than what any process has."""
    compute = opened(doubling_onnx(), "model.onnx")
    compute.open()
    monkeypatch.setattr(process, "MOST_THREADS", 0)
    with pytest.raises(JailBroken, match=r"it has \d+ threads, more than 0"):
        compute({"x": noise()})
    assert not compute.warm


def test_shared_memory_is_written_where_it_is_told(opened: Opener) -> None:
    """Flags of a descriptor are shared by all who were passed it: a model may ask for what is written next to be appended."""
    compute = opened(doubling_onnx(), "model.onnx")
    given = {"x": noise()}
    first = compute(given)
    fcntl.fcntl(compute.inputs.of(0), fcntl.F_SETFL, os.O_APPEND)
    assert np.array_equal(compute(given)["y"], first["y"])


@pytest.mark.parametrize("name", ["EngineAway", "EngineBusy", "Unconfined", "EngineError", "SystemExit", "quoted"])
def test_errors_that_none_of_hilum_s_own_code_there_has_are_not_believed(name: str) -> None:
    """For a server that is away a job waits, and costs no attempt: a model could make its jobs wait for ever."""
    named = process.named_error("it", {"error": name, "text": "later"})
    assert isinstance(named, JailBroken)
    assert "none of its own" in str(named)


def test_an_error_s_sentence_has_an_end() -> None:
    assert len(str(process.named_error("it", {"error": "WrongTensors", "text": "x" * 900_000}))) == messages.MOST_TEXT


def test_only_its_own_processes_are_ended_by_a_template() -> None:
    """A template that was started anew is told the numbers of what the one before it had forked: they may be another's by now."""
    # none of the script's pipes: who reads one waits for its end, and would look for a process that has ended
    script = "import subprocess as s; print(s.Popen(['sleep', '60'], stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
    stranger = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    own = subprocess.Popen(["sleep", "60"])
    try:
        assert template.reap(stranger) is None
        assert _runs(stranger)
        assert template.reap(own.pid) == -signal.SIGKILL
    finally:
        os.kill(stranger, signal.SIGKILL)
        own.returncode = -signal.SIGKILL  # the template has waited for it


def test_a_stranger_with_the_number_of_a_process_that_ended_is_sent_nothing() -> None:
    """A template that dies takes its processes with it, and the system reaps them: their numbers are free before anybody here knows."""
    held = Jailed()
    own = held.pid
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        held._pid = held._signals._pid = stranger.pid
        with suppress(HilumError):
            held.ask("it", {"do": "nothing"}, AnswerLimits(seconds=10, memory=LIMITS.memory))
        held.end()
        assert stranger.communicate(b"still here")[0] == b"still here"
        wait_until(lambda: not _runs(own), 20, "the system has reaped it", every_s=0.01)
    finally:
        process._template.let_go(own)
        stranger.kill()
        stranger.wait()


def test_between_calls_nothing_of_it_runs(opened: Opener) -> None:
    compute = opened(doubling_onnx(), "model.onnx")
    compute({"x": noise()})
    stat = Path(f"/proc/{compute.pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 20, "it is stopped", every_s=0.01)


def test_its_processes_end_with_the_worker() -> None:
    """A worker that is killed cannot end them: they hold on to its life, even while they are stopped."""
    script = (
        "from inference.engines.jail.process import Jailed\nimport time\n"
        "made = [Jailed(), Jailed()]\nprint(*[each.pid for each in made], flush=True)\ntime.sleep(600)"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    pids = [int(pid) for pid in worker.stdout.readline().split()]
    assert len(pids) == 2
    worker.kill()
    worker.wait()
    wait_until(lambda: not any(_runs(pid) for pid in pids), 60, "no model outlives its worker", every_s=0.05)
    worker.stdout.close()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_holds_nothing_of_the_worker_s() -> None:
    """Its descriptors are its input (nothing), its output (a pipe) and its channel, its environment is empty of ours but for how threads
    wait for each other, its folder is /."""
    os.environ["HILUM_SECRET"] = "the passcode"
    try:
        with closing(_Held()) as held:
            folder = Path(f"/proc/{held.process.pid}")
            assert sorted(int(each.name) for each in (folder / "fd").iterdir()) == [0, 1, 2, 3]
            assert "HILUM_SECRET" not in (folder / "environ").read_text()
            assert "OMP_WAIT_POLICY=passive" in (folder / "environ").read_text().split("\0")
            assert os.readlink(folder / "cwd") == "/"
            assert (folder / "oom_score_adj").read_text().strip() == "1000"
            assert os.readlink(folder / "fd/0") == "/dev/null"
    finally:
        del os.environ["HILUM_SECRET"]


class _Held:
    def __init__(self) -> None:
        self.process = Jailed()

    def close(self) -> None:
        self.process.end()


def test_forgotten_processes_are_ended() -> None:
    pid = Jailed().pid  # nobody holds it
    wait_until(lambda: not _runs(pid), 20, "it is ended", every_s=0.05)


def test_hilum_s_own_functions_run_on_a_file_in_the_jail() -> None:
    arguments: dict[str, Any] = {"limits": LIMITS, "carries_code": True}
    assert call_in_jail("it", "inference.engines.jail.messages:parsed", b'{"a": 5}', {}, **arguments) == ({"a": 5}, b"")
    with pytest.raises(JailBroken, match="no JSON"):
        call_in_jail("it", "inference.engines.jail.messages:parsed", b"{", {}, **arguments)


@pytest.mark.parametrize(
    "outputs",
    [
        None,
        7,
        [7],
        [{"name": "y"}],
        [{"name": "y", "dtype": "O", "shape": [1]}],
        [{"name": "y", "dtype": "<f4,<f4", "shape": [1]}],
        [{"name": "y", "dtype": "<U9", "shape": [1]}],
        [{"name": "y", "dtype": ">f4", "shape": [1]}],
        # what numpy would read as Python
        [{"name": "y", "dtype": "(,,)f4,f4", "shape": [1]}],
        [{"name": "y", "dtype": "(1,", "shape": [1]}],
        [{"name": "y", "dtype": "<f4", "shape": [-1]}],
        [{"name": "y", "dtype": "<f4", "shape": [True]}],
        [{"name": "y", "dtype": "<f4", "shape": [1.5]}],
        [{"name": "y", "dtype": "<f4", "shape": "12"}],
        [{"name": "y", "dtype": "<f4", "shape": [1] * 60}],
        [{"name": "y", "dtype": "<f4", "shape": [1 << 20, 1 << 20]}],
        [{"name": "y", "dtype": "<f4", "shape": [1 << 62, 1 << 62, 0]}],
    ],
)
def test_what_no_array_is_is_not_believed(outputs: Any) -> None:
    with pytest.raises(JailBroken):
        checked("it", outputs, 1 << 30)


def test_an_answer_is_a_copy_of_what_a_process_can_still_change(opened: Opener) -> None:
    """Memory stays shared from call to call, within reach of the process: what it writes there later changes no answer."""
    model = opened(doubling_onnx(), "model.onnx")
    first = model({"x": noise()})["y"]
    meant = first.copy()
    for shared in (model.inputs.memory, model.outputs.memory):
        shared[:] = b"\xff" * len(shared)
    assert first.tobytes() == meant.tobytes()
    assert model({"x": noise()})["y"].tobytes() == meant.tobytes()


def test_an_answer_that_somebody_holds_is_not_written_over(opened: Opener) -> None:
    """Memory of copies is taken again for the next answer only when nobody refers to the last one, not even by a view of a part."""
    model = opened(doubling_onnx(), "model.onnx")
    first = model({"x": noise()})["y"]
    kept, part = first.tobytes(), first[..., 1:]
    meant, place = part.tobytes(), first.ctypes.data
    second = model({"x": noise() + 1})["y"]
    assert first.tobytes() == kept
    assert second.ctypes.data != place
    del first
    third = model({"x": noise() + 2})["y"]
    assert part.tobytes() == meant
    assert len({place, second.ctypes.data, third.ctypes.data}) == 3
    again = third.ctypes.data
    del third
    assert model({"x": noise()})["y"].ctypes.data == again


def test_no_earlier_answer_is_taken_for_this_one_s(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of one shape to inputs of two: for the second no memory is offered, and the process says that it has written there."""
    model = opened(module("def forward(self, x):\n  return x.sum().reshape(1)"))
    model.open()
    honest = Jailed.ask

    def lying(self: Jailed, what: str, said: dict[str, Any], *rest: Any) -> dict[str, Any]:
        return {**honest(self, what, said, *rest), "there": True}

    monkeypatch.setattr(Jailed, "ask", lying)
    answers = [model({"INPUT__0": np.ones((1, 1, side, side, side), np.float32)})["OUTPUT__0"].item() for side in (4, 2)]
    assert answers == [64, 8]


def test_much_memory_is_not_kept_between_calls(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm model keeps no more than a bound, of which most calls take less."""
    model = opened(doubling_onnx(), "model.onnx")
    monkeypatch.setattr(memory, "KEPT", noise().nbytes - 1)
    meant = model({"x": noise()})["y"].tobytes()
    with pytest.raises(AssertionError, match="shared before"):
        model.outputs.memory[:]
    assert model({"x": noise()})["y"].tobytes() == meant


def test_shared_memory_cannot_be_cut_short() -> None:
    """A mapping that shrinks would kill whoever reads it."""
    place = shared_memory(4096)
    for size in (0, 1 << 20):
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(place, size)
    os.close(place)


def test_without_the_kernel_s_help_no_program_is_loaded(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can carry one is refused, unless it is allowed, or hilum names its bytes; graphs of operators are computed."""
    from inference.engines.jail.confine import Confined

    class Open(Jailed):
        def __init__(self, imports: Any = ()) -> None:
            super().__init__(imports)
            self.confined = Confined(landlock=0, seccomp=True)

    monkeypatch.setattr(jail, "Jailed", Open)
    content = module("def forward(self, x):\n  return x")
    with pytest.raises(Unconfined, match="can carry a program, and this kernel lacks Landlock"):
        opened(content).open()
    with pytest.raises(Unconfined, match="can carry a program"):
        opened(b"any", "model.pt2").open()
    opened(doubling_onnx(), "model.onnx").open()
    opened(content, limits=Limits(memory=4 << 30, allow_code=True)).open()
    monkeypatch.setattr(pinned, "PINNED", frozenset({hashlib.sha256(content).hexdigest()}))
    opened(content).open()


def test_a_probe_reaches_nothing() -> None:
    """What `hilum doctor` has a process try on this machine; outside, the same attempts succeed."""
    assert probe.probe().reached == ()
    assert set(probe.reached(b"")) == {"files", "folders to write to", "the network", "new processes", "other processes"}
