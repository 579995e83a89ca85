"""How to make an instance durable before it is acknowledged: one file each, or one append-only pack an association; one writer or many.

Every form takes the same instances (400 of 512 KiB, in fragments of 128 KiB, as a PDU brings them), divided among the writers, with
every instance of a writer on disk before its next; the floor is the same bytes with a single flush at the end.
`python -m bench.spool [--folder DIR]`.
"""

import argparse
import ctypes
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.rows import Row, say, show
from node.spool.deferred_flush import SharedFlush, begin_to_write

_INSTANCES = 400
_INSTANCE_BYTES = 512 * 1024
_FRAGMENT_BYTES = 128 * 1024
_RUNS = 3
WRITERS = (1, 4, 16)


class Place:
    """A folder, its descriptor, and flushes that its writers share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.flush = SharedFlush(lambda: os.fsync(self.fd))
        self.everything = SharedFlush(self._syncfs)

    def _syncfs(self) -> None:
        if ctypes.CDLL(None, use_errno=True).syncfs(self.fd):
            raise OSError(ctypes.get_errno(), "syncfs")


Form = Callable[[Place, memoryview, str, int], None]
"""Where, the bytes of one instance, the writer's name, how many instances it writes."""


def floor(place: Place, data: memoryview, writer: str, instances: int) -> None:
    """All bytes of a writer into one file, one flush at the end: no promise for any single instance."""
    fd = os.open(place.folder / writer, os.O_CREAT | os.O_WRONLY, 0o600)
    for _ in range(instances):
        _write(fd, data)
    os.fsync(fd)
    os.close(fd)


def own_flush(place: Place, data: memoryview, writer: str, instances: int) -> None:
    """Write under another name, fdatasync, rename, fsync the folder."""
    _files(place, data, writer, instances, lambda: os.fsync(place.fd))


def shared_flush(place: Place, data: memoryview, writer: str, instances: int) -> None:
    """The same; one flush of the folder serves all who wait for one."""
    _files(place, data, writer, instances, place.flush.wait)


def begun_early(place: Place, data: memoryview, writer: str, instances: int) -> None:
    """The same, and the kernel is told to begin with each half before the flush asks for it (sync_file_range)."""
    _files(place, data, writer, instances, place.flush.wait, early=True)


def without_folder(place: Place, data: memoryview, writer: str, instances: int) -> None:
    """Without flushing the folder: not a promise by POSIX, here to show what that flush costs."""
    _files(place, data, writer, instances, lambda: None)


def whole_file_system(place: Place, data: memoryview, writer: str, instances: int) -> None:
    """Write, rename, and one syncfs for all who wait, which also flushes whatever else is unwritten."""
    _files(place, data, writer, instances, place.everything.wait, flush=False)


def pack(place: Place, data: memoryview, writer: str, instances: int) -> None:
    """One file an association: append, fdatasync, into space allocated ahead; a length before each tells whole ones from the last."""
    fd = os.open(place.folder / f"{writer}.pack", os.O_CREAT | os.O_WRONLY, 0o600)
    place.flush.wait()
    head = len(data).to_bytes(8, "little")
    at = end = 0
    for _ in range(instances):
        if at + len(head) + len(data) > end:
            os.posix_fallocate(fd, end, 64 * 2**20)
            end += 64 * 2**20
        at += os.pwrite(fd, head, at)
        for part in range(0, len(data), _FRAGMENT_BYTES):
            at += os.pwrite(fd, data[part : part + _FRAGMENT_BYTES], at)
        os.fdatasync(fd)
    os.close(fd)


def _files(
    place: Place,
    data: memoryview,
    writer: str,
    instances: int,
    flush_name: Callable[[], None],
    *,
    early: bool = False,
    flush: bool = True,
) -> None:
    for number in range(instances):
        partial = place.folder / f"{writer}-{number:06d}.part"
        fd = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        _write(fd, data, early=early)
        if flush:
            os.fdatasync(fd)
        os.close(fd)
        os.rename(partial, partial.with_suffix(".dcm"))
        flush_name()


def _write(fd: int, data: memoryview, *, early: bool = False) -> None:
    for at in range(0, len(data), _FRAGMENT_BYTES):
        os.write(fd, data[at : at + _FRAGMENT_BYTES])
        if early and at % (2 * _FRAGMENT_BYTES):
            begin_to_write(fd, at - _FRAGMENT_BYTES, 2 * _FRAGMENT_BYTES)


FORMS: dict[str, Form] = {
    "floor": floor,
    "file, own flush of the folder": own_flush,
    "file, shared flush of the folder": shared_flush,
    "file, shared flush, begun early": begun_early,
    "file, folder not flushed": without_folder,
    "file, shared syncfs": whole_file_system,
    "pack, preallocated": pack,
}


def measure(folder: Path | None = None) -> list[Row]:
    """Instances per second of each form: the median of three runs that take turns, so that a noisy minute hits all of them."""
    data = memoryview(os.urandom(_INSTANCE_BYTES))
    rows = []
    for writers in WRITERS:
        took_s: dict[str, list[float]] = {name: [] for name in FORMS}
        for number in range(_RUNS):
            say(f"{writers} writer{'s' if writers > 1 else ''}, round {number + 1} of {_RUNS}")
            for name, form in FORMS.items():
                took_s[name].append(_took(form, data, writers, folder))
        rates = {name: _INSTANCES / statistics.median(times) for name, times in took_s.items()}
        on = f"spool, {writers} writer{'s' if writers > 1 else ''}"
        rows += [Row(name=f"{on}: {name}", value=rate, unit="instances/s", baseline=rates["floor"]) for name, rate in rates.items()]
    return rows


def _took(form: Form, data: memoryview, writers: int, folder: Path | None) -> float:
    with tempfile.TemporaryDirectory(dir=folder, prefix="spool-") as where:
        place = Place(Path(where))
        share = _INSTANCES // writers
        threads = [threading.Thread(target=form, args=(place, data, f"w{number}", share)) for number in range(writers)]
        os.sync()  # what earlier forms left behind is not this one's to write
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        os.close(place.fd)
        return took


def main() -> None:
    """Print the figures for a folder (by default the one for temporary files)."""
    parser = argparse.ArgumentParser(prog="python -m bench.spool")
    parser.add_argument("--folder", type=Path, default=None, help="on the file system to measure")
    show(measure(parser.parse_args().folder))


if __name__ == "__main__":
    main()
