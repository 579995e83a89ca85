"""card.html: an evaluation as one page that holds all it shows, asks no other host for anything, and runs nothing.

Every value in it is escaped; cases have numbers, never their names.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.checkpoint import replace
from training.evaluation.classifier import classifier
from training.evaluation.detector import detector
from training.evaluation.figures import EXACT, KINDS, kind_of
from training.evaluation.gallery import Picture
from training.evaluation.perturb import Disturbance
from training.evaluation.plots import Curve, Strip, curves, strips
from training.evaluation.record import PAGE, resampled

_NOT_DISTURBED = {"thinned": 1.0}


def write_page(run: Path, evaluation: Mapping[str, Any], pictures: Sequence[Picture] = ()) -> str:
    """Put the page into a run's folder; its SHA-256."""
    content = page(evaluation, pictures).encode()
    replace(run / PAGE, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def page(evaluation: Mapping[str, Any], pictures: Sequence[Picture] = ()) -> str:
    """The page of an evaluation."""
    watched = evaluation["watched"]
    return (
        _environment()
        .get_template("page.html")
        .render(
            told=evaluation,
            figures=[_figure(name, each) for name, each in evaluation["figures"].items()],
            kinds={kind: told for kind, told in KINDS.items() if any(name.startswith(f"{kind} ") for name in evaluation["figures"])},
            strips=_strips(evaluation),
            subgroups=_subgroups(evaluation, watched),
            disturbances=_disturbances(evaluation, watched),
            classifier=classifier(evaluation["classification"]) if "classification" in evaluation else None,
            detector=detector(evaluation["detection"]) if "detection" in evaluation else None,
            pictures=pictures,
            resampled=resampled(evaluation),
            value=_value,
        )
    )


def _figure(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, **told, "range": _range(name, told["interval"])}


def _value(name: str, value: float | None) -> str:
    """A figure with as many digits as are worth printing, and its unit."""
    kind = kind_of(name)
    return "–" if value is None else f"{value:.{kind.digits}f}{' ' + kind.unit if kind.unit else ''}".replace("-", "−")


def _range(name: str, interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{_value(name, interval[0]).split(' ')[0]} to {_value(name, interval[1])}"


def _strips(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One plot for each kind of figure, a row for each structure."""
    made: list[dict[str, Any]] = []
    if "each" not in evaluation:
        return made
    named = [name for name in evaluation["figures"] if kind_of(name).says not in _says()]
    groups = {kind: [name for name in evaluation["figures"] if name.startswith(f"{kind} ") and name not in EXACT] for kind in KINDS}
    # values of one unit share an axis
    for unit in _units(named):
        groups[f"further figures{f', {unit}' if unit else ''}"] = [name for name in named if kind_of(name).unit == unit]
    for kind, names in groups.items():
        rows = [
            Strip(
                name=name.removeprefix(f"{kind} "),
                values=[each["figures"][name] for each in evaluation["each"] if each["figures"][name] is not None],
                mean=evaluation["figures"][name]["mean"],
                interval=evaluation["figures"][name]["interval"],
            )
            for name in names
            if evaluation["figures"][name]["mean"] is not None
        ]
        if rows:
            unit = kind_of(names[0]).unit if kind in KINDS else ""
            made.append({"title": kind, "plot": strips(f"{kind} of every case", rows, f"{kind}{f' in {unit}' if unit else ''}")})
    return made


def _units(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(kind_of(name).unit for name in names))


def _says() -> set[str]:
    return {each.says for each in KINDS.values()}


def _subgroups(evaluation: Mapping[str, Any], watched: str) -> list[dict[str, Any]]:
    made = []
    found = evaluation.get("subgroups", [])
    for attribute in dict.fromkeys(each["attribute"] for each in found):
        groups = [each for each in found if each["attribute"] == attribute]
        known = [each for each in groups if each["figures"][watched]["mean"] is not None]
        rows = [
            Strip(
                name=f"{each['group']} ({each['cases']})",
                values=(),
                mean=each["figures"][watched]["mean"],
                interval=each["figures"][watched]["interval"],
            )
            for each in known
        ]
        plot = strips(f"{watched} by {attribute}", rows, watched, evaluation["figures"][watched]["mean"]) if rows else ""
        made.append({"title": attribute, "plot": plot})
    return made


def _disturbances(evaluation: Mapping[str, Any], watched: str) -> list[dict[str, Any]]:
    plain, found = evaluation["figures"][watched], evaluation.get("disturbed", [])
    every = [value for each in found if (value := each["figures"][watched]["interval"]) is not None]
    # undisturbed, no case may have the figure: then there is neither a point nor a band of it
    unharmed = [plain] if plain["interval"] is not None else []
    limits = (min(low for low, _ in every), max(told[1] for told in [*every, *(each["interval"] for each in unharmed)])) if every else None
    made = []
    for kind in Disturbance:
        levels = [each for each in found if each["kind"] == kind.name.lower()]
        if not levels:
            continue
        known = [(each["level"], each["figures"][watched]) for each in levels if each["figures"][watched]["mean"] is not None]
        known = [*((_NOT_DISTURBED.get(kind.name.lower(), 0.0), each) for each in unharmed), *known]
        line = Curve(name=watched, points=[(level, told["mean"]) for level, told in known], band=[told["interval"] for _, told in known])
        made.append(
            {
                "kind": kind,
                "levels": levels,
                "plot": curves(f"{watched} under {kind.title}", [line], f"{kind.title}: {kind.unit}", watched, limits) if known else "",
            }
        )
    return made


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names of data, structures and groups are anybody's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
