"""The Triton engine when things end: the server, its stubs, the processes that ask it, the connection between them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tritonclient import grpc as client

from inference.engines.errors import EngineAway, EngineLost, ModelCrashed
from inference.engines.port import ModelRef
from inference.engines.triton.calls import Calls
from inference.engines.triton.channel import Tls, parse_url
from inference.engines.triton.engine import TritonEngine
from inference.engines.triton.message import request_of, serialize
from inference.engines.triton.server import LocalTriton
from inference.engines.triton.shared_memory import FOLDER, PREFIX
from tests.lab.program import wait_until
from tests.lab.triton import Started
from tests.triton.served import ECHO, naps_begun, serve, sleeper

pytestmark = [pytest.mark.slow, pytest.mark.registry]

ECHO16, SLEEPER = ModelRef(name="echo16"), ModelRef(name="sleep")
NAP = {"X": np.array([0], np.float32)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An echo and a model that takes its time."""
    folder = tmp_path / "models"
    serve(folder, "echo16", ECHO, input="TYPE_INT16", output="TYPE_INT16")
    sleeper(folder, "sleep")
    return folder


@pytest.fixture
def server(triton: Started, repository: Path) -> LocalTriton:
    """A server of the test's own."""
    return triton(repository, models=["echo16", "sleep"])


def regions(server: LocalTriton) -> set[str]:
    """Hilum's regions that the server has registered."""
    status = client.InferenceServerClient(server.url.removeprefix("grpc://")).get_system_shared_memory_status()
    return {name for name in status.regions if name.startswith(PREFIX)}


def files() -> set[str]:
    """Hilum's regions on this machine."""
    return {path.name for path in FOLDER.glob(f"{PREFIX}*")}


def persist(engine: TritonEngine, number: int, stop: float) -> np.ndarray:
    """As the runner does: a call that found the server away is made again, until it answers."""
    image = np.full((40, 256, 256) if number % 2 else (160, 256, 256), number, np.int16)
    while True:
        try:
            return engine.infer(ECHO16, {"X": image}, deadline_s=30)["Y"]
        except EngineAway:
            assert time.monotonic() < stop, "the server did not come back"
            time.sleep(0.1)


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_server_that_is_killed_and_started_again_under_load(server: LocalTriton, repository: Path, mode: str) -> None:
    """Twice, in the middle of four callers' work: every call ends with its own answer, through shared memory as before."""
    stop = time.monotonic() + 120
    done: list[int] = []

    def ask(number: int) -> bool:
        answer = persist(engine, number, stop)
        done.append(number)
        return bool((answer == number).all())

    def answered(portion: int) -> bool:
        return len(done) >= portion

    with TritonEngine(server.url, repository, shared_memory=mode) as engine, ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(ask, number) for number in range(60)]
        for portion in (10, 30):
            wait_until(partial(answered, portion), 60, f"{portion} answers")
            server.kill()
            server.start()
        assert all(answer.result() for answer in answers)
        if mode == "auto":
            assert regions(server)
            assert engine.shared_bytes


def test_while_the_server_is_away_calls_fail_at_once_and_afterwards_they_work(server: LocalTriton, repository: Path) -> None:
    """Nothing waits for time-outs; health says since when, in words; nobody has to do anything when it is back."""
    with TritonEngine(server.url, repository) as engine:
        engine.infer(SLEEPER, NAP)
        server.kill()
        health = engine.health()
        assert not health.ready
        assert server.url in health.detail
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(EngineAway) as away:
                engine.infer(SLEEPER, NAP)
            assert not isinstance(away.value, EngineLost)
        assert time.monotonic() - began < 60
        server.start()
        wait_until(lambda: engine.health().ready, 10, "the engine is back")
        engine.infer(SLEEPER, NAP)


def test_a_server_that_is_away_at_the_start_is_no_reason_to_fail(triton: Started, repository: Path) -> None:
    """The engine opens, says so, and works once the server is there: on the port where one was before."""
    server = triton(repository, models=["sleep"])
    server.kill()
    with TritonEngine(server.url, repository) as engine:
        assert not engine.health().ready
        assert engine.digest(SLEEPER)
        with pytest.raises(EngineAway):
            engine.check(SLEEPER)
        server.start()
        wait_until(lambda: engine.health().ready, 10, "the engine is there")
        engine.check(SLEEPER)


def test_a_server_that_dies_in_the_middle_of_a_call(server: LocalTriton, repository: Path) -> None:
    """The caller hears at once that it was lost in the middle, which a retry helps."""
    with TritonEngine(server.url, repository) as engine, ThreadPoolExecutor(1) as threads:
        engine.infer(SLEEPER, NAP)
        call = threads.submit(engine.infer, SLEEPER, {"X": np.array([300], np.float32)})
        wait_until(lambda: naps_begun(repository, "sleep") == 1, 60, "it is in the middle")
        server.kill()
        began = time.monotonic()
        with pytest.raises(EngineLost) as lost:
            call.result(200)
        assert time.monotonic() - began < 150
        assert lost.value.retry


def test_a_server_that_is_stopped_finishes_what_it_began_and_refuses_the_rest_as_away(server: LocalTriton, repository: Path) -> None:
    """While it ends its models are gone one by one: that is no missing model, or every update of a server would park studies."""
    with TritonEngine(server.url, repository) as engine, ThreadPoolExecutor(2) as threads:
        engine.infer(SLEEPER, NAP)
        call = threads.submit(engine.infer, SLEEPER, {"X": np.array([3], np.float32)})
        wait_until(lambda: naps_begun(repository, "sleep") == 1, 60, "it is in the middle")
        ending = threads.submit(server.stop)
        kinds = set()
        while not ending.done():
            try:
                engine.infer(SLEEPER, NAP)
            except EngineAway as away:
                kinds.add(type(away))
            time.sleep(0.05)
        assert call.result()["Y"].shape == (1,)
        assert EngineAway in kinds
        assert kinds <= {EngineAway, EngineLost}


def test_a_stub_that_is_killed_is_started_again(server: LocalTriton, repository: Path) -> None:
    """Triton leaves a dead model dead (it answers "not healthy" for ever): the engine has it unloaded and loaded, once for all callers."""
    with TritonEngine(server.url, repository) as engine, ThreadPoolExecutor(4) as threads:
        engine.infer(SLEEPER, NAP)
        calls = [threads.submit(engine.infer, SLEEPER, {"X": np.array([1.0], np.float32)}) for _ in range(3)]
        wait_until(lambda: naps_begun(repository, "sleep") > 0, 60, "one is in the middle")
        before = set(server.stubs())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        errors = [call.exception() for call in calls]
        assert any(isinstance(error, ModelCrashed) for error in errors)
        assert all(error is None or isinstance(error, EngineLost) for error in errors)
        assert engine.health().ready
        engine.infer(SLEEPER, NAP, deadline_s=20)
        assert np.array_equal(persist(engine, 7, time.monotonic() + 20), np.full((40, 256, 256), 7, np.int16))


def test_a_server_that_hangs_is_noticed(server: LocalTriton, repository: Path) -> None:
    """No word and no closed connection, as when a host loses its power: the call ends after three questions without an answer."""
    request = request_of(SLEEPER, NAP, (), urgency=2, identifier="1", deadline_s=None, pieces={})  # type: ignore[arg-type]
    message = serialize(request, [np.array([200], np.float32)])
    calls = Calls(parse_url(server.url), Tls(), watch_every_s=2)
    calls.live()
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(calls.infer, message, "model", deadline_s=None)
        time.sleep(7)
        assert not call.done(), "a long call is no hanging server"
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(EngineLost, match="does not answer any more"):
                call.result(100)
        finally:
            os.kill(server.pid, signal.SIGCONT)
    calls.live()
    calls.close()


# ---- several processes

_CLIENT = """
import sys
from pathlib import Path
import numpy as np
from inference.engines.port import ModelRef
from inference.engines.triton.engine import TritonEngine
url, repository, seed = sys.argv[1:]
engine = TritonEngine(url, Path(repository), shared_memory="on")
for number in range(12):
    image = np.random.default_rng(int(seed) + number).integers(-9000, 9000, (number + 20, 300, 300), dtype=np.int16)
    assert np.array_equal(engine.infer(ModelRef(name="echo16"), {"X": image})["Y"], image)
print("done", flush=True)
sys.stdin.read()
engine.close()
"""


@pytest.fixture
def clients(server: LocalTriton, repository: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that use shared memory and then wait."""
    commands = [[sys.executable, "-c", _CLIENT, server.url, str(repository), seed] for seed in ("1", "1000")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_at_once_and_what_a_killed_one_leaves_behind(
    server: LocalTriton, repository: Path, clients: list[subprocess.Popen[str]]
) -> None:
    """Both get their own answers. SIGKILL leaves files and registrations: the next engine removes both, and not the living one's."""
    for process in clients:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    killed, alive = ({name for name in files() if f"-{process.pid}-" in name} for process in clients)
    assert killed
    assert alive
    assert killed | alive <= regions(server)
    clients[0].kill()
    clients[0].wait()
    with TritonEngine(server.url, repository) as engine:
        engine.health()
        assert not killed & files()
        assert not killed & regions(server)
        assert alive <= files() & regions(server)
    clients[1].communicate("")
    assert clients[1].returncode == 0
    assert not alive & (files() | regions(server))


def test_a_caller_that_is_interrupted_cancels_its_call(server: LocalTriton, repository: Path) -> None:
    """Ctrl-C in the waiting thread: the server stops computing, and the next call is not kept waiting."""
    with TritonEngine(server.url, repository) as engine:
        engine.infer(SLEEPER, NAP)
        # a shell that runs the tests in its background has them ignore it
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def interrupt() -> None:
            wait_until(lambda: naps_begun(repository, "sleep") == 1, 60, "it is in the middle")
            os.kill(os.getpid(), signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            engine.infer(SLEEPER, {"X": np.array([200], np.float32)})
        interrupting.join()
        began = time.monotonic()
        engine.infer(SLEEPER, NAP)
        assert time.monotonic() - began < 150
