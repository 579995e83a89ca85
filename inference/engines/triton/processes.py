"""The processes of a local Triton server: it dies with its starter, its stubs with it, and no shared memory stays behind."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_EVERY_S = 0.05
_STUBS_S = 5.0
_SHM = Path("/dev/shm")
SHM_PREFIX = f"hilum_triton_{os.stat('/proc/self/ns/pid').st_ino if sys.platform == 'linux' else 0}_"
# runs first in the server's process: dies with its parent, also when that is killed, then becomes the server
LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started the server is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def children(pid: int) -> list[int]:
    """Living children of a process."""
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in tasks.read_text().split()]
    return sorted(child for child in found if _group_of(child) is not None)


def _group(group: int) -> list[int]:
    """Living processes of a process group."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _group_of(int(entry.name)) == group]


def _group_of(pid: int) -> int | None:
    """The process group of a living process; None where there is none, or where only its parent's notice of its end is missing."""
    try:
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state == "Z" else int(group)


def end_group(group: int) -> None:
    """Wait until the stubs noticed that their server is gone; those that do not are killed."""
    deadline = time.monotonic() + _STUBS_S
    while _group(group):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            deadline += _STUBS_S
        time.sleep(_EVERY_S)


def sweep(prefix: str) -> None:
    """Remove shared memory that a server left behind: `prefix`'s, and that of servers whose starter is gone.

    The names hold the process namespace, too: containers that share /dev/shm do not see each other's processes.
    """
    for region in _SHM.glob(f"{SHM_PREFIX}*"):
        starter = region.name.removeprefix(SHM_PREFIX).partition("_")[0]
        abandoned = starter.isdecimal() and not Path(f"/proc/{starter}").exists()
        if region.name.startswith(prefix) or abandoned:
            with contextlib.suppress(OSError):
                region.unlink()
