"""What the warm models of a worker keep together: the ones that were not used for longest make room, and answer when they are called."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from inference.engines.embedded import engine as embedded
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.jail import model as jail
from inference.engines.jail.model import Limits, ModelInJail
from inference.engines.port import ModelRef
from tests.unit.engines.models import CONFIG, doubling_onnx, put, scripted

MUCH = 4 << 30
Engines = Callable[[int], EmbeddedEngine]
GROWING = "growing"


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    """Engines over the same four models, which may keep so many bytes together."""
    for name in ("a", "b", "c"):
        text = CONFIG.format(name=name, backend="onnxruntime", batch=4, input="x", output="y", dims="1, 4, 4, 4")
        put(tmp_path, name, "model.onnx", doubling_onnx(), text)
    made: list[EmbeddedEngine] = []

    def engine(together: int) -> EmbeddedEngine:
        made.append(EmbeddedEngine(tmp_path, threads=1, limits=Limits(memory=MUCH, together=together)))
        return made[-1]

    yield engine
    for each in made:
        each.close()


def call(engine: EmbeddedEngine, name: str) -> ModelInJail:
    """Call a model; the answer is the one that it has to give."""
    given = np.full((1, 1, 4, 4, 4), 3, dtype=np.float32)
    first, second = ("INPUT__0", "OUTPUT__0") if name == GROWING else ("x", "y")
    assert np.array_equal(engine.infer(ModelRef(name=name), {first: given})[second], given * 2)
    return engine.computation(ModelRef(name=name))


def test_what_fits_stays_warm(engines: Engines) -> None:
    engine = engines(MUCH)
    models = [call(engine, name) for name in "abc"]
    pids = [each.pid for each in models]
    assert all(each.memory > 10 << 20 for each in models), "a process and its shared memory"
    assert [call(engine, name).pid for name in "abc"] == pids
    assert None not in pids


def test_the_one_that_was_not_used_for_longest_makes_room(engines: Engines) -> None:
    """Two and a half fit. What was ended is loaded when it is called, and then another one makes room for it."""
    one = call(engines(MUCH), "a").memory
    engine = engines(one * 5 // 2)
    a, b = call(engine, "a"), call(engine, "b")
    call(engine, "a")
    c = call(engine, "c")
    assert (a.warm, b.warm, c.warm) == (True, False, True)
    assert b.memory == 0
    call(engine, "b")
    assert (a.warm, b.warm, c.warm) == (False, True, True)


def test_one_that_is_alone_is_not_ended_for_the_sum(engines: Engines) -> None:
    """It has the bound of one model; only others make room."""
    engine = engines(1)
    a = call(engine, "a")
    b = call(engine, "b")
    assert (a.warm, b.warm) == (False, True)


@pytest.mark.slow
def test_room_is_made_while_a_model_computes(engines: Engines, tmp_path: Path) -> None:
    """One takes half a gigabyte for its answer and gives it back before the answer is there: the other was ended meanwhile."""
    import torch

    class Growing(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image * 2 + image.sum().expand(1 << 27).sqrt().mean() * 0

    text = CONFIG.format(name=GROWING, backend="pytorch", batch=4, input="INPUT__0", output="OUTPUT__0", dims="1, 4, 4, 4")
    put(tmp_path, GROWING, "model.pt", scripted(Growing()), text)
    sizes = engines(MUCH)
    together = call(sizes, "a").memory + call(sizes, GROWING).memory + (1 << 28)
    engine = engines(together)
    a = call(engine, "a")
    kept = a.memory
    growing = call(engine, GROWING)
    assert (a.warm, growing.warm) == (False, True)
    assert kept + growing.memory < together, "between calls both would fit"


def test_one_that_computes_goes_on(engines: Engines) -> None:
    engine = engines(1)
    a = call(engine, "a")
    with a._lock:
        call(engine, "b")
        assert a.warm


def test_too_many_are_not_kept_either(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WARM", 2)
    engine = engines(MUCH)
    models = [call(engine, name) for name in "abc"]
    assert [each.warm for each in models] == [False, True, True]


def test_a_worker_s_share_is_for_all_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four fifths of the machine by the number of workers; who gives one model more than that gives it to all of them."""
    monkeypatch.setattr(jail, "usable_memory", lambda: 10_000)
    assert Limits.usual(2) == Limits(memory=4000, together=4000)
    assert Limits.usual(2, memory=1000) == Limits(memory=1000, together=4000)
    assert Limits.usual(2, memory=5000) == Limits(memory=5000, together=5000)


def test_what_a_model_keeps_is_what_the_kernel_says(engines: Engines) -> None:
    """Its process between calls, and its shared memory."""
    a = call(engines(MUCH), "a")
    with open(f"/proc/{a.pid}/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    shared = a.inputs.size + a.outputs.size + a.copies.size
    assert shared >= 3 * 4 * 64
    assert abs(a.memory - shared - resident) < 16 << 20
