"""Who holds leases: the processes of this host, and which of those that were here before are dead.

A host is named by its node name and a number that was drawn once for its run folder: two machines with one name, or two supervisors with
spools of their own on one machine, are different hosts.
"""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from typing import IO

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
