"""`make bench`: run every benchmark (or those named) and write bench/results.json."""

import argparse
import importlib
import time
from pathlib import Path

from bench.rows import Row, say, show, write

_BENCHMARKS = (
    "start",
    "spool",
    "journal",
    "large",
    "receive",
    "sealed",
    "hostile_peers",
    "load",
    "send",
    "assemble",
    "encode",
    "masks",
    "labels",
    "overhead",
    "embedded",
    "jail",
    "pipeline",
    "replay",
    "edits",
    "console",
    "studies",
    "tiles",
    "triton_transfer",
    "judge",
    "gate",
    "faults",
    "bleed",
    "windows",
    "gpu",
)

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Run the benchmarks one after another; each prints its table as soon as it is done."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(_BENCHMARKS)}; all when none is named")
    named = parser.parse_args().names
    unknown = sorted(set(named) - set(_BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(_BENCHMARKS)}")
    rows: list[Row] = []
    for name in named or _BENCHMARKS:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        measured = importlib.import_module(f"bench.{name}").measure()
        show(measured)
        say(f"{name} took {time.monotonic() - began:.0f} s")
        rows += measured
    if named:
        return  # some figures are no set of results
    write(rows, RESULTS)
    say(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
