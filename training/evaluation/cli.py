"""The verb `hilum models compare`; the command names it by string."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console

if TYPE_CHECKING:
    from training.evaluation.compare import Difference

_WIDTH = 160


def compare(first: Path, second: Path, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Compare two models' evaluations over the same held-out cases: paired differences with intervals and a test.

    Means are over the cases that have the figure in both. A difference is B's figure less A's; its 95 % interval is by bootstrap over
    patients where the data name them, else over cases. p is of Wilcoxon's signed-rank test over the same; of an AUC, of DeLong's (where
    patients have several cases, of the paired bootstrap). One is called better from six pairs on, where the interval does not hold 0 and
    p is below 0.05. p is not corrected for the number of figures: look at the one that was decided on beforehand.

    Parameters
    ----------
    first
        A: a folder with an evaluation.json (`hilum evaluate` writes it into the run's folder), or the file.
    second
        B: likewise.
    as_json
        Print JSON.
    """
    from training.evaluation.compare import compare as compared
    from training.evaluation.record import read

    told = read(first), read(second)
    found = compared(*told)
    if as_json:
        models = {name: {key: one[key] for key in ("recipe", "model", "sha256", "run", "at")} for name, one in zip("AB", told, strict=True)}
        print(json.dumps({**models, "differences": [asdict(each) for each in found]}, indent=2))
        return 0
    _print(told, found)
    return 0


def _print(told: tuple[dict[str, Any], dict[str, Any]], found: "tuple[Difference, ...]") -> None:
    from rich.table import Table

    from training.evaluation.record import resampled

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for name, one in zip("AB", told, strict=True):
        console.print(f"{name}  {one['model']}, SHA-256 {one['sha256'][:12]}, {one['run']}")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in ("figure", "cases", "A", "B", "B − A", "95 % interval", "p", "better"):
        table.add_column(column, justify="left" if column in ("figure", "better") else "right", no_wrap=True)
    for each in found:
        digits = 2 if each.unit else 4
        low, high = each.interval
        table.add_row(
            f"{each.figure}{f', {each.unit}' if each.unit else ''}",
            str(each.cases),
            f"{each.first:.{digits}f}",
            f"{each.second:.{digits}f}",
            f"{each.mean:+.{digits}f}",
            f"{low:+.{digits}f} to {high:+.{digits}f}",
            "–" if each.p is None else "< 0.001" if each.p < 0.001 else f"{each.p:.3f}",
            each.better or "neither",
        )
    # a figure that is cut off is none: a narrow terminal wraps the line
    Console(highlight=False, markup=False, width=max(_WIDTH, console.width)).print(table)
    tests = " and ".join(dict.fromkeys(each.test for each in found))
    console.print(f"95 % intervals by bootstrap over {resampled(told[0])}; p: {tests}, not corrected for the number of figures.")
