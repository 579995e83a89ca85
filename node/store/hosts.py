"""What the processes of a host share: who of them holds leases, which of those that were here before are dead, and how one tells another
that there is work. A wake-up is a hint; the sweep every second is the guarantee.

A host is named by its node name and a number that was drawn once for its run folder: two machines with one name, or two supervisors with
spools of their own on one machine, are different hosts.
"""

import contextlib
import fcntl
import os
import secrets
import select
import threading
from pathlib import Path
from typing import IO

from node.observe import metrics
from node.settings.config import Config

_ALIVE = "alive"


def run_folder(config: Config) -> Path:
    """Where the processes of one host leave their wake-up pipes, their locks and their signs of life: beside its spool."""
    own = config.store.spooled
    return own.with_name(own.name + ".run")


def make_run_folder(config: Config) -> Path:
    """The run folder, made if need be."""
    folder = run_folder(config)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def sinks_of(config: Config, peer: str) -> tuple[str, ...]:
    """The sinks that lie at a peer."""
    return tuple(name for name, sink in config.sinks.items() if sink.peer == peer)


def association_folder(config: Config) -> Path:
    """Where the receive processes of one host say who came (`node.observe.association_log`)."""
    return run_folder(config) / "associations"


def host_of(config: Config) -> str:
    """The name of this host, the same after every restart."""
    file = make_run_folder(config) / "host"
    if not file.exists():
        drawn = file.with_name(f"host.{os.getpid()}.{secrets.token_hex(3)}")
        drawn.write_text(secrets.token_hex(3), encoding="ascii")
        # a link: of several processes that draw at once, one names the host
        with contextlib.suppress(FileExistsError):
            os.link(drawn, file)
        drawn.unlink()
    return f"{os.uname().nodename}-{file.read_text(encoding='ascii').strip()}"


def owner_of(config: Config, pid: int) -> str:
    """The name under which a process of this host holds leases: unique among live processes."""
    return f"{host_of(config)}:{pid}"


def stay_alive(config: Config) -> IO[str]:
    """Say that this process lives, until the file is closed or the process ends, however it ends."""
    folder = make_run_folder(config) / _ALIVE
    folder.mkdir(exist_ok=True, mode=0o700)
    file = (folder / str(os.getpid())).open("w", encoding="ascii")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def dead_owners(config: Config) -> list[str]:
    """The owners of this host whose processes have ended: whatever lease such a one holds is nobody's. `forget` ends it."""
    return [owner_of(config, int(path.name)) for path in sorted((run_folder(config) / _ALIVE).glob("*")) if not _locked(path)]


def forget(config: Config, owner: str) -> None:
    """What a dead owner held was released; its process number may be another's by now, which stays alive."""
    path = run_folder(config) / _ALIVE / owner.rpartition(":")[2]
    if not _locked(path):
        path.unlink(missing_ok=True)


def _locked(path: Path) -> bool:
    try:
        with path.open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


class WakeUpPipe:
    """A named pipe that many may ring and one waits at; to ring where no process waits, or a pipe that was rung already, does nothing."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._path, 0o600)
        self._reader: int | None = None
        self._writer: int | None = None
        self._ringing = threading.Lock()

    def ring(self) -> None:
        """Wake whoever waits; never blocks."""
        with self._ringing:
            try:
                if self._writer is None:
                    self._writer = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.write(self._writer, b"!")
            except BlockingIOError:
                pass  # it was rung already
            except OSError:
                # nobody waits (any more), or it cannot be rung (too many open files): what there is to do is swept up all the same
                self._let_go()

    def wait(self, timeout_s: float) -> None:
        """Return at the next ring, or after `timeout_s`; rings that came since the last wait count."""
        ready, _, _ = select.select([self], [], [], timeout_s)
        metrics.WAKE_UPS.add(bell=self._path.stem, by="ring" if ready else "sweep")
        if ready:
            self.hush()

    def fileno(self) -> int:
        """What is readable once it was rung, for those who wait for something else too."""
        if self._reader is None:
            # read and write, so that the pipe never reports end-of-file while nobody rings
            self._reader = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        return self._reader

    def hush(self) -> None:
        """Forget the rings until now."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fileno(), 65536)

    def close(self) -> None:
        """Stop waiting here; the pipe itself stays for the next process."""
        if self._reader is not None:
            os.close(self._reader)
            self._reader = None
        with self._ringing:
            self._let_go()

    def _let_go(self) -> None:
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None
