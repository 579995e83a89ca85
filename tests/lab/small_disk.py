"""File systems of their own, small enough to be filled: what a node writes there meets a disk that is really full."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import pytest

KINDS: tuple[Literal["ext4", "tmpfs"], ...] = ("ext4", "tmpfs")
_BALLAST = "ballast"


@contextmanager
def small_disk(folder: Path, kind: Literal["ext4", "tmpfs"], megabytes: int) -> Iterator[Path]:
    """Mount one at `folder`, which is made; the test is skipped where nothing can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own needs root: what a full disk does is not tested")
    folder.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if kind == "ext4":
        image = folder.with_name(f"{folder.name}.image")
        with image.open("wb") as made:
            made.truncate(megabytes << 20)
        if shutil.which("mkfs.ext4") is None or subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=False).returncode:
            pytest.skip("mkfs.ext4 is not here: what a full ext4 does is not tested")
        words = ["mount", "-o", "loop", str(image), str(folder)]
    mounted = subprocess.run(words, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, *, leave_bytes: int = 0) -> None:
    """With ballast, to the last byte, or until so much is left."""
    with (disk / _BALLAST).open("ab", buffering=0) as ballast, suppress(OSError):
        while not leave_bytes or _free(disk) > leave_bytes:
            ballast.write(bytes(65536))
    if leave_bytes:
        return
    for number in itertools.count():
        try:
            (disk / f"{_BALLAST} {number}").write_bytes(b"x")
        except OSError:
            return


def drop_ballast(disk: Path) -> None:
    """Make the room again that `fill` took."""
    for one in disk.glob(f"{_BALLAST}*"):
        one.unlink()


def _free(disk: Path) -> int:
    there = os.statvfs(disk)
    return there.f_bavail * there.f_frsize
