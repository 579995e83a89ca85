"""card.html: an evaluation as one page that holds all it shows, asks no other host for anything, and runs nothing.

Every value in it is escaped; cases have numbers, never their names.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.checkpoint import replace
from training.evaluation.figures import KINDS
from training.evaluation.gallery import Picture
from training.evaluation.methods import cells, heads, notes, read_methods
from training.evaluation.perturb import Disturbance
from training.evaluation.plots import Curve, Strip, curves, strips
from training.evaluation.record import PAGE, resampled

_NOT_DISTURBED = {"thinned": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Pictures of cases under a title and a note; `digits` of their figures, None: those of the watched figure, and its unit."""

    title: str
    note: Markup
    pictures: Sequence[Picture]
    digits: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a task adds to the page of its evaluation.

    Attributes
    ----------
    section
        HTML between the figures and the single cases, with everything in it escaped (`fragment`).
    kinds_note
        A sentence behind what the kinds of figures mean.
    """

    section: Markup | None = None
    kinds_note: str = ""
    gallery: Gallery | None = None


NOTHING_MORE = Parts()


def write_page(run: Path, evaluation: Mapping[str, Any], parts: Parts = NOTHING_MORE) -> str:
    """Put the page into a run's folder; its SHA-256."""
    content = page(evaluation, parts, read_methods(run)).encode()
    replace(run / PAGE, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def fragment(name: str, **values: Any) -> Markup:
    """A part of a page from the template of this name in this folder; every value in it is escaped."""
    return Markup(_environment().get_template(name).render(values))


def page(evaluation: Mapping[str, Any], parts: Parts = NOTHING_MORE, compared: Mapping[str, Any] | None = None) -> str:
    """The page of an evaluation, with the methods that were compared by the same data."""
    watched = evaluation["watched"]

    def value(name: str, number: float | None) -> str:
        return value_of(evaluation["figures"][name], number)

    return (
        _environment()
        .get_template("page.html")
        .render(
            told=evaluation,
            figures=[{"name": name, **each, "range": ranged(each, each["interval"])} for name, each in evaluation["figures"].items()],
            kinds={kind: told for kind, told in KINDS.items() if any(name.startswith(f"{kind} ") for name in evaluation["figures"])},
            strips=_strips(evaluation),
            subgroups=_subgroups(evaluation, watched),
            disturbances=_disturbances(evaluation, watched),
            parts=parts,
            compared=compared and {"heads": heads(compared), "rows": cells(compared), "notes": notes(compared)},
            gallery=parts.gallery,
            resampled=resampled(evaluation),
            value=value,
        )
    )


def value_of(figure: Mapping[str, Any], number: float | None) -> str:
    """A value of a figure with as many digits as are worth printing, and its unit."""
    unit = f" {figure['unit']}" if figure["unit"] else ""
    return "–" if number is None else f"{number:.{figure['digits']}f}{unit}".replace("-", "−")


def ranged(figure: Mapping[str, Any], ends: Sequence[float] | None) -> str:
    """Two ends of a figure, its unit said once."""
    return "–" if ends is None else f"{value_of(figure, ends[0]).split(' ')[0]} to {value_of(figure, ends[1])}"


def _strips(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One plot for each kind of figure, a row for each structure."""
    made: list[dict[str, Any]] = []
    if "each" not in evaluation:
        return made
    units = {name: figure["unit"] for name, figure in evaluation["figures"].items()}
    groups = {kind: [name for name in units if name.startswith(f"{kind} ")] for kind in KINDS}
    others = [name for name in units if not any(name in names for names in groups.values())]
    # values of one unit share an axis
    for unit in dict.fromkeys(units[name] for name in others):
        groups[f"further figures{f', {unit}' if unit else ''}"] = [name for name in others if units[name] == unit]
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
            unit = units[names[0]] if kind in KINDS else ""
            made.append({"title": kind, "plot": strips(f"{kind} of every case", rows, f"{kind}{f' in {unit}' if unit else ''}")})
    return made


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
