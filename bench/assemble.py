"""Assembling: the files of a series to a volume, against reading the same bytes."""

import itertools
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from bench.made import series
from bench.rows import Row, say
from inference.imaging.assemble import assemble
from inference.imaging.decode_ahead import decode_ahead
from inference.imaging.frame_cache import FrameCache
from inference.imaging.header import ReadAhead

SLICES = 400
AHEAD = 300
ROUNDS = 7
_DATA = Path(os.environ.get("HILUM_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
_JPEG_2000 = _DATA / "dicom/ct_abdomen_TotalSeg"


def read(files: Sequence[Path]) -> int:
    """Every byte of every file into one buffer: the floor."""
    buffer = np.empty(max(path.stat().st_size for path in files), np.uint8)
    total = 0
    for path in files:
        with path.open("rb", buffering=0) as file:
            total += file.readinto(buffer.data) or 0
    return total


def decode(files: Sequence[Path]) -> int:
    """Every file decoded by pydicom, one after another, and forgotten: the floor for compressed series."""
    from pydicom import dcmread

    return sum(dcmread(path).pixel_array.size for path in files)


def _compared(name: str, files: Sequence[Path], floor: Callable[[Sequence[Path]], int]) -> Row:
    took: dict[Callable[[Sequence[Path]], object], list[float]] = {assemble: [], floor: []}
    for _, task in itertools.product(range(ROUNDS + 1), took):
        began = time.perf_counter()
        task(files)
        took[task].append(time.perf_counter() - began)
    # the first of each warms the page cache and imports the codecs
    value, baseline = (median(times[1:]) for times in took.values())
    return Row(name=f"assemble, {name}", value=value, unit="s", baseline=baseline)


def _ahead(files: Sequence[Path], folder: Path) -> Row:
    """Processor seconds of assembling what was read ahead in this process, against the same files without."""
    read_ahead = ReadAhead(FrameCache(folder / "ahead", most_bytes=1 << 30, min_free_bytes=0))
    took: dict[bool, list[float]] = {False: [], True: []}
    for _, ahead in itertools.product(range(ROUNDS), took):
        if ahead:
            for path in files:
                deque(decode_ahead(path, read_ahead), maxlen=0)
        began = time.process_time()
        assemble(files, ahead=read_ahead)
        took[ahead].append(time.process_time() - began)
    without, ready = (median(times) for times in took.values())
    return Row(name=f"assemble, {len(files)} slices 512², headers read ahead, CPU, against not", value=ready, unit="s", baseline=without)


def measure() -> list[Row]:
    """Medians; the two take turns."""
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as folder:
        files = series(Path(folder), SLICES)
        rows = [_compared(f"{SLICES} slices 512², against reading them", files, read), _ahead(files[:AHEAD], Path(folder))]
    compressed = [path for path in sorted(_JPEG_2000.rglob("*")) if path.is_file()] if _JPEG_2000.is_dir() else []
    if not compressed:
        say("SKIPPED: the JPEG 2000 series is not here (HILUM_DATA)")
        return rows
    return [*rows, _compared(f"{len(compressed)} slices JPEG 2000, against decoding them with pydicom", compressed, decode)]
