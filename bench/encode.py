"""Encoding: findings to checked objects, against a plain segmentation made with highdicom alone; time, and memory at its peak.

Each is measured in a process of its own, so that neither leaves memory or imports behind for the other.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.made import series
from bench.rows import Row, say

if TYPE_CHECKING:
    from inference.findings import Findings
    from inference.imaging.volume import Volume

SLICES = 400
ROUNDS = 2
REPEATS = 2
KINDS = ("hilum", "highdicom")


def encoder(files: Sequence[Path], volume: "Volume", **more: Any) -> Callable[["Findings", str], object]:
    """What makes the checked objects of findings (with their digest) on a series, of which it reads the headers anew, its imports done;
    `more` are other fields of `Encoding`."""
    from pydicom import dcmread

    from bench.applications.bench_threshold import APPLICATION
    from node.results.encode import encode
    from node.results.port import Encoding

    return lambda findings, digest: encode(
        Encoding(
            application=APPLICATION,
            findings=findings,
            sources=[dcmread(path, stop_before_pixels=True) for path in files],
            subject=volume,
            at=datetime(2024, 1, 2, tzinfo=UTC),
            input_digest="0" * 64,
            model_digest="1" * 64,
            findings_digest=digest,
            parameters="{}",
            device_uid="2.25.1",
            **more,
        )
    )


def _prepared(kind: str, files: Sequence[Path]) -> Callable[[], object]:
    """What is measured, with the volume and the mask ready."""

    from bench.applications.bench_threshold import analyse
    from bench.plain import NoModel, plain_seg
    from inference import findings_file
    from inference.imaging.assemble import assemble

    volume = assemble(files)
    findings = analyse(volume, NoModel())
    if kind == "highdicom":
        return lambda: plain_seg(files, volume, findings.segments[0].mask)
    digest = findings_file.digest(findings)
    whole = encoder(files, volume)
    return lambda: whole(findings, digest)


def memory_mib(line: str) -> float:
    """VmRSS (now) or VmHWM (the peak since it was last forgotten) of this process, as Linux counts."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(re.findall(rf"^{line}:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1024


def alone(kind: str, folder: Path) -> None:
    """Measure one kind in this process; one JSON line on stdout: seconds of each repeat, and how far the peak was above the start."""
    task = _prepared(kind, sorted(folder.iterdir()))
    task()  # imports, and whatever the libraries keep
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak: assembling has one too
    before_mib = memory_mib("VmRSS")
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "grew_mib": memory_mib("VmHWM") - before_mib}))


def measure() -> list[Row]:
    """Medians of repeats, in rounds that take turns."""
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    grew: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place:
        folder = Path(place)
        series(folder, SLICES)
        for number in range(ROUNDS):
            say(f"round {number + 1} of {ROUNDS}")
            for kind in KINDS:
                done = subprocess.run([sys.executable, "-m", "bench.encode", kind, str(folder)], capture_output=True, text=True, check=True)
                said = json.loads(done.stdout.splitlines()[-1])
                took[kind] += said["seconds"]
                grew[kind].append(said["grew_mib"])
    what = f"encode, {SLICES} slices 512², 1 segment"
    return [
        Row(
            name=f"{what}: SEG, SR and page, against the SEG alone by highdicom",
            value=median(took["hilum"]),
            unit="s",
            baseline=median(took["highdicom"]),
        ),
        Row(name=f"{what}: memory at the peak, above the volume", value=max(grew["hilum"]), unit="MiB", baseline=max(grew["highdicom"])),
    ]


if __name__ == "__main__":
    alone(sys.argv[1], Path(sys.argv[2]))
