"""Regression: a number a single image or volume, in its unit; judged patient by patient, with an interval where the held-out data allow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.applications.bundle.manifest import BundleManifest, application_of
from inference.engines.repository import Repository
from training.checkpoint import save_json
from training.data.cases import Case, Split
from training.evaluation.figures import Kind
from training.evaluation.left_out import Figure, left_out, left_out_lines, left_out_part
from training.evaluation.page import Parts, write_page
from training.evaluation.record import EVALUATION, Scored, record
from training.export import packed, packed_ref
from training.fit import fit, refuse_other_sides, seed_of, trained
from training.progress import Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule
from training.tabled.features import ridge
from training.tabled.held_out import HeldOut, features, held_out, outputs
from training.tabled.plan import beside

INTERVALS = "intervals.json"
"""Of an evaluated run: how far each number is from the true one at most, with the probability `LEVEL`; null where nobody knows."""
SKILL = "skill"
LEVEL = 0.9

Numbers = NDArray[np.float64]


class Unscaled(torch.nn.Module):
    """A network as it is served: its numbers in their units."""

    def __init__(self, network: Any, scales: Sequence[tuple[float, float]]) -> None:
        super().__init__()
        self._network = network
        self._middle: torch.Tensor
        self._spread: torch.Tensor
        for name, at in (("_middle", 0), ("_spread", 1)):
            self.register_buffer(name, torch.tensor([scale[at] for scale in scales], dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        numbers: torch.Tensor = self._network(images) * self._spread + self._middle
        return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator(Recipe):
    """A recipe whose cases are `LabelledSubject` with numbers, and whose network gives one a quantity, (N, K), over their scales.

    Attributes
    ----------
    manifest
        Its numbers get their intervals when the run is evaluated.
    scales
        Of each number, median and mean distance from it among the training cases.
    by_patient
        Whether all cases name a patient: else nobody knows how many were held out, and there are no intervals.
    """

    task = "regression"

    manifest: BundleManifest
    scales: tuple[tuple[float, float], ...]
    by_patient: bool

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        return fit(self, sides, run, schedule, ranks, progress)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        middle, spread = np.array(self.scales).T
        found = outputs(network, ((case, self.example(case.load()).image) for case in cases))
        return float(self.skills(found * spread + middle, numbers_of(cases)).mean())

    def seed_of(self, run: Path) -> int | None:
        return seed_of(run)

    def skills(self, numbers: Numbers, true: Numbers) -> NDArray[np.float64]:
        """The skill score of each case (Murphy 1988), (N,): 1 less its error over that of the training cases' median; the mean of several
        numbers."""
        _, spread = np.array(self.scales).T
        found: NDArray[np.float64] = 1 - (np.abs(numbers - true) / spread).mean(axis=1)
        return found

    def kinds(self) -> Mapping[str, Kind]:
        says = (
            "1 less the error over the mean distance of the training cases from their median: 1 is without error, 0 as far off as they are"
        )
        made = {SKILL: Kind(unit="", better="more", digits=4, says=says)}
        for one in self.manifest.numbers:
            name, unit = one.name.meaning, one.unit.value
            made[f"absolute error {name}"] = Kind(unit=unit, better="less", digits=2, says="how far the number is from the true one")
            made[f"difference {name}"] = Kind(unit=unit, better="near 0", digits=2, says="found less true number: its mean is the bias")
            says = "how far the median of the training patients, said of everybody, is from the true one"
            made[f"absolute error of the median, {name}"] = Kind(unit=unit, better="less", digits=2, says=says)
        return made

    def within(self, ends: Sequence[float | None]) -> "Estimator":
        """The recipe whose application says how far the true number may be away."""
        numbers = tuple(replace(one, within=end, level=LEVEL) for one, end in zip(self.manifest.numbers, ends, strict=True))
        manifest = replace(self.manifest, numbers=numbers)
        return replace(self, manifest=manifest, application=application_of(manifest), beside=lambda model: beside(manifest, model))

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Pack, ask of the held-out cases as it is served, and find the intervals: of the held-out patients, since those that chose the
        checkpoint are nearer to the network than a new patient is. They change no figure.

        Raises
        ------
        BrokenRun
        OtherRun
            The run held out other cases.
        UnfitSetting
        """
        options.refuse_other_models(self)
        network, state = trained(self, run)
        refuse_other_sides(state, sides, run)
        repository = packed(self, Unscaled(network, self.scales).eval(), run, (self.channels,))
        held = list(held_out(self, sides.test, repository, step, self.manifest.optional))
        found = numbers_said(held)
        classical = ridge(np.stack([features(self.example(case.load()).image) for case in sides.train]), numbers_of(sides.train))(
            np.stack([each.features for each in held])
        )
        true = numbers_of(sides.test)
        rows, without = self._rows(found, true), self._rows(classical, true)
        scored = [
            Scored(case=each.case, attributes=each.attributes, row=row, without=other)
            for each, row, other in zip(held, rows, without, strict=True)
        ]
        patients = [case.patient for case in sides.test]
        widths = (half_width(np.abs(found[:, at] - true[:, at]), patients, LEVEL) for at in range(found.shape[1]))
        ends = [width if self.by_patient else None for width in widths]
        save_json(run / INTERVALS, {"level": LEVEL, "within": ends})
        identity = {"sha256": Repository(repository).digest(packed_ref(self)), "run": state["identity"]}
        evaluation = record(self, sides, identity, "ridge regression over brightness and texture", scored, {})
        evaluation["intervals"] = {"level": LEVEL, "within": ends, "patients": len(set(patients)), "least": least_patients(LEVEL)}
        for row, numbers, real in zip(evaluation["each"], found, true, strict=True):
            row["numbers"] = dict(zip(self.names, map(float, numbers), strict=True))
            row["true"] = dict(zip(self.names, map(float, real), strict=True))
        evaluation["left_out"] = left_out(self.manifest.roles, self.manifest.optional, held, self._figures)
        evaluation["card_sha256"] = write_page(run, evaluation, Parts(section=left_out_part(evaluation["left_out"])))
        save_json(run / EVALUATION, evaluation)
        return evaluation

    @property
    def names(self) -> tuple[str, ...]:
        """Of the numbers."""
        return tuple(one.name.meaning for one in self.manifest.numbers)

    def table(self, evaluation: Mapping[str, Any]) -> str:
        """How far the true number may be from the one that is told."""
        told, lines = evaluation["intervals"], []
        for one, end in zip(self.manifest.numbers, told["within"], strict=True):
            if end is None:
                few = f"{told['patients']} patients were held out, and {told['least']} are needed at least"
                why = few if self.by_patient else "not all cases name a patient, and it would hold for patients"
                lines.append(f"{one.name.meaning}: no prediction interval, {why}.")
                continue
            lines.append(
                f"{one.name.meaning}: ± {end:.3g} {one.unit.value} around each number is its {told['level']:.0%} prediction interval, by "
                f"split conformal prediction over {told['patients']} held-out patients. It holds for patients like these."
            )
        return "\n".join(lines) + "\n" + left_out_lines(evaluation)

    def _figures(self, held: Sequence[HeldOut]) -> Mapping[str, Figure]:
        """The skill and the error of each number, of cases at places in `held`."""
        found = numbers_said(held)
        rows = self._rows(found, numbers_of([each.case for each in held])) if held else []

        def mean(name: str) -> Figure:
            values = np.array([row[name] for row in rows])
            return lambda drawn: float(values[drawn].mean())

        return {name: mean(name) for name in (SKILL, *(f"absolute error {name}" for name in self.names))}

    def _rows(self, numbers: Numbers, true: Numbers) -> list[dict[str, float]]:
        middle, _ = np.array(self.scales).T
        rows = []
        for skill, said, real in zip(self.skills(numbers, true), numbers, true, strict=True):
            row = {SKILL: float(skill)}
            for at, name in enumerate(self.names):
                row[f"absolute error {name}"] = float(abs(said[at] - real[at]))
                row[f"difference {name}"] = float(said[at] - real[at])
                row[f"absolute error of the median, {name}"] = float(abs(middle[at] - real[at]))
            rows.append(row)
        return rows


def numbers_said(held: Sequence[HeldOut]) -> Numbers:
    """(N, K), as the application says them."""
    return np.array([[one.value for one in each.findings.measurements] for each in held])


def half_width(errors: NDArray[np.float64], patients: Sequence[str], level: float) -> float | None:
    """How far a new patient's true number is away at most with the probability `level`: split conformal prediction (Papadopoulos and others
    2002; Lei and others 2018). Of each patient the largest error counts, so that what is exchangeable is patients; None where they are too
    few for this level.

    Parameters
    ----------
    errors
        (N,) absolute errors of cases that neither trained nor chose the network.
    """
    worst: dict[str, float] = {}
    for patient, error in zip(patients, errors, strict=True):
        worst[patient] = max(worst.get(patient, 0.0), float(error))
    place = math.ceil((len(worst) + 1) * level)
    return sorted(worst.values())[place - 1] if place <= len(worst) else None


def least_patients(level: float) -> int:
    """How many patients an interval of this level needs."""
    return math.ceil(round(level / (1 - level), 9))


def numbers_of(cases: Sequence[Case]) -> Numbers:
    """(N, K), as the table has them: no image is read for it."""
    return np.array([case.labels for case in cases], dtype=np.float64)
