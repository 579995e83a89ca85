"""How well the arms of a restorer's run do beside the tuned classical filter and the noisy images; the best by validation is served."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Infer
from inference.applications.serving import as_served
from inference.engines.embedded import EmbeddedEngine
from inference.engines.repository import Repository
from training.checkpoint import save_json
from training.data.split import Split
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.evaluation.page import write_page
from training.evaluation.record import EVALUATION, FORMAT, Scored, record
from training.export import packed, packed_ref
from training.fit import refuse_other_sides, trained
from training.inferring import OfEngine, OfNetwork
from training.nonlocal_means import nonlocal_means, tuned
from training.progress import Step, silent
from training.recipe import Case
from training.restoration import Degraded, Restorer, likeness

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


def evaluate_restoration(recipe: Restorer, sides: Split, run: Path, *, step: Step = silent) -> dict[str, Any]:
    """Tune the classical filter, pack the arm that did best on the validation cases, score all on the test cases; evaluation.json is kept.

    The packed arm is scored as it is served, by the application on the engine; the others by the application on their networks.

    Raises
    ------
    BrokenRun
        An arm was not trained yet.
    OtherRun
        An arm was trained on other cases.
    """
    arms = [_arm(recipe, sides, name, run) for name in recipe.arms]
    best = max(arms, key=lambda arm: arm.validation)
    setting, reached = tuned(sides.validation)
    repository = packed(recipe, best.network, run, _answers(best.network, recipe.window))
    slices: dict[str, list[Slices]] = {name: [] for name in (NOISY, CLASSICAL, *recipe.arms)}
    with closing(EmbeddedEngine(repository)) as engine:
        for case in sides.test:
            degraded = _loaded(case)
            slices[NOISY].append(likeness(degraded.volume.voxels, degraded))
            slices[CLASSICAL].append(likeness(nonlocal_means(degraded.volume, setting), degraded))
            for arm in arms:
                infer: Infer = OfEngine(engine) if arm is best else OfNetwork(arm.network)
                slices[arm.name].append(likeness(restored(recipe, degraded, repository if arm is best else None, infer), degraded))
            step(case.name, len(sides.test))
    rows = zip(sides.test, slices[best.name], slices[CLASSICAL], strict=True)
    scored = [Scored(case=case, attributes=_loaded(case).attributes, row=_means(own), without=_means(nlm)) for case, own, nlm in rows]
    identity = {"format": FORMAT, "recipe": recipe.name, "sha256": Repository(repository).digest(packed_ref(recipe)), "run": best.run}
    evaluation = record(recipe, sides, identity, CLASSICAL, scored, {})
    evaluation["restoration"] = {
        "served": best.name,
        "validation PSNR": {**{arm.name: arm.validation for arm in arms}, CLASSICAL: reached},
        "setting": str(setting),
        "levels": list(_by_level(scored, slices)),
    }
    evaluation["card_sha256"] = write_page(run, evaluation)
    save_json(run / EVALUATION, evaluation)
    return evaluation


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
