"""TLS between the engine and a real server, with certificates that OpenSSL made for the test."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from inference.engines.errors import EngineAway, Unauthenticated
from inference.engines.port import ModelRef
from inference.engines.triton.channel import Tls
from inference.engines.triton.engine import TritonEngine
from inference.engines.triton.server import LocalTriton, ServerTls
from tests.lab import needs
from tests.lab.triton import Started
from tests.triton.served import ECHO, serve

pytestmark = [pytest.mark.slow, pytest.mark.registry]

ECHO16 = ModelRef(name="echo16")
IMAGE = np.arange(80 * 512 * 512, dtype=np.int32).astype(np.int16).reshape(80, 512, 512)


class Certificates:
    """Certificates in a folder, each with its key beside it (NAME.pem, NAME.key)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._openssl = needs.program("openssl", "openssl")

    def make(self, name: str, signed_by: Path | None = None) -> Path:
        """A certificate for localhost, by an authority or by itself."""
        made = self._folder / f"{name}.pem"
        words: list[object] = [self._openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}"]
        words += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", made.with_suffix(".key"), "-out", made]
        words += ["-CA", signed_by, "-CAkey", signed_by.with_suffix(".key")] if signed_by else []
        subprocess.run([str(word) for word in words], check=True, capture_output=True)
        return made


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """None yet."""
    return Certificates(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An echo."""
    serve(tmp_path / "models", "echo16", ECHO, input="TYPE_INT16", output="TYPE_INT16")
    return tmp_path / "models"


def start(triton: Started, repository: Path, authority: Path, own: Path, *, mutual: bool) -> LocalTriton:
    """A server with a certificate, which asks its clients for one if `mutual`."""
    tls = ServerTls(certificate=own, key=own.with_suffix(".key"), authority=authority if mutual else None)
    return triton(repository, models=["echo16"], tls=tls)


def test_an_encrypted_way(triton: Started, repository: Path, certificates: Certificates) -> None:
    """With the authority that signed the server's certificate it works, shared memory too; without it, or unencrypted, nothing is sent."""
    authority = certificates.make("authority")
    server = start(triton, repository, authority, certificates.make("server", authority), mutual=False)
    assert server.url.startswith("grpcs://")
    for mode in ("auto", "off"):
        with TritonEngine(server.url, repository, tls=Tls(ca=authority), shared_memory=mode) as engine:
            assert engine.health().ready
            assert np.array_equal(engine.infer(ECHO16, {"X": IMAGE})["Y"], IMAGE)
    for url, tls in (
        (server.url, Tls()),
        (server.url, Tls(ca=certificates.make("stranger"))),
        (server.url.replace("grpcs", "grpc"), Tls()),
    ):
        with TritonEngine(url, repository, tls=tls) as engine:
            health = engine.health()
            assert not health.ready
            with pytest.raises(EngineAway):
                engine.infer(ECHO16, {"X": IMAGE})


def test_a_server_that_asks_for_the_node_s_certificate(triton: Started, repository: Path, certificates: Certificates) -> None:
    """One of the server's authority is taken; none, or one of its own, is not."""
    authority = certificates.make("authority")
    server = start(triton, repository, authority, certificates.make("server", authority), mutual=True)
    own, stranger = certificates.make("node", authority), certificates.make("stranger")
    with TritonEngine(server.url, repository, tls=Tls(ca=authority, cert=own, key=own.with_suffix(".key"))) as engine:
        assert engine.health().ready
        engine.check(ECHO16)
    for tls in (Tls(ca=authority), Tls(ca=authority, cert=stranger, key=stranger.with_suffix(".key"))):
        with TritonEngine(server.url, repository, tls=tls) as engine:
            assert not engine.health().ready


def test_files_that_are_not_there_or_no_certificates_are_named(repository: Path, tmp_path: Path) -> None:
    """The engine counts as away, the sentence says which file; nothing else of the node is concerned."""
    (tmp_path / "text.pem").write_text("no certificate")
    for file, said in ((tmp_path / "absent.pem", "No such file"), (tmp_path / "text.pem", "no PEM file")):
        with TritonEngine("grpcs://localhost:1", repository, tls=Tls(ca=file)) as engine:
            health = engine.health()
            assert not health.ready
            assert str(file) in health.detail
            assert said in health.detail
            with pytest.raises((Unauthenticated, EngineAway)):
                engine.check(ECHO16)
