"""Detection: recipes whose applications find nodules in a CT; judged by FROC, sizes and densities beside a tuned classical detector."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.candidates import Candidate, Detected
from inference.applications.port import Infer, ModelRef, Tensors
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Call
from inference.engines.repository import Repository
from inference.findings import Findings
from inference.imaging.volume import Volume
from training.checkpoint import save_json
from training.data.cases import Case, Split
from training.data.planted_nodules import Nodule
from training.data.thoraxes import Thorax
from training.evaluation.detection import Place, Scan, matched, sensitivities
from training.evaluation.detector import detector_parts
from training.evaluation.figures import Kind
from training.evaluation.gallery import marked
from training.evaluation.nodules import Judged, pictures, scored, told_of
from training.evaluation.page import write_page
from training.evaluation.record import EVALUATION, FORMAT, record
from training.export import pack, packed_ref
from training.fit import fit, refuse_other_sides, seed_of, trained
from training.infer import EngineInfer, NetworkInfer, naming
from training.progress import Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Classical:
    """A detector that has not learned but was tuned, and as what."""

    name: str
    setting: str
    find: Callable[[Volume], Sequence[tuple[Place, float]]]


KINDS = {
    "long diameter error": Kind(unit="mm", better="near 0", digits=2, says="found longest diameter less the true one, mean of a case"),
    "short diameter error": Kind(unit="mm", better="near 0", digits=2, says="the same of the widest diameter across it"),
    "false positives as told": Kind(unit="", better="less", digits=2, says="what is told of a case and is none"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector(Recipe):
    """A recipe whose cases are `Thorax`: CTs with nodules of known place, size and density.

    Attributes
    ----------
    detect
        By the application's code: all candidates, also those that it does not report.
    classical
        What a network has to beat: made of the training cases, it says (place, certainty) of each candidate in a volume.
    """

    task = "detection"

    detect: Callable[[Volume, Infer], Detected]
    classical: Callable[[Sequence[Case]], Classical]

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        return fit(self, sides, run, schedule, ranks, progress)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        """The mean sensitivity at the rates of FROC, over all validation cases at once."""
        return float(np.mean(sensitivities(list(self._scans(network, cases)))))

    def _scans(self, network: Any, cases: Sequence[Case]) -> Iterator[Scan]:
        network.eval()
        for case in cases:
            loaded = thorax(case)
            with naming(case):
                candidates = self.detect(loaded.volume, NetworkInfer(network)).candidates
            yield scan(case, candidates, loaded.nodules)

    def seed_of(self, run: Path) -> int | None:
        return seed_of(run)

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Tune the classical detector, pack the run's best network, score both on the held-out cases.

        Raises
        ------
        BrokenRun
            Nothing was trained yet.
        OtherRun
            The run held out other cases.
        UnfitSetting
        """
        options.refuse_other_models(self)
        _, state = trained(self, run)
        refuse_other_sides(state, sides, run)
        repository = pack(self, run)
        classical = self.classical(sides.train)
        judged = []
        with closing(EmbeddedEngine(repository)) as engine:
            for case in sides.test:
                loaded = thorax(case)
                with naming(case):
                    candidates, findings = answers(self, loaded, repository, EngineInfer(engine))
                there = [(nodule.centre_mm, nodule.long_mm) for nodule in loaded.nodules]
                judged.append(
                    Judged(
                        case=case,
                        loaded=loaded,
                        candidates=candidates,
                        findings=findings,
                        network=scan(case, candidates, loaded.nodules),
                        classical=matched(case.patient, classical.find(loaded.volume), there),
                    )
                )
                step(case.name, len(sides.test))
        identity = {
            "format": FORMAT,
            "recipe": self.name,
            "sha256": Repository(repository).digest(packed_ref(self)),
            "run": state["identity"],
        }
        evaluation = record(self, sides, identity, classical.name, scored(judged), {})
        evaluation["detection"] = told = told_of(judged)
        told["setting"] = classical.setting
        # over all nodules alike, as FROC is; the mean of the cases' shares is nearly the same
        evaluation["figures"][self.watched] |= {
            "mean": told["froc"]["all"]["mean"],
            "interval": told["froc"]["all"]["interval"],
            "baseline": told["compared"]["all"]["classical"]["mean"],
        }
        evaluation["card_sha256"] = write_page(run, evaluation, detector_parts(told, classical.name, marked(list(pictures(judged)))))
        save_json(run / EVALUATION, evaluation)
        return evaluation

    def kinds(self) -> Mapping[str, Kind]:
        return KINDS

    def table(self, evaluation: Mapping[str, Any]) -> str:
        return detected_table(evaluation)


def thorax(case: Case) -> Thorax:
    """The case, read."""
    loaded = case.load()
    assert isinstance(loaded, Thorax), "a detector's cases are"
    return loaded


def scan(case: Case, candidates: Sequence[Candidate], nodules: Sequence[Nodule]) -> Scan:
    """Candidates against nodules."""
    found = [(each.centre_mm, each.certainty) for each in candidates]
    return matched(case.patient, found, [(nodule.centre_mm, nodule.long_mm) for nodule in nodules])


def answers(recipe: Detector, loaded: Thorax, repository: Path, infer: Infer) -> tuple[tuple[Candidate, ...], Findings]:
    """All candidates of a case, and what the application says of it, with the model that `repository` serves."""
    application = as_served(recipe.application, repository)
    (model,) = application.models
    heard = _Remembering(infer, model)
    candidates = recipe.detect(loaded.volume, heard).candidates
    return candidates, application.analyse(loaded.volume, heard)


class _Remembering:
    """An `Infer` that asks the engine once for the same tensors: candidates and findings are of one and the same answer."""

    def __init__(self, infer: Infer, served: ModelRef) -> None:
        self._infer, self._served = infer, served
        self._answers: dict[bytes, Mapping[str, NDArray[Any]]] = {}

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        key = hashlib.sha256(b"".join(name.encode() + np.ascontiguousarray(each).tobytes() for name, each in tensors.items())).digest()
        if key not in self._answers:
            self._answers[key] = self._infer(self._served, tensors)
        return self._answers[key]

    def at_once(self, model: ModelRef) -> int:
        return self._infer.at_once(self._served)

    def call_of(self, model: ModelRef) -> Call | None:
        return self._infer.call_of(self._served)


def detected_table(evaluation: Mapping[str, Any]) -> str:
    """Network beside the classical detector at each rate of false positives, by kind of CT; classes of nodules; sizes, densities."""
    told = evaluation["detection"]
    tables = (_froc(evaluation["baseline"], told), _classes(told), _differences(told), _densities(told), [_said(told)])
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n"


def _froc(baseline: str, told: Mapping[str, Any]) -> Iterator[str]:
    yield f"| CTs | false positives a CT | network | 95 % interval | {baseline} | 95 % interval | network ahead by | 95 % interval |"
    yield "|---" * 8 + "|"
    for kind, both in told["compared"].items():
        own, other, apart = (both[name] for name in ("network", "classical", "difference"))
        # resamples of one patient are all alike
        several = own["patients"] > 1
        for one, two, three in zip(own["points"], other["points"], apart["points"], strict=True):
            values = (one["sensitivity"], two["sensitivity"], three["difference"])
            yield _row(kind, f"{one['rate']:g}", values, [each["interval"] if several else None for each in (one, two, three)])
        three_in_all = (own, other, apart)
        yield _row(kind, "mean", [each["mean"] for each in three_in_all], [each["interval"] if several else None for each in three_in_all])


def _row(kind: str, rate: str, values: Sequence[float], intervals: Sequence[Sequence[float] | None]) -> str:
    own, other, apart = values
    said = (f"{own:.3f}", f"{other:.3f}", f"{apart:+.3f}")
    ranges = [
        "–" if each is None else f"{each[0]:{sign}.3f} to {each[1]:{sign}.3f}" for each, sign in zip(intervals, ("", "", "+"), strict=True)
    ]
    return f"| {kind} | {rate} | " + " | ".join(f"{value} | {around}" for value, around in zip(said, ranges, strict=True)) + " |"


def _classes(told: Mapping[str, Any]) -> Iterator[str]:
    yield "| nodules | number | FROC mean | 95 % interval |"
    yield "|---|---|---|---|"
    for name, each in told["froc"].items():
        if each["things"]:
            low, high = each["interval"]
            around = f"{low:.3f} to {high:.3f}" if each["patients"] > 1 else "–"
            yield f"| {name} | {each['things']} | {each['mean']:.3f} | {around} |"


def _differences(told: Mapping[str, Any]) -> Iterator[str]:
    yield "| found less true | mean | 95 % limits of agreement | nodules |"
    yield "|---|---|---|---|"
    for name, each in told["differences"].items():
        if each["mean"] is None:
            yield f"| {name} | – | – | {each['count']} |"
            continue
        low, high = each["limits"]
        yield f"| {name}, {each['unit']} | {each['mean']:+.2f} | {low:+.2f} to {high:+.2f} | {each['count']} |"


def _densities(told: Mapping[str, Any]) -> Iterator[str]:
    columns = list(next(iter(told["densities"].values())))
    yield f"| planted | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for name, counts in told["densities"].items():
        yield f"| {name} | {' | '.join(str(counts[column]) for column in columns)} |"


def _said(told: Mapping[str, Any]) -> str:
    said = told["told"]
    return (
        f"Told from certainty {told['reported from']:g} on: {100 * said['sensitivity']:.0f} % of {said['nodules']} nodules with "
        f"{said['false positives a scan']:.2f} false positives a CT; diameters, volumes and densities are of these. "
        f"All nodules are planted: no real one was seen. The baseline: {told['setting']}."
    )
