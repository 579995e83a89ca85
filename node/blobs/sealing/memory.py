"""Whether a folder lies in memory, and what else may bring memory onto a disk; read from /proc, which Linux has."""

import os
from pathlib import Path

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def lies_in_memory(folder: Path) -> bool:
    """Whether `folder` is on a tmpfs or ramfs; where nobody can say, it is not."""
    resolved, device = folder.resolve(), os.stat(folder).st_dev
    named = f"{os.major(device)}:{os.minor(device)}"
    for line in _lines(Path("/proc/self/mountinfo")):
        before, _, behind = line.partition(" - ")
        fields = before.split()
        # proc(5): 36 35 98:0 /root /mount/point options - type source
        if len(fields) > 4 and fields[2] == named and resolved.is_relative_to(_unescaped(fields[4])):
            return behind.split()[0] in _IN_MEMORY
    return False


def whole_memory(folder: Path) -> int:
    """How many bytes the file system of `folder` has in all: what others hold of it now may be gone when it is needed."""
    status = os.statvfs(folder)
    return status.f_blocks * status.f_frsize


def swaps() -> list[str]:
    """Where the system writes memory to when it runs short of it; swap in compressed memory (zram) is none."""
    return [name for line in _lines(Path("/proc/swaps"))[1:] if (name := line.split()[0]) and not Path(name).name.startswith("zram")]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _unescaped(field: str) -> str:
    """A mount point as a path: blanks and the like stand as three octal digits."""
    for character in " \t\n\\":
        field = field.replace(f"\\{ord(character):03o}", character)
    return field
