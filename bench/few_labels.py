"""`python -m bench.few_labels hippocampus|chest DATA`: what pre-training without labels is worth at 1, 5 and 20 % of the labels.

DATA is hippocampus crops as the Decathlon lays them out, or a folder of children's chest radiographs (train.zip and train.csv, of Kermany
and others 2018). Three seeds; the same held-out patients, the same number of steps and the same labelled patients for every arm of a seed.
Each training is kept in OUT and not run again; the table is printed, and written to OUT/few-labels.json.
"""

import argparse
import csv
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.rows import say
from training import recipes
from training.checkpoint import save_json
from training.data.cases import Case, Split
from training.evaluation.bootstrap import over_patients
from training.evaluation.classification import auc
from training.fit import fit, trained
from training.infer import NetworkInfer
from training.planning import Asked
from training.pretraining.beginning import PRETRAINED, Beginning, begun, begun_with
from training.pretraining.pretexts import By
from training.progress import Silent
from training.ranks import Ranks
from training.recipe import Recipe, Schedule
from training.recipes.hippocampus import network as hippocampus_network
from training.tasks.answers import Answerer
from training.tasks.segmentation import Segmenter

SEEDS = (0, 1, 2)
SHARES = (0.01, 0.05, 0.2)
SCRATCH = "from scratch"
ARMS = (SCRATCH, *By)
DRAWN = 120
"""Of the validation cases, at most: what chooses a checkpoint may not cost more than the training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A set and how it is learned from: `steps` in each of `epochs`, whatever the share of the labels."""

    recipe: Recipe
    sides: Split
    figure: str
    of_cases: Callable[[Recipe, Any, Sequence[Case]], NDArray[np.float64]]
    together: Callable[[NDArray[np.float64], NDArray[np.bool_]], float]
    steps: int
    epochs: int
    pretrain_epochs: int


def few(cases: Sequence[Case], share: float, seed: int) -> tuple[Case, ...]:
    """All cases of a share of the patients, those of every stratum alike; one of each at the least. A larger share holds the smaller."""

    def drawn(patient: str) -> bytes:
        return hashlib.sha256(f"{seed} few {patient}".encode()).digest()

    chosen = set[str]()
    for stratum in {case.stratum for case in cases}:
        patients = sorted({case.patient for case in cases if case.stratum == stratum}, key=drawn)
        chosen |= set(patients[: max(1, round(share * len(patients)))])
    return tuple(case for case in cases if case.patient in chosen)


def hippocampus(data: Path, out: Path) -> Bench:
    """Crops of 48 × 64 × 48, and a U-Net whose first step halves the sides."""
    from training.recipes.hippocampus import RECIPE

    recipe = replace(
        RECIPE,
        network=partial(hippocampus_network, (8, 16, 32, 64), (2, 2, 2)),
        schedule=Schedule(epochs=4, batch=2, learning_rate=3e-3, patience=4),
    )
    return Bench(
        recipe=recipe,
        sides=_remembered(recipe.sides(data, 0)),
        figure="Dice hippocampus",
        of_cases=_dice,
        together=lambda values, _: float(np.nanmean(values)),
        steps=40,
        epochs=4,
        pretrain_epochs=6,
    )


def chest(data: Path, out: Path) -> Bench:
    """Every second person's radiographs at 64 × 64, recipe classification."""
    folder = out / "radiographs"
    table = folder / "table.csv"
    if not table.is_file():
        with zipfile.ZipFile(data / "train.zip") as archive:
            archive.extractall(folder)
        with (data / "train.csv").open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        half = [row for row in rows if hashlib.sha256(row["patient"].encode()).digest()[0] % 2 == 0]
        with table.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines)
            writer.writerow(["file", "patient", "pneumonia"])
            writer.writerows([row["file"], row["patient"], int(row["class"] != "normal")] for row in half)
    asked = Asked(name="pneumonia", labels=(str(table),), target=("pneumonia",), window=(1, 64, 64), modality="DX")
    recipe = recipes.begun("classification", folder, out / "plan", 0, asked, say)
    return Bench(
        recipe=replace(recipe, schedule=replace(recipe.schedule, batch=16, learning_rate=1e-3)),
        sides=_remembered(recipe.sides(folder, 0)),
        figure="AUC pneumonia",
        of_cases=_logits,
        together=auc,
        steps=30,
        epochs=5,
        pretrain_epochs=6,
    )


BENCHES: Mapping[str, Callable[[Path, Path], Bench]] = {"hippocampus": hippocampus, "chest": chest}


def _dice(recipe: Recipe, network: Any, cases: Sequence[Case]) -> NDArray[np.float64]:
    assert isinstance(recipe, Segmenter)
    network.eval()
    found = [
        recipe.score(recipe.application.analyse(labelled.subject, NetworkInfer(network)), labelled)[recipe.watched]
        for labelled in (case.load() for case in cases)
    ]
    return np.array(found)


def _logits(recipe: Recipe, network: Any, cases: Sequence[Case]) -> NDArray[np.float64]:
    assert isinstance(recipe, Answerer)
    return recipe.logits(network, cases)[:, -1]


def _remembered(sides: Split) -> Split:
    """Each case is read once, whatever is trained of it."""
    kept: dict[str, Any] = {}

    def load(case: Case) -> Any:
        if case.name not in kept:
            kept[case.name] = case.load()
        return kept[case.name]

    def of(cases: Sequence[Case]) -> tuple[Case, ...]:
        return tuple(replace(case, load=partial(load, case)) for case in cases)

    return Split(train=of(sides.train), validation=of(sides.validation[:DRAWN]), test=of(sides.test))


def trained_cell(bench: Bench, arm: str, share: float, seed: int, out: Path) -> list[float]:
    """What a network says of each held-out case, trained or read."""
    cell = out / f"{arm} {share:g} {seed}"
    kept = cell / "scores.json"
    if kept.is_file():
        scores: list[float] = json.loads(kept.read_text(encoding="utf-8"))
        return scores
    labelled = few(bench.sides.train, share, seed)
    sides = replace(bench.sides, train=labelled)
    recipe = bench.recipe
    if arm != SCRATCH:
        before = out / f"{arm} {seed}"
        if not (before / PRETRAINED).is_file():
            say(f"pre-training {arm} {seed}")
            asked = Beginning(by=By(arm), epochs=bench.pretrain_epochs)
            begun(recipe, bench.sides, before, asked, replace(recipe.schedule, seed=seed), Ranks(), Silent(), say)
        recipe = begun_with(recipe, before / PRETRAINED, bench.sides, say)
    schedule = replace(recipe.schedule, epochs=bench.epochs, patience=bench.epochs, seed=seed)
    draws = max(1, round(bench.steps * schedule.batch / len(labelled)))
    recipe = replace(recipe, draws=draws)
    outcome = fit(recipe, sides, cell, schedule, Ranks(), Silent())
    network, _ = trained(recipe, cell)
    found = bench.of_cases(recipe, network, bench.sides.test)
    say(f"{arm} {share:g} seed {seed}: {len(labelled)} cases, best epoch {outcome.best_epoch + 1}, validation {outcome.best:.4f}")
    save_json(kept, found.tolist())
    return [float(one) for one in found]


def table(bench: Bench, out: Path) -> dict[str, Any]:
    """All cells; of each arm the mean over seeds, and by how much it is ahead of training from scratch, by patient."""
    patients = [case.patient for case in bench.sides.test]
    truth = np.array([case.labels[-1] > 0 if case.labels else False for case in bench.sides.test])
    rows = []
    # a seed after the other, so that a run that was ended has something of each arm
    cells = {(arm, share, seed): np.array(trained_cell(bench, arm, share, seed, out)) for seed in SEEDS for share in SHARES for arm in ARMS}
    for share in SHARES:
        for arm in ARMS:
            of_seeds = [bench.together(cells[arm, share, seed], truth) for seed in SEEDS]

            def ahead(drawn: NDArray[np.intp], arm: str = arm, share: float = share) -> float:
                both = [np.mean([bench.together(cells[one, share, seed][drawn], truth[drawn]) for seed in SEEDS]) for one in (arm, SCRATCH)]
                return float(both[0] - both[1])

            rows.append(
                {
                    "share": share,
                    "arm": arm,
                    "cases": [len(few(bench.sides.train, share, seed)) for seed in SEEDS],
                    "figure": float(np.mean(of_seeds)),
                    "seeds": of_seeds,
                    "ahead": None if arm == SCRATCH else [ahead(np.arange(len(patients))), *over_patients(ahead, patients)],
                }
            )
    return {"figure": bench.figure, "test": len(patients), "patients": len(set(patients)), "rows": rows}


def lines(found: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    columns = ("labels", "training cases", "first weights", f"{found['figure']}, mean", "by seed", "ahead of scratch (95 %)")
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    told = []
    for row in found["rows"]:
        by_seed = ", ".join(f"{one:.3f}" for one in row["seeds"])
        ahead = "–" if row["ahead"] is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row["ahead"])
        cases = "–".join(dict.fromkeys(str(one) for one in (min(row["cases"]), max(row["cases"]))))
        told.append(f"| {row['share']:.0%} | {cases} | {row['arm']} | {row['figure']:.3f} | {by_seed} | {ahead} |")
    return head + "\n".join(told) + "\n"


def main() -> None:
    """Run what was not run yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.few_labels")
    parser.add_argument("set", choices=sorted(BENCHES))
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("var/few-labels"))
    given = parser.parse_args()
    out = given.out / given.set
    out.mkdir(parents=True, exist_ok=True)
    bench = BENCHES[given.set](given.data, out)
    found = table(bench, out)
    save_json(out / "few-labels.json", found)
    print(lines(found))


if __name__ == "__main__":
    main()
