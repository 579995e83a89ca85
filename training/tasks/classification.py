"""Classification with two classes: several networks from several seeds in one run; the best by validation is served."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from inference import codes
from inference.applications.port import Application, Infer, ModelRef, Tensors
from inference.applications.serving import as_served
from inference.codes import Code
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Call
from inference.engines.repository import Repository
from inference.findings import Explanation
from training.checkpoint import save_json
from training.compute import device_of
from training.data.cases import Case, Split
from training.errors import UnfitSetting
from training.evaluation.classification import (
    INTERVAL,
    RESAMPLES,
    Confusion,
    Scores,
    Truth,
    auc,
    band,
    best_threshold,
    calibrated,
    calibration_error,
    confusion,
    interval,
)
from training.evaluation.classifier import classifier_parts
from training.evaluation.delong import areas
from training.evaluation.figures import OTHER
from training.evaluation.gallery import answered
from training.evaluation.page import write_page
from training.evaluation.record import EVALUATION, FORMAT
from training.export import packed, packed_ref
from training.fit import fit, refuse_other_sides, trained
from training.infer import EngineInfer, naming
from training.networks.answering import Answering, cells_of
from training.progress import Named, Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule
from training.space import Space

ANSWERS = 3
"""The band's ends and the probability."""
AT_ONCE = 64
"""Images that one call of the served model may bring: an occlusion map asks of hundreds."""
DECISIONS: Final[Mapping[str, Callable[[Confusion], float]]] = {
    "sensitivity": lambda found: found.sensitivity,
    "specificity": lambda found: found.specificity,
    "accuracy": lambda found: found.accuracy,
    "F1": lambda found: found.f1,
}
BATCH = 128
"""Images in one call where nothing is learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the networks of a run; it gives one logit an image, (N,). Each learns at the rate that suits it, all in as many steps."""

    network: Callable[[], Any]
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier(Recipe):
    """A recipe whose cases are images with a class.

    Attributes
    ----------
    arms
        By name; the others are compared with the first.
    seeds
        How many trainings of each arm, from the schedule's seed on.
    finding
        What the application is asked for.
    missed, alarmed
        Of the validation cases: the share of positives that may be called absent, and of negatives that may be called present. What lies
        between is undetermined.
    """

    task = "classification"

    arms: Mapping[str, Arm]
    seeds: int
    finding: Code
    missed: float
    alarmed: float
    space: Space | None = None

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        """Train all trials one after the other, or go on where the run was ended; how the best by validation ended.

        Raises
        ------
        UnfitSetting
            A learning rate was asked for.
        """
        if schedule.learning_rate != self.schedule.learning_rate:
            raise UnfitSetting(f'recipe "{self.name}" has several networks with learning rates of their own, and takes no --learning-rate')
        outcomes = [
            fit(trial.recipe, sides, trial.folder, trial.schedule, ranks, Named(trial.name, progress))
            for trial in trials(self, run, schedule)
        ]
        return max(outcomes, key=lambda outcome: outcome.best)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        """The AUC over all validation cases at once: no figure of one case says it."""
        return auc(logits(self, network, cases), truth(cases))

    def seed_of(self, run: Path) -> int | None:
        """By the folders of its trials."""
        seeds = [int(folder.name.removeprefix("seed-")) for arm in self.arms for folder in (run / arm).glob("seed-*")]
        return min(seeds, default=None)

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Compare the arms, pack the trial that did best on the validation cases, and ask it as it is served.

        Thresholds, calibration and band come from the validation cases alone; the test cases choose nothing.

        Raises
        ------
        BrokenRun
            A trial was not trained yet.
        OtherRun
            A trial was trained on other cases.
        UnfitSetting
        """
        options.refuse_other_models(self)
        known, asked = truth(sides.validation), truth(sides.test)
        judged = list(_judge(self, sides, run, self.schedule if options.seed is None else replace(self.schedule, seed=options.seed)))
        best = max(judged, key=lambda each: auc(each.validation, known))
        calibration = calibrated(best.validation, known)
        probable = calibration(best.validation)
        chosen_band = band(probable, known, missed=self.missed, alarmed=self.alarmed)
        threshold = best_threshold(probable, known)
        served = Answering(best.network, calibration, chosen_band).eval()
        cells = cells_of(best.network, self.window)
        repository = packed(self, served, run, *[(ANSWERS,), *([cells] if cells else [])], batch=AT_ONCE)
        with closing(EmbeddedEngine(repository)) as engine:
            answers = list(served_answers(self, sides.test, repository, EngineInfer(engine)))
        probabilities = np.array([probability for probability, _ in answers])
        guessed = _mean_difference(self, sides)
        evaluation: dict[str, Any] = {
            "format": FORMAT,
            "recipe": self.name,
            "title": self.title,
            "application": self.application.name,
            "model": self.model.name,
            "sha256": Repository(repository).digest(packed_ref(self)),
            "run": best.state["identity"],
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": asdict(self.data),
            "cases": {"train": len(sides.train), "validation": len(sides.validation), "test": len(sides.test)},
            "settings": {"resamples": RESAMPLES, "interval": list(INTERVAL)},
            "watched": self.watched,
            "baseline": "difference of the mean images",
            "figures": {
                self.watched: _figure(auc, probabilities, asked, baseline=auc(guessed, asked)),
                **{name: _figure(partial(_decided, name, threshold), probabilities, asked) for name in DECISIONS},
                "expected calibration error": _figure(calibration_error, probabilities, asked, better="less"),
                "the same without calibration": _figure(calibration_error, 1 / (1 + np.exp(-best.test)), asked, better="less"),
            },
            "arms": _arms(judged, known, asked),
            "chosen": {
                "trial": best.trial.name,
                "validation AUC": auc(best.validation, known),
                "slope": calibration.slope,
                "offset": calibration.offset,
                "threshold": threshold,
                "absent below": chosen_band.low,
                "present from": chosen_band.high,
                "missed at most": self.missed,
                "alarmed at most": self.alarmed,
            },
            "answers": _tally([value for _, value in answers], asked),
            "classification": {
                "finding": self.finding.meaning,
                "threshold": threshold,
                "cases": [
                    {"case": case.name, "positive": bool(real), "probability": float(probability)}
                    for case, real, probability in zip(sides.test, asked, probabilities, strict=True)
                ],
            },
        }
        shown = [_loaded(case).images.images[0].pixels for case in sides.test]
        with closing(EmbeddedEngine(repository)) as engine:
            explained = partial(_explained, as_served(self.application, repository), sides.test, EngineInfer(engine))
            seen = evaluation["classification"]
            evaluation["card_sha256"] = write_page(run, evaluation, classifier_parts(seen, answered(shown, seen, explained)))
        save_json(run / EVALUATION, evaluation)
        return evaluation

    def table(self, evaluation: Mapping[str, Any]) -> str:
        return arms_table(evaluation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training: the recipe with the arm's network, its schedule, and its folder in the run's."""

    arm: str
    recipe: Classifier
    schedule: Schedule
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.arm} {self.schedule.seed}"

    def trained(self) -> tuple[Any, dict[str, Any]]:
        """Its best network and checkpoint.

        Raises
        ------
        BrokenRun
        """
        return trained(self.recipe, self.folder)


def trials(recipe: Classifier, run: Path, schedule: Schedule) -> Iterator[Trial]:
    """All of them: the first seed of every arm, then the second, so that a run that was ended early has something of each."""
    for seed in range(schedule.seed, schedule.seed + recipe.seeds):
        for name, arm in recipe.arms.items():
            yield Trial(
                arm=name,
                recipe=replace(recipe, network=arm.network),
                schedule=replace(schedule, seed=seed, learning_rate=arm.learning_rate),
                folder=run / name / f"seed-{seed}",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """A trial that has ended, and what its network says of two sides."""

    trial: Trial
    network: Any
    state: Mapping[str, Any]
    validation: Scores
    test: Scores


def logits(recipe: Recipe, network: Any, cases: Sequence[Case]) -> NDArray[np.float64]:
    """The network's answers (N,) to the examples that serving would show it, a batch at a time: no engine, no findings."""
    network.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(cases), BATCH):
            images = np.stack([recipe.example(case.load()).image for case in cases[start : start + BATCH]])
            found.append(network(torch.from_numpy(images).to(device_of(network))).cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def truth(cases: Sequence[Case]) -> NDArray[np.bool_]:
    """Whether each case is positive, (N,)."""
    labelled: list[Any] = [case.load() for case in cases]
    return np.array([each.positive for each in labelled], dtype=bool)


def _loaded(case: Case) -> Any:
    return case.load()


def _explained(application: Application, cases: Sequence[Case], infer: Infer, index: int) -> tuple[Explanation, ...]:
    """What moved the answer about one case, as it is served."""
    return application.explain(_loaded(cases[index]).images, infer) if application.explain is not None else ()


def served_answers(recipe: Classifier, cases: Sequence[Case], repository: Path, infer: Infer) -> Iterator[tuple[float, Code]]:
    """The calibrated probability of each case by the model that `repository` serves, and what the application says of it."""
    application = as_served(recipe.application, repository)
    heard = _Hearing(infer)
    for case in cases:
        labelled: Any = case.load()
        with naming(case):
            (evaluation,) = application.analyse(labelled.images, heard).evaluations
        yield heard.probability, evaluation.value


class _Hearing:
    """An `Infer` that keeps the last probability: of what is undetermined, findings give none."""

    def __init__(self, infer: Infer) -> None:
        self._infer = infer
        self.probability = float("nan")

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        answer = self._infer(model, tensors)
        self.probability = float(answer["OUTPUT__0"][0, -1])
        return answer

    def at_once(self, model: ModelRef) -> int:
        return self._infer.at_once(model)

    def call_of(self, model: ModelRef) -> Call | None:
        return self._infer.call_of(model)


def _judge(recipe: Classifier, sides: Split, run: Path, schedule: Schedule) -> Iterator[_Judged]:
    for trial in trials(recipe, run, schedule):
        network, state = trial.trained()
        refuse_other_sides(state, sides, trial.folder)
        yield _Judged(
            trial=trial,
            network=network,
            state=state,
            validation=logits(recipe, network, sides.validation),
            test=logits(recipe, network, sides.test),
        )


def _arms(judged: Sequence[_Judged], known: Truth, asked: Truth) -> list[dict[str, Any]]:
    """Of each arm the AUC of its trials and their mean, and how far it is from the first arm's: over the same draws of test cases, and with
    p of DeLong's test."""
    of_arm: dict[str, list[_Judged]] = {}
    for each in judged:
        of_arm.setdefault(each.trial.arm, []).append(each)
    drawn = np.random.default_rng(0).integers(len(asked), size=(RESAMPLES, len(asked)))
    means = {
        name: np.array([np.mean([auc(each.test[draw], asked[draw]) for each in own]) for draw in drawn]) for name, own in of_arm.items()
    }
    first = next(iter(means))
    ranked = areas([each.test for each in judged], asked)
    # of every trial its part in the arm's mean
    parts = {name: np.array([(each.trial.arm == name) / len(own) for each in judged]) for name, own in of_arm.items()}
    return [
        {
            "arm": name,
            "weights": sum(each.numel() for each in own[0].network.parameters()),
            "validation AUC": [auc(each.validation, known) for each in own],
            "test AUC": [auc(each.test, asked) for each in own],
            "mean": float(np.mean([auc(each.test, asked) for each in own])),
            "interval": _percentiles(means[name]),
            "difference to the first": None if name == first else _percentiles(means[first] - means[name]),
            "p": None if name == first else ranked.p((parts[first] - parts[name]).tolist()),
        }
        for name, own in of_arm.items()
    ]


def _mean_difference(recipe: Classifier, sides: Split) -> Scores:
    """What a network has to beat: how much a test case looks like the mean positive training image rather than the mean negative one."""
    known = truth(sides.train)
    images = np.stack([recipe.example(case.load()).image for case in sides.train])
    direction = images[known].mean(axis=0) - images[~known].mean(axis=0)
    scores: Scores = np.array([float((recipe.example(case.load()).image * direction).sum()) for case in sides.test])
    return scores


def _figure(
    of: Callable[[Scores, Truth], float], scores: Scores, positive: Truth, *, baseline: float | None = None, better: str = "more"
) -> dict[str, Any]:
    return {
        "unit": "",
        "better": better,
        "digits": OTHER.digits,
        "count": len(scores),
        "mean": of(scores, positive),
        "interval": list(interval(of, scores, positive)),
        "worst": None,
        "baseline": baseline,
    }


def _decided(name: str, threshold: float, scores: Scores, positive: Truth) -> float:
    return DECISIONS[name](confusion(scores, positive, threshold))


def _tally(values: Sequence[Code], positive: Truth) -> dict[str, dict[str, int]]:
    """How many cases with and without the finding got each answer."""
    return {
        told: {
            value.meaning: sum(each == value for each, real in zip(values, positive, strict=True) if real == wanted)
            for value in (codes.PRESENT, codes.UNDETERMINED, codes.ABSENT)
        }
        for told, wanted in (("with", True), ("without", False))
    }


def _percentiles(values: Scores) -> list[float]:
    return [float(each) for each in np.percentile(values, INTERVAL)]


def arms_table(evaluation: Mapping[str, Any]) -> str:
    """The arms with the mean AUC over their seeds; then what was chosen on the validation cases, and the answers on the test cases."""
    first = evaluation["arms"][0]["arm"]
    compared = f"{first} is ahead by | p (DeLong)"
    lines = [
        f"| network | weights | validation AUC, by seed | test AUC, by seed | mean test AUC | 95 % interval | {compared} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in evaluation["arms"]:
        ahead = arm["difference to the first"]
        lines.append(
            f"| {arm['arm']} | {arm['weights'] / 1e6:.1f} million | {_listed(arm['validation AUC'])} | {_listed(arm['test AUC'])} "
            f"| {arm['mean']:.4f} | {arm['interval'][0]:.4f} to {arm['interval'][1]:.4f} "
            f"| {'–' if ahead is None else f'{ahead[0]:+.4f} to {ahead[1]:+.4f}'} | {_p(arm['p'])} |"
        )
    chosen = evaluation["chosen"]
    served = (
        f"Served: {chosen['trial']}, the best by validation ({chosen['validation AUC']:.4f}). Chosen on the validation cases as well: "
        f"absent below {chosen['absent below']:.3f} (at most {chosen['missed at most']:.0%} of the positives lie there), present from "
        f"{chosen['present from']:.3f} (at most {chosen['alarmed at most']:.0%} of the negatives), undetermined between; one threshold, "
        f"for the figures, {chosen['threshold']:.3f}; probability = sigmoid({chosen['slope']:.3f} × logit {chosen['offset']:+.3f})."
    )
    lines += ["", served, "", "| test cases | present | undetermined | absent |", "|---|---|---|---|"]
    finding = evaluation["classification"]["finding"].lower()
    for told, answers in evaluation["answers"].items():
        lines.append(f"| {told} {finding} | {answers['Present']} | {answers['Undetermined']} | {answers['Absent']} |")
    return "\n".join(lines) + "\n"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
