"""docs/howto/typical-mistakes.md: every command in its table is run, and what a person reads is what stands there."""

import contextlib
import io
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, Verification

from node.cli.main import main
from tests.dimse.conftest import instance

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/howto/typical-mistakes.md"
_LEAST = 20
_GOOD = """\
node: {{ae_title: HILUM, listen: "127.0.0.1:{taken}"}}
store: {{journal: "sqlite:var/hilum.db", blobs: "file:var/blobs", min_free: 1MB}}
models: {{repository: var/models}}
peers: {{pacs: {{ae_title: PACS, address: "127.0.0.1:{peer}"}}}}
sinks: {{archive: {{kind: dimse, peer: pacs}}}}
"""
_FILES = {
    "tab.yaml": "node:\n\tae_title: HILUM\n",
    "indented.yaml": "node:\n  ae_title: HILUM\n listen: 127.0.0.1:11112\n",
    "brace.yaml": "node: {ae_title: HILUM\npeers: {}\n",
    "key.yaml": "node: {lisen: 127.0.0.1:11112}\n",
    "sink.yaml": "sinks: {archive: {kind: folder, path: out}}\nroutes: [{name: head, run: [mr-brain], send: [archiv]}]\n",
    "address.yaml": "peers: {pacs: {ae_title: PACS, address: 10.0.0.5}}\n",
    "low.yaml": 'node: {ae_title: HILUM, listen: "127.0.0.1:104"}\n' + _GOOD.format(taken=0, peer=4242).partition("\n")[2],
    "letter.txt": "Dear colleague,\n",
}
_STDIN = {"hilum console users add anna": "secret\n"}
_NO_LOW_PORTS = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mistake: the command, what is read, and what to do."""

    command: str
    message: str
    remedy: str


def rows() -> list[Row]:
    """The page's table."""
    found = re.findall(r"^\| [^|]+ \| `(hilum [^`|]+)` \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [Row(command=command, message=message, remedy=remedy) for command, message, remedy in found]


class _WebServer(socketserver.BaseRequestHandler):
    """Answers as nginx answers what is no HTTP."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """A folder with a good configuration and bad ones, a PACS that is strict about titles, a web server; the ports by name."""
    monkeypatch.chdir(tmp_path)
    pacs = AE(ae_title="PACS")
    pacs.require_called_aet = True
    pacs.require_calling_aet = ["HILUM", "HILUM-SEND"]
    for one in (Verification, CTImageStorage):
        pacs.add_supported_context(one)
    listening = pacs.start_server(("127.0.0.1", 0), block=False)
    assert listening is not None
    with (
        socketserver.TCPServer(("127.0.0.1", 0), _WebServer) as web,
        contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken,
        contextlib.closing(socket.socket()) as closed,
    ):
        closed.bind(("127.0.0.1", 0))
        threading.Thread(target=web.serve_forever, daemon=True).start()
        ports = {
            "4242": listening.server_address[1],
            "8042": web.server_address[1],
            "11112": taken.getsockname()[1],
            "4243": closed.getsockname()[1],
        }
        (tmp_path / "hilum.yaml").write_text(_GOOD.format(taken=ports["11112"], peer=ports["4242"]))
        for name, text in _FILES.items():
            (tmp_path / name).write_text(text)
        instance().save_as(tmp_path / "one.dcm", enforce_file_format=True)
        try:
            yield ports
        finally:
            web.shutdown()
            listening.shutdown()


def _read(command: str, ports: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """What a person reads after the command, with the page's ports and without the folder of the test."""
    for shown, real in ports.items():
        command = command.replace(f":{shown}", f":{real}")
    words = command.split()[1:]
    if words[0] == "serve":
        cannot = [*_NO_LOW_PORTS] if "low.yaml" in command else []
        program = [sys.executable, "-c", "import sys; from node.cli.main import main; sys.exit(main(sys.argv[1:]))", *words]
        done = subprocess.run(
            [*cannot, *program],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )
        code, said = done.returncode, "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
    else:
        monkeypatch.setattr("sys.stdin", io.StringIO(_STDIN.get(command, "")))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        said = err.getvalue()
    for shown, real in ports.items():
        said = said.replace(f":{real}", f":{shown}").replace(f"port {real}", f"port {shown}")
    return code, said.replace(f"{Path.cwd()}/", "").replace(str(Path.cwd()), "/home/anna")


@pytest.mark.slow
@pytest.mark.parametrize("row", [pytest.param(one, id=one.command) for one in rows()])
def test_a_typical_mistake_gets_the_sentence_of_the_page(row: Row, place: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Word by word: the sentence with its code, and what to do."""
    if "low.yaml" in row.command and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not here")
    if row.command == "hilum jobs list":
        Path("hilum.yaml").unlink()
    code, said = _read(row.command, place, monkeypatch)
    message, _, remedy = said.partition("\n  what to do: ")
    assert (" ".join(message.split()), " ".join(remedy.split())) == (row.message, row.remedy)
    assert code in (1, 2)


def test_the_table_has_twenty_rows() -> None:
    """Each another command."""
    assert len({one.command for one in rows()}) >= _LEAST
