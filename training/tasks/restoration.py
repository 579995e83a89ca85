"""Restoration: recipes that give an image back better than it came; networks that differ in what they are told to reach.

They are judged beside a tuned classical filter and the images as they came; the best by validation is served.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Infer
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.repository import Repository
from inference.findings import Findings
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
from training.nonlocal_means import nonlocal_means, tuned
from training.progress import Named, Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule
from training.space import Space

NOISY, CLASSICAL = "as it came", "non-local means"

Slices = Mapping[str, NDArray[np.float64]]
"""PSNR and SSIM of every slice, (N,) each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Arm:
    """A training that has ended."""

    name: str
    network: Any
    validation: float
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restorer(Recipe):
    """A recipe whose held-out cases are `Degraded`, and whose training cases are clean: `augment` degrades them anew each time.

    Attributes
    ----------
    score
        Figures of one case, of the application's findings; `watched` is one of them.
    arms
        What each training of a run is told to reach, as a loss, by name; networks and steps are alike.
    """

    task = "restoration"

    score: Callable[[Findings, Any], Mapping[str, float]]
    arms: Mapping[str, Callable[[], Callable[[Any, Any], Any]]]
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
        """Tune the classical filter, pack the arm that did best on the validation cases, score all on the test cases.

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
        setting, reached = tuned(sides.validation)
        repository = packed(self, best.network, run, _answers(best.network, self.window))
        slices: dict[str, list[Slices]] = {name: [] for name in (NOISY, CLASSICAL, *self.arms)}
        with closing(EmbeddedEngine(repository)) as engine:
            for case in sides.test:
                degraded = _loaded(case)
                slices[NOISY].append(likeness(degraded.volume.voxels, degraded))
                slices[CLASSICAL].append(likeness(nonlocal_means(degraded.volume, setting), degraded))
                for arm in arms:
                    infer: Infer = EngineInfer(engine) if arm is best else NetworkInfer(arm.network)
                    with naming(case):
                        clean = restored(self, degraded, repository if arm is best else None, infer)
                    slices[arm.name].append(likeness(clean, degraded))
                step(case.name, len(sides.test))
        rows = zip(sides.test, slices[best.name], slices[CLASSICAL], strict=True)
        scored = [Scored(case=case, attributes=_loaded(case).attributes, row=_means(own), without=_means(nlm)) for case, own, nlm in rows]
        identity = {"format": FORMAT, "recipe": self.name, "sha256": Repository(repository).digest(packed_ref(self)), "run": best.run}
        evaluation = record(self, sides, identity, CLASSICAL, scored, {})
        evaluation["restoration"] = {
            "served": best.name,
            "validation PSNR": {**{arm.name: arm.validation for arm in arms}, CLASSICAL: reached},
            "setting": str(setting),
            "levels": list(_by_level(scored, slices)),
        }
        evaluation["card_sha256"] = write_page(run, evaluation)
        save_json(run / EVALUATION, evaluation)
        return evaluation

    def table(self, evaluation: Mapping[str, Any]) -> str:
        return restored_table(evaluation)


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
        return tuple(network(torch.zeros(1, 1, *window)).shape[1:])


def _loaded(case: Case) -> Degraded:
    degraded = case.load()
    assert isinstance(degraded, Degraded), "a restorer's held-out cases are"
    return degraded


def _means(slices: Slices) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in slices.items()}


def _by_level(scored: Sequence[Scored], slices: Mapping[str, Sequence[Slices]]) -> Iterator[dict[str, Any]]:
    """By level of noise, and of all: each method's mean over slices, its interval over them, and its lead on the classical one."""
    levels = list(dict.fromkeys(one.attributes["noise"] for one in scored))
    for level in (*levels, "all"):
        inside = [index for index, one in enumerate(scored) if level in (one.attributes["noise"], "all")]
        of = {
            method: {name: np.concatenate([found[index][name] for index in inside]) for name in ("PSNR", "SSIM")}
            for method, found in slices.items()
        }
        count = len(of[NOISY]["PSNR"])
        drawn = np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count))
        for method, values in of.items():
            told: dict[str, Any] = {"noise": level, "method": method, "slices": count}
            for name, each in values.items():
                ahead = each - of[CLASSICAL][name]
                told[name] = {
                    "mean": float(each.mean()),
                    "interval": [float(bound) for bound in np.percentile(each[drawn].mean(axis=1), INTERVAL)],
                    "ahead": [float(bound) for bound in np.percentile(ahead[drawn].mean(axis=1), INTERVAL)],
                }
            yield told


def restored_table(evaluation: Mapping[str, Any]) -> str:
    """Every method at every level of noise: PSNR and SSIM with intervals over slices, and the lead on the classical one.

    Then what was chosen, and by what.
    """
    told = evaluation["restoration"]
    lines = [
        "| noise | method | PSNR, dB | 95 % interval | SSIM | 95 % interval | PSNR ahead by | SSIM ahead by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in told["levels"]:
        psnr, ssim = row["PSNR"], row["SSIM"]
        leads = f"{_range(psnr['ahead'], '+.2f')} | {_range(ssim['ahead'], '+.4f')}"
        lines.append(
            f"| {row['noise']} | {row['method']} | {psnr['mean']:.2f} | {_range(psnr['interval'], '.2f')} "
            f"| {ssim['mean']:.4f} | {_range(ssim['interval'], '.4f')} | {leads} |"
        )
    reached = ", ".join(f"{name} {value:.2f}" for name, value in told["validation PSNR"].items())
    return (
        "\n".join(lines)
        + f"\n\nIntervals are over the slices of few heads; ahead means of non-local means. Validation PSNR, dB: {reached}. Served: "
        + f"{told['served']}, the better network by validation. Non-local means, tuned on the same cases: {told['setting']}.\n"
    )


def _range(bounds: list[float], form: str) -> str:
    return f"{bounds[0]:{form}} to {bounds[1]:{form}}"
