"""Page section of a detector: FROC with the baseline's by kind of CT, classes of nodules, sizes, densities."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from training.evaluation.gallery import Picture
from training.evaluation.page import Gallery, Parts, fragment
from training.evaluation.plots import Curve, curves

_NOTE = Markup(
    '<span class="key true"></span>outline of what was planted <span class="key found"></span>box that was told. The least sure hits, the '
    "largest nodules that were missed, the surest false positives, with the certainty that was given."
)


def detector_parts(told: Mapping[str, Any], baseline: str, pictures: Sequence[Picture]) -> Parts:
    """Of the record's `detection`, as `detector`, with pictures of places; `baseline` is the name of what the network has to beat."""
    return Parts(
        section=fragment("detector.html", baseline=baseline, **detector(told)),
        gallery=Gallery(title="Hits and misses", note=_NOTE, pictures=pictures, digits=3),
    )


def detector(told: Mapping[str, Any]) -> dict[str, Any]:
    """Of the record's `detection`."""
    columns = list(next(iter(told["densities"].values())))
    return {
        "compared": [
            {"name": name, "plot": froc_curves(f"FROC curve, {name}", both, "log₂ of the false positives a CT"), **means(both)}
            for name, both in told["compared"].items()
        ],
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


def froc_curves(title: str, both: Mapping[str, Any], axis: str) -> Markup:
    """Network and baseline of `detection.compared`."""
    return curves(
        title,
        [_curve("network", both["network"]), _curve("baseline", both["classical"])],
        axis,
        "sensitivity",
        (0.0, 1.0),
    )


def means(both: Mapping[str, Any]) -> dict[str, Any]:
    """Of network and baseline and by how much the one is ahead, each with its interval; of one patient there is none."""
    network = both["network"]
    cells = []
    for name, digits in (("network", ".3f"), ("classical", ".3f"), ("difference", "+.3f")):
        low, high = both[name]["interval"]
        around = f" ({low:{digits}} to {high:{digits}})" if network["patients"] > 1 else ""
        cells.append(f"{both[name]['mean']:{digits}}{around}".replace("-", "−"))
    return {"scans": network["scans"], "patients": network["patients"], "cells": cells}


def _curve(name: str, told: Mapping[str, Any]) -> Curve:
    return Curve(
        name=name,
        points=[(math.log2(each["rate"]), each["sensitivity"]) for each in told["points"]],
        band=[each["interval"] for each in told["points"]] if told["patients"] > 1 else (),
    )


def _classes(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, each in told["froc"].items():
        if each["things"]:
            low, high = each["interval"]
            around = f"{low:.3f} to {high:.3f}" if each["patients"] > 1 else "–"
            yield {"name": name, "things": each["things"], "mean": f"{each['mean']:.3f}", "interval": around}


def _difference(each: Mapping[str, Any]) -> dict[str, str]:
    if each["mean"] is None:
        return {"mean": "–", "limits": "–"}
    low, high = (f"{bound:.1f}".replace("-", "−") for bound in each["limits"])
    return {"mean": f"{each['mean']:+.2f} {each['unit']}".replace("-", "−"), "limits": f"{low} to {high} {each['unit']}"}
