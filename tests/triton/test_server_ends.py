"""The Triton server of this machine is killed, stopped, loses a stub or its starter: nothing stays behind, and it comes back."""

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from inference.engines.triton.processes import SHM_PREFIX
from inference.engines.triton.server import LocalTriton
from tests.lab.program import wait_until
from tests.lab.triton import Started
from tests.triton.asking import X, ask, client_of, put_doubles

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that double, in a repository that the tests only read."""
    repository = tmp_path_factory.mktemp("models")
    put_doubles(repository)
    return repository


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def regions() -> set[str]:
    return {region.name for region in Path("/dev/shm").glob(f"{SHM_PREFIX}{os.getpid()}_*")}


def test_a_killed_server_comes_back_at_the_same_address(triton: Started, models: Path) -> None:
    """SIGKILL leaves no stub and no shared memory behind; started again, it answers where it answered before."""
    before = regions()
    server = triton(models, models=["double"])
    url, stubs = server.url, server.stubs()
    assert len(stubs) == 1
    own = regions() - before
    assert own, "the python backend's shared memory is there while it serves"
    server.kill()
    assert not server.running
    assert not any(alive(stub) for stub in stubs)
    assert not own & regions()
    with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
        ask(server)
    server.start()
    assert server.url == url
    np.testing.assert_array_equal(ask(server), X * 2)


def test_stop_answers_what_is_under_way(triton: Started, models: Path) -> None:
    """SIGTERM during a wait for the batch's other requests: the one that came is computed."""
    server = triton(models, models=["batched"])
    answers: list[np.ndarray] = []
    caller = threading.Thread(target=lambda: answers.append(ask(server, "batched")))
    with client_of(server) as asked:
        wait_until(lambda: asked.is_model_ready("batched"), 30, "the model is loaded")
    _pending(server)  # the first page of metrics takes longest, and the request waits for eight seconds
    caller.start()
    wait_until(lambda: _pending(server), 10, "the request waits in the queue", every_s=0.005)
    server.stop()
    caller.join()
    np.testing.assert_array_equal(answers[0], X * 2)


def _pending(server: LocalTriton) -> bool:
    with urllib.request.urlopen(server.metrics_url, timeout=60) as page:
        lines = [line for line in page.read().decode().splitlines() if line.startswith("nv_inference_pending_request_count{")]
    return any(not line.endswith(" 0") for line in lines)


def test_a_killed_stub_is_an_error_until_the_model_is_loaded_again(triton: Started, models: Path) -> None:
    """The server lives on and serves other models; loading the model again brings it back. No request is answered wrongly."""
    server = triton(models, models=["double", "batched"])
    with client_of(server) as asked:
        (stub,) = [each for each in server.stubs() if "double" in Path(f"/proc/{each}/cmdline").read_text()]
        os.kill(stub, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(InferenceServerException, match="Stub process 'double_0_0' is not healthy"):
                ask(server, client_timeout=30)
        assert stub not in server.stubs()
        assert len(server.stubs()) == 1
        np.testing.assert_array_equal(ask(server, "batched"), X * 2)
        asked.unload_model("double")
        wait_until(lambda: not asked.is_model_ready("double"), 30, "the dead model is unloaded")
        asked.load_model("double")
    np.testing.assert_array_equal(ask(server), X * 2)


def test_it_dies_with_the_process_that_started_it(models: Path) -> None:
    """Also with one that is killed; and not with the thread in it that happened to start it."""
    program = f"""
import sys, threading
from pathlib import Path
from inference.engines.triton.processes import SHM_PREFIX
from inference.engines.triton.server import LocalTriton
server = LocalTriton(Path({str(models)!r}), models=["double"])
thread = threading.Thread(target=server.start)
thread.start()
thread.join()
print(server.pid, *server.stubs(), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        server, *stubs = (int(word) for word in starter.stdout.readline().split())
        assert alive(server)
        assert stubs
        starter.kill()
    wait_until(lambda: not any(alive(each) for each in (server, *stubs)), 15, "server and stubs are gone")


def test_what_a_dead_starter_left_is_removed_by_the_next(triton: Started, models: Path) -> None:
    """Shared memory of a starter that was killed is gone after the next server's end; that of a living one stays."""
    names = [f"{SHM_PREFIX}{pid}_0_left" for pid in (_dead_pid(), os.getppid())]
    regions = [Path("/dev/shm") / name for name in names]
    try:
        for region in regions:
            region.write_bytes(b"x")
        triton(models, models=["double"]).kill()
        assert [region.exists() for region in regions] == [False, True]
    finally:
        for region in regions:
            region.unlink(missing_ok=True)


def _dead_pid() -> int:
    with subprocess.Popen(["true"]) as gone:
        pass
    return gone.pid
