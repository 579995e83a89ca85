"""Assembling: the files of a series to a volume, against reading the same bytes."""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from bench.made import series
from bench.rows import Row, say
from inference.imaging.assemble import assemble

SLICES = 400
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


def measure() -> list[Row]:
    """Medians; the two take turns."""
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as folder:
        rows = [_compared(f"{SLICES} slices 512², against reading them", series(Path(folder), SLICES), read)]
    compressed = [path for path in sorted(_JPEG_2000.rglob("*")) if path.is_file()] if _JPEG_2000.is_dir() else []
    if not compressed:
        say("SKIPPED: the JPEG 2000 series is not here (HILUM_DATA)")
        return rows
    return [*rows, _compared(f"{len(compressed)} slices JPEG 2000, against decoding them with pydicom", compressed, decode)]
