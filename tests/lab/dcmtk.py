"""DCMTK as peers: senders that speak the protocol as modalities do, and receivers that keep what they get.

Every program is called by its absolute path: pynetdicom installs programs of the same names into a virtual environment.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.loopback import free_port
from tests.lab.needs import program
from tests.lab.program import Program, wait_until

# DCMTK leaves Nagle's algorithm on unless this is in the environment of both sides
_START_S = 60.0
_ENVIRONMENT = {"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramResult:
    """How a program ended and what it said."""

    code: int
    text: str


def run(name: str, *arguments: str | Path, timeout_s: float = 120) -> ProgramResult:
    """Run one of its programs to its end; what it printed, errors among it."""
    done = subprocess.run(
        [str(program(name, "dcmtk")), *(str(argument) for argument in arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_ENVIRONMENT,
        timeout=timeout_s,
        check=False,
    )
    return ProgramResult(code=done.returncode, text=done.stdout.decode("utf-8", "replace"))


def echoscu(port: int, *, called: str = "HILUM", calling: str = "PACS", options: Sequence[str] = ()) -> ProgramResult:
    """C-ECHO; exit code 0 when it was answered."""
    return run("echoscu", "-v", "-to", "10", *options, "-aet", calling, "-aec", called, "127.0.0.1", str(port))


def findscu(port: int, *keys: str, called: str = "HILUM", calling: str = "PACS") -> ProgramResult:
    """C-FIND with these keys, study root."""
    return run("findscu", "-S", "-aet", calling, "-aec", called, *(part for key in keys for part in ("-k", key)), "127.0.0.1", str(port))


def storescu(port: int, *paths: Path, called: str = "HILUM", calling: str = "PACS", options: Sequence[str] = ()) -> ProgramResult:
    """C-STORE of the given files, one association, in the transfer syntax that `options` propose (`-xs`, `-xv`, `-xr`, …)."""
    return run("storescu", "-v", "-to", "10", *options, "-aet", calling, "-aec", called, "127.0.0.1", str(port), *paths)


def dcmsend(port: int, *paths: Path, called: str = "HILUM", calling: str = "PACS", options: Sequence[str] = ()) -> ProgramResult:
    """C-STORE of files and folders in whatever syntax they have; several associations if contexts need it."""
    scan = ("--scan-directories", "--recurse")
    return run("dcmsend", "-v", *scan, *options, "-aet", calling, "-aec", called, "127.0.0.1", str(port), *paths, timeout_s=300)


def transcode(source: Path, target: Path, name: str, *options: str) -> ProgramResult:
    """Write a file in another transfer syntax, by `dcmconv` or one of the compressors."""
    return run(name, *options, source, target)


def dcmdump(path: Path, *keywords: str) -> str:
    """The attributes as DCMTK reads them; of the whole object, or of `keywords` only."""
    search = [word for keyword in keywords for word in ("+P", keyword)]
    return run("dcmdump", "+L", *search, path).text


class StoreScp:
    """`storescp`: a receiver that keeps every instance under its SOP Instance UID in `folder`; a context manager.

    `accepts` are the options that say which transfer syntaxes it takes: all that it knows, of the SOP classes that it knows. `answers` says
    of its port whether it answers, where echoscu cannot ask (TLS).
    """

    def __init__(
        self,
        folder: Path,
        *,
        aet: str = "ARCHIVE",
        accepts: Sequence[str] = ("+xa",),
        options: Sequence[str] = (),
        answers: Callable[[int], bool] | None = None,
    ) -> None:
        self.folder = folder
        self.aet = aet
        self.port = free_port()
        self._options = (*accepts, *options)
        self._answers = answers or (lambda port: echoscu(port, called=aet).code == 0)
        self._program: Program | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start it and wait until it answers a C-ECHO."""
        command = [program("storescp", "dcmtk"), "-v", "-aet", self.aet, "-od", self.folder, *self._options, str(self.port)]
        self._program = Program(command, self.folder.with_suffix(".log"), environment=_ENVIRONMENT)
        wait_until(lambda: self._answers(self.port), _START_S, "storescp answers")

    def stop(self) -> None:
        """Stop it; what it received stays."""
        if self._program is not None:
            self._program.kill()  # it knows no orderly end
            self._program = None

    def received(self) -> list[Path]:
        """The files that it keeps."""
        return sorted(path for path in self.folder.iterdir() if path.is_file())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class DcmQrScp:
    """`dcmqrscp`: a second PACS, for C-STORE, C-FIND, C-MOVE and C-GET; a context manager."""

    def __init__(self, folder: Path, *, aet: str = "SECOND", node_aet: str = "HILUM", node_port: int) -> None:
        self.aet = aet
        self.port = free_port()
        self.folder = folder
        self._program: Program | None = None
        (folder / "storage").mkdir(parents=True, exist_ok=True)
        (folder / "dcmqrscp.cfg").write_text(
            f"NetworkTCPPort = {self.port}\nMaxPDUSize = 131072\nMaxAssociations = 8\n"
            f"HostTable BEGIN\nnode = ({node_aet}, 127.0.0.1, {node_port})\nHostTable END\n"
            f"VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\n{aet} {folder / 'storage'} RW (100, 2gb) ANY\nAETable END\n"
        )

    def start(self) -> None:
        """Start it and wait until it answers a C-ECHO."""
        command = [program("dcmqrscp", "dcmtk"), "-v", "-c", self.folder / "dcmqrscp.cfg"]
        self._program = Program(command, self.folder / "dcmqrscp.log", environment=_ENVIRONMENT)
        wait_until(lambda: echoscu(self.port, called=self.aet).code == 0, _START_S, "dcmqrscp answers")

    def stop(self) -> None:
        """Stop it; its storage stays."""
        if self._program is not None:
            self._program.kill()
            self._program = None

    def received(self) -> list[Path]:
        """The images that it keeps, without its index."""
        return sorted(path for path in (self.folder / "storage").iterdir() if path.suffix != ".dat")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
