"""A site's part of a federated training, started by nvflare's client: `python -m training.federated.site`.

It plans from its own cases, takes the agreed plan, trains rounds by the loop that every training is run by (`training.fit`), and ends with
a run's folder as any other, whose best.pt is the network that all sites have learned. What it sends are weights, counts and figures.
"""

import contextlib
import hashlib
import inspect
import json
import logging
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nvflare.client as flare
import torch
from nvflare.app_common.abstract.fl_model import FLModel

from inference.errors import HilumError
from training import recipes
from training.checkpoint import load, save
from training.compute import Device, Precision, chosen
from training.data.cases import Split
from training.errors import UnfitSetting
from training.federated.asked import REFUSED, Federated, Site, of_text, site
from training.federated.plans import shared, take
from training.federated.private import PrivateTraining, private_training, refuse_layers
from training.federated.words import HELD, SAID, Step
from training.fit import BEST, LAST, identity
from training.planning import Asked
from training.progress import Silent
from training.ranks import Ranks, Turn
from training.recipe import Recipe, Schedule
from training.tasks.answers import Answerer
from training.tasks.regression import Estimator
from training.tasks.segmentation import Segmenter

ROUNDS = "rounds"
"""The folder of the checkpoints between rounds, in the run's folder."""
_LOG = logging.getLogger("hilum.federated")


class LocalTraining:
    """A recipe at one site, as far as a federation has come.

    Parameters
    ----------
    here
        What the site says of itself.
    """

    def __init__(self, name: str, here: Site, federated: Federated) -> None:
        self._name, self._here, self._federated = name, here, federated
        self.run = here.runs / federated.run
        self._compute = chosen(Device(here.device), Precision(federated.precision), 1)
        self._recipe, self._sides = self._begun()
        self._agreed = False

    def planned(self) -> dict[str, Any]:
        """What the server is told before anything is learned."""
        recipe, private = self._recipe, self._private()
        told: dict[str, Any] = {"plan": shared(self.run), **self._counts(), "watched": recipe.watched, "recipe": recipe.name}
        if private is not None:
            told |= {"epsilon": private.spent(), "delta": private.privacy.delta}
        return told

    def trained(self, held: Mapping[str, Any], round_: int, weights: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """One round: what the average before it is worth here, then local epochs; the answer, and the weights."""
        self._take(held)
        schedule, epochs = self._schedule(), self._federated.local_epochs
        given = _tensors(weights) if weights else None
        told = self.judged(weights) | self._counts()
        if round_ == 0:
            told["first"] = _digest(self._network(given).state_dict())
        recipe = replace(self._recipe, begins=_begins(held, self._federated))
        turn = Turn(begins=round_ * epochs, ends=(round_ + 1) * epochs, weights=given, private=self._private())
        recipe.fit(self._sides, self.run / ROUNDS, schedule, Ranks(compute=self._compute, turn=turn), Silent())
        state = load(self.run / ROUNDS / LAST)
        assert state is not None, "just written"
        return told, {name: values.cpu().numpy() for name, values in state["network"].items()}

    def judged(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """How good weights are on this site's validation cases."""
        network = self._network(_tensors(weights) if weights else None)
        return {"figure": float(self._recipe.validation(network.to(self._compute.device), self._sides.validation))}

    def ended(self, held: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the network that all have learned as the run's best."""
        self._take(held)
        recipe = replace(self._recipe, begins=_begins(held, self._federated, last=True))
        schedule, best = self._schedule(), held["best"]
        state = {
            "identity": identity(recipe, self._sides, schedule, Ranks(compute=self._compute)),
            "epoch": held["rounds"] * self._federated.local_epochs,
            "best": best["figure"],
            "best_epoch": max(0, best["after_rounds"] * self._federated.local_epochs - 1),
            "network": self._network(_tensors(weights)).state_dict(),
        }
        save(self.run / BEST, state)
        return {}

    def _begun(self) -> tuple[Recipe, Split]:
        federated, asked = self._federated, _with_table(self._federated.asked, self._here)
        recipe = recipes.begun(federated.recipe, self._here.data, self.run, federated.seed, asked, _LOG.info)
        if not isinstance(recipe, Segmenter | Answerer | Estimator) or recipe.averaged:
            raise UnfitSetting(
                f'recipe "{recipe.name}" trains several networks, or serves an average of its own: recipes of structures, and '
                "classification and regression from a table, are trained over several sites"
            )
        return recipe, recipe.sides(self._here.data, federated.seed)

    def _take(self, held: Mapping[str, Any]) -> None:
        """Go over to what was agreed."""
        if not self._agreed:
            take(self.run, held["plan"])
            self._recipe, self._sides = self._begun()
            self._agreed = True

    def _private(self) -> PrivateTraining | None:
        privacy = self._federated.privacy
        if privacy is None:
            return None
        if not isinstance(self._recipe, Answerer):
            raise UnfitSetting(f'--epsilon: recipe "{self._recipe.name}" is of {self._recipe.task}: recipe classification can be private')
        schedule = self._schedule()
        refuse_layers(self._network(None))
        return private_training(privacy, len(self._sides.train), self._recipe.draws, schedule.batch, schedule.epochs)

    def _schedule(self) -> Schedule:
        federated, own = self._federated, self._recipe.schedule
        epochs = federated.rounds * federated.local_epochs
        return Schedule(
            epochs=epochs,
            batch=federated.batch or own.batch,
            learning_rate=federated.learning_rate or own.learning_rate,
            patience=epochs,
            seed=federated.seed,
        )

    def _counts(self) -> dict[str, int]:
        return {"cases": len(self._sides.train), "validation": len(self._sides.validation), "test": len(self._sides.test)}

    def _network(self, weights: Mapping[str, torch.Tensor] | None) -> Any:
        # as the loop draws them
        torch.manual_seed(self._federated.seed)
        network = self._recipe.network()
        if weights is not None:
            network.load_state_dict(weights)
        return network


def answer(name: str, here: Site, local: LocalTraining | None, message: FLModel) -> tuple[LocalTraining | None, FLModel]:
    """What a site answers; a refusal is an answer, too, or nobody but its own log would know that it ended. Which error it was is sent; its
    sentence, which may name cases and files, is kept at the site."""
    held, step = json.loads(message.meta[HELD]), Step(message.meta[SAID])
    told: dict[str, Any]
    weights: dict[str, Any] = {}
    try:
        if local is None:
            local = LocalTraining(name, here, of_text(held["asked"]))
        if step is Step.PLAN:
            told = local.planned()
        elif step is Step.TRAIN:
            told, weights = local.trained(held, message.current_round, message.params)
        elif step is Step.JUDGE:
            told = local.judged(message.params)
        else:
            told = local.ended(held, message.params)
    except HilumError as refused:
        means = " ".join((inspect.getdoc(type(refused)) or "").partition("\n\n")[0].split())
        told = {"refused": f"{means} [{refused.code}]", "code": refused.code}
        _kept_here(here, f"{refused} [{refused.code}]")
    except Exception as defect:  # noqa: BLE001  (whatever it is, the other sites wait, and somebody there has to hear that this one ended)
        told = {"refused": f"ended with {type(defect).__name__}"}
        # in no log: a startup kit of nvflare sends errors in it to the server, where nobody forbade that
        _kept_here(here, traceback.format_exc())
    return local, FLModel(params=weights, meta={SAID: json.dumps(told)})


def _with_table(asked: Asked, here: Site) -> Asked:
    """What is asked for with the site's table: the one that the site names, or the one of the job's name in the site's folder.

    Raises
    ------
    UnfitSetting
        The job names a file that lies elsewhere.
    """
    if here.labels is not None:
        return replace(asked, labels=(here.labels,))
    labels = tuple(str(here.data / one) if (here.data / one).is_file() else one for one in asked.labels)
    if any(Path(one).exists() and not Path(one).resolve().is_relative_to(here.data.resolve()) for one in labels):
        raise UnfitSetting("a job names a table that lies in the site's folder of data; of another the site says it in its own file")
    return replace(asked, labels=labels)


def _kept_here(here: Site, why: str) -> None:
    # a full disk may be why: then the number of the error, which is sent, has to do
    with contextlib.suppress(OSError):
        here.runs.mkdir(parents=True, exist_ok=True)
        (here.runs / REFUSED).write_text(f"{why}\n", encoding="utf-8")


def _begins(held: Mapping[str, Any], federated: Federated, *, last: bool = False) -> str:
    """What a federated run is, as part of its identity and so of its card."""
    cases = ", ".join(f"{name} {one['cases']}" for name, one in sorted(held["sites"].items()))
    said = (
        f"federated over {len(held['sites'])} sites ({cases} training cases), {federated.rounds} rounds of {federated.local_epochs} epochs"
    )
    if last:
        said += f", taken after round {held['best']['after_rounds']}"
    if federated.privacy is not None:
        spent = max(one["epsilon"] for one in held["sites"].values())
        said += f", steps differentially private by case at every site (ε {spent:.2f} for δ {federated.privacy.delta:g})"
    return said


def _tensors(weights: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values) for name, values in weights.items()}


def _digest(weights: Mapping[str, torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(values.contiguous().numpy().tobytes() for values in weights.values())).hexdigest()[:16]


def main() -> None:
    """Answer until the server has no more to ask."""
    flare.init()
    local: LocalTraining | None = None
    while flare.is_running():
        message = flare.receive()
        if message is None:
            break
        name = flare.get_site_name()
        try:
            here = site(name)
        except UnfitSetting as refused:
            flare.send(FLModel(params={}, meta={SAID: json.dumps({"refused": str(refused), "code": refused.code})}))
            continue
        local, answered = answer(name, here, local, message)
        flare.send(answered)
    with contextlib.suppress(RuntimeError):
        flare.shutdown()


if __name__ == "__main__":
    main()
