"""The Triton engine on a real server: tensors by both ways, deadlines, cancellation, priorities, what is checked and loaded."""

import contextlib
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient import grpc as client

from inference.engines.errors import (
    ComputationFailed,
    EngineAway,
    EngineBusy,
    EngineTimeout,
    MessageTooLarge,
    ModelMissing,
    ModelNotServed,
    SharedMemoryRefused,
    WrongTensors,
)
from inference.engines.port import ModelRef, Urgency
from inference.engines.triton.engine import TritonEngine
from inference.engines.triton.server import LocalTriton
from inference.errors import EngineError
from tests.lab.program import wait_until
from tests.triton.served import ECHO, end_naps, naps_begun, serve, sleeper

pytestmark = [pytest.mark.slow, pytest.mark.registry]

ECHO16, ECHO32, SLEEPER = ModelRef(name="echo16"), ModelRef(name="echo32"), ModelRef(name="sleep")
MODES = ("off", "on")


@pytest.fixture
def engine(served: LocalTriton, models: Path) -> Iterator[TritonEngine]:
    """As the node opens it."""
    with TritonEngine(served.url, models) as opened:
        yield opened


def nap(engine: TritonEngine, seconds: float, name: str = "sleep", **how: Any) -> float:
    """When the server began with a call that takes `seconds`, on the clock of `time.monotonic`."""
    return float(engine.infer(ModelRef(name=name), {"X": np.array([seconds], np.float32)}, **how)["Y"][0])


def computed(served: LocalTriton, name: str) -> tuple[int, float]:
    """How many requests the server computed for a model, and for how long (s), by its own statistics."""
    statistics = client.InferenceServerClient(served.url.removeprefix("grpc://")).get_inference_statistics(name)
    inference = statistics.model_stats[0].inference_stats
    return inference.compute_infer.count, inference.compute_infer.ns / 1e9


def pending(served: LocalTriton, name: str) -> int:
    """How many requests wait for a model, by the server's own metrics."""
    with urllib.request.urlopen(served.metrics_url, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    (line,) = (one for one in lines if one.startswith(f'nv_inference_pending_request_count{{model="{name}"'))
    return int(line.split()[-1])


# ---- tensors


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("model", "dtype"), [(ECHO16, np.int16), (ECHO32, np.float32)])
def test_every_bit_arrives_and_comes_back(served: LocalTriton, models: Path, mode: str, model: ModelRef, dtype: type) -> None:
    """All 65,536 values of int16; of float32 also NaNs, infinities and numbers so small that some would flush them to zero."""
    bits = np.arange(65536, dtype=np.uint16)
    values = bits.view(np.int16) if dtype is np.int16 else (bits.astype(np.uint32) * 65537).view(np.float32)
    image: NDArray[Any] = values.reshape(16, 64, 64)
    with TritonEngine(served.url, models, shared_memory=mode) as engine:
        for view in (image, image[::-1, :, ::2], image.transpose(2, 0, 1)):
            answer = engine.infer(model, {"X": view})["Y"]
            assert answer.tobytes() == view.tobytes()
            assert answer.shape == view.shape
            answer[:] = 0  # the caller's own


@pytest.mark.parametrize(("mode", "slices"), [("off", 160), ("on", 600)])
def test_a_large_volume(served: LocalTriton, models: Path, mode: str, slices: int) -> None:
    """80 MB in a message, twenty times what gRPC takes by itself, and 300 MB in shared memory, there and back unharmed; the second call
    does not overwrite what the first one gave."""
    image = np.arange(slices * 500 * 500, dtype=np.uint32).astype(np.int16).reshape(slices, 500, 500)
    with TritonEngine(served.url, models, shared_memory=mode) as engine:
        first = engine.infer(ECHO16, {"X": image})["Y"]
        second = engine.infer(ECHO16, {"X": image[::-1]})["Y"]
    assert np.array_equal(first, image)
    assert np.array_equal(second, image[::-1])


def test_shared_memory_is_chosen_by_itself_for_what_is_large(engine: TritonEngine) -> None:
    """The server proved to see it; a small tensor does not take that way."""
    assert "shared memory when they are large" in engine.health().detail
    proof = engine.shared_bytes
    engine.infer(ECHO16, {"X": np.zeros((4, 4, 4), np.int16)})
    assert engine.shared_bytes == proof
    engine.infer(ECHO16, {"X": np.zeros((64, 512, 512), np.int16)})
    assert engine.shared_bytes >= proof + 2 * 64 * 512 * 512 * 2


def test_what_is_larger_than_a_grpc_message_names_shared_memory(served: LocalTriton, models: Path) -> None:
    """4 GiB that are not there (a view with strides of nothing): refused before anything is copied."""
    huge = np.broadcast_to(np.int16(0), (2, 1024, 2**20))
    with TritonEngine(served.url, models, shared_memory="off") as engine, pytest.raises(MessageTooLarge) as refused:
        engine.infer(ECHO16, {"X": huge})
    assert "4.0 GiB" in str(refused.value)
    assert "shared memory" in str(refused.value)
    assert not refused.value.retry


@pytest.mark.parametrize("mode", MODES)
def test_an_output_that_is_larger_than_its_input_arrives_whole(served: LocalTriton, models: Path, mode: str) -> None:
    """Its size is not in config.pbtxt: the first guess is refused by the server, and the call is made again by itself."""
    with TritonEngine(served.url, models, shared_memory=mode) as engine:
        for length in (7, 7, 9):
            x = np.arange(length, dtype=np.float32)
            np.testing.assert_array_equal(engine.infer(ModelRef(name="grow"), {"X": x})["Y"], np.repeat(x, 100))


def test_memory_that_the_server_does_not_see_is_not_used(served: LocalTriton, models: Path, tmp_path: Path) -> None:
    """As with a container that has a /dev/shm of its own: `auto` takes gRPC, `on` says that it cannot."""
    image = np.arange(64 * 512 * 512, dtype=np.int16).reshape(64, 512, 512)
    with TritonEngine(served.url, models, shared_folder=tmp_path) as engine:
        health = engine.health()
        assert health.ready
        assert "gRPC (the server does not see this machine's shared memory" in health.detail
        np.testing.assert_array_equal(engine.infer(ECHO16, {"X": image})["Y"], image)
    with TritonEngine(served.url, models, shared_memory="on", shared_folder=tmp_path) as engine:
        assert not engine.health().ready
        with pytest.raises(SharedMemoryRefused, match="does not see"):
            engine.infer(ECHO16, {"X": image})
    assert list(tmp_path.iterdir()) == []


# ---- deadlines, cancellation, priorities, queues


def test_a_deadline_ends_the_call_here_and_the_computation_there(served: LocalTriton, engine: TritonEngine) -> None:
    """Half a second instead of 200: by the server's own statistics it stopped too, and the next call is not kept waiting."""
    _, before_s = computed(served, "sleep")
    began = time.monotonic()
    with pytest.raises(EngineTimeout, match=r'model "sleep" version 1 at grpc://.*: not done after \d+\.\d s'):
        nap(engine, 200, deadline_s=0.5)
    assert 0.4 < time.monotonic() - began < 120
    nap(engine, 0)
    assert time.monotonic() - began < 150
    _, after_s = computed(served, "sleep")
    assert after_s - before_s < 100


def test_closing_the_engine_cancels_what_is_under_way(served: LocalTriton, models: Path) -> None:
    """The caller hears it as an engine that is away; the server stops computing."""
    engine = TritonEngine(served.url, models)
    begun, (_, before_s) = naps_begun(models, "sleep"), computed(served, "sleep")
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(nap, engine, 200)
        wait_until(lambda: naps_begun(models, "sleep") > begun, 60, "the server computes")
        began = time.monotonic()
        engine.close()
        with pytest.raises(EngineAway, match="closed"):
            call.result()
    with TritonEngine(served.url, models) as another:
        nap(another, 0)
    assert time.monotonic() - began < 150
    assert computed(served, "sleep")[1] - before_s < 100
    with pytest.raises(EngineAway, match="closed"):
        nap(engine, 0)


def test_urgent_calls_pass_those_that_wait(served: LocalTriton, engine: TritonEngine, models: Path) -> None:
    """One instance, busy; three wait in the order off-peak, routine, urgent: the server takes them the other way round."""
    nap(engine, 0, "ranked")
    with ThreadPoolExecutor(4) as threads:
        busy = threads.submit(nap, engine, 200, "ranked")
        wait_until(lambda: naps_begun(models, "ranked") == 1, 60, "the server is busy")
        waiting = []
        for urgency in (Urgency.OFFPEAK, Urgency.ROUTINE, Urgency.URGENT):
            waiting.append(threads.submit(nap, engine, 0.1, "ranked", urgency=urgency))
            wait_until(lambda: pending(served, "ranked") == len(waiting), 60, "it waits")
        end_naps(models, "ranked")
        offpeak, routine, urgent = (each.result() for each in waiting)
    assert busy.result() < urgent < routine < offpeak


def test_a_queue_that_is_full_is_an_error_that_passes(engine: TritonEngine, models: Path) -> None:
    """One is computed, one waits; the third comes too early, and is no reason to think that the server is away."""
    nap(engine, 0, "narrow")
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(nap, engine, 200, "narrow") for _ in range(4)]
        wait_until(lambda: any(call.done() for call in calls), 60, "one is refused")
        while not all(call.done() for call in calls):
            with contextlib.suppress(FileNotFoundError):
                end_naps(models, "narrow")
        errors = [call.exception() for call in calls]
    busy = [error for error in errors if error is not None]
    assert busy
    assert all(isinstance(error, EngineBusy) and error.retry for error in busy)
    assert errors.count(None) >= 1
    nap(engine, 0, "narrow")


def test_load_tells_instances_and_how_long_calls_wait(served: LocalTriton, engine: TritonEngine, models: Path) -> None:
    """Two instances; one call is computed, and three wait behind it, as long on average as the server's counters say."""
    assert engine.load(ModelRef(name="wide")).at_once == 2
    nap(engine, 0, "ranked")
    ranked = ModelRef(name="ranked")
    assert (engine.load(ranked).at_once, engine.load(ranked).queue_s) == (1, 0.0)
    begun = naps_begun(models, "ranked")
    with ThreadPoolExecutor(4) as threads:
        first = time.monotonic()
        busy = threads.submit(nap, engine, 200, "ranked")
        wait_until(lambda: naps_begun(models, "ranked") > begun, 60, "the server is busy")
        waiting = [threads.submit(nap, engine, 0, "ranked") for _ in range(3)]
        wait_until(lambda: pending(served, "ranked") == 3, 60, "they wait")
        all_wait = time.monotonic()
        time.sleep(1)
        ended = time.monotonic()
        end_naps(models, "ranked")
        busy.result()
        for call in waiting:
            call.result()
        last = time.monotonic()
    assert (ended - all_wait) * 3 / 4 < engine.load(ranked).queue_s < last - first


def test_many_threads_share_one_engine(engine: TritonEngine) -> None:
    """Each gets its own answer, through shared memory and gRPC mixed."""

    def ask(number: int) -> bool:
        image = np.full((number % 3 * 40 + 1, 512, 512), number, np.int16)
        return bool((engine.infer(ECHO16, {"X": image})["Y"] == number).all())

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(ask, range(36)))


# ---- what is served


def test_a_model_that_is_not_loaded_is_loaded_or_said_how(served: LocalTriton, models: Path) -> None:
    """With `load` at the first need; without it the operator is told what the server has."""
    sleeper(models, "later")
    later = ModelRef(name="later")
    with TritonEngine(served.url, models, load=False) as engine:
        with pytest.raises(ModelNotServed, match="the server has it, not loaded") as refused:
            engine.check(later)
        assert "hilum models load" in refused.value.remedy
        assert not refused.value.retry
        assert engine.health().ready
    with TritonEngine(served.url, models) as engine:
        engine.check(later)
        nap(engine, 0, "later")


def test_a_model_that_was_unloaded_under_the_engine_is_loaded_again(served: LocalTriton, engine: TritonEngine) -> None:
    """Somebody else's rollback is no failed study."""
    nap(engine, 0, "wide")
    client.InferenceServerClient(served.url.removeprefix("grpc://")).unload_model("wide")
    nap(engine, 0, "wide")


def test_a_version_that_the_server_does_not_serve_is_refused_with_those_that_it_has(engine: TritonEngine, models: Path) -> None:
    """Version 2 is in the node's copy, and the server loaded version 1."""
    sleeper(models, "old")
    engine.check(ModelRef(name="old"))
    (models / "old/2").mkdir()
    (models / "old/2/model.py").write_text((models / "old/1/model.py").read_text())
    config = models / "old/config.pbtxt"
    config.write_text(config.read_text() + "version_policy { specific { versions: [ 1 ] } }\n")
    with pytest.raises(ModelNotServed, match=r'"old" version 2 .*the server has version 1: ready'):
        engine.check(ModelRef(name="old", version=2))


def test_a_node_with_another_repository_is_told_what_differs(served: LocalTriton, tmp_path: Path) -> None:
    """Before any tensor is sent; the engine itself is fine."""
    serve(tmp_path, "echo16", ECHO, input="TYPE_FP32", output="TYPE_INT16")
    with TritonEngine(served.url, tmp_path) as engine:
        with pytest.raises(WrongTensors, match="input X is int16 on the server, float32 here"):
            engine.check(ECHO16)
        with pytest.raises(WrongTensors, match="on the server"):
            engine.infer(ECHO16, {"X": np.zeros((1, 1, 1), np.float32)})
        with pytest.raises(ModelMissing):
            engine.check(ECHO32)
        assert engine.health().ready


def test_a_model_s_own_error_is_told_in_its_words(engine: TritonEngine) -> None:
    """It may pass (memory, a device), so it is tried again."""
    with pytest.raises(ComputationFailed, match="the weights are sour") as failed:
        engine.infer(ModelRef(name="fail"), {"X": np.zeros((1, 1, 1), np.float32)})
    assert failed.value.retry
    with contextlib.suppress(EngineError):
        engine.infer(ModelRef(name="fail"), {"X": np.zeros((64, 512, 512), np.float32)})
    assert engine.health().ready
