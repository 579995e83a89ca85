"""What became of patients, and what was foretold: the record of recipe prognosis as lines for a terminal, and as a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from training.checkpoint import replace
from training.evaluation.bootstrap import RESAMPLES
from training.evaluation.page import fragment
from training.evaluation.plots import Curve, curves, steps
from training.evaluation.record import PAGE

NOT_SERVED = (
    "Nothing is exported, and no node serves this: no application, no number in a patient's report. What became of the patients of one "
    "hospital says little of another's, and a figure that stands beside an image is believed."
)
_THIRDS = ("lowest third", "middle third", "highest third")


def lines(found: Mapping[str, Any]) -> str:
    """The table, what was warned of, and what was left out, as Markdown."""
    head = ["model", "C", "95 % interval", f"ahead of {found['baseline']}", "how"]
    made = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in found["rows"]:
        cells = [row["title"], f"{row['c']:.3f}", _range(row["interval"]), _ahead(row["ahead"]), row["says"]]
        made.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*made, "", followed(found), *found["warnings"], *found["notes"], NOT_SERVED]) + "\n"


def followed(found: Mapping[str, Any]) -> str:
    """Who made the figures, and how."""
    measured = f", {found['measured']} of them with measurements out of reports" if found["measured"] is not None else ""
    return (
        f"{found['patients']} patients{measured}, {found['events']} events; {len(found['columns'])} columns, {found['features']} features. "
        f"C is Harrell's, out of {found['folds']} folds by patient: of the {found['pairs']:,} pairs whose order is known, the share "
        "in which the patient with the higher risk had the event first; equal risks count half. Who was censored before the other's event, "
        "or had the event at the same time, is no pair with the other, and no two of different folds are. Intervals: "
        f"{RESAMPLES:,} bootstrap draws of patients. What is missing was filled with the median, or the most frequent word, of the "
        "patients who were learned from."
    )


def write_page(run: Path, found: Mapping[str, Any]) -> None:
    """Put card.html into the run's folder."""
    content = page(found).encode()
    replace(run / PAGE, lambda file: file.write(content))


def page(found: Mapping[str, Any]) -> Markup:
    """The record as one page that asks no other host for anything."""
    return fragment(
        "prognosis.html",
        told=found,
        followed=followed(found),
        not_served=NOT_SERVED,
        rows=[{**row, "c": f"{row['c']:.3f}", "range": _range(row["interval"]), "ahead": _ahead(row["ahead"])} for row in found["rows"]],
        pictures=[_pictures(found, one) for one in found["pictured"]],
        coefficients=[{**one, "ratio": f"{one['ratio']:.2f}", "range": _range(one["interval"], 2)} for one in found["coefficients"]],
        proportional=found["proportional"],
    )


def _pictures(found: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    unit = found["unit"]
    seen = [
        Curve(
            name=f"{_THIRDS[third['third']]}, {third['patients']} patients, {third['events']} events",
            points=list(zip(third["times"], third["shares"], strict=True)),
            band=[(low, high) for low, high in third["intervals"]],
        )
        for third in one["thirds"]
    ]
    points = sorted(one["calibration"], key=lambda group: float(group["foretold"]))
    foretold = Curve(
        name="seen",
        points=[(group["foretold"], group["seen"]) for group in points],
        band=[tuple(group["interval"] or (group["seen"], group["seen"])) for group in points],
    )
    horizon = f"{found['horizon']:g} {unit}"
    return {
        "title": one["title"],
        "thirds": steps(f"{one['title']}: without the event, by thirds of the risk", seen, f"time in {unit}", "without the event"),
        "keys": [curve.name for curve in seen],
        "calibration": curves(f"{one['title']}: risk by {horizon}", [foretold], f"risk foretold by {horizon}", "risk seen", even=True),
        "groups": [
            {**group, "foretold": f"{group['foretold']:.0%}", "seen": f"{group['seen']:.0%}", "range": _shares(group["interval"])}
            for group in points
        ],
        "at_risk": one["at_risk"],
    }


def _shares(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.0%} to {ends[1]:.0%}"


def _range(ends: Sequence[float] | None, digits: int = 3) -> str:
    return "–" if ends is None else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _ahead(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return "compared with"
    low, high = difference["interval"]
    return f"{difference['value']:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−")
