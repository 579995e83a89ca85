"""What readers would rate, and what they did: the record of recipe lidc-rating as lines for a terminal, and as a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from training.checkpoint import replace
from training.evaluation.bootstrap import RESAMPLES
from training.evaluation.page import fragment
from training.evaluation.plots import Curve, curves
from training.evaluation.record import PAGE

NO_PROBABILITY = (
    "A rating is what readers of LIDC-IDRI would say of size and form: no probability of cancer. Of most of these nodules nobody knows "
    "what they were, and no image was looked at, only outlines."
)


def lines(found: Mapping[str, Any]) -> str:
    """The tables, and what they mean, as Markdown."""
    made = []
    for question in found["questions"]:
        head = [question["name"], "AUC", "95 % interval", "ahead of the diameter"]
        made += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in question["rows"]:
            made.append("| " + " | ".join([row["title"], f"{row['auc']:.3f}", _range(row["interval"]), _ahead(row["ahead"])]) + " |")
        made += [_asked(found, question), ""]
    return "\n".join([*made, rated(found), learned(found), NO_PROBABILITY]) + "\n"


def learned(found: Mapping[str, Any]) -> str:
    """Who made the figures, and how."""
    return (
        f"{found['nodules']:,} nodules of {found['patients']} patients, each outlined by three or four readers: what half of them have "
        f"within their outlines, on the application's grid ({found['lost']} are too thin for it), and the mean of their ratings. Out "
        f"of {found['folds']} folds by patient; intervals: {RESAMPLES:,} bootstrap draws of patients, the same for both sides of a "
        "difference."
    )


def rated(found: Mapping[str, Any]) -> str:
    """How far the expected rating is from the readers' mean."""
    told = found["rating"]
    return (
        f"The expected rating (1 to 5) is off the readers' mean by {told['off']:.2f} on average ({_range(told['interval'], 2)}; one number "
        f"for all: {told['constant']:.2f}), by one at most in {told['within_one']:.0%}, and by {told['within']:.2f} at most in "
        f"{told['level']:.0%}."
    )


def write_page(run: Path, found: Mapping[str, Any]) -> None:
    """Put card.html into the run's folder."""
    content = page(found).encode()
    replace(run / PAGE, lambda file: file.write(content))


def page(found: Mapping[str, Any]) -> Markup:
    """The record as one page that asks no other host for anything."""
    return fragment(
        "rating.html",
        told=found,
        learned=learned(found),
        rated=rated(found),
        no_probability=NO_PROBABILITY,
        questions=[_question(found, one) for one in found["questions"]],
        calibration=_calibration(found["rating"]["groups"]),
        table=found["rating"]["table"],
    )


def _question(found: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    shown = [one["rows"][0], one["rows"][-1]]
    roc = [Curve(name=row["title"], points=[(across, up) for across, up in row["curve"]]) for row in shown]
    return {
        "name": one["name"],
        "asked": _asked(found, one),
        "roc": curves(f"{one['name']}: ROC", roc, "false positives", "true positives", even=True),
        "keys": [curve.name for curve in roc],
        "rows": [
            {"title": row["title"], "auc": f"{row['auc']:.3f}", "range": _range(row["interval"]), "ahead": _ahead(row["ahead"])}
            for row in one["rows"]
        ],
    }


def _calibration(groups: list[dict[str, float]]) -> Markup:
    seen = Curve(
        name="the readers' mean",
        points=[(group["expected"], group["rated"]) for group in groups],
        band=[(group["low"], group["high"]) for group in groups],
    )
    same = Curve(name="as expected", points=[(group["expected"], group["expected"]) for group in groups])
    rounded = [Curve(name=one.name, points=[(round(across, 1), up) for across, up in one.points], band=one.band) for one in (seen, same)]
    return curves("rating: expected, and the readers' mean", rounded, "expected rating", "the readers' mean", limits=(1, 5))


def _asked(found: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    reached = "reached" if one["reached"] else "missed"
    return (
        f"{one['suspicious']} of {one['nodules']} nodules are called suspicious by the readers' mean. The {found['bar']:g} that was "
        f"asked for is {reached}."
    )


def _range(ends: list[float], digits: int = 3) -> str:
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _ahead(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return "compared with"
    low, high = difference["interval"]
    return f"{difference['value']:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−")
