"""How to make an instance durable before it is acknowledged: one file each, or one append-only pack an association.

Every form takes the same instances (400 of 512 KiB, a CT series) on one thread, with every instance on disk before the next; the
floor is the same bytes written in one go with a single flush at the end. `python -m bench.spool [--folder DIR]`.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.rows import Row, show

_INSTANCES = 400
_INSTANCE_BYTES = 512 * 1024
_RUNS = 3

Form = Callable[[Path, bytes, int], None]


def floor(folder: Path, data: bytes, instances: int) -> None:
    """All bytes into one file, one flush at the end: no promise for any single instance."""
    with (folder / "floor").open("wb", buffering=0) as file:
        for _ in range(instances):
            file.write(data)
        os.fsync(file.fileno())


def file_fsync(folder: Path, data: bytes, instances: int) -> None:
    """Write under another name, fsync, rename, fsync the folder."""
    _files(folder, data, instances, os.fsync)


def file_fdatasync(folder: Path, data: bytes, instances: int) -> None:
    """The same with fdatasync: times of day need not be durable."""
    _files(folder, data, instances, os.fdatasync)


def file_without_folder(folder: Path, data: bytes, instances: int) -> None:
    """The same without flushing the folder: not a promise by POSIX, here to show what that flush costs."""
    _files(folder, data, instances, os.fdatasync, flush_folder=False)


def file_tmpfile(folder: Path, data: bytes, instances: int) -> None:
    """O_TMPFILE: a file without a name, fdatasync, linkat, fsync the folder; a crash leaves nothing to sweep."""
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(instances):
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
        os.write(fd, data)
        os.fdatasync(fd)
        # a folder's descriptor makes Python call linkat, which follows the link in /proc; link does not
        os.link(f"/proc/self/fd/{fd}", f"{number:06d}.dcm", dst_dir_fd=folder_fd)
        os.close(fd)
        os.fsync(folder_fd)
    os.close(folder_fd)


def pack_fdatasync(folder: Path, data: bytes, instances: int) -> None:
    """One file an association: append, fdatasync; the length in front of each instance tells complete ones from the last, torn one."""
    fd = os.open(folder / "association.pack", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    _flush_folder(folder)
    head = len(data).to_bytes(8, "little")
    for _ in range(instances):
        os.writev(fd, [head, data])
        os.fdatasync(fd)
    os.close(fd)


def pack_preallocated(folder: Path, data: bytes, instances: int) -> None:
    """The same into space allocated ahead (64 MiB at a time), so that a flush carries fewer changes of the file's own record."""
    fd = os.open(folder / "association.pack", os.O_CREAT | os.O_WRONLY, 0o600)
    _flush_folder(folder)
    head = len(data).to_bytes(8, "little")
    at = end = 0
    for _ in range(instances):
        if at + len(head) + len(data) > end:
            os.posix_fallocate(fd, end, 64 * 2**20)
            end += 64 * 2**20
        at += os.pwritev(fd, [head, data], at)
        os.fdatasync(fd)
    os.close(fd)


def _files(folder: Path, data: bytes, instances: int, flush: Callable[[int], None], *, flush_folder: bool = True) -> None:
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(instances):
        partial = folder / f"{number:06d}.part"
        fd = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.write(fd, data)
        flush(fd)
        os.close(fd)
        os.rename(partial, partial.with_suffix(".dcm"))
        if flush_folder:
            os.fsync(folder_fd)
    os.close(folder_fd)


def _flush_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


FORMS: dict[str, Form] = {
    "floor": floor,
    "file, fsync": file_fsync,
    "file, fdatasync": file_fdatasync,
    "file, folder not flushed": file_without_folder,
    "file, O_TMPFILE": file_tmpfile,
    "pack": pack_fdatasync,
    "pack, preallocated": pack_preallocated,
}


def measure(folder: Path | None = None) -> list[Row]:
    """Instances per second of each form: the median of three runs that take turns, so that a noisy minute hits all of them."""
    data = os.urandom(_INSTANCE_BYTES)
    took_s: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(_RUNS):
        for name, form in FORMS.items():
            with tempfile.TemporaryDirectory(dir=folder, prefix="spool-") as place:
                os.sync()  # what earlier forms left behind is not this one's to write
                began = time.perf_counter()
                form(Path(place), data, _INSTANCES)
                took_s[name].append(time.perf_counter() - began)
    rates = {name: _INSTANCES / statistics.median(times) for name, times in took_s.items()}
    baseline = rates[next(iter(FORMS))]
    return [Row(name=f"spool: {name}", value=rate, unit="instances/s", baseline=baseline) for name, rate in rates.items()]


def main() -> None:
    """Print the figures for a folder (by default the one for temporary files)."""
    parser = argparse.ArgumentParser(prog="python -m bench.spool")
    parser.add_argument("--folder", type=Path, default=None, help="on the file system to measure")
    show(measure(parser.parse_args().folder))


if __name__ == "__main__":
    main()
