"""Writes what was measured of a model into its entry, and into the model card for people."""

import re

from inference.engines.errors import NotEntered
from inference.engines.execution import Precision
from inference.engines.measured import Measured, measured_to_json
from inference.engines.port import ModelRef
from inference.engines.repository import CARD, ENTRY, Repository
from inference.engines.tuning import LEAST_DICE
from inference.engines.writing import locked, put_in_place, read_entries, to_text

_HEADING = "## On the embedded engine, version {version}"


def enter_measured(repository: Repository, model: ModelRef, measured: Measured) -> None:
    """Choose what was measured; engines that are opened from now on go by it.

    Raises
    ------
    NotEntered
        Somebody took the version out of the repository meanwhile.
    """
    folder = repository.path / model.name
    with locked(repository.path):
        entries = read_entries(folder / ENTRY)
        if str(model.version) not in entries["versions"]:
            raise NotEntered(f'model "{model.name}" has no version {model.version} in {folder / ENTRY}')
        entries["versions"][str(model.version)]["embedded"] = measured_to_json(measured)
        card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else f"# {model.name}\n"
        # the card first: hilum.json is what counts
        put_in_place(folder / CARD, card_with_measured(card, model, measured).encode())
        put_in_place(folder / ENTRY, to_text(entries))


def forget_measured(repository: Repository, model: ModelRef) -> None:
    """Take out what was measured: the model is computed by its own library again."""
    folder = repository.path / model.name
    with locked(repository.path):
        entries = read_entries(folder / ENTRY)
        version = entries["versions"].get(str(model.version), {})
        if "embedded" not in version:
            return
        del version["embedded"]
        if (folder / CARD).is_file():
            put_in_place(folder / CARD, (_without_section((folder / CARD).read_text(encoding="utf-8"), model) + "\n").encode())
        put_in_place(folder / ENTRY, to_text(entries))


def card_with_measured(card: str, model: ModelRef, measured: Measured) -> str:
    """The model card with what was measured, in the place of what it said of that before."""
    return f"{_without_section(card, model)}\n\n{_HEADING.format(version=model.version)}\n\n{measured_section(measured)}"


def _without_section(card: str, model: ModelRef) -> str:
    heading = re.escape(_HEADING.format(version=model.version))
    return re.sub(rf"\n*^{heading}\n.*?(?=^## |\Z)", "\n\n", card, flags=re.MULTILINE | re.DOTALL).rstrip()


def measured_section(measured: Measured) -> str:
    """What was measured, as Markdown."""
    runtime = measured.execution.runtime
    lines = [
        f"- computed with: {measured.execution} ({runtime} {measured.versions.get(runtime.value, '')})",
        f"- measured on: {measured.machine}; {measured.threads} threads; {measured.inputs}, the largest {_shape(measured)}",
        f"- difference to the reference: {measured.difference:.2g} of the outputs' range"
        + ("" if measured.dice is None else f"; smallest Dice of a mask {measured.dice:.6f} (at least {LEAST_DICE} is demanded)"),
    ]
    if measured.execution.precision is not Precision.F32:
        lines.append(f"- **lower precision** ({measured.execution.precision}): asked for by the operator, passed the gate above")
    rows = [f"| {name} | {seconds:.3f} | {measured.refused.get(name, '')} |" for name, seconds in measured.seconds.items()]
    rows += [f"| {name} | | {reason} |" for name, reason in measured.refused.items() if name not in measured.seconds]
    return "\n".join([*lines, "", "| way | seconds | refused because |", "|---|---|---|", *rows, ""])


def _shape(measured: Measured) -> str:
    return " × ".join(str(side) for side in measured.shapes[-1]) if measured.shapes else "none"
