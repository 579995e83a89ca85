"""The Triton server of this machine does not start, or not at once: other ports, and the reason in its own words."""

import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from inference.engines.errors import ServerNotStarted
from inference.engines.triton import server as server_module
from inference.engines.triton.server import ServerTls
from tests.lab.triton import Started
from tests.triton.asking import DOUBLE, X, ask, client_of, put_doubles, tensor
from tests.unit.engines.models import put

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that double, in a repository that the tests only read."""
    repository = tmp_path_factory.mktemp("models")
    put_doubles(repository)
    return repository


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
    np.testing.assert_array_equal(ask(server), X * 2)


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
    np.testing.assert_array_equal(ask(server), X * 2)
    with client_of(server) as asked:
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
    signed = ["-CA", str(authority), "-CAkey", str(authority_key), "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run([*new, *signed, "-keyout", key, "-out", own, *subject, "/CN=127.0.0.1"], check=True, capture_output=True)
    server = triton(models, models=["double"], tls=ServerTls(certificate=own, key=key, authority=authority))
    assert server.url.startswith("grpcs://127.0.0.1:")
    pems = {"root_certificates": str(authority), "private_key": str(key), "certificate_chain": str(own)}
    with client_of(server, ssl=True, **pems) as known:
        np.testing.assert_array_equal(known.infer("double", [tensor("x", X)]).as_numpy("y"), X * 2)
    for options in ({"ssl": True, "root_certificates": str(authority)}, {}):
        with client_of(server, **options) as stranger, pytest.raises(InferenceServerException, match="UNAVAILABLE"):
            stranger.is_server_live()


def test_certificates_that_cannot_be_read_are_said_at_once(triton: Started, models: Path, tmp_path: Path) -> None:
    """Triton also says that its port is in use: no other port is tried."""
    tls = ServerTls(certificate=tmp_path / "absent.pem", key=tmp_path / "absent.key")
    with pytest.raises(ServerNotStarted, match=r"(?s)Invalid cert chain file") as refused:
        triton(models, models=["double"], tls=tls, log=tmp_path / "log")
    assert "already in use" in str(refused.value)
    assert (tmp_path / "log").read_text().count("Invalid cert chain file") == 1
