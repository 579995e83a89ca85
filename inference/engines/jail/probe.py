"""Tries the jail on this machine: what does a confined process reach? For `hilum doctor`."""

import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from inference.engines.jail.confine import Confined
from inference.engines.jail.model import Limits, call_in_jail
from inference.engines.jail.process import Jailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What the kernel holds back, and what a process reached all the same; empty where the jail is whole."""

    confined: Confined
    reached: tuple[str, ...]


def probe() -> Probed:
    """Start a confined process as models get one, and have it try.

    Raises
    ------
    ModelDied
        It cannot be started.
    """
    process = Jailed()
    confined = process.confined
    process.end()
    said, _ = call_in_jail("the process", "inference.engines.jail.probe:reached", b"", {}, limits=Limits.usual(), carries_code=False)
    return Probed(confined=confined, reached=tuple(said) if isinstance(said, list) else ("its own answer",))


def reached(_content: bytes) -> list[str]:
    """In the process: those of a few things that no model needs that can be done."""
    tries: dict[str, Callable[[], None]] = {
        "files": lambda: open("/etc/passwd", "rb").close(),
        "folders to write to": lambda: os.close(os.open(_writable(), os.O_TMPFILE | os.O_WRONLY)),
        "the network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "new processes": _fork,
        "other processes": lambda: os.kill(os.getppid(), 0),
    }
    done = []
    for name, attempt in tries.items():
        try:
            attempt()
        except OSError:
            continue
        done.append(name)
    return done


def _writable() -> str:
    tempfile.tempdir = None
    return tempfile.gettempdir()


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
