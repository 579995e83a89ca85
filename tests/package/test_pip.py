"""pip on a bad day: it is ended in the middle of README's command, or of an upgrade, and it has to go out through a proxy."""

import http.server
import os
import signal
import ssl
import subprocess
import sys
import threading
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.installed import ROOT
from tests.lab.loopback import free_port
from tests.lab.program import wait_until
from tests.lab.proxy import named, proxy
from tests.lab.wheelhouse import found_in, wheelhouse

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(1200)]


class Reader:
    """Somebody with a fresh environment, who types commands."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment or {}
        venv.create(folder / "hilum", with_pip=True)
        self.folder = folder
        (folder / "tmp").mkdir()
        (self.site,) = (folder / "hilum").glob("lib/python*/site-packages")

    def begin(self, program: str, *words: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """A program of the environment, which goes on meanwhile."""
        command = [str(self.folder / "hilum" / "bin" / program), *map(str, words)]
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name.lower()}
        # what is started compiles what it imports; the rest, a third of what pip takes, nobody here imports
        variables = kept | {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PIP_COMPILE": "0"}
        # pip that is killed leaves there what it fetched
        variables |= {"TMPDIR": str(self.folder / "tmp"), **self._environment, **(environment or {})}
        log = (self.folder / "said").open("w+")
        return subprocess.Popen(command, cwd=self.folder, env=variables, stdout=log, stderr=log, text=True, start_new_session=True)

    def type(self, program: str, *words: object, environment: dict[str, str] | None = None) -> tuple[int, str]:
        """The exit code and what was printed."""
        code = self.begin(program, *words, environment=environment).wait(900)
        return code, (self.folder / "said").read_text()

    def kill_when(self, holds: Callable[[], bool], *words: object) -> None:
        """Type `pip …`, and end it, and all that it began, as soon as that holds."""
        pip = self.begin("pip", *words)
        wait_until(lambda: holds() or pip.poll() is not None, 600, "pip is in the middle", every_s=0.01)
        assert pip.poll() is None, (self.folder / "said").read_text()
        os.killpg(pip.pid, signal.SIGKILL)
        pip.wait(60)


@pytest.mark.registry
def test_an_installation_that_was_ended_is_taken_up_by_the_same_command(built: Path, tmp_path: Path) -> None:
    """README's command, killed while it writes a library, and typed again: all is there, and whole. An upgrade of the engine's library,
    killed while it writes: `hilum doctor` names it, with what to do, and that mends it."""
    reader = Reader(tmp_path, found_in(wheelhouse(sys.executable)))
    install = ("install", f"{built}[embedded]", "-c", ROOT / "constraints.txt")
    reader.kill_when(lambda: (reader.site / "numpy" / "__init__.py").exists(), *install)
    assert not list(reader.site.glob("hilum-*"))
    code, said = reader.type("pip", *install)
    assert code == 0, said
    assert reader.type("pip", "check")[0] == 0
    assert reader.type("hilum", "init", "node")[0] == 0
    library = "openvino"
    began = len(list((reader.site / library).iterdir()))
    again = ("install", library, "-c", ROOT / "constraints.txt", "--no-deps", "--force-reinstall")
    doctor = ("doctor", "--config", tmp_path / "node" / "hilum.yaml")
    assert "HLM-2126" not in reader.type("hilum", *doctor)[1]

    def being_written() -> bool:
        # pip moves a library aside, its description first: only when the folder stands aside too is what lies there the new one
        return (reader.site / "~penvino" / "__init__.py").exists() and (reader.site / library / "__init__.py").exists()

    reader.kill_when(being_written, *again)
    assert len(list((reader.site / library).iterdir())) <= began
    code, said = reader.type("hilum", *doctor)
    assert code == 1, said
    assert "openvino is not installed, or in part [HLM-2126]" in said
    assert "--force-reinstall" in said
    code, said = reader.type("pip", *again)
    assert code == 0, said
    assert "HLM-2126" not in reader.type("hilum", *doctor)[1]


@contextmanager
def index(folder: Path, authority: Authority) -> Iterator[str]:
    """A package index behind TLS: folders, as a web server lists them."""
    identity = authority.signs("index", alternative="DNS:localhost")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(http.server.SimpleHTTPRequestHandler, directory=str(folder)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_pip_goes_out_through_the_proxy(built: Path, tmp_path: Path) -> None:
    """By HTTPS_PROXY and by `--proxy`: a tunnel to the index; where the proxy is away nothing is fetched another way."""
    (tmp_path / "index" / "hilum").mkdir(parents=True)
    (tmp_path / "index" / "hilum" / built.name).symlink_to(built)
    authority = Authority(tmp_path / "ca")
    reader = Reader(tmp_path)
    with index(tmp_path / "index", authority) as url, proxy(tmp_path / "proxy") as way_out:
        fetch = ("--isolated", "download", "hilum", "--no-deps", "--index-url", url, "--cert", authority.certificate, "--retries", "0")
        tunnel = f"CONNECT {url.removeprefix('https://').rstrip('/')}"
        for number, (words, environment) in enumerate(((("--proxy", way_out.url), None), ((), named(way_out.url)))):
            code, said = reader.type("pip", *fetch, *words, "--dest", tmp_path / f"{number}", environment=environment)
            assert code == 0, said
            assert (tmp_path / f"{number}" / built.name).exists()
            assert set(way_out.asked()) == {tunnel}
            assert len(way_out.asked()) > number
        code, _ = reader.type("pip", *fetch, "--dest", tmp_path / "none", environment=named(f"http://127.0.0.1:{free_port()}"))
        assert code != 0
        assert not list((tmp_path / "none").glob("*.whl"))
