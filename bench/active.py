"""`python -m bench.active chest DATA`: which radiographs to label next: by chance, by entropy, or spread over what the network sees.

Set, network, held-out patients and steps are those of `bench.few_labels`. The first labels are the same for every choice of a seed; then
each choice names the patients of the next round, and a network is trained from scratch of all that are labelled by then.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import expit

from bench.few_labels import SEEDS, Bench, chest, few
from bench.rows import say
from training.checkpoint import save_json
from training.data.cases import Case
from training.fit import fit, trained
from training.progress import Silent
from training.ranks import Ranks
from training.tasks.answers import Answerer

SHARES = (0.01, 0.02, 0.04, 0.07, 0.12, 0.2)
"""Of the training patients, labelled after each round."""
RANDOM = "random"


def by_patient(cases: Sequence[Case], values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The mean of the rows of `values` (cases, …) over each patient's cases."""
    patients = np.array([case.patient for case in cases])
    return {str(one): values[patients == one].mean(axis=0) for one in np.unique(patients)}


def random(recipe: Answerer, network: Any, labelled: Sequence[Case], pool: Sequence[Case], count: int, seed: int) -> list[str]:
    """Patients in an order that only the seed gives."""
    return sorted({case.patient for case in pool}, key=lambda one: hashlib.sha256(f"{seed} next {one}".encode()).digest())[:count]


def entropy(recipe: Answerer, network: Any, labelled: Sequence[Case], pool: Sequence[Case], count: int, seed: int) -> list[str]:
    """Those whose answers are nearest to one in two: the entropy of a yes or no."""
    sure = -np.abs(expit(recipe.logits(network, pool)[:, -1]) - 0.5)
    told = by_patient(pool, sure)
    return sorted(told, key=lambda one: (-float(told[one]), one))[:count]


def core_set(recipe: Answerer, network: Any, labelled: Sequence[Case], pool: Sequence[Case], count: int, seed: int) -> list[str]:
    """k-centre greedy (Sener and Savarese 2018): time after time the patient whose features are farthest from all that are labelled."""
    centres = np.stack(list(by_patient(labelled, features(recipe, network, labelled)).values()))
    told = by_patient(pool, features(recipe, network, pool))
    names, rows = list(told), np.stack(list(told.values()))
    nearest = cdist(rows, centres).min(axis=1)
    chosen = []
    for _ in range(min(count, len(names))):
        farthest = int(np.argmax(nearest))
        chosen.append(names[farthest])
        nearest = np.minimum(nearest, np.linalg.norm(rows - rows[farthest], axis=1))
    return chosen


CHOICES: Mapping[str, Callable[[Answerer, Any, Sequence[Case], Sequence[Case], int, int], list[str]]] = {
    RANDOM: random,
    "entropy": entropy,
    "core-set": core_set,
}


def features(recipe: Answerer, network: Any, cases: Sequence[Case]) -> NDArray[np.float64]:
    """What the last layer reads of each case, (cases, features)."""
    kept: list[NDArray[np.float64]] = []

    def keep(module: Any, given: Any, found: torch.Tensor) -> None:
        kept.append(found.flatten(1).cpu().numpy().astype(np.float64))

    hook = network.get_submodule(recipe.pooling).register_forward_hook(keep)
    try:
        recipe.logits(network, cases)
    finally:
        hook.remove()
    return np.concatenate(kept)


def rounds(bench: Bench, choice: str, seed: int, out: Path) -> list[dict[str, float]]:
    """The held-out figure after each round, of how many patients and cases."""
    cases = bench.sides.train
    patients = {case.patient for case in cases}
    truth = np.array([case.labels[-1] > 0 for case in bench.sides.test])
    chosen = {case.patient for case in few(cases, SHARES[0], seed)}
    found = []
    for number, share in enumerate(SHARES):
        # the first round is that of chance, whatever chooses then
        cell = out / "active" / f"{choice if number else RANDOM} {number} {seed}"
        labelled = tuple(case for case in cases if case.patient in chosen)
        recipe = replace(bench.recipe, draws=max(1, round(bench.steps * bench.recipe.schedule.batch / len(labelled))))
        assert isinstance(recipe, Answerer)
        kept = cell / "round.json"
        if not kept.is_file():
            schedule = replace(recipe.schedule, epochs=bench.epochs, patience=bench.epochs, seed=seed)
            fit(recipe, replace(bench.sides, train=labelled), cell, schedule, Ranks(), Silent())
            network, _ = trained(recipe, cell)
            pool = tuple(case for case in cases if case.patient not in chosen)
            wanted = 0 if number + 1 == len(SHARES) else round(SHARES[number + 1] * len(patients)) - len(chosen)
            following = {
                one: choose(recipe, network, labelled, pool, wanted, seed)
                for one, choose in CHOICES.items()
                if number == 0 or one == choice
            }
            figure = bench.together(bench.of_cases(recipe, network, bench.sides.test), truth)
            save_json(kept, {"patients": len(chosen), "cases": len(labelled), "figure": figure, "next": following})
            say(f"{choice} {share:g} seed {seed}: {len(labelled)} cases, {bench.figure} {figure:.4f}")
        told: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        found.append({one: told[one] for one in ("patients", "cases", "figure")})
        chosen |= set(told["next"][choice])
    return found


def reached(of_choice: Sequence[Mapping[str, float]], wanted: float) -> float | None:
    """How many patients were labelled when the figure was first as good; None: never."""
    return next((one["patients"] for one in of_choice if one["figure"] >= wanted), None)


def main() -> None:
    """Run what was not run yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.active")
    parser.add_argument("set", choices=["chest"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("var/few-labels"))
    given = parser.parse_args()
    out = given.out / given.set
    out.mkdir(parents=True, exist_ok=True)
    bench = chest(given.data, out)
    told = {(choice, seed): rounds(bench, choice, seed, out) for seed in SEEDS for choice in CHOICES}
    print("| choice | " + " | ".join(f"{share:.0%}" for share in SHARES) + " | patients at random's last figure, by seed |")
    print("|---" * (len(SHARES) + 2) + "|")
    for choice in CHOICES:
        means = [np.mean([told[choice, seed][at]["figure"] for seed in SEEDS]) for at in range(len(SHARES))]
        when = [reached(told[choice, seed], told[RANDOM, seed][-1]["figure"]) for seed in SEEDS]
        of_seeds = ", ".join("never" if one is None else f"{one:.0f}" for one in when)
        print(f"| {choice} | " + " | ".join(f"{one:.3f}" for one in means) + f" | {of_seeds} |")


if __name__ == "__main__":
    main()
