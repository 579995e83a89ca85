"""`make crash`: every row of the matrix, hundreds of rounds; prints the table and writes bench/crash.json."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.rows import write
from tests.crash.matrix import matrix
from tests.crash.rows import show, total
from tests.lab.reactor import hold_still

RESULTS = Path(__file__).parents[2] / "bench" / "crash.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 when anything was lost, doubled, orphaned or left undone."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--rounds", type=int, default=540, help="rounds with a real node, shared out among the rows")
    parser.add_argument("--schedules", type=int, default=2000, help="simulated ones")
    parser.add_argument("--row", default="", metavar="NAME", help="only rows whose names contain this; writes no figures")
    parser.add_argument("--seed", type=int, default=1, help="the same seed does the same, as far as processes allow")
    parser.add_argument("--at-once", type=int, default=2, help="nodes at the same time")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with a run of the same arguments that was cut off")
    given = parser.parse_args(arguments)
    folder = given.resume or Path(tempfile.mkdtemp(prefix="hilum-crash-"))
    print(f"   … should it be cut off: --resume {folder}", flush=True)
    played, looked = matrix(given.row, given.rounds, given.schedules, given.seed, given.at_once, folder)
    whole = total(played)
    show([*played, whole, *looked])
    if not given.row:
        write([one.figure() for one in [*played, whole, *looked]], RESULTS)
        print(f"   … written to {RESULTS}")
    if all(one.good for one in [*played, *looked]):
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    for one in (one for one in [*played, *looked] if not one.good):
        print(f"   … {one.name}: {one.wrong} wrong, as it was found in {', '.join(one.kept) or folder}")
    return 1


if __name__ == "__main__":
    hold_still()
    sys.exit(main())
