"""A Triton server on this machine: started over a model repository, ended with the process that started it.

For the demo, the tests and the benchmarks, and for a host without GPU and container. Production on GPUs runs NVIDIA's image over the
same repository (docs/howto/run-on-triton.md).
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from inference.engines.errors import ServerNotStarted
from inference.engines.triton.distribution import Distribution, local_distribution
from inference.engines.triton.processes import LAUNCH, SHM_PREFIX, children, end_group, sweep

_READY_S = 120.0
_EXIT_S = 10
_EVERY_S = 0.05
_LISTENS = "Started Metrics Service at"
_TRIES = 5
_TOLD_LINES = 12
_TAKEN = "already in use"
_BAD_TLS = "Unable to create secure server"  # of which the server also says that its port is in use
# "I1121 14:03:28.580888 14960 server.cc:336] …", and what it warns of wherever there is no GPU
_INFORMATION = re.compile(r"I\d{4} |.*(CUDA driver version|CudaDriverHelper)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """PEM files for grpcs; with `authority` the server asks every client for a certificate of that authority."""

    certificate: Path
    key: Path
    authority: Path | None = None


class LocalTriton:
    """A tritonserver over `repository`, on loopback; a context manager.

    A thread of its own starts the server and waits for its end: Linux ties "die with the parent" to the thread that forked.

    Parameters
    ----------
    repository
        The model repository, as the embedded engine reads it.
    models
        Names of the models to load; each must load. None: all that are there, and those that cannot be loaded are left out
        (the repository index of the server has the reason).
    cache
        Where the server is unpacked; default: the user's cache folder.
    tls
        Serve grpcs.
    options
        More command-line options of tritonserver.
    ready_s
        How long the server may take to load its models.
    log
        File for the server's words, appended to; default: one that is removed at the end.
    """

    def __init__(
        self,
        repository: Path,
        *,
        models: Sequence[str] | None = None,
        cache: Path | None = None,
        tls: ServerTls | None = None,
        options: Sequence[str] = (),
        ready_s: float = _READY_S,
        log: Path | None = None,
    ) -> None:
        self._repository = repository.resolve()
        self._models = models
        self._cache = cache
        self._tls = tls
        self._options = tuple(options)
        self._ready_s = ready_s
        self._given_log = log
        self._regions = f"{SHM_PREFIX}{os.getpid()}_{uuid.uuid4().hex[:8]}_"
        self._scratch: Path | None = None
        self._ports: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None

    def __enter__(self) -> "LocalTriton":
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)  # also when Ctrl-C ends the wait for the models
            self.start()
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """What an engine's `url` names: grpc://127.0.0.1:port, or grpcs:// with TLS. The same after a restart."""
        return f"{'grpcs' if self._tls else 'grpc'}://127.0.0.1:{self._known_ports()[0]}"

    @property
    def metrics_url(self) -> str:
        """Prometheus metrics of the server."""
        return f"http://127.0.0.1:{self._known_ports()[1]}/metrics"

    @property
    def pid(self) -> int:
        """The server's process."""
        if self._process is None:
            raise ServerNotStarted("the Triton server was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, on the ports of the last start if there was one, and return when its models are loaded.

        Raises
        ------
        ServerUnsupported, WrongServer, RegistryAway, CacheUnwritable, ServerNotStarted
        """
        if self.running:
            return
        if not self._repository.is_dir():
            raise ServerNotStarted(f"{self._repository} is not a folder: there is no model repository to serve")
        distribution = local_distribution(self._cache)
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="hilum-triton-"))
        for _ in range(_TRIES if self._ports is None else 1):
            ports = self._ports or free_ports()
            before = self.log.stat().st_size if self.log.exists() else 0
            self._launch(distribution, ports)
            if self._ready(before):
                self._ports = ports
                return
            said = self._said(before)
            self._end()
            if _TAKEN not in said or _BAD_TLS in said:
                break
        raise ServerNotStarted(f"the Triton server over {self._repository} did not become ready; it said last:\n{_last(said)}")

    def stop(self) -> None:
        """SIGTERM: requests that are under way are answered first; SIGKILL when that takes too long."""
        if self._process is not None and self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_S + 5)
        self._end()

    def kill(self) -> None:
        """SIGKILL the server, as a crash would; its stubs end by themselves."""
        if self._process is not None:
            self._process.kill()
        self._end()

    def close(self) -> None:
        """End the server at once (it keeps nothing; `stop` lets it answer first), and remove what it wrote."""
        self.kill()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def stubs(self) -> list[int]:
        """Processes of the python stubs that compute; one for each instance of each model."""
        return children(self.pid) if self.running else []

    @property
    def log(self) -> Path:
        """The server's words; gone after `close` unless a file was given."""
        if self._given_log is not None:
            return self._given_log
        if self._scratch is None:
            raise ServerNotStarted("the Triton server was not started")
        return self._scratch / "tritonserver.log"

    def _known_ports(self) -> tuple[int, int]:
        if self._ports is None:
            raise ServerNotStarted("the Triton server was not started")
        return self._ports

    def _launch(self, distribution: Distribution, ports: tuple[int, int]) -> None:
        command = [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), *self._command(distribution, ports)]
        begun = threading.Event()
        failed: list[OSError] = []

        def keep() -> None:
            try:
                with self.log.open("ab") as log:
                    # a session of its own: Ctrl-C in a terminal ends the caller, and the caller ends the server
                    self._process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env=distribution.environment(),
                        start_new_session=True,
                    )
            except OSError as error:
                failed.append(error)
                return
            finally:
                begun.set()
            self._process.wait()

        self._keeper = threading.Thread(target=keep, name="tritonserver", daemon=True)
        self._keeper.start()
        begun.wait()
        if failed:
            raise ServerNotStarted(f"the Triton server could not be started: {failed[0]}") from failed[0]

    def _command(self, distribution: Distribution, ports: tuple[int, int]) -> list[str]:
        grpc, metrics = ports
        command = [
            str(distribution.program),
            f"--model-repository={self._repository}",
            f"--backend-directory={distribution.backends}",
            f"--cache-directory={distribution.caches}",
            "--allow-http=false",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={grpc}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={metrics}",
            "--allow-gpu-metrics=false",
            "--model-control-mode=explicit",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={_EXIT_S}",
            # a model that was not named must not keep the others from serving
            f"--exit-on-error={'false' if self._models is None else 'true'}",
            f"--backend-config=python,shm-region-prefix-name={self._regions}",
        ]
        command += [f"--load-model={name}" for name in (["*"] if self._models is None else self._models)]
        if self._tls is not None:
            command += ["--grpc-use-ssl=true", f"--grpc-server-cert={self._tls.certificate}", f"--grpc-server-key={self._tls.key}"]
            if self._tls.authority is not None:
                command += ["--grpc-use-ssl-mutual=true", f"--grpc-root-cert={self._tls.authority}"]
        return [*command, *self._options]

    def _ready(self, since: int) -> bool:
        """Wait until the server says that it serves metrics: it does that last, when models are loaded and gRPC is served.

        Asking the port instead would take another server's answer for its own while it finds out that the port is taken.
        """
        deadline = time.monotonic() + self._ready_s
        while self.running and time.monotonic() < deadline:
            if _LISTENS in self._said(since):
                return True
            time.sleep(_EVERY_S)
        return False

    def _end(self) -> None:
        """After the server's end: its stubs too are gone, and their shared memory."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self.running:
                self._process.kill()
        self._process.wait()
        if self._keeper is not None:
            self._keeper.join()
        end_group(self._process.pid)
        sweep(self._regions)

    def _said(self, since: int) -> str:
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")


def _last(said: str) -> str:
    """What the server said last; its warnings and errors alone, where there are any."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(("|", "+"))]
    grave = [line for line in lines if not _INFORMATION.match(line)]
    return "\n".join(f"  {line}" for line in (grave or lines)[-_TOLD_LINES:]) or "  (nothing)"


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now; somebody may before the server does, and then others are tried."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
