"""`make bench`: run every benchmark (or those named) and write bench/results.json."""

import argparse
import importlib
from pathlib import Path

from bench.rows import Row, show, write

_BENCHMARKS = ("spool", "receive", "overhead", "encode")


def main() -> None:
    """Run the benchmarks one after another; each prints its table as soon as it is done."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", default=list(_BENCHMARKS), help=f"some of {', '.join(_BENCHMARKS)}")
    rows: list[Row] = []
    for name in parser.parse_args().names:
        print(f"\n== {name}", flush=True)
        measured = importlib.import_module(f"bench.{name}").measure()
        show(measured)
        rows += measured
    write(rows, Path(__file__).with_name("results.json"))


if __name__ == "__main__":
    main()
