"""The shape of a figure, and how figures are printed and kept."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. `ratio` is value / baseline; `goal` says in words what is wanted, `met` whether it was (None: no goal)."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    goal: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the baseline, measured in the same run."""
        return None if not self.baseline else self.value / self.baseline


_WIDTH = 150


def say(doing: str) -> None:
    """What goes on now, for whoever watches."""
    print(f"   … {doing}", flush=True)


def show(rows: Iterable[Row]) -> None:
    """Print figures as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column, side in (
        ("figure", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("baseline", "right"),
        ("ratio", "right"),
        ("goal", "left"),
    ):
        table.add_column(column, justify="right" if side == "right" else "left", no_wrap=column == "figure")
    for row in rows:
        mark = {None: "", True: " ✓", False: " ✗"}[row.met]
        baseline = "" if row.baseline is None else f"{row.baseline:.3g}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, f"{row.value:.3g}", row.unit, baseline, ratio, row.goal + mark)
    Console(highlight=False, width=_WIDTH).print(table)


def write(rows: Iterable[Row], path: Path) -> None:
    """Keep figures as a JSON list of {name, value, unit, baseline, ratio, goal, met}."""
    listed = [{**asdict(row), "ratio": row.ratio} for row in rows]
    path.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
