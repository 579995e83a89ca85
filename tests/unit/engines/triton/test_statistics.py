"""Queue time from counters, and the sizes of outputs."""

import numpy as np
import pytest

from inference.engines.modelconfig import ModelConfig, TensorConfig
from inference.engines.port import ModelRef
from inference.engines.triton.sizes import OutputSizes
from inference.engines.triton.statistics import QueueTime

MODEL = ModelRef(name="m")


class Counters:
    """A server's counters and a clock, as the test says."""

    def __init__(self) -> None:
        self.now, self.calls, self.ns, self.asked = 0.0, 100, 5_000_000_000, 0
        self.queue = QueueTime(self.read, seconds=lambda: self.now)

    def read(self) -> tuple[int, int]:
        self.asked += 1
        return self.calls, self.ns

    def pass_(self, seconds: float, calls: int, waited_s: float) -> float:
        self.now += seconds
        self.calls += calls
        self.ns += int(calls * waited_s * 1e9)
        return self.queue.mean_s()


def test_the_mean_is_of_the_last_seconds_not_of_the_server_s_life() -> None:
    """What was slow yesterday is not slow now."""
    counters = Counters()
    assert counters.pass_(0, 0, 0) == 0.0
    assert counters.pass_(2, 10, 3.0) == pytest.approx(3.0)
    for _ in range(6):
        last = counters.pass_(2, 10, 0.5)
    assert last == pytest.approx(0.5)
    for _ in range(6):
        last = counters.pass_(2, 0, 0)
    assert last == 0.0


def test_the_server_is_asked_once_a_second_at_most() -> None:
    """However many tiles ask."""
    counters = Counters()
    for _ in range(50):
        counters.pass_(0.05, 1, 1.0)
    assert counters.asked <= 4


def test_counters_that_begin_anew_are_a_server_that_began_anew() -> None:
    """No negative time, no enormous one."""
    counters = Counters()
    counters.pass_(0, 0, 0)
    counters.calls, counters.ns = 3, 1
    assert counters.pass_(2, 0, 0) == 0.0
    assert counters.pass_(2, 4, 0.25) == pytest.approx(0.25)


def config(*dims: int, batch: int = 0) -> ModelConfig:
    """A model with one float32 output of these dims."""
    tensor = TensorConfig(name="y", dtype=np.dtype(np.float32), dims=dims)
    return ModelConfig(name="m", backend="b", max_batch_size=batch, inputs=(), outputs=(tensor,))


def test_sizes_of_outputs_by_config_and_by_the_input_s_sides() -> None:
    """A network that segments gives classes on the grid of its input."""
    image = np.zeros((2, 1, 5, 6, 7), np.int16)
    known = OutputSizes()
    assert known.of(MODEL, config(3, 4), {"x": image}) == {"y": 48}
    assert known.of(MODEL, config(3, 4, batch=8), {"x": image}) == {"y": 96}
    assert known.of(MODEL, config(9, -1, -1, -1, batch=8), {"x": image}) == {"y": 2 * 9 * 5 * 6 * 7 * 4}
    assert known.of(MODEL, config(-1), {"x": image}) == {}


def test_what_was_seen_holds_and_a_wrong_guess_is_not_made_twice() -> None:
    """The server refuses what does not fit; from then on the outputs come by gRPC until their size is known."""
    image, shape = {"x": np.zeros((1, 5), np.int16)}, config(-1, -1)
    known = OutputSizes()
    assert known.of(MODEL, shape, image) == {"y": 20}
    known.distrust(MODEL)
    assert known.of(MODEL, shape, image) == {}
    known.learn(MODEL, image, {"y": np.zeros((1, 500), np.float32)})
    assert known.of(MODEL, shape, image) == {"y": 2000}
    assert known.of(MODEL, shape, {"x": np.zeros((1, 6), np.int16)}) == {}
