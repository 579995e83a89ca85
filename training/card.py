"""The model card, as Markdown: what it was made from and how well it did on patients that it had not seen."""

from typing import Any

from inference.engines.port import ModelRef
from inference.engines.repository import Entry
from training.recipe import Recipe

EVALUATION = "evaluation.json"
"""What `hilum evaluate` writes into the run's folder, and the card's figures."""


def card(recipe: Recipe, model: ModelRef, entry: Entry, evaluation: dict[str, Any]) -> str:
    """One version's card."""
    counts = evaluation["cases"]
    return (
        f"# {model.name}, version {model.version}\n\n"
        f"{recipe.title}. Used by the application `{recipe.application.name}` of hilum. Research – not for diagnosis.\n\n"
        f"- made by: `hilum train {recipe.name}` ({evaluation['run']})\n"
        f"- data: {recipe.data.name}\n"
        f"- licence: {entry.licence}\n"
        f"- attribution: {entry.attribution}\n"
        f"- format: {entry.format} (`{entry.file}`), SHA-256 `{entry.sha256}`\n\n"
        f"## Held out\n\n{counts['test']} cases of patients that neither trained ({counts['train']} cases) nor chose the checkpoint "
        f"({counts['validation']}); computed by the application's own code on the embedded engine.\n\n{table(evaluation)}"
    )


def table(evaluation: dict[str, Any]) -> str:
    """The figures, as Markdown."""
    lines = [
        f"| figure | mean | 95 % interval | smallest | {evaluation.get('baseline', 'mean shape')} (baseline) |",
        "|---|---|---|---|---|",
    ]
    for name, figure in evaluation["figures"].items():
        low, high = figure["interval"]
        lines.append(f"| {name} | {figure['mean']:.4f} | {low:.4f} to {high:.4f} | {figure['smallest']:.4f} | {figure['baseline']:.4f} |")
    return "\n".join(lines) + "\n"
