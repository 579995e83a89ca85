"""Plays schedules by seed, in one process or several; the first that fails is told with its seed."""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

_MEMORY = Path("/dev/shm")


def play(first: int, count: int) -> dict[str, int]:
    """Play these seeds; what was played.

    Raises
    ------
    AssertionError
        With the seed and what was done to the processes.
    """
    from tests.crash.simulation.schedule import Schedule, empty_journal

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    played = {"schedules": 0, "turns": 0, "kills": 0}
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None, prefix="hilum-sim-") as folder:
        empty = empty_journal(Path(folder))
        for seed in range(first, first + count):
            schedule = Schedule(seed, Path(folder) / str(seed))
            try:
                schedule.play(empty)
            except AssertionError as wrong:
                history = "\n".join(schedule.told[-60:])
                again = f"python -m tests.crash.simulation --seed {seed} --schedules 1"
                raise AssertionError(f"seed {seed}, turn {schedule.turns}: {wrong}\n{history}\nagain: {again}") from wrong
            played["schedules"] += 1
            played["turns"] += schedule.turns
            played["kills"] += schedule.kills
    return played


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; 1 when a schedule failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.simulation")
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others follow it")
    given = parser.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # the order of sets of names is part of a schedule
        command = [sys.executable, "-m", "tests.crash.simulation", *(sys.argv[1:] if arguments is None else arguments)]
        return subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode
    gc.set_threshold(50_000, 5, 10)  # as where tests run (tests/conftest.py): most of what a schedule makes is gone with it
    began = time.monotonic()
    try:
        played = play(given.seed, given.schedules)
    except AssertionError as wrong:
        print(wrong)
        return 1
    print(f"{played['schedules']} schedules, {played['turns']} turns, {played['kills']} kills in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
