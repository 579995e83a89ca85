"""The table of the methods of explanation that were tried, for the card as Markdown and for the page."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from training.evaluation.page import fragment

HEADS = ("method", "cases", "median rank correlation", "cases that differ", "offered")


def cells_of_methods(found: Mapping[str, Any]) -> list[list[str]]:
    """A row a method."""
    return [
        [
            one["method"],
            str(one["cases"]),
            "–" if one["median"] is None else f"{one['median']:.2f}",
            "–" if one["different"] is None else f"{100 * one['different']:.0f} %",
            "yes" if one["offered"] else f"no: {one['why']}",
        ]
        for one in found["methods"]
    ]


def note_of_methods(found: Mapping[str, Any]) -> str:
    """What has to be known to read the table."""
    return (
        f"The map of a held-out image by this network, and by {found['randomised']} of the same layers with random weights: a method is "
        f"offered where the rank correlation of the two is at most {found['at most']:g} in at least {100 * found['share']:.0f} % of the "
        "cases. The mean over the networks of its size, with signs or without, whichever is more. A method that has failed in too many "
        f"cases is tried no further; all had {found['seconds']:.0f} s. A map shows what moved the score, not where disease is."
    )


def explained_lines(evaluation: Mapping[str, Any]) -> str:
    """The table and its note as Markdown; "" where no method was tried."""
    found = evaluation.get("explained")
    if found is None:
        return ""
    rows = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    rows += ["| " + " | ".join(row) + " |" for row in cells_of_methods(found)]
    return "\n" + "\n".join([*rows, "", note_of_methods(found)]) + "\n"


def explained_part(found: Mapping[str, Any] | None) -> Markup:
    """The same as a part of the page; nothing where no method was tried."""
    if found is None:
        return Markup("")
    return fragment("explained.html", heads=HEADS, rows=cells_of_methods(found), note=note_of_methods(found))
