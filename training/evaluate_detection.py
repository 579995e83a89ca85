"""How well a detector's run does beside a tuned classical one: FROC, sizes, densities; by the application's own code as it is served."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.candidates import Candidate
from inference.applications.port import Infer, ModelRef, Tensors
from inference.applications.serving import as_served
from inference.engines.embedded import EmbeddedEngine
from inference.engines.port import Call
from inference.engines.repository import Repository
from inference.findings import Findings
from training.checkpoint import save_json
from training.data.split import Split
from training.data.thoraxes import Thorax
from training.detection import Detector, scan, thorax
from training.evaluation.detection import matched
from training.evaluation.gallery import marked
from training.evaluation.page import write_page
from training.evaluation.record import EVALUATION, FORMAT, record
from training.export import pack, packed_ref
from training.fit import refuse_other_sides, trained
from training.inferring import OfEngine
from training.judged import Judged, pictures, scored, told_of
from training.progress import Step, silent


def evaluate_detection(recipe: Detector, sides: Split, run: Path, *, step: Step = silent) -> dict[str, Any]:
    """Tune the classical detector, pack the run's best network, score both on the held-out cases; evaluation.json and card.html are kept.

    Raises
    ------
    BrokenRun
        Nothing was trained yet.
    OtherRun
        The run held out other cases.
    """
    _, state = trained(recipe, run)
    refuse_other_sides(state, sides, run)
    repository = pack(recipe, run)
    classical = recipe.classical(sides.train)
    judged = []
    with closing(EmbeddedEngine(repository)) as engine:
        for case in sides.test:
            loaded = thorax(case)
            candidates, findings = answers(recipe, loaded, repository, OfEngine(engine))
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
        "recipe": recipe.name,
        "sha256": Repository(repository).digest(packed_ref(recipe)),
        "run": state["identity"],
    }
    evaluation = record(recipe, sides, identity, classical.name, scored(judged), {})
    evaluation["detection"] = told = told_of(judged)
    told["setting"] = classical.setting
    # over all nodules alike, as FROC is; the mean of the cases' shares is nearly the same
    evaluation["figures"][recipe.watched] |= {
        "mean": told["froc"]["all"]["mean"],
        "interval": told["froc"]["all"]["interval"],
        "baseline": told["compared"]["all"]["classical"]["mean"],
    }
    evaluation["card_sha256"] = write_page(run, evaluation, marked(list(pictures(judged))))
    save_json(run / EVALUATION, evaluation)
    return evaluation


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
        self._answers: dict[bytes, dict[str, NDArray[Any]]] = {}

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        key = hashlib.sha256(b"".join(name.encode() + np.ascontiguousarray(each).tobytes() for name, each in tensors.items())).digest()
        if key not in self._answers:
            self._answers[key] = self._infer(self._served, tensors)
        return self._answers[key]

    def at_once(self, model: ModelRef) -> int:
        return self._infer.at_once(self._served)

    def call_of(self, model: ModelRef) -> Call | None:
        return self._infer.call_of(self._served)
