"""Restoration: recipes that give an image back better than it came, whatever made it worse; networks that differ in what they are told to
reach.

They are judged beside a tuned classical method and the images as they came, level by level of what made them worse; the best by validation
is served, and offered for the levels alone at which it was ahead beyond chance on the held-out images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Infer
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Call, Tiles
from inference.engines.repository import Repository
from inference.findings import Findings
from inference.imaging.volume import Volume
from training.checkpoint import save_json
from training.data.cases import Case, Split
from training.data.heads import Degraded
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.evaluation.page import write_page
from training.evaluation.record import EVALUATION, FORMAT, Scored, record
from training.evaluation.restoration import likeness
from training.export import packed, packed_ref
from training.fit import fit, refuse_other_sides, trained
from training.infer import EngineInfer, NetworkInfer, mean_score, naming
from training.progress import Named, Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule
from training.space import Space

ALL = "all"
OVERLAP = 0.25
"""Of the windows that the served network is called with, where the application does not cut them itself."""
PERSONS = 8
"""With so many images at least, each of another person as far as is known, intervals are over them; with fewer over slices."""

Slices = Mapping[str, NDArray[np.float64]]
"""PSNR and SSIM of every slice, (N,) each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Arm:
    """A training that has ended."""

    name: str
    network: Any
    validation: float
    run: str


class TunedRival(Protocol):
    """A classical method with its setting; as text, that."""

    @property
    def reached(self) -> float:
        """Its mean PSNR over the cases that it was tuned on."""
        ...

    def restore(self, volume: Volume) -> NDArray[Any]:
        """What the application would give, by this method."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The classical method that a network has to be ahead of, and how it is tuned on validation cases."""

    name: str
    tuned: Callable[[Sequence[Case]], TunedRival]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restorer(Recipe):
    """A recipe whose held-out cases are `Degraded`, and whose training cases are clean: `augment` degrades them anew each time.

    Attributes
    ----------
    score
        Figures of one case, of the application's findings; `watched` is one of them.
    arms
        What each training of a run is told to reach, as a loss, by name; networks and steps are alike.
    degradation
        What makes the images worse, in a word.
    levels
        How strongly: the `level` of the held-out cases, and from where to where each stands for others, as the application counts it.
    unrestored
        What the images are without any method, on the grid of what is restored, and its name.
    """

    task = "restoration"

    score: Callable[[Findings, Any], Mapping[str, float]]
    arms: Mapping[str, Callable[[], Callable[[Any, Any], Any]]]
    degradation: str
    levels: Mapping[str, tuple[float, float]]
    unrestored: tuple[str, Callable[[Volume], NDArray[Any]]]
    rival: Rival
    space: Space | None = None

    def arm(self, name: str) -> "Restorer":
        """The recipe of one training."""
        return replace(self, loss=self.arms[name])

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        """Train all arms, each in a folder of its own, or go on where the run was ended; how the best by validation ended."""
        outcomes = [fit(self.arm(name), sides, run / name, schedule, ranks, Named(name, progress)) for name in self.arms]
        return max(outcomes, key=lambda outcome: outcome.best)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        return mean_score(self.application, self.score, self.watched, network, cases)

    def seed_of(self, run: Path) -> int | None:
        """None: no seed says which cases are held out."""
        return None

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Tune the classical method, pack the arm that did best on the validation cases, score all on the test cases.

        The packed arm is scored as it is served, by the application on the engine; the others by the application on their networks.

        Raises
        ------
        BrokenRun
            An arm was not trained yet.
        OtherRun
            An arm was trained on other cases.
        UnfitSetting
        """
        options.refuse_other_models(self)
        arms = [_arm(self, sides, name, run) for name in self.arms]
        best = max(arms, key=lambda arm: arm.validation)
        tuned = self.rival.tuned(sides.validation)
        repository = packed(self, best.network, run, _answers(best.network, (self.images, *self.window)))
        unrestored, as_it_came = self.unrestored
        slices: dict[str, list[Slices]] = {name: [] for name in (unrestored, self.rival.name, *self.arms)}
        attributes: list[Mapping[str, str]] = []
        with closing(EmbeddedEngine(repository)) as engine:
            for case in sides.test:
                degraded = _loaded(case)
                attributes.append(degraded.attributes)
                slices[unrestored].append(likeness(as_it_came(degraded.volume), degraded))
                slices[self.rival.name].append(likeness(tuned.restore(degraded.volume), degraded))
                for arm in arms:
                    infer: Infer = EngineInfer(engine) if arm is best else NetworkInfer(arm.network)
                    with naming(case):
                        clean = restored(self, degraded, repository if arm is best else None, infer)
                    slices[arm.name].append(likeness(clean, degraded))
                step(case.name, len(sides.test))
        rows = zip(sides.test, attributes, slices[best.name], slices[self.rival.name], strict=True)
        scored = [Scored(case=case, attributes=said, row=_means(own), without=_means(other)) for case, said, own, other in rows]
        identity = {"format": FORMAT, "recipe": self.name, "sha256": Repository(repository).digest(packed_ref(self)), "run": best.run}
        evaluation = record(self, sides, identity, self.rival.name, scored, {})
        levels = list(self._by_level(scored, slices))
        evaluation["restoration"] = {
            "served": best.name,
            "validation PSNR": {**{arm.name: arm.validation for arm in arms}, self.rival.name: tuned.reached},
            "setting": str(tuned),
            "levels": levels,
            "offered": offered(levels, best.name),
        }
        evaluation["card_sha256"] = write_page(run, evaluation)
        save_json(run / EVALUATION, evaluation)
        return evaluation

    def call(self, evaluation: Mapping[str, Any]) -> Call | None:
        """Its windows, and the levels that it is offered for."""
        within = tuple(self.levels[level] for level in evaluation["restoration"]["offered"])
        return Tiles(window=self.window, overlap=OVERLAP, within=within)

    def table(self, evaluation: Mapping[str, Any]) -> str:
        return restored_table(evaluation, self.degradation, self.rival.name)

    def _by_level(self, scored: Sequence[Scored], slices: Mapping[str, Sequence[Slices]]) -> Iterator[dict[str, Any]]:
        """By level, and of all: each method's mean, its interval, and its lead on the classical one; over images where there are enough."""
        persons = len({one.case.patient for one in scored})
        over = "images" if persons >= PERSONS else "slices"
        for level in (*self.levels, ALL):
            inside = [index for index, one in enumerate(scored) if level in (one.attributes["level"], ALL)]
            patients = [scored[index].case.patient for index in inside]
            of = {
                method: {name: _units([found[index][name] for index in inside], patients, over) for name in ("PSNR", "SSIM")}
                for method, found in slices.items()
            }
            count = len(of[self.rival.name]["PSNR"])
            drawn = np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count))
            for method, values in of.items():
                told: dict[str, Any] = {"level": level, "method": method, "over": over, "count": count}
                for name, each in values.items():
                    ahead = each - of[self.rival.name][name]
                    told[name] = {
                        "mean": float(each.mean()),
                        "interval": [float(bound) for bound in np.percentile(each[drawn].mean(axis=1), INTERVAL)],
                        "ahead": [float(bound) for bound in np.percentile(ahead[drawn].mean(axis=1), INTERVAL)],
                    }
                yield told


def restored(recipe: Restorer, degraded: Degraded, repository: Path | None, infer: Infer) -> NDArray[Any]:
    """What the application makes of a case, with the model that `repository` serves or with any."""
    application = recipe.application if repository is None else as_served(recipe.application, repository)
    return application.analyse(degraded.volume, infer).derived[0].voxels


def _arm(recipe: Restorer, sides: Split, name: str, run: Path) -> _Arm:
    network, state = trained(recipe.arm(name), run / name)
    refuse_other_sides(state, sides, run / name)
    return _Arm(name=name, network=network, validation=state["best"], run=f"{name}: {state['identity']}")


def _answers(network: Any, window: Sequence[int]) -> tuple[int, ...]:
    import torch

    with torch.inference_mode():
        return tuple(network(torch.zeros(1, *window)).shape[1:])


def _loaded(case: Case) -> Degraded:
    degraded = case.load()
    assert isinstance(degraded, Degraded), "a restorer's held-out cases are"
    return degraded


def _units(slices: Sequence[NDArray[np.float64]], patients: Sequence[str], over: str) -> NDArray[np.float64]:
    """What is drawn from: the slices of all cases, or the mean of each image."""
    if over == "slices":
        return np.concatenate(slices)
    of: dict[str, list[float]] = {}
    for patient, each in zip(patients, slices, strict=True):
        of.setdefault(patient, []).append(float(each.mean()))
    return np.array([np.mean(means) for means in of.values()])


def _means(slices: Slices) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in slices.items()}


def offered(levels: Sequence[Mapping[str, Any]], served: str) -> list[str]:
    """The levels at which the served network leads on the classical method beyond chance: 95 % intervals of both leads lie above 0."""
    return [
        row["level"]
        for row in levels
        if row["method"] == served and row["level"] != ALL and min(row["PSNR"]["ahead"][0], row["SSIM"]["ahead"][0]) > 0
    ]


def restored_table(evaluation: Mapping[str, Any], degradation: str, rival: str) -> str:
    """Every method at every level: PSNR and SSIM with intervals, and the lead on the classical one.

    Then what was chosen, and by what, and for which levels it is offered.
    """
    told = evaluation["restoration"]
    lines = [
        f"| {degradation} | method | PSNR, dB | 95 % interval | SSIM | 95 % interval | PSNR ahead by | SSIM ahead by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in told["levels"]:
        psnr, ssim = row["PSNR"], row["SSIM"]
        leads = f"{_range(psnr['ahead'], '+.2f')} | {_range(ssim['ahead'], '+.4f')}"
        lines.append(
            f"| {row['level']} | {row['method']} | {psnr['mean']:.2f} | {_range(psnr['interval'], '.2f')} "
            f"| {ssim['mean']:.4f} | {_range(ssim['interval'], '.4f')} | {leads} |"
        )
    reached = ", ".join(f"{name} {value:.2f}" for name, value in told["validation PSNR"].items())
    over = told["levels"][0]
    levels = ", ".join(told["offered"])
    where = (
        f"offered at {levels}, where both leads are beyond chance"
        if levels
        else "offered at no level: nowhere are both leads beyond chance"
    )
    return (
        "\n".join(lines)
        + f"\n\nIntervals are over {over['count']} {over['over']} a level; ahead means of {rival}. Validation PSNR, dB: {reached}. Served: "
        + f"{told['served']}, the best network by validation; {where}. {rival[0].upper()}{rival[1:]}, "
        + f"tuned on the same cases: {told['setting']}.\n"
    )


def _range(bounds: list[float], form: str) -> str:
    return f"{bounds[0]:{form}} to {bounds[1]:{form}}"
