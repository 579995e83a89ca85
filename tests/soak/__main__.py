"""`python -m tests.soak --minutes 20`: the soak, its table, and bench/soak.json. Exit 1 when anything was lost, doubled, or grew."""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.rows import say, show, write
from tests.lab.loopback import loopback_only
from tests.soak.day import Soak
from tests.soak.verdict import rows_of

RESULTS = Path(__file__).parents[2] / "bench" / "soak.json"


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--per-hour", type=float, default=400.0, help="studies an hour")
    parser.add_argument("--encrypted", action="store_true", help="with encryption at rest")
    parser.add_argument("--folder", type=Path, help="where everything lies; kept. A temporary folder without it")
    chosen = parser.parse_args()
    with loopback_only(), tempfile.TemporaryDirectory(prefix="hilum-soak-", ignore_cleanup_errors=True) as made:
        folder = chosen.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        say(f"{chosen.minutes:g} minutes in {folder}")
        day = Soak(folder, minutes=chosen.minutes, per_hour=chosen.per_hour, encrypted=chosen.encrypted).run()
    rows = rows_of(day)
    show(rows)
    write(rows, RESULTS)
    for name, found in (
        ("lost", day.lost),
        ("changed", day.changed),
        ("undelivered", day.undelivered),
        ("doubled", day.doubled),
        ("left", day.left),
    ):
        for one in found[:10]:
            say(f"{name}: {one}")
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
