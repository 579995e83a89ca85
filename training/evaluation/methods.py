"""The table of a comparison of methods, for a terminal and for the card of a run."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import BrokenRun

METHODS = "methods.json"
"""What a comparison of methods found, in the run's folder."""


def read_methods(run: Path) -> dict[str, Any] | None:
    """What was compared by this run's data; None where nothing was.

    Raises
    ------
    BrokenRun
    """
    path = run / METHODS
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found["rows"] = [dict(row) for row in found["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BrokenRun(f"{path} is not what a comparison of methods writes: {broken!r}") from broken
    return found


def cells(found: Mapping[str, Any]) -> list[list[str]]:
    """The rows: method, figure, interval, ahead or behind by, p by Holm, parameters, epochs, seconds."""
    made = []
    for row in found["rows"]:
        difference = row["difference"]
        made.append(
            [
                row["title"],
                _number(row["figure"]),
                _range(row["interval"]),
                "compared with" if difference is None else _signed(difference["mean"]),
                "" if difference is None else _p(difference["holm"]) + (" *" if row["apart"] else ""),
                f"{row['parameters']:,}" if row["parameters"] else "–",
                "/".join(map(str, row["epochs"])) if any(row["epochs"]) else "–",
                f"{sum(row['seconds']):.0f}",
            ]
        )
    return made


def heads(found: Mapping[str, Any]) -> list[str]:
    """Of the columns."""
    return ["method", found["figure"], "95 % interval", "ahead by", "p (Holm)", "parameters", "epochs", "seconds"]


def notes(found: Mapping[str, Any]) -> list[str]:
    """What has to be known to read the table."""
    side, folds, best = found["side"], found["folds"], next(row for row in found["rows"] if row["method"] == found["compared_with"])
    counts = found["cases"][0]
    where = (
        f"{counts[0]} cases to learn from, {counts[1]} to choose by, {counts[2]} held out, one split for all"
        if folds == 1
        else f"{folds} folds, the same for all; each about {counts[0]} cases to learn from, {counts[1]} to choose by, {counts[2]} held out"
    )
    pace = found["pace"]
    seen = (
        f"Pictures of {side} × {side}; {where}; split {found['split']}. One training a method, at most {pace['epochs']} epochs and "
        f"{pace['minutes']:g} minutes, on {found['device']}; no network had learned anything before. With another seed figures differ."
    )
    tested = (
        f"All are compared with {best['title']}, which was best on the cases to choose by; test: {found['test'] or 'none'}; p by Holm over "
        f"the table, * where it is below 0.05. {found['figure']}: {', '.join(found['names'])}"
    )
    return [seen, tested + ("." if len(found["names"]) == 1 else ", their mean.")]


def lines(found: Mapping[str, Any]) -> str:
    """The table and its notes as Markdown."""
    head = heads(found)
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    rows += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells(found)]
    return "\n".join([*rows, "", *notes(found)]) + "\n"


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if math.isfinite(value) else "–"


def _range(ends: list[float] | None) -> str:
    return "–" if ends is None else f"{_number(ends[0])} to {_number(ends[1])}"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
