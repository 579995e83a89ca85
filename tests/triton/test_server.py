"""The Triton server of this machine: it serves the repository as it is, ends with its starter, comes back, and says why it does not start.

Asked by NVIDIA's own client, not by hilum's engine.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper
from tritonclient import grpc as client
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from inference.engines.errors import ServerNotStarted, ServerUnsupported, WrongServer
from inference.engines.modelconfig import DTYPES
from inference.engines.triton import distribution
from inference.engines.triton import server as server_module
from inference.engines.triton.processes import SHM_PREFIX
from inference.engines.triton.server import LocalTriton, ServerTls
from tests.lab.loopback import outside
from tests.lab.program import wait_until
from tests.lab.triton import Started, servers
from tests.unit.engines.models import doubling_onnx, put, scripted

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")]

X = np.arange(64, dtype=np.float32).reshape(1, 1, 4, 4, 4)
DOUBLE = """
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
"""
ONE = "instance_group [ { count: 1 kind: KIND_CPU } ]\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`double` in ONNX, and `picky` in TorchScript, which refuses negative numbers; both with a dynamic batcher."""
    import torch

    class Picky(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if bool((x < 0).any()):
                raise RuntimeError("negative")
            return x * 2

    repository = tmp_path_factory.mktemp("models")
    batching = "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 300000 }\n"
    put(repository, "double", "model.onnx", doubling_onnx(), DOUBLE + ONE)
    put(repository, "batched", "model.onnx", doubling_onnx(), DOUBLE + ONE + batching)
    picky = DOUBLE.replace("onnxruntime", "pytorch").replace('"x"', '"INPUT__0"').replace('"y"', '"OUTPUT__0"')
    put(repository, "picky", "model.pt", scripted(Picky()), picky + ONE + batching)
    return repository


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[LocalTriton]:
    """One server over that repository, for tests that leave it as it is."""
    with servers() as start:
        yield start(models)


def _client(server: LocalTriton, **options: Any) -> Any:
    return client.InferenceServerClient(server.url.partition("://")[2], **options)


def _tensor(name: str, array: np.ndarray) -> Any:
    given = client.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array)
    return given


def _ask(server: LocalTriton, model: str = "double", array: np.ndarray = X, **options: Any) -> np.ndarray:
    names = ("INPUT__0", "OUTPUT__0") if model == "picky" else ("x", "y")
    with _client(server) as asked:
        answer: np.ndarray = asked.infer(model, [_tensor(names[0], array)], **options).as_numpy(names[1])
    return answer


def _together(server: LocalTriton, model: str, arrays: list[np.ndarray]) -> list[np.ndarray | InferenceServerException]:
    """Ask at the same time; answers or exceptions, in order."""

    def ask(array: np.ndarray) -> np.ndarray | InferenceServerException:
        try:
            return _ask(server, model, array)
        except InferenceServerException as refused:
            return refused

    with ThreadPoolExecutor(len(arrays)) as callers:
        return list(callers.map(ask, arrays))


def _executions(server: LocalTriton, model: str) -> int:
    with _client(server) as asked:
        return int(asked.get_inference_statistics(model).model_stats[0].execution_count)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _regions() -> set[str]:
    return {region.name for region in Path("/dev/shm").glob(f"{SHM_PREFIX}{os.getpid()}_*")}


def test_it_serves_the_repository_as_it_is_on_loopback_alone(server: LocalTriton) -> None:
    """config.pbtxt names NVIDIA's backends; models compute, metrics count, and no socket listens on another address."""
    np.testing.assert_array_equal(_ask(server), X * 2)
    np.testing.assert_array_equal(_ask(server, "picky"), X * 2)
    with urllib.request.urlopen(server.metrics_url, timeout=10) as page:
        assert 'nv_inference_request_success{model="double",version="1"}' in page.read().decode()
    sockets = psutil.Process(server.pid).net_connections("inet")
    addresses = [ip_address(each.laddr.ip) for each in sockets if each.status == psutil.CONN_LISTEN]
    # gRPC listens on IPv6's name of the same address, ::ffff:127.0.0.1
    assert [getattr(address, "ipv4_mapped", None) or address for address in addresses] == [ip_address("127.0.0.1")] * 2


def test_every_type_of_tensor_arrives_as_it_was_sent(triton: Started, tmp_path: Path) -> None:
    """The server's own conversion to numpy 2 gives zeros, silently; what is sent here comes back, in each type there is."""
    types = {np.bool_: TensorProto.BOOL, np.float16: TensorProto.FLOAT16, np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE}
    for name, dtype in DTYPES.items():
        kind = types.get(dtype) or getattr(TensorProto, dtype.__name__.upper())
        x, y = (helper.make_tensor_value_info(tensor, kind, ["n"]) for tensor in "xy")
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        tensors = f'input [ {{ name: "x" data_type: {name} dims: [ -1 ] }} ]\noutput [ {{ name: "y" data_type: {name} dims: [ -1 ] }} ]\n'
        put(tmp_path, name, "model.onnx", model.SerializeToString(), f'backend: "onnxruntime"\n{tensors}{ONE}')
    server = triton(tmp_path)
    for name, dtype in DTYPES.items():
        values = np.array([0, 1, 1, 0, 1]) if dtype is np.bool_ else np.array([0, 1, 2, 100, 127])
        if np.issubdtype(dtype, np.signedinteger) or np.issubdtype(dtype, np.floating):
            values = -values
        sent = values.astype(dtype)
        answer = _ask(server, name, sent)
        assert answer.dtype == sent.dtype
        np.testing.assert_array_equal(answer, sent)


def test_requests_of_one_batch_each_get_their_own_answer(server: LocalTriton) -> None:
    """Eight callers, batches of one, two and three: fewer executions than requests (Triton counts them), nobody gets another's voxels."""
    before = _executions(server, "batched")
    arrays = [np.concatenate([X + 100 * number] * (1 + number % 3)) for number in range(8)]
    for sent, answer in zip(arrays, _together(server, "batched", arrays), strict=True):
        np.testing.assert_array_equal(answer, sent * 2)
    assert _executions(server, "batched") - before < 8


def test_a_request_that_cannot_be_computed_fails_alone(server: LocalTriton) -> None:
    """Its neighbours in the batch are answered; its error names the model and the reason."""
    answers = _together(server, "picky", [X, -1 - X, X + 1, X + 2])
    for place, sent in ((0, X), (2, X + 1), (3, X + 2)):
        np.testing.assert_array_equal(answers[place], sent * 2)
    assert isinstance(answers[1], InferenceServerException)
    assert 'model "picky" cannot compute these inputs' in str(answers[1])


def test_a_killed_server_comes_back_at_the_same_address(triton: Started, models: Path) -> None:
    """SIGKILL leaves no stub and no shared memory behind; started again, it answers where it answered before."""
    before = _regions()
    server = triton(models, models=["double"])
    url, stubs = server.url, server.stubs()
    assert len(stubs) == 1
    own = _regions() - before
    assert own, "the python backend's shared memory is there while it serves"
    server.kill()
    assert not server.running
    assert not any(_alive(stub) for stub in stubs)
    assert not own & _regions()
    with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
        _ask(server)
    server.start()
    assert server.url == url
    np.testing.assert_array_equal(_ask(server), X * 2)


def test_stop_answers_what_is_under_way(triton: Started, models: Path) -> None:
    """SIGTERM during a wait for the batch's other requests: the one that came is computed."""
    server = triton(models, models=["batched"])
    answers: list[np.ndarray] = []
    caller = threading.Thread(target=lambda: answers.append(_ask(server, "batched")))
    with _client(server) as asked:
        caller.start()
        wait_until(lambda: asked.is_model_ready("batched") and _pending(server), 10, "the request waits in the queue", every_s=0.005)
    server.stop()
    caller.join()
    np.testing.assert_array_equal(answers[0], X * 2)


def _pending(server: LocalTriton) -> bool:
    with urllib.request.urlopen(server.metrics_url, timeout=10) as page:
        lines = [line for line in page.read().decode().splitlines() if line.startswith("nv_inference_pending_request_count{")]
    return any(not line.endswith(" 0") for line in lines)


def test_a_killed_stub_is_an_error_until_the_model_is_loaded_again(triton: Started, models: Path) -> None:
    """The server lives on and serves other models; loading the model again brings it back. No request is answered wrongly."""
    server = triton(models, models=["double", "batched"])
    with _client(server) as asked:
        (stub,) = [each for each in server.stubs() if "double" in Path(f"/proc/{each}/cmdline").read_text()]
        os.kill(stub, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(InferenceServerException, match="Stub process 'double_0_0' is not healthy"):
                _ask(server, client_timeout=30)
        assert stub not in server.stubs()
        assert len(server.stubs()) == 1
        np.testing.assert_array_equal(_ask(server, "batched"), X * 2)
        asked.unload_model("double")
        wait_until(lambda: not asked.is_model_ready("double"), 30, "the dead model is unloaded")
        asked.load_model("double")
    np.testing.assert_array_equal(_ask(server), X * 2)


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
        assert _alive(server)
        assert stubs
        starter.kill()
    wait_until(lambda: not any(_alive(each) for each in (server, *stubs)), 15, "server and stubs are gone")


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


def test_a_port_that_was_taken_meanwhile_is_given_up(triton: Started, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between choosing a port and listening on it somebody else may come, even one who serves metrics: others are tried."""
    free = server_module.free_ports
    with HTTPServer(("127.0.0.1", 0), _Metrics) as rival:
        threading.Thread(target=rival.serve_forever, daemon=True).start()
        taken = rival.server_port
        choices = iter([(taken, free()[0]), (free()[0], taken), free()])
        monkeypatch.setattr(server_module, "free_ports", lambda: next(choices))
        server = triton(models, models=["double"])
        rival.shutdown()
    np.testing.assert_array_equal(_ask(server), X * 2)


class _Metrics(BaseHTTPRequestHandler):
    """Answers as a server's metrics would."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to tell."""


def test_a_restart_does_not_move_to_another_port(triton: Started, models: Path) -> None:
    """Whoever was told the address would not find it: somebody else on it is said."""
    server = triton(models, models=["double"])
    server.kill()
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", int(server.url.rpartition(":")[2])))
        rival.listen()
        with pytest.raises(ServerNotStarted, match="already in use"):
            server.start()


def test_models_that_were_named_have_to_load(triton: Started, models: Path, tmp_path: Path) -> None:
    """The error quotes the server: which model, which file, why; and what is no repository is not started over."""
    with pytest.raises(ServerNotStarted, match=r"(?s)said last:.*failed to poll model 'nobody': model not found") as absent:
        triton(models, models=["double", "nobody"])
    assert "CUDA" not in str(absent.value), "that there is no GPU here is no news"
    put(tmp_path, "broken", "model.onnx", b"rubbish", DOUBLE)
    with pytest.raises(ServerNotStarted, match=r"broken/1/model\.onnx is not an ONNX model"):
        triton(tmp_path, models=["broken"])
    with pytest.raises(ServerNotStarted, match="there is no model repository"):
        triton(tmp_path / "nothing")


def test_without_names_a_broken_model_does_not_keep_the_others_from_serving(triton: Started, models: Path, tmp_path: Path) -> None:
    """It is left out, and the server's index has the reason."""
    shutil.copytree(models / "double", tmp_path / "double")
    put(tmp_path, "broken", "model.onnx", b"rubbish", DOUBLE)
    server = triton(tmp_path)
    np.testing.assert_array_equal(_ask(server), X * 2)
    with _client(server) as asked:
        index = {model.name: model for model in asked.get_model_repository_index().models}
    assert index["double"].state == "READY"
    assert "broken/1/model.onnx is not an ONNX model" in index["broken"].reason


def test_it_serves_tls_to_those_who_have_a_certificate(triton: Started, models: Path, tmp_path: Path) -> None:
    """With an authority given, a caller without a certificate of it is turned away."""
    authority, own = tmp_path / "authority.pem", tmp_path / "own.pem"
    key, authority_key = tmp_path / "own.key", tmp_path / "authority.key"
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    subject = ["-addext", "subjectAltName=IP:127.0.0.1", "-subj"]
    subprocess.run([*new, "-keyout", authority_key, "-out", authority, "-subj", "/CN=authority"], check=True, capture_output=True)
    signed = ["-CA", authority, "-CAkey", authority_key, "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run([*new, *signed, "-keyout", key, "-out", own, *subject, "/CN=127.0.0.1"], check=True, capture_output=True)
    server = triton(models, models=["double"], tls=ServerTls(certificate=own, key=key, authority=authority))
    assert server.url.startswith("grpcs://127.0.0.1:")
    pems = {"root_certificates": str(authority), "private_key": str(key), "certificate_chain": str(own)}
    with _client(server, ssl=True, **pems) as known:
        np.testing.assert_array_equal(known.infer("double", [_tensor("x", X)]).as_numpy("y"), X * 2)
    for options in ({"ssl": True, "root_certificates": str(authority)}, {}):
        with _client(server, **options) as stranger, pytest.raises(InferenceServerException, match="UNAVAILABLE"):
            stranger.is_server_live()


def test_certificates_that_cannot_be_read_are_said_at_once(triton: Started, models: Path, tmp_path: Path) -> None:
    """Triton also says that its port is in use: no other port is tried."""
    tls = ServerTls(certificate=tmp_path / "absent.pem", key=tmp_path / "absent.key")
    with pytest.raises(ServerNotStarted, match=r"(?s)Invalid cert chain file") as refused:
        triton(models, models=["double"], tls=tls, log=tmp_path / "log")
    assert "already in use" in str(refused.value)
    assert (tmp_path / "log").read_text().count("Invalid cert chain file") == 1


def test_two_processes_unpack_it_once_and_a_damaged_copy_is_replaced(tmp_path: Path) -> None:
    """Both get a whole server in an empty cache; a file cut short by a power cut is noticed."""
    program = f"""
from pathlib import Path
from inference.engines.triton.distribution import local_distribution
print(local_distribution(Path({str(tmp_path)!r})).program)
"""
    with outside():
        both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    (program_path,) = said
    whole = os.path.getsize(program_path)
    os.truncate(program_path, 1000)
    with outside():
        distribution.local_distribution(tmp_path)
    assert os.path.getsize(program_path) == whole
    assert os.access(program_path, os.X_OK)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_another_wheel_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both digests are said, and nothing of it stays."""
    found, expected = distribution.SHA256, "0" * 64
    monkeypatch.setattr(distribution, "SHA256", expected)
    with outside(), pytest.raises(WrongServer, match=f"{found}, expected {expected}"):
        distribution.local_distribution(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A read-only home is common in containers: the message says where, and how to choose another place."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with outside(), pytest.raises(ServerNotStarted, match=f"unpacked into {blocked}: .*XDG_CACHE_HOME"):
        distribution.local_distribution(blocked)


def test_elsewhere_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ServerUnsupported, match="Linux x86-64 only, this is Linux aarch64"):
        distribution.local_distribution(tmp_path)
    assert list(tmp_path.iterdir()) == []
