"""What it costs a classifier or an estimator that a role is missing, on the held-out cases that have it: a table of the card."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from training.evaluation.bootstrap import over_patients
from training.evaluation.page import fragment
from training.tabled.held_out import HeldOut, as_without

HEADS = ("left out", "cases that have it", "figure", "with all that is there", "without it", "without less with (95 % interval)")

Figure: TypeAlias = Callable[[NDArray[np.intp]], float]
"""Of the cases at these places."""
Figures: TypeAlias = Callable[[Sequence[HeldOut]], Mapping[str, Figure]]
"""The figures of cases by what the application says of them."""


def left_out(roles: Sequence[str], optional: Sequence[str], held: Sequence[HeldOut], figures: Figures) -> list[dict[str, Any]]:
    """Each role but the first, and the figures of the cases that have it, with and without it; none of one that has to be there."""
    found: list[dict[str, Any]] = []
    for role in roles[1:]:
        those = [each for each in held if role in each.without]
        there, lacking = figures(those), figures([as_without(each, role) for each in those])
        every, patients = np.arange(len(those)), [each.case.patient for each in those]
        rows = []
        for name, figure in there.items() if those else ():
            other = lacking[name]

            def difference(drawn: NDArray[np.intp], figure: Figure = figure, other: Figure = other) -> float:
                return other(drawn) - figure(drawn)

            rows.append(
                {
                    "figure": name,
                    "with": _finite(figure(every)),
                    "without": _finite(other(every)),
                    "interval": list(map(_finite, over_patients(difference, patients))),
                }
            )
        found.append({"role": role, "optional": role in optional, "cases": len(those), "figures": rows})
    return found


def cells_of_roles(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A row a figure of each role that may be missing; a row for one that may not."""
    rows = []
    for one in found:
        if not one["optional"]:
            rows.append([one["role"], "–", "–", "–", "not analysed", "–"])
        for each in one["figures"]:
            low, high = map(_said, each["interval"])
            apart = None if None in (each["with"], each["without"]) else each["without"] - each["with"]
            rows.append(
                [
                    one["role"],
                    str(one["cases"]),
                    each["figure"],
                    _said(each["with"]),
                    _said(each["without"]),
                    f"{_said(apart)} ({low} to {high})",
                ]
            )
    return rows


NOTE = (
    "Each role but the first is left out of every held-out case that has it, one at a time, and the same application is asked again; "
    "intervals are of the paired difference, over patients. The first role is what results lie on: no study is analysed without it."
)


def left_out_lines(evaluation: Mapping[str, Any]) -> str:
    """The table and its note as Markdown; "" of a network that sees one image."""
    found = evaluation.get("left_out")
    if not found:
        return ""
    rows = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    rows += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells_of_roles(found)]
    return "\n" + "\n".join([*rows, "", NOTE]) + "\n"


def left_out_part(found: Sequence[Mapping[str, Any]]) -> Markup:
    """The same as a part of the page; nothing of a network that sees one image."""
    return fragment("left_out.html", heads=HEADS, rows=cells_of_roles(found), note=NOTE) if found else Markup("")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _said(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
