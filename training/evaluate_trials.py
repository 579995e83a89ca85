"""How well the arms of a classifier's run do, and the trial that is served: chosen by validation, packed, and asked as it is served."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.port import Application, Infer, ModelRef, Tensors
from inference.applications.serving import as_served
from inference.codes import Code
from inference.engines.embedded import EmbeddedEngine
from inference.engines.port import Call
from inference.engines.repository import Repository
from inference.findings import Explanation
from training.checkpoint import save_json
from training.class_activation import cells_of
from training.classification import Answering, Classifier, logits, truth
from training.data.split import Split
from training.evaluation.classification import (
    INTERVAL,
    RESAMPLES,
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
from training.evaluation.delong import areas
from training.evaluation.gallery import answered
from training.evaluation.page import write_page
from training.evaluation.record import EVALUATION, FORMAT
from training.export import packed, packed_ref
from training.fit import refuse_other_sides
from training.inferring import OfEngine
from training.recipe import Case, Schedule
from training.trials import Trial, trials

ANSWERS = 3
"""The band's ends and the probability."""
AT_ONCE = 64
"""Images that one call of the served model may bring: an occlusion map asks of hundreds."""
DECISIONS = {"sensitivity": "sensitivity", "specificity": "specificity", "accuracy": "accuracy", "F1": "f1"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """A trial that has ended, and what its network says of two sides."""

    trial: Trial
    network: Any
    state: Mapping[str, Any]
    validation: Scores
    test: Scores


def evaluate_trials(recipe: Classifier, sides: Split, run: Path, schedule: Schedule) -> dict[str, Any]:
    """Compare the arms, pack the trial that did best on the validation cases, and ask it as it is served; evaluation.json is kept in `run`.

    Thresholds, calibration and band come from the validation cases alone; the test cases choose nothing.

    Raises
    ------
    BrokenRun
        A trial was not trained yet.
    OtherRun
        A trial was trained on other cases.
    """
    known, asked = truth(sides.validation), truth(sides.test)
    judged = list(_judge(recipe, sides, run, schedule))
    best = max(judged, key=lambda each: auc(each.validation, known))
    calibration = calibrated(best.validation, known)
    probable = calibration(best.validation)
    chosen_band = band(probable, known, missed=recipe.missed, alarmed=recipe.alarmed)
    threshold = best_threshold(probable, known)
    served = Answering(best.network, calibration, chosen_band).eval()
    cells = cells_of(best.network, recipe.window)
    repository = packed(recipe, served, run, *[(ANSWERS,), *([cells] if cells else [])], batch=AT_ONCE)
    with closing(EmbeddedEngine(repository)) as engine:
        answers = list(served_answers(recipe, sides.test, repository, OfEngine(engine)))
    probabilities = np.array([probability for probability, _ in answers])
    guessed = _mean_difference(recipe, sides)
    evaluation: dict[str, Any] = {
        "format": FORMAT,
        "recipe": recipe.name,
        "title": recipe.title,
        "application": recipe.application.name,
        "model": recipe.model.name,
        "sha256": Repository(repository).digest(packed_ref(recipe)),
        "run": best.state["identity"],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": asdict(recipe.data),
        "cases": {"train": len(sides.train), "validation": len(sides.validation), "test": len(sides.test)},
        "settings": {"resamples": RESAMPLES, "interval": list(INTERVAL)},
        "watched": recipe.watched,
        "baseline": "difference of the mean images",
        "figures": {
            recipe.watched: _figure(auc, probabilities, asked, baseline=auc(guessed, asked)),
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
            "missed at most": recipe.missed,
            "alarmed at most": recipe.alarmed,
        },
        "answers": _tally([value for _, value in answers], asked),
        "classification": {
            "finding": recipe.finding.meaning,
            "threshold": threshold,
            "cases": [
                {"case": case.name, "positive": bool(real), "probability": float(probability)}
                for case, real, probability in zip(sides.test, asked, probabilities, strict=True)
            ],
        },
    }
    shown = [labelled.images.images[0].pixels for labelled in (_loaded(case) for case in sides.test)]
    with closing(EmbeddedEngine(repository)) as engine:
        explained = partial(_explained, as_served(recipe.application, repository), sides.test, OfEngine(engine))
        evaluation["card_sha256"] = write_page(run, evaluation, answered(shown, evaluation["classification"], explained))
    save_json(run / EVALUATION, evaluation)
    return evaluation


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
        (evaluation,) = application.analyse(labelled.images, heard).evaluations
        yield heard.probability, evaluation.value


class _Hearing:
    """An `Infer` that keeps the last probability: of what is undetermined, findings give none."""

    def __init__(self, infer: Infer) -> None:
        self._infer = infer
        self.probability = float("nan")

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
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
        "count": len(scores),
        "mean": of(scores, positive),
        "interval": list(interval(of, scores, positive)),
        "worst": None,
        "baseline": baseline,
    }


def _decided(name: str, threshold: float, scores: Scores, positive: Truth) -> float:
    return float(getattr(confusion(scores, positive, threshold), DECISIONS[name]))


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
