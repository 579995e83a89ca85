"""The model card, as Markdown: what it was made from and how well it did on cases that it had not seen."""

from collections.abc import Mapping
from typing import Any

from inference.engines.port import ModelRef
from inference.engines.repository import Entry
from training.compressing.offered import told
from training.recipe import Recipe


def card(recipe: Recipe, model: ModelRef, entry: Entry, evaluation: dict[str, Any], smaller: Mapping[str, Any] | None = None) -> str:
    """One version's card; `smaller` is what was found of a network that takes a larger one's place."""
    counts = evaluation["cases"]
    return (
        f"# {model.name}, version {model.version}\n\n"
        f"{recipe.title}. Used by the application `{recipe.application.name}` of hilum. Research – not for diagnosis.\n\n"
        f"- made by: {entry.source} ({evaluation['run']})\n"
        f"- data: {recipe.data.name}\n"
        f"- licence: {entry.licence}\n"
        f"- attribution: {entry.attribution}\n"
        f"- format: {entry.format} (`{entry.file}`), SHA-256 `{entry.sha256}`\n\n"
        "## Held out\n\n"
        f"{counts['test']} cases that neither trained it ({counts['train']} others did) nor chose the checkpoint "
        f"({counts['validation']}), split {recipe.data.split}; computed by the application's own code on the embedded "
        f"engine.\n\n{tables(recipe, evaluation)}"
        + ("" if smaller is None else f"\n## In the place of a larger network\n\n{told(smaller)}")
    )


def tables(recipe: Recipe, evaluation: dict[str, Any]) -> str:
    """The figures, and what the recipe's task says besides, as Markdown."""
    more = recipe.table(evaluation)
    return table(evaluation) + (f"\n{more}" if more else "")


def table(evaluation: dict[str, Any]) -> str:
    """The figures, as Markdown."""
    baseline = evaluation.get("baseline", "mean shape")
    lines = [f"| figure | mean | 95 % interval | worst | {baseline} (baseline) |", "|---|---|---|---|---|"]
    for name, figure in evaluation["figures"].items():
        low, high = figure["interval"] or (None, None)
        told = [_value(value, figure["digits"]) for value in (figure["mean"], low, high, figure["worst"], figure["baseline"])]
        unit = figure["unit"]
        # labels are anybody's: one with a bar would begin a column
        said = name.replace("|", "\\|")
        lines.append(f"| {said}{f', {unit}' if unit else ''} | {told[0]} | {told[1]} to {told[2]} | {told[3]} | {told[4]} |")
    return "\n".join(lines) + "\n"


def _value(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
