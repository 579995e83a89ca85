"""Starting: how long the command takes to say what it can do, against an interpreter that does nothing."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench.rows import Row

ROUNDS = 9
GOAL_S = 0.5


def _seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - began


def measure() -> list[Row]:
    """Median; the two take turns."""
    hilum = Path(sys.executable).with_name("hilum")
    took: list[tuple[float, float]] = [(_seconds(str(hilum), "--help"), _seconds(sys.executable, "-c", "")) for _ in range(ROUNDS)]
    value, baseline = (median(times) for times in zip(*took, strict=True))
    return [Row(name="hilum --help", value=value, unit="s", baseline=baseline, goal=f"below {GOAL_S} s", met=value < GOAL_S)]
