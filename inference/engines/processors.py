"""How much of this machine, cores and memory, a process may use, and what to call the machine in a record of measurements."""

import math
import os
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_QUOTA_V2 = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_V2, _MEMORY_V1 = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
_QUOTA_V1, _PERIOD_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def usable_cores(*, v2: Path = _QUOTA_V2, v1: tuple[Path, Path] = (_QUOTA_V1, _PERIOD_V1)) -> int:
    """Cores that this process may keep busy: its affinity, and no more than its container's CPU quota pays for.

    More threads than the quota allows are not merely useless: the kernel stops all of them for the rest of each period.
    """
    cores = len(os.sched_getaffinity(0))
    paid = _quota(v2, v1)
    return cores if paid is None else max(1, min(cores, math.floor(paid)))


def usable_memory(*, limits: tuple[Path, ...] = (_MEMORY_V2, _MEMORY_V1)) -> int:
    """Bytes of memory that the processes of this container, or this machine, may have together."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")]
    for limit in limits:
        try:
            # "max" where there is none; the first form says a number beyond all memory
            found.append(int(limit.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(found)


def threads_each(workers: int) -> int:
    """Threads for one of `workers` processes that compute at the same time."""
    return max(1, usable_cores() // max(1, workers))


def machine() -> str:
    """The processor and how many of its cores may be used: "AMD EPYC 9374F (25/17/1), 2 cores".

    Family, model and stepping are named too: virtual machines often say no more than the vendor's name.
    """
    fields: dict[str, str] = {}
    try:
        # the first processor's block is enough: the blocks are parted by empty lines
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            fields[name.strip()] = value.strip()
    except OSError:
        fields = {}
    named = fields.get("model name") or fields.get("CPU part") or os.uname().machine
    numbers = "/".join(fields[name] for name in ("cpu family", "model", "stepping") if name in fields)
    cores = usable_cores()
    return f"{named}{f' ({numbers})' if numbers else ''}, {cores} {'core' if cores == 1 else 'cores'}"


def _quota(v2: Path, v1: tuple[Path, Path]) -> float | None:
    """Cores that the control group pays for; None without a limit."""
    try:
        if v2.is_file():
            limit, _, period = v2.read_text(encoding="ascii").strip().partition(" ")
            return None if limit == "max" else int(limit) / int(period or 100_000)
        quota, period_us = (int(path.read_text(encoding="ascii")) for path in v1)
        return quota / period_us if quota > 0 and period_us > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
