"""Which way tensors go: through shared memory where the server is proved to see it, as plain gRPC otherwise."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from inference.engines.triton.calls import Calls
from inference.engines.triton.channel import SharedMemory
from inference.engines.triton.shared_memory import FOLDER, Pool, abandoned, sweep
from inference.errors import EngineError, HilumError

_LEAST_BYTES = 2 * 2**20
_PROVE_AGAIN_S = 300.0
_TIDY_EVERY_S = 5.0
_PROOF_BYTES = 4096


class Unshared(Exception):
    """A region could not be used, and why; never leaves the engine, which takes the other way."""


class Sharing:
    """Whether the server sees this process's shared memory, and the regions through which tensors go.

    The proof is a file with a random name in /dev/shm that the server is asked to map: another host, or a container with a /dev/shm of its
    own, has no such file.
    """

    def __init__(
        self, calls: Calls, mode: SharedMemory, *, limit: int, folder: Path = FOLDER, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._calls = calls
        self._mode = mode
        self._folder = folder
        self._seconds = seconds
        self._lock = threading.Lock()
        self._why_not: str | None = None
        self._proved_at: float | None = None
        self._tidied_at = seconds()
        self.pool = Pool(self._register, self._unregister, limit=limit, folder=folder, seconds=seconds)

    @property
    def demanded(self) -> bool:
        """Whether nothing else will do."""
        return self._mode is SharedMemory.ON

    def wanted(self, size: int) -> bool:
        """Whether `size` bytes of tensors are to go through shared memory.

        At 1 MB both ways are alike, at 4 MB shared memory takes half the time, at 256 MB a ninth (bench/triton_transfer.py).
        """
        if self._mode is SharedMemory.OFF or (self._mode is SharedMemory.AUTO and size < _LEAST_BYTES):
            return False
        return not self.why_not()

    def why_not(self) -> str:
        """Why tensors go as plain gRPC; "" where they go through shared memory. Asks the server when that is not known."""
        if self._mode is SharedMemory.OFF:
            return "shared_memory is off"
        with self._lock:
            due = self._proved_at is None or (self._why_not and self._seconds() - self._proved_at > _PROVE_AGAIN_S)
            if due:
                self._why_not = self._prove()
                self._proved_at = self._seconds()
            return self._why_not or ""

    def gave_way(self, reason: str) -> None:
        """A region did not work although the proof had: plain gRPC for the next minutes."""
        with self._lock:
            self._why_not = reason
            self._proved_at = self._seconds()

    def forget(self) -> None:
        """The server was lost: what comes back may be another one, and knows no region."""
        self.pool.forget()
        with self._lock:
            self._proved_at = None

    def room(self) -> int:
        """Bytes that the file system of shared memory has, used or not."""
        return shutil.disk_usage(self._folder).total

    def tidy(self) -> None:
        """Every few seconds: let go of what nobody needs."""
        if self._seconds() - self._tidied_at >= _TIDY_EVERY_S:
            self._tidied_at = self._seconds()
            self.pool.tidy()

    def _prove(self) -> str:
        if not self._folder.is_dir():
            return f"this machine has no {self._folder}"
        sweep(self._folder)
        try:
            with self.pool.lease(_PROOF_BYTES) as region:
                if region is None:
                    return f"there is no room in {self._folder}"
        except Unshared as unseen:
            return f"the server does not see this machine's shared memory ({unseen})"
        except OSError as unfit:
            return f"{self._folder}: {unfit.strerror}"
        self._clean_server()
        return ""

    def _clean_server(self) -> None:
        """Have the server let go of regions whose processes are gone: their memory is held by nobody else."""
        from tritonclient.grpc import service_pb2

        answer = self._calls.ask("SystemSharedMemoryStatus", service_pb2.SystemSharedMemoryStatusRequest(), "shared memory")
        for name in abandoned(tuple(answer.regions), self._folder):
            self._unregister(name)

    def _register(self, name: str, size: int) -> None:
        from tritonclient.grpc import service_pb2

        from inference.engines.errors import EngineAway, EngineTimeout

        request = service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=f"/{name}", offset=0, byte_size=size)
        try:
            self._calls.ask("SystemSharedMemoryRegister", request, f"shared memory region {name}")
        except (EngineAway, EngineTimeout):
            raise
        except HilumError as refused:
            # the same file under the same name: the connection was lost, not the server
            if "already in manager" not in str(refused):
                raise Unshared(str(refused)) from refused

    def _unregister(self, name: str) -> bool:
        from tritonclient.grpc import service_pb2

        from inference.engines.errors import EngineAway

        try:
            self._calls.ask("SystemSharedMemoryUnregister", service_pb2.SystemSharedMemoryUnregisterRequest(name=name), "shared memory")
        except EngineAway:
            return False
        except EngineError as refused:
            return "in use" not in str(refused)
        return True
