"""Classification of single images or volumes by any number of classes or findings: one network, calibrated, judged patient by patient."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from inference import codes
from inference.applications.bundle.answering import AnswerChannel
from inference.applications.bundle.explaining import METHODS as SERVED
from inference.applications.bundle.manifest import BundleManifest, application_of
from inference.applications.port import Takes
from inference.engines.repository import Repository
from inference.findings import Explanation
from training.checkpoint import save_json
from training.data.cases import Case, Split
from training.errors import UnfitData
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED, over_patients
from training.evaluation.classification import auc, band, best_threshold, calibration_error, confusion
from training.evaluation.classifier import classifier, classifier_parts
from training.evaluation.explained import explained_lines, explained_part
from training.evaluation.figures import Kind, summary
from training.evaluation.gallery import answered
from training.evaluation.left_out import Figure, left_out, left_out_lines, left_out_part
from training.evaluation.page import Gallery, Parts, fragment, write_page
from training.evaluation.record import EVALUATION, FORMAT
from training.evaluation.subgroups import groups
from training.explaining.gate import CASES, USUAL, Explained, gate, spread, told
from training.explaining.methods import METHODS, LogOdds, Method, SeenImage, of_pooling
from training.export import packed, packed_ref
from training.fit import fit, refuse_other_sides, seed_of, trained
from training.progress import Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule
from training.tabled.features import Logistic, logistic
from training.tabled.held_out import HeldOut, features, held_out, outputs
from training.tabled.plan import beside

CALIBRATION = "calibration.json"
"""Of an evaluated run: temperature, and where each finding is called absent and present."""
WATCHED = "log score"
MISSED, ALARMED = 0.05, 0.1
"""Of the validation cases: shares that may be called absent with, and present without, the finding; what lies between is undetermined."""
_TEMPERATURES = (0.05, 20.0)
_MOST_IMAGES, _MOST_PIXELS = 64, 2**20
"""In one call of a network that is asked of many changed images: more are hardly quicker, and take the memory of their features."""
_SURE = 1e-6
_TOGETHER = ("calibration error", "the same without calibration")

Probabilities = NDArray[np.float64]
Labels = NDArray[np.bool_]
Moved: TypeAlias = tuple[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]
"""A method of explanation by its name, and what it makes of an image (C, …)."""


class Tempered(torch.nn.Module):
    """A network as it is served: its logits without what the weights of the classes added, over a temperature (Guo and others 2017)."""

    def __init__(self, network: Any, weights: Sequence[float], temperature: float) -> None:
        super().__init__()
        self._network, self._temperature = network, temperature
        self._added: torch.Tensor
        self.register_buffer("_added", torch.log(torch.tensor(weights, dtype=torch.float32)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = (self._network(images) - self._added) / self._temperature
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer(Recipe):
    """A recipe whose cases are `LabelledSubject`, and whose network gives one logit a class or finding, (N, K).

    Attributes
    ----------
    manifest
        Its answers get their limits when the run is evaluated.
    exclusive
        Whether a case is of exactly one class.
    names
        Of the channels.
    weights
        Of the classes in the loss; of findings, of their positive cases.
    pooling
        The network's module whose input are its last features, for Grad-CAM; "": the network has none.
    """

    task = "classification"

    manifest: BundleManifest
    exclusive: bool
    names: tuple[str, ...]
    weights: tuple[float, ...]
    pooling: str = ""

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        known = labels_of(sides.validation)
        one_kind = [self.names[one.channel] for one in self.manifest.answers if len(np.unique(known[:, one.channel])) < 2]
        if one_kind:
            raise UnfitData(
                f"of the {len(sides.validation)} cases that choose, none, or all, have {', '.join(one_kind)}: where it is called present "
                "could not be told. More cases, another --seed, or more --folds, in another --out"
            )
        return fit(self, sides, run, schedule, ranks, progress)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        scores = self.logits(network, cases)
        return float(log_scores(self.probable(scores), labels_of(cases), self.exclusive).mean())

    def seed_of(self, run: Path) -> int | None:
        return seed_of(run)

    def kinds(self) -> Mapping[str, Kind]:
        whole = {f"AUC {name}": "area under the ROC curve" for name in self.findings} | dict.fromkeys(
            _TOGETHER, "how far shares are from probabilities, over ten bins"
        )
        return {
            name: Kind(unit="", better="more" if name.startswith("AUC") else "less", digits=4, says=says) for name, says in whole.items()
        }

    @property
    def findings(self) -> tuple[str, ...]:
        """The names of the channels of which statements are made."""
        return tuple(self.names[answer.channel] for answer in self.manifest.answers)

    def logits(self, network: Any, cases: Sequence[Case]) -> Probabilities:
        """The network's logits (N, K), without what the weights of the classes added."""
        return self.logits_of(network, ((case, self.example(case.load()).image) for case in cases))

    def logits_of(self, network: Any, shown: Iterable[tuple[Case, NDArray[np.float32]]]) -> Probabilities:
        """The same of what the network sees of each case."""
        plainly: Probabilities = outputs(network, shown).astype(np.float64) - np.log(np.array(self.weights))
        return plainly

    def probable(self, logits: Probabilities) -> Probabilities:
        """Probabilities (N, K)."""
        found: Probabilities = softmax(logits, axis=1) if self.exclusive else expit(logits)
        return found

    def decided(self, answers: Sequence[AnswerChannel], explained: Sequence[str], batch: int) -> "Answerer":
        """The recipe whose application calls findings by these limits, and explains by these methods, so many images a call."""
        manifest = replace(self.manifest, answers=tuple(answers), explained=tuple(explained), batch=batch)
        return replace(self, manifest=manifest, application=application_of(manifest), beside=lambda model: beside(manifest, model))

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Calibrate on the validation cases, pack, and ask of the held-out cases as it is served; the test cases choose nothing.

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
        known, known_logits = labels_of(sides.validation), self.logits(network, sides.validation)
        temperature = best_temperature(known_logits, known, self.exclusive)
        probable = self.probable(known_logits / temperature)
        answers = self.manifest.answers
        thresholds = {one.channel: best_threshold(probable[:, one.channel], known[:, one.channel]) for one in answers}
        tempered = Tempered(network, self.weights, temperature).eval()
        tried, offered = self._tried(tempered, sides, options, step)
        single = self.manifest.accepts.takes is Takes.IMAGES and not self.manifest.roles
        servable = [label for label, _ in offered if single and label in SERVED]
        limited = [_limited(one, probable[:, one.channel], known[:, one.channel]) for one in answers]
        batch = max(1, min(_MOST_IMAGES, _MOST_PIXELS // math.prod(self.window))) if servable else 1
        decided = self.decided(limited, servable, batch)
        repository = packed(decided, tempered, run, (len(self.names),), batch=batch)
        # behind the model: ended in between, an export would give the model of before these limits, and is refused
        save_json(
            run / CALIBRATION,
            {
                "temperature": temperature,
                "answers": [{"channel": one.channel, "absent": one.absent, "present": one.present} for one in decided.manifest.answers],
                "explained": servable,
                "batch": batch,
            },
        )
        asked = labels_of(sides.test)
        held = list(held_out(decided, sides.test, repository, step, self.manifest.optional))
        served = decided.served(held)
        guessed = baseline(self, sides.train)(np.stack([each.features for each in held]))
        plainly = self.probable(self.logits_of(network, ((each.case, each.image) for each in held)))
        scores, without = log_scores(served, asked, self.exclusive), log_scores(guessed, asked, self.exclusive)
        patients = [case.patient for case in sides.test]
        rows: list[dict[str, Any]] = [
            {
                "case": case.name,
                "patient": case.patient,
                "attributes": dict(each.attributes),
                "figures": {WATCHED: float(score), **dict.fromkeys([*(f"AUC {name}" for name in self.findings), *_TOGETHER])},
                "probabilities": dict(zip(self.names, map(float, given), strict=True)),
                "uncalibrated": dict(zip(self.names, map(float, before), strict=True)),
                "labels": dict(zip(self.names, map(bool, real), strict=True)),
            }
            for each, case, score, given, before, real in zip(held, sides.test, scores, served, plainly, asked, strict=True)
        ]
        figures: dict[str, Any] = {}
        for name, found in self.pooled(rows).items():
            kind = self.kinds()[name]
            channel = self.names.index(name.removeprefix("AUC ")) if name.startswith("AUC ") else None
            other = _number(auc(guessed[:, channel], asked[:, channel])) if channel is not None else None
            figures[name] = {"unit": "", "better": kind.better, "digits": kind.digits, "count": len(rows), "worst": None, **found}
            figures[name]["baseline"] = other
        figures[WATCHED] = summary(Kind(unit="", better="more", digits=4, says=""), scores.tolist(), patients)
        figures[WATCHED]["baseline"] = float(without.mean())
        evaluation: dict[str, Any] = {
            "format": FORMAT,
            "recipe": self.name,
            "title": self.title,
            "application": self.application.name,
            "model": self.model.name,
            "sha256": Repository(repository).digest(packed_ref(self)),
            "run": state["identity"],
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": asdict(self.data),
            "accepts": {"modality": list(self.manifest.accepts.modality), "max_spacing_mm": None},
            "cases": {"train": len(sides.train), "validation": len(sides.validation), "test": len(sides.test)},
            "settings": {"resamples": RESAMPLES, "seed": SEED, "interval": list(INTERVAL)},
            "watched": WATCHED,
            "baseline": "logistic model over brightness and texture",
            "figures": figures,
            "each": rows,
            "chosen": {
                "temperature": temperature,
                "answers": [
                    {
                        "finding": answer.finding.meaning,
                        "absent": answer.absent,
                        "present": answer.present,
                        "threshold": thresholds[answer.channel],
                    }
                    for answer in decided.manifest.answers
                ],
            },
            "findings": [
                {
                    "finding": self.names[channel],
                    "threshold": threshold,
                    "cases": [
                        {
                            "case": row["case"],
                            "positive": row["labels"][self.names[channel]],
                            "probability": row["probabilities"][self.names[channel]],
                        }
                        for row in rows
                    ],
                }
                for channel, threshold in thresholds.items()
            ],
        }
        evaluation["subgroups"] = self._subgroups(rows)
        evaluation |= {} if tried is None else {"explained": tried}
        evaluation["left_out"] = left_out(self.manifest.roles, self.manifest.optional, held, self._figures)
        sections = Markup("").join(fragment("classifier.html", **classifier(one)) for one in evaluation["findings"])
        sections += left_out_part(evaluation["left_out"]) + explained_part(evaluation.get("explained"))
        gallery = self._pictured(offered, held, evaluation) if self.pooling or offered else None
        evaluation["card_sha256"] = write_page(run, evaluation, Parts(section=sections, gallery=gallery))
        save_json(run / EVALUATION, evaluation)
        return evaluation

    def _figures(self, held: Sequence[HeldOut]) -> Mapping[str, Figure]:
        """The log score and the ranking by each finding, of cases at places in `held`."""
        given, real = self.served(held), labels_of([each.case for each in held])
        scores = log_scores(given, real, self.exclusive) if held else given

        def area(at: int) -> Figure:
            return lambda drawn: auc(given[drawn, at], real[drawn, at])

        return {WATCHED: lambda drawn: float(scores[drawn].mean())} | {
            f"AUC {self.names[one.channel]}": area(one.channel) for one in self.manifest.answers
        }

    def _subgroups(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """All figures of the cases that are alike in something that is known of them."""
        found = []
        for attribute, inside in groups([row["attributes"] for row in rows]).items():
            for group, places in inside.items():
                those = [rows[place] for place in places]
                scores, patients = [row["figures"][WATCHED] for row in those], [row["patient"] for row in those]
                whole = {WATCHED: summary(Kind(unit="", better="more", digits=4, says=""), scores, patients)}
                figures = whole | {name: dict(figure) for name, figure in self.pooled(those).items()}
                found.append({"attribute": attribute, "group": group, "cases": len(those), "figures": figures})
        return found

    def _tried(
        self, tempered: Tempered, sides: Split, options: EvaluationOptions, step: Step
    ) -> tuple[Mapping[str, Any] | None, Sequence[Moved]]:
        """What evaluation.json says of the methods of explanation, and those that passed the gate on held-out cases.

        Each case is explained for one of the findings, in turn.
        """
        if not options.explain_s:
            return None, ()
        methods = (*([of_pooling(f"_network.{self.pooling}")] if self.pooling else []), *METHODS)
        channels = [answer.channel for answer in self.manifest.answers]
        places = spread(CASES, labels_of(sides.test).argmax(axis=1).tolist())
        cases = [
            Explained(image=self.example(sides.test[place].load()).image, channel=channels[turn % len(channels)])
            for turn, place in enumerate(places)
        ]
        usual = np.stack([self.example(case.load()).image for case in sides.validation[:USUAL]])
        verdicts = gate(methods, tempered, cases, usual, exclusive=self.exclusive, seconds=options.explain_s, step=step)
        odds, shown_with = LogOdds(tempered, channels[0], self.exclusive).eval(), torch.from_numpy(usual)

        def moved(method: Method, image: NDArray[np.float32]) -> NDArray[np.float32]:
            return method.explain(odds, SeenImage(image=image, usual=shown_with, seed=0))

        offered = [(one.label, partial(moved, method)) for one, method in zip(verdicts, methods, strict=True) if one.offered]
        return told(verdicts, options.explain_s), offered

    def _pictured(self, offered: Sequence[Moved], held: Sequence[HeldOut], evaluation: Mapping[str, Any]) -> Gallery:
        """The surest hits and the furthest misses of the first finding, each as the network saw it, and what moved its answer."""
        told_of = evaluation["findings"][0]
        finding = self.manifest.answers[0].finding

        def explained(place: int) -> tuple[Explanation, ...]:
            image = held[place].image
            return tuple(
                Explanation(label=label, values=middle(moved(image)), image=0, finding=finding, quantity=codes.SALIENCY)
                for label, moved in offered
            )

        found = classifier_parts(told_of, answered([middle(each.image[0]) for each in held], told_of, explained)).gallery
        assert found is not None, "a classifier's parts have pictures"
        return found

    def served(self, held: Sequence[HeldOut]) -> Probabilities:
        """The probabilities (N, K) that the application said of each case; of a class of which nothing is said, what is left."""
        found = np.full((len(held), len(self.names)), np.nan)
        for row, each in enumerate(held):
            for answer, one in zip(self.manifest.answers, each.findings.evaluations, strict=True):
                assert one.probability is not None, "each of its answers has one"
                found[row, answer.channel] = one.probability
        silent_of = [at for at in range(len(self.names)) if np.isnan(found[:, at]).all()]
        for at in silent_of:
            found[:, at] = np.clip(1 - np.nansum(found, axis=1), 0, 1)
        return found

    def pooled(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        patients = [row["patient"] for row in rows]
        given, before, real = (
            np.array([[row[key][name] for name in self.names] for row in rows]) for key in ("probabilities", "uncalibrated", "labels")
        )
        real = real.astype(np.bool_)
        answered = [self.names.index(name) for name in self.findings]

        def error(of: Probabilities) -> Callable[[NDArray[np.intp]], float]:
            return lambda drawn: calibration_error(of[drawn][:, answered].ravel(), real[drawn][:, answered].ravel())

        def area(at: int) -> Callable[[NDArray[np.intp]], float]:
            return lambda drawn: auc(given[drawn, at], real[drawn, at])

        figures: dict[str, Callable[[NDArray[np.intp]], float]] = {f"AUC {self.names[at]}": area(at) for at in answered}
        figures |= dict(zip(_TOGETHER, (error(given), error(before)), strict=True))
        every = np.arange(len(rows))
        return {
            name: {"mean": _number(of(every)), "interval": _interval(over_patients(of, patients)), "count": len(rows)}
            for name, of in figures.items()
        }

    def table(self, evaluation: Mapping[str, Any]) -> str:
        """What was chosen on the validation cases, the decisions on the held-out ones, and the ranking of cases that are alike."""
        lines = ["| finding | absent below | present from | held out: present and called so | absent and called so | undetermined |"]
        lines.append("|---|---|---|---|---|---|")
        for chosen, found in zip(evaluation["chosen"]["answers"], evaluation["findings"], strict=True):
            given = np.array([case["probability"] for case in found["cases"]])
            real = np.array([case["positive"] for case in found["cases"]], dtype=np.bool_)
            called = confusion(given, real, chosen["present"]).true_positive
            spared = int(np.count_nonzero((given < chosen["absent"]) & ~real))
            open_ = int(np.count_nonzero((given >= chosen["absent"]) & (given < chosen["present"])))
            name = chosen["finding"].replace("|", "\\|")
            lines.append(
                f"| {name} | {chosen['absent']:.3f} | {chosen['present']:.3f} | {called} of {int(real.sum())} "
                f"| {spared} of {int((~real).sum())} | {open_} |"
            )
        said = "\n".join(lines) + f"\n\nTemperature {evaluation['chosen']['temperature']:.3f}; it and the limits by the validation cases.\n"
        return (
            said
            + "".join(_alike(one) for one in evaluation.get("subgroups", []))
            + left_out_lines(evaluation)
            + explained_lines(evaluation)
        )


def _alike(one: Mapping[str, Any]) -> str:
    """The ranking of a group, as a line."""
    areas = {name: figure for name, figure in one["figures"].items() if name.startswith("AUC ")}
    told = []
    for name, figure in areas.items():
        ends = "" if figure["interval"] is None else f" ({figure['interval'][0]:.3f} to {figure['interval'][1]:.3f})"
        told.append(f"{name} {'–' if figure['mean'] is None else format(figure['mean'], '.3f')}{ends}")
    return f"\n{one['attribute']}: {one['group']}, {one['cases']} cases: {', '.join(told)}\n"


def baseline(recipe: Answerer, training: Sequence[Case]) -> Logistic:
    """What a network has to beat: a logistic model over brightness and texture of what it is shown."""
    seen = np.stack([features(recipe.example(case.load()).image) for case in training])
    return logistic(seen, labels_of(training), recipe.exclusive)


def middle(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A single image as it is, of a volume (Z, Y, X) the slice in its middle."""
    return values if values.ndim == 2 else values[len(values) // 2]


def labels_of(cases: Sequence[Case]) -> Labels:
    """(N, K), as the table has them: no image is read for it."""
    return np.array([case.labels for case in cases], dtype=np.bool_)


def log_scores(probable: Probabilities, labels: Labels, exclusive: bool) -> NDArray[np.float64]:
    """The logarithm of the probability that each case's labels were given, (N,): 0 is best; of findings, their mean."""
    sure = np.clip(probable, _SURE, 1 - _SURE)
    each = np.log(np.where(labels, sure, 1 - sure))
    found: NDArray[np.float64] = np.where(labels, each, 0).sum(axis=1) if exclusive else each.mean(axis=1)
    return found


def best_temperature(logits: Probabilities, labels: Labels, exclusive: bool) -> float:
    """The temperature with the best log score over labels that are drawn in from 0 and 1, as Platt (1999) has it: where a few cases are
    all told apart, they do not end at certainty."""
    count, channels = labels.shape
    if exclusive:
        wanted = (labels + 1 / count) / (1 + channels / count)
    else:
        positive = labels.sum(axis=0)
        wanted = np.where(labels, (positive + 1) / (positive + 2), 1 / (count - positive + 2))

    def loss(power: float) -> float:
        scores = logits / math.exp(power)
        found = log_softmax(scores, axis=1) if exclusive else log_expit(scores)
        other = np.zeros_like(found) if exclusive else log_expit(-scores)
        return -float((wanted * found + (0 if exclusive else 1 - wanted) * other).sum())

    return float(math.exp(minimize_scalar(loss, bounds=tuple(map(math.log, _TEMPERATURES)), method="bounded").x))


def _limited(answer: AnswerChannel, probable: Probabilities, known: Labels) -> AnswerChannel:
    chosen = band(probable, known, missed=MISSED, alarmed=ALARMED)
    return replace(answer, absent=float(chosen.low), present=float(min(chosen.high, 1.0)))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _interval(ends: tuple[float, float]) -> list[float] | None:
    return list(ends) if all(map(math.isfinite, ends)) else None
