"""The server's part of a federated training: agrees the plan, has nvflare average the weights, keeps the best, hands it to every site.

It needs no torch and no data: weights are arrays by name, and all that is computed of cases is computed where they lie.
"""

import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.fedavg import FedAvg

from training.checkpoint import replace, save_json
from training.errors import OtherPlan, SiteFailed, TrainingError
from training.federated.agreement import SitePlan, agreed
from training.federated.words import CASES, HELD, SAID, Step

HISTORY, GLOBAL = "federated.json", "global.npz"
"""What was agreed, and of every round the figure at each site; the weights to go on with and the best: both in the server's folder."""
_POLL_S = 0.1


def wrong_with(said: Mapping[str, Any], weights: Mapping[str, Any], firsts: Collection[str]) -> str | None:
    """What is wrong with a site's answer to a round, as the end of a sentence; None where nothing is.

    Parameters
    ----------
    said, weights
        The answer, and arrays by name.
    firsts
        Digests of the weights that other sites began with.
    """
    if refused := said.get("refused"):
        return str(refused)
    broken = [name for name, values in weights.items() if not np.isfinite(values).all()]
    if broken:
        return f"sent weights that are no finite numbers ({broken[0]})"
    if firsts and said.get("first", next(iter(firsts))) not in firsts:
        return "begins with other weights than the other sites: another version of hilum or torch"
    return None


def weighed(figures: Mapping[str, float], cases: Mapping[str, int]) -> float:
    """The mean figure of the sites, each counting by its training cases; a site none of whose validation cases can tell does not count.
    NaN: none can."""
    told = {name: figure for name, figure in figures.items() if math.isfinite(figure)}
    return float(np.average(list(told.values()), weights=[cases[name] for name in told])) if told else math.nan


class Federation(FedAvg):  # type: ignore[misc]  # nvflare tells no types
    """FedAvg of nvflare, each site weighted by its training cases, between an agreement on the plan and a choice of the best round.

    Parameters
    ----------
    asked
        The `Federated` that every site is told, as JSON.
    sites
        How many there have to be; their names are their own.
    kept
        A folder with what an ended run left (`HISTORY`, `GLOBAL`); "" where there is none.
    """

    def __init__(self, asked: str, sites: int, rounds: int, kept: str = "") -> None:
        super().__init__(num_clients=sites, num_rounds=rounds, persistor_id="", save_filename="", task_check_period=_POLL_S)
        self.asked, self.sites, self.rounds, self.kept = asked, sites, rounds, kept
        self._history: dict[str, Any] = {"asked": json.loads(asked), "plan": {}, "sites": {}, "rounds": [], "best": None}
        self._best: tuple[float, dict[str, Any]] = (-math.inf, {})
        self._firsts: set[str] = set()
        self._figures: dict[str, float] = {}

    def run(self) -> None:
        try:
            self._federated()
        except TrainingError as refused:
            self.panic(str(refused), refused.code)

    def panic(self, reason: str, code: str = SiteFailed.code) -> None:
        """End all, also what nvflare itself ends as a site is gone; the first sentence is kept where `hilum federate` reads it."""
        if "failed" not in self._history:
            self._history["failed"] = {"code": code, "message": reason}
            self._keep({})
        super().panic(reason)

    def _federated(self) -> None:
        before = self._before()
        told = self._from_all(Step.PLAN, {})
        plans = [SitePlan(site=name, cases=one[SAID]["cases"], plan=one[SAID]["plan"]) for name, one in sorted(told.items())]
        self._history["sites"] = {name: {k: v for k, v in one[SAID].items() if k != "plan"} for name, one in sorted(told.items())}
        self._history["plan"] = agreed(plans)
        self.start_round = len(self._history["rounds"])
        self.num_rounds = self.rounds - self.start_round
        self.model = FLModel(params=before)
        if self.num_rounds:
            super().run()
        if self.abort_signal.triggered:
            return
        last = self.model.params
        judged = self._from_all(Step.JUDGE, last)
        self._seen(last, self.rounds, {name: one[SAID]["figure"] for name, one in judged.items()})
        if self._history["best"] is None:
            raise SiteFailed("no validation case of any site tells how good the network is: none shows what is learned")
        self._from_all(Step.END, self._best[1])
        self._history["done"] = True
        self._keep(last)

    def _before(self) -> dict[str, Any]:
        """The weights that an ended run had come to; {} of one that begins."""
        if not self.kept or not (Path(self.kept) / GLOBAL).is_file():
            return {}
        said = json.loads((Path(self.kept) / HISTORY).read_text(encoding="utf-8"))
        with np.load(Path(self.kept) / GLOBAL, allow_pickle=False) as arrays:
            by_kind: dict[str, dict[str, Any]] = {"last": {}, "best": {}}
            for name in arrays.files:
                kind, _, weight = name.partition(" ")
                by_kind[kind][weight] = arrays[name]
        self._history["rounds"], self._history["best"] = said["rounds"], said["best"]
        if said["best"]:
            self._best = (said["best"]["figure"], by_kind["best"])
        return by_kind["last"]

    def _from_all(self, step: Step, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What every site answers to a step in which nothing is averaged, by its name.

        Raises
        ------
        SiteFailed
        """
        message = FLModel(params=dict(params), current_round=len(self._history["rounds"]), meta=self._words(step))
        answers: Sequence[FLModel] = self.send_model_and_wait(data=message)
        found = {each.meta["client_name"]: {**each.meta, SAID: json.loads(each.meta[SAID])} for each in answers}
        for name, one in sorted(found.items()):
            if refused := one[SAID].get("refused"):
                raise (OtherPlan if one[SAID].get("code") == OtherPlan.code else SiteFailed)(f"{name}: {refused}")
        if len(found) < self.sites:
            raise SiteFailed(f"{len(found)} of {self.sites} sites answered ({', '.join(sorted(found)) or 'none'}): the others have ended")
        return found

    def _words(self, step: Step) -> dict[str, str]:
        history = self._history
        held = {"plan": history["plan"], "sites": history["sites"], "rounds": self.rounds, "best": history["best"]}
        return {SAID: step.value, HELD: json.dumps({"asked": self.asked, **held})}

    def send_model(self, task_name: str = "train", data: Any = None, **more: Any) -> None:
        """Every round's message says what it is."""
        data.meta = {**(data.meta or {}), **self._words(Step.TRAIN)}
        self._figures = {}
        super().send_model(task_name=task_name, data=data, **more)

    def _aggregate_one_result(self, result: FLModel) -> bool:
        """Look at a site's weights before nvflare adds them to the average; an error here stops all, or the others' mean would go on."""
        name = str(result.meta["client_name"])
        said = json.loads(result.meta[SAID])
        wrong = wrong_with(said, result.params, self._firsts)
        if wrong is not None:
            self.panic(f"{name}: {wrong}")
            return False
        result.meta[CASES] = said["cases"]
        self._figures[name] = said["figure"]
        if "first" in said:
            self._firsts.add(said["first"])
        return bool(super()._aggregate_one_result(result))

    def update_model(self, model: FLModel, aggr_result: FLModel) -> FLModel:
        """Take the average; how good what the round began with was, the sites have just said."""
        if len(self._figures) < self.sites:
            raise SiteFailed(f"only {', '.join(sorted(self._figures)) or 'no site'} ended round {self.current_round + 1}")
        self._seen(model.params, self.current_round, self._figures)
        self.model = super().update_model(model, aggr_result)
        self._history["rounds"].append({"figures": dict(sorted(self._figures.items()))})
        self._keep(self.model.params)
        return self.model

    def _seen(self, params: Mapping[str, Any], after: int, figures: Mapping[str, float]) -> None:
        """Remember the best; what was drawn and has learned nothing is not one."""
        if not params:
            return
        figure = weighed(figures, {name: self._history["sites"][name]["cases"] for name in figures})
        if figure > self._best[0]:
            self._best = (figure, {name: np.array(values) for name, values in params.items()})
            self._history["best"] = {"after_rounds": after, "figure": figure}

    def _keep(self, last: Mapping[str, Any]) -> None:
        """History and weights, each whole whenever somebody is killed; with {} the weights of before stay."""
        folder = Path(os.fspath(self.get_run_dir()))
        if last:
            arrays = {f"last {name}": values for name, values in last.items()}
            arrays |= {f"best {name}": values for name, values in self._best[1].items()}
            replace(folder / GLOBAL, lambda file: np.savez(file, **arrays))
        save_json(folder / HISTORY, self._history)

    def save_model(self, model: FLModel) -> None:
        """Kept already, with the history."""
