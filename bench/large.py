"""The largest studies: a CT of 4,000 slices and an enhanced multi-frame CT of 2 GB through the whole node, and what each process holds."""

import tempfile
import time
from pathlib import Path

from bench.rows import Row, say
from tests.lab.largest import Peaks, frames_of, node, send, slices_of
from tests.soak.studies import Study

SLICES = 4000
_PATIENCE_S = 1800.0
_SETTLES_S = 5.0


def through(folder: Path, study: Study) -> list[Row]:
    """One study through a node of its own: how long, and what the processes held at most beside what they held before."""
    with node(folder) as running:
        peaks = Peaks(running.pid)
        try:
            peaks.begin(settles_s=_SETTLES_S)
            began = time.monotonic()
            send(running, study)
            sent_s = time.monotonic() - began
            while len(list((folder / "results").rglob("*.dcm"))) < 2:
                if time.monotonic() - began > _PATIENCE_S:
                    raise RuntimeError(f"no results: {running.jobs()}")
                time.sleep(0.2)
            took_s = time.monotonic() - began
        finally:
            peaks.close()
    what = f"{study.kind.instances} slices" if study.kind.instances > 1 else f"{study.kind.frames} frames in one instance"
    what = f"{what}, {study.kind.instances * study.kind.pixel_bytes / 1e9:.1f} GB"
    return [
        Row(name=f"large: {what}: sent", value=sent_s, unit="s"),
        Row(name=f"large: {what}: results", value=took_s, unit="s"),
        *(
            Row(name=f"large: {what}: memory of {stage}", value=most, unit="MiB", baseline=peaks.first[stage])
            for stage, most in sorted(peaks.most.items())
        ),
    ]


def measure(slices: int = SLICES) -> list[Row]:
    """The same slices as instances, and as frames of one, each through a node of its own."""
    rows = []
    for study in (slices_of(slices), frames_of(slices)):
        say(f"{study.kind.instances} instances of {study.kind.pixel_bytes / 1e6:.0f} MB")
        with tempfile.TemporaryDirectory(prefix="hilum-bench-", ignore_cleanup_errors=True) as made:
            rows += through(Path(made) / "node", study)
    return rows
