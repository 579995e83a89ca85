"""What was measured of a model on a machine, as it stands in hilum.json: which way to compute it was chosen there, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.engines.execution import Execution, Precision, installed
from inference.engines.processors import machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The way that was chosen for a model, and the figures.

    Attributes
    ----------
    execution
        The chosen one.
    machine
        Where the times hold.
    threads
        For one computation, when it was measured.
    seconds
        By the name of a way: the best of a few runs on the largest input.
    refused
        By the name of a way: why it was not to be chosen.
    shapes
        Shapes of the inputs that were compared, the largest last.
    difference, dice
        Of the chosen way to the reference, over all inputs: the largest difference of any output value as a share of the output's
        range, and the smallest Dice of the masks that the outputs mean (None: the outputs are no masks).
    versions
        Of the libraries, by name.
    inputs
        What was computed, for people: "made inputs", "made inputs and a series of 384 slices".
    """

    execution: Execution
    machine: str
    threads: int
    seconds: Mapping[str, float]
    difference: float
    dice: float | None
    versions: Mapping[str, str]
    shapes: tuple[tuple[int, ...], ...]
    inputs: str = "made inputs"
    refused: Mapping[str, str] = field(default_factory=dict)

    def elsewhere(self) -> str:
        """Why the figures do not hold here and now, as a sentence's end; "" where they do."""
        now = machine()
        if now != self.machine:
            return f"measured on {self.machine}, this is {now}"
        version = self.versions.get(self.execution.runtime.value)
        if version != (found := installed(self.execution.runtime)):
            return f"measured with {self.execution.runtime} {version}, {f'installed is {found}' if found else 'which is not installed'}"
        return ""


def measured_to_json(measured: Measured) -> dict[str, Any]:
    """As it stands in hilum.json under `embedded`."""
    return {
        "runtime": measured.execution.runtime.value,
        "precision": measured.execution.precision.value,
        "layout": "channels last" if measured.execution.channels_last else "",
        "machine": measured.machine,
        "threads": measured.threads,
        "measured": {name: round(seconds, 4) for name, seconds in measured.seconds.items()},
        "refused": dict(measured.refused),
        "difference": float(f"{measured.difference:.3g}"),
        "dice": None if measured.dice is None else round(measured.dice, 6),
        "versions": dict(measured.versions),
        "shapes": [list(shape) for shape in measured.shapes],
        "inputs": measured.inputs,
    }


def measured_from_json(fields: Mapping[str, Any]) -> Measured:
    """`measured_to_json` the other way; KeyError, TypeError or ValueError where it is not one."""
    dice = fields["dice"]
    return Measured(
        execution=Execution.named(" ".join(part for part in (fields["runtime"], fields["precision"], fields["layout"]) if part)),
        machine=str(fields["machine"]),
        threads=int(fields["threads"]),
        seconds={str(name): float(seconds) for name, seconds in fields["measured"].items()},
        refused={str(name): str(reason) for name, reason in fields["refused"].items()},
        difference=float(fields["difference"]),
        dice=None if dice is None else float(dice),
        versions={str(name): str(version) for name, version in fields["versions"].items()},
        shapes=tuple(tuple(int(side) for side in shape) for shape in fields["shapes"]),
        inputs=str(fields["inputs"]),
    )


def in_single_precision(measured: Measured) -> Execution:
    """The chosen way, in the numbers that need no leave."""
    return Execution(runtime=measured.execution.runtime, precision=Precision.F32, channels_last=measured.execution.channels_last)
