"""Tiles under way at a time: the same bytes however many and whichever comes first, bounded, and ended by the first error."""

import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.engines.concurrent_calls import AHEAD, in_order
from inference.engines.errors import EngineTimeout, WrongTensors
from inference.engines.port import ModelRef, Tensors
from inference.engines.tiling import WindowBlend, infer_tiled

MODEL = ModelRef(name="any")
Answers = dict[str, NDArray[Any]]
PATIENCE_S = 120.0


def tiled(
    infer: Callable[[ModelRef, Tensors], Answers], image: NDArray[Any], window: tuple[int, ...] = (4, 4, 4), **how: Any
) -> NDArray[Any]:
    """`infer_tiled` of a model with tensors x and y."""
    return infer_tiled(infer, MODEL, image, input="x", output="y", window=window, **how)


def rough(model: ModelRef, tensors: Tensors) -> Answers:
    """Two channels whose values differ from window to window, so that another order of summing gives other bytes."""
    x = tensors["x"].astype(np.float32)
    return {"y": np.concatenate([x * (1 + x.mean()), np.sin(x) / 3], axis=1)}


def image_of(*shape: int) -> NDArray[np.float32]:
    """Noise."""
    return np.random.default_rng(11).random((1, *shape), dtype=np.float32)


@pytest.mark.parametrize("window", [(4, 4, 4), (6, 5)])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_bytes_do_not_depend_on_how_many_are_under_way(window: tuple[int, ...], batch: int) -> None:
    """1, 2, 4 and 8 under way, volumes and single slices; the first tile comes back last whenever that can be."""
    image = image_of(*(11, 9, 13)[: len(window)])
    calls = 0
    lock = threading.Lock()

    def reversed_order(at_once: int) -> Callable[[ModelRef, Tensors], Answers]:
        """Holds every call back until the round is full, then lets the latest go first."""
        begun: list[threading.Event] = []

        def infer(model: ModelRef, tensors: Tensors) -> Answers:
            nonlocal calls
            mine = threading.Event()
            with lock:
                calls += 1
                begun.append(mine)
                full = len(begun) == at_once
                if full:
                    begun.pop().set()
            # the last round may never be full: then the time is up, and that is no error
            mine.wait(0.05)
            answer = rough(model, tensors)
            with lock:
                if mine in begun:
                    begun.remove(mine)
                if begun:
                    begun.pop().set()
            return answer

        return infer

    expected = tiled(rough, image, window, batch=batch, at_once=1)
    for at_once in (1, 2, 4, 8):
        assert tiled(reversed_order(at_once), image, window, batch=batch, at_once=at_once).tobytes() == expected.tobytes()
    assert calls > 4 * 8 // batch


def test_fewer_tiles_than_slots() -> None:
    """One window, as large as the image and larger than it: eight slots make no difference."""
    for shape in ((4, 4, 4), (3, 2, 4)):
        image = image_of(*shape)
        np.testing.assert_allclose(tiled(rough, image, at_once=8)[1], np.sin(image[0]) / 3, rtol=1e-6)


def test_as_many_as_the_engine_says_are_under_way() -> None:
    """Three, and never four: once the first outputs have come, calls meet at a barrier of three, which breaks when fewer come."""

    class Infer:
        """Counts its calls."""

        def __init__(self) -> None:
            self.now = self.most = self.begun = 0
            self.lock = threading.Lock()
            self.meet = threading.Barrier(3)

        def __call__(self, model: ModelRef, tensors: Tensors) -> Answers:
            with self.lock:
                self.now += 1
                self.begun += 1
                number = self.begun
                self.most = max(self.most, self.now)
            if number > 2:
                self.meet.wait(PATIENCE_S)
            with self.lock:
                self.now -= 1
            return {"y": tensors["x"]}

        def at_once(self, model: ModelRef) -> int:
            assert model == MODEL
            return 3

    infer = Infer()
    image = image_of(4, 4, 32)
    np.testing.assert_allclose(tiled(infer, image, overlap=0.0), image, rtol=1e-6)
    assert infer.most == 3


def test_the_first_error_ends_the_rest() -> None:
    """The third tile fails while the second is still computed: no further tile is begun, the error is the engine's own."""
    begun = 0
    lock = threading.Lock()
    failed = threading.Event()

    def infer(model: ModelRef, tensors: Tensors) -> Answers:
        nonlocal begun
        with lock:
            begun += 1
            number = begun
        if number == 3:
            failed.set()
            raise EngineTimeout("too late")
        assert number == 1 or failed.wait(PATIENCE_S)
        return {"y": tensors["x"]}

    with pytest.raises(EngineTimeout, match="too late"):
        tiled(infer, image_of(4, 4, 400), at_once=3)
    # the one that takes the failed call's slot may have begun before the error was seen, and those that were free with it
    assert begun <= 1 + AHEAD * 3


def test_a_caller_that_stops_ends_the_rest() -> None:
    """What ends the caller (here: what it makes of finished slices) ends the calls, and none is left behind."""
    before = set(threading.enumerate())  # an earlier test's may end meanwhile

    def never(values: NDArray[np.float32]) -> NDArray[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiled(rough, image_of(400, 4, 4), at_once=4, finish=never)
    assert set(threading.enumerate()) <= before


def test_a_slow_tile_holds_back_a_bounded_number() -> None:
    """While the oldest is under way, the others go on until twice as many as may run are held, and not further."""
    slow, begun = threading.Event(), []
    stuck = threading.Semaphore(0)

    def call(number: int) -> Callable[[], int]:
        def run() -> int:
            begun.append(number)
            if number == 0:
                assert slow.wait(PATIENCE_S)
            elif number < AHEAD * 3 - 1:
                pass
            else:
                stuck.release()
            return number

        return run

    answers = in_order((call(number) for number in range(30)), 3)

    def free() -> None:
        stuck.acquire(timeout=PATIENCE_S)
        slow.set()

    waiter = threading.Thread(target=free)
    waiter.start()
    assert next(answers) == 0
    waiter.join()
    # when the oldest came back, exactly those that may be held had begun
    assert max(begun) < AHEAD * 3
    assert list(answers) == list(range(1, 30))


def test_stored_voxels_go_as_they_are_and_half_precision_comes_back() -> None:
    """int16 tiles with what is beside them (slope and intercept); float16 answers are blended in float32."""
    image = np.random.default_rng(1).integers(-1000, 1000, (1, 9, 7, 5), dtype=np.int16)
    rescale = {"slope": np.array([0.5], dtype=np.float32), "intercept": np.array([-3], dtype=np.float32)}

    def infer(model: ModelRef, tensors: Tensors) -> Answers:
        assert tensors["x"].dtype == np.int16
        assert tensors["slope"].shape == (tensors["x"].shape[0], 1)
        values = tensors["x"] * tensors["slope"][:, :, None, None, None] + tensors["intercept"][:, :, None, None, None]
        return {"y": values.astype(np.float16)}

    blended = tiled(infer, image, batch=2, beside=rescale, fill=-1000)
    assert blended.dtype == np.float32
    np.testing.assert_allclose(blended, image * 0.5 - 3, atol=0.26)


def test_what_is_kept_is_made_slab_by_slab() -> None:
    """The number of the largest channel, and a softmax: as from the whole blended volume, whatever the overlap."""
    image = image_of(17, 6, 5)
    for overlap in (0.0, 0.25, 0.5, 0.8):
        whole = tiled(rough, image, overlap=overlap)
        labels = tiled(rough, image, overlap=overlap, finish=lambda values: values.argmax(axis=0).astype(np.uint8))
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, whole.argmax(axis=0))
        halves = tiled(rough, image, overlap=overlap, finish=lambda values: values[1:].astype(np.float16))
        np.testing.assert_array_equal(halves, whole[1:].astype(np.float16))


def test_many_channels_need_no_volume_each() -> None:
    """40 channels of 128 slices, of which the labels are kept: what is held is a window's depth of them and the tiles under way."""
    shape, window, channels = (128, 32, 32), (8, 16, 16), 40
    planes = np.arange(channels, dtype=np.float32).reshape(1, channels, 1, 1, 1)

    def infer(model: ModelRef, tensors: Tensors) -> Answers:
        return {"y": tensors["x"] * planes}

    image = image_of(*shape)
    tracemalloc.start()
    labels = tiled(infer, image, window, at_once=2, finish=lambda values: values.argmax(axis=0).astype(np.uint8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (labels == channels - 1).mean() > 0.99
    volume_of_each = channels * int(np.prod(shape)) * 4
    assert peak < 0.2 * volume_of_each


def test_large_outputs_are_held_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight slots, but room for two outputs only: no more than two calls are under way or wait for their turn."""
    held = most = 0
    lock = threading.Lock()
    image = image_of(4, 4, 40)
    monkeypatch.setattr("inference.engines.tiling.HELD_BYTES", 2 * 4**3 * 4)

    def infer(model: ModelRef, tensors: Tensors) -> Answers:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return {"y": tensors["x"].copy()}

    def let_go(values: NDArray[np.float32]) -> NDArray[Any]:
        return values.copy()

    original = WindowBlend.add

    def add(self: WindowBlend, place: tuple[int, ...], tile: NDArray[Any]) -> None:
        nonlocal held
        original(self, place, tile)
        with lock:
            held -= 1

    monkeypatch.setattr(WindowBlend, "add", add)
    np.testing.assert_allclose(tiled(infer, image, at_once=8, finish=let_go), image, rtol=1e-6)
    assert most == 2


def test_outputs_that_cannot_be_blended() -> None:
    """Another size than the window's, labels instead of values: refused, with what would do."""
    for answer, said in (
        (lambda x: x[:, :, 1:], r"float32 of shape \(1, 1, 3, 4, 4\).*\(1, channels, 4, 4, 4\)"),
        (lambda x: x.astype(np.int64), "int64"),
    ):
        with pytest.raises(WrongTensors, match=said):
            tiled(lambda model, tensors, answer=answer: {"y": answer(tensors["x"])}, image_of(4, 4, 8))  # type: ignore[misc]
