"""What a page shows of a detector beside its figures: FROC curve, classes of nodules, differences of sizes, densities."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from training.evaluation.plots import Curve, curves


def detector(told: Mapping[str, Any]) -> dict[str, Any]:
    """Of the record's `detection`."""
    columns = list(next(iter(told["densities"].values())))
    return {
        "froc": curves(
            "FROC curve",
            [_curve("network", told["froc"]["all"], band=True), _curve("baseline", told["classical"], band=False)],
            "log₂ of the false positives a CT",
            "sensitivity",
            (0.0, 1.0),
        ),
        "setting": told["setting"],
        "classes": list(_classes(told)),
        "reported": f"{told['reported from']:g}",
        "sensitivity": f"{100 * told['told']['sensitivity']:.0f} %",
        "nodules": told["told"]["nodules"],
        "alarms": f"{told['told']['false positives a scan']:.2f}",
        "differences": [{"name": name, "count": each["count"], **_difference(each)} for name, each in told["differences"].items()],
        "columns": columns,
        "densities": [{"name": name, "counts": [counts[column] for column in columns]} for name, counts in told["densities"].items()],
    }


def _curve(name: str, told: Mapping[str, Any], band: bool) -> Curve:
    return Curve(
        name=name,
        points=[(math.log2(each["rate"]), each["sensitivity"]) for each in told["points"]],
        band=[each["interval"] for each in told["points"]] if band else (),
    )


def _classes(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, each in told["froc"].items():
        if each["things"]:
            low, high = each["interval"]
            yield {"name": name, "things": each["things"], "mean": f"{each['mean']:.3f}", "interval": f"{low:.3f} to {high:.3f}"}


def _difference(each: Mapping[str, Any]) -> dict[str, str]:
    if each["mean"] is None:
        return {"mean": "–", "limits": "–"}
    low, high = (f"{bound:.1f}".replace("-", "−") for bound in each["limits"])
    return {"mean": f"{each['mean']:+.2f} {each['unit']}".replace("-", "−"), "limits": f"{low} to {high} {each['unit']}"}
