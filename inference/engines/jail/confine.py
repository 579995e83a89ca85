"""Confines the running process: what a model's code may still do in it is compute, and speak through the descriptors that it was given."""

import os
import resource
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from inference.engines.jail.kernel import SET_NO_NEW_PRIVS, prctl
from inference.engines.jail.landlock import give_up_files
from inference.engines.jail.seccomp import give_up_calls

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_PROCESSOR = (
    "/dev/urandom",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
)
_DESCRIPTORS = 64
_PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """What the kernel holds back: the version of Landlock (0: it has none, files and network are open) and whether calls are filtered."""

    landlock: int
    seccomp: bool

    @property
    def whole(self) -> bool:
        """Whether code in the process reaches nothing outside."""
        return self.landlock > 0 and self.seccomp

    def lacking(self) -> str:
        """What is missing, for a sentence; "" where nothing is."""
        named = (("Landlock (Linux 5.13, turned on at boot)", self.landlock > 0), ("seccomp filters", self.seccomp))
        return " and ".join(name for name, there in named if not there)


def readable() -> tuple[Path, ...]:
    """What a confined process may read: Python, its packages and hilum's own package, shared libraries, what the processor is, and
    random numbers.

    Not the whole of the interpreter's folder, and none of the paths that a module search adds: a configuration or a store may lie there.
    """
    named = ("stdlib", "platstdlib", "purelib", "platlib")
    python = {Path(path) for name, path in sysconfig.get_paths().items() if name in named}
    libraries = sysconfig.get_config_var("LIBDIR")
    python |= {Path(sys.base_prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"}
    python |= {Path(libraries)} if libraries else set()
    return (*sorted(python), _PACKAGE, *map(Path, (*_LIBRARIES, *_PROCESSOR)))


def confine() -> Confined:
    """Confine this process, for good; it has one thread, which is why this stands before everything that computes.

    Raises
    ------
    RuntimeError
        It has more threads: Landlock would not bind them.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"a process of {threads} threads cannot be confined")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    places = readable()
    prctl(SET_NO_NEW_PRIVS, 1)
    landlock = give_up_files(places)
    return Confined(landlock=landlock, seccomp=give_up_calls())
