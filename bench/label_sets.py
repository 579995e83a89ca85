"""Two public sets of which few labels are learned from, how each is learned from, and how a network of it is judged: what
`bench.few_labels` and `bench.active` share.

Hippocampus crops as the Decathlon lays them out, or a folder of children's chest radiographs (train.zip and train.csv, of Kermany and
others 2018). The same held-out patients and the same number of steps, whatever the share of the labels.
"""

import argparse
import csv
import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.rows import say
from training import recipes
from training.checkpoint import save_json
from training.compute import Compute, Device, Precision, chosen
from training.data.cases import Case, Split, split
from training.evaluation.classification import auc
from training.fit import fit, trained
from training.infer import NetworkInfer
from training.planning import Asked
from training.progress import Silent
from training.ranks import Ranks
from training.recipe import Example, Recipe, Schedule
from training.recipes.hippocampus import network as hippocampus_network
from training.tasks.answers import Answerer
from training.tasks.segmentation import Segmenter

SEEDS = 3
DRAWN = 120
"""Of the validation cases, at most: what chooses a checkpoint may not cost more than the training."""
HELD_OUT = "held-out.json"
"""Whose the held-out cases are, and which are positive: by it and the scores of the cells tables are made, without the data."""
_QUICK = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A set and how it is learned from: `steps` in each of `epochs`, whatever the share of the labels."""

    recipe: Recipe
    sides: Split
    figure: str
    of_cases: Callable[[Recipe, Any, Sequence[Case]], NDArray[np.float64]]
    steps: int
    epochs: int
    pretrain_epochs: int

    def quick(self) -> "Bench":
        """Of everything a little: whether it runs."""
        side = self.sides
        some = Split(train=side.train[:_QUICK], validation=side.validation[:_QUICK], test=side.test[:_QUICK])
        return replace(self, sides=some, steps=2, epochs=1, pretrain_epochs=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which set is learned from, where it lies, where what was trained is kept, and what computes."""

    set: str
    data: Path
    out: Path
    device: str
    epochs: int | None
    quick: bool

    def bench(self) -> Bench:
        """The set, read once in a process."""
        return _bench(self)

    def compute(self) -> Compute:
        return chosen(Device(self.device), Precision.FLOAT32, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedBench:
    """What the command line of a bench asks: of so many seeds, so many trainings side by side; or the table of what is kept, alone."""

    place: Place
    jobs: int
    seeds: int
    table: bool

    def begin(self) -> None:
        """Make the folder, and keep whose the held-out cases are: once, before other processes read the set."""
        self.place.out.mkdir(parents=True, exist_ok=True)
        kept_held_out(self.place.bench(), self.place.out)


def asked_of(name: str) -> AskedBench:
    """What was typed behind `python -m bench.NAME`, whose trainings are kept in var/NAME."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name.replace('-', '_')}")
    parser.add_argument("set", choices=sorted(BENCHES))
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("var") / name)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, help="of each training (default: those of the set)")
    parser.add_argument("--quick", action="store_true", help="a little of everything: whether it runs")
    parser.add_argument("--table", action="store_true", help="make the table of what is kept, alone")
    given = parser.parse_args()
    place = Place(set=given.set, data=given.data, out=given.out / given.set, device=given.device, epochs=given.epochs, quick=given.quick)
    return AskedBench(place=place, jobs=given.jobs, seeds=given.seeds, table=given.table)


@lru_cache(maxsize=1)
def _bench(place: Place) -> Bench:
    found = BENCHES[place.set](place.data, place.out)
    found = found if place.epochs is None else replace(found, epochs=place.epochs)
    return found.quick() if place.quick else found


def few(cases: Sequence[Case], share: float, seed: int) -> tuple[Case, ...]:
    """All cases of a share of the patients, those of every stratum alike; one of each at the least. A larger share holds the smaller."""

    def drawn(patient: str) -> bytes:
        return hashlib.sha256(f"{seed} few {patient}".encode()).digest()

    chosen = set[str]()
    for stratum in {case.stratum for case in cases}:
        patients = sorted({case.patient for case in cases if case.stratum == stratum}, key=drawn)
        chosen |= set(patients[: max(1, round(share * len(patients)))])
    return tuple(case for case in cases if case.patient in chosen)


def learned(bench: Bench, recipe: Recipe, labelled: Sequence[Case], seed: int, cell: Path, compute: Compute) -> tuple[Recipe, Any, float]:
    """A network of `labelled`, the recipe that it was trained by, and the seconds that it took; the checkpoints are removed."""
    began = time.perf_counter()
    schedule = replace(recipe.schedule, epochs=bench.epochs, patience=bench.epochs, seed=seed)
    # as many steps, however few there are
    recipe = replace(recipe, draws=max(1, round(bench.steps * schedule.batch / len(labelled))))
    fit(recipe, replace(bench.sides, train=tuple(labelled)), cell, schedule, Ranks(compute=compute), Silent())
    network, _ = trained(recipe, cell)
    for file in cell.glob("*.pt"):
        file.unlink()
    return recipe, network.to(compute.device), time.perf_counter() - began


def together(figure: NDArray[np.float64], positive: NDArray[np.bool_] | None) -> float:
    """The figure of cases together: the mean of those that each has, or how well scores rank the positive ones."""
    return float(np.nanmean(figure)) if positive is None else auc(figure, positive)


def kept_held_out(bench: Bench, out: Path) -> None:
    """Keep whose the held-out cases are beside the cells."""
    test = bench.sides.test
    positive = [bool(case.labels[-1] > 0) for case in test] if isinstance(bench.recipe, Answerer) else None
    save_json(out / HELD_OUT, {"figure": bench.figure, "patients": [case.patient for case in test], "positive": positive})


def held_out(out: Path) -> tuple[str, list[str], NDArray[np.bool_] | None]:
    """What the figure is called, the patient of each held-out case, and which are positive."""
    found = json.loads((out / HELD_OUT).read_text(encoding="utf-8"))
    positive = None if found["positive"] is None else np.array(found["positive"], dtype=np.bool_)
    return found["figure"], found["patients"], positive


@contextmanager
def side_by_side(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes with a thread each, which begin with nothing of this one."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=partial(torch.set_num_threads, 1)) as pool:
        yield pool


def ended(futures: Sequence["Future[None]"]) -> bool:
    """Wait for all; whether all did what they should: of one that did not it is said."""
    failed = [error for each in futures if (error := each.exception()) is not None]
    for error in failed:
        say(f"FAILED: {type(error).__name__}: {error}")
    return not failed


def hippocampus(data: Path, out: Path) -> Bench:
    """Crops of 48 × 64 × 48, and a U-Net whose first step halves the sides."""
    from training.recipes.hippocampus import RECIPE

    recipe = replace(
        RECIPE,
        network=partial(hippocampus_network, (8, 16, 32, 64), (2, 2, 2)),
        schedule=Schedule(epochs=8, batch=2, learning_rate=3e-3, patience=8),
    )
    return Bench(
        recipe=recipe,
        sides=_remembered(recipe.sides(data, 0)),
        figure="Dice hippocampus",
        of_cases=_dice,
        steps=50,
        epochs=8,
        pretrain_epochs=12,
    )


def chest(data: Path, out: Path) -> Bench:
    """Every second person's radiographs at 64 × 64, recipe classification; prepared once, and kept in OUT/examples.npz."""
    kept = out / "examples.npz"
    if not kept.is_file():
        _prepared(data, out, kept)
    recipe = recipes.load("classification", out / "plan")
    with np.load(kept) as found:
        arrays = {name: found[name] for name in found.files}
    cases = tuple(
        Case(
            patient=str(patient),
            name=str(name),
            stratum=str(stratum),
            labels=tuple(map(float, labels)),
            load=partial(_example, image, labels),
        )
        for patient, name, stratum, labels, image in zip(
            *(arrays[name] for name in ("patients", "names", "strata", "labels", "images")), strict=True
        )
    )
    sides = split(cases, 0, None)
    return Bench(
        recipe=replace(recipe, example=_as_it_is, schedule=replace(recipe.schedule, batch=16, learning_rate=1e-3)),
        sides=replace(sides, validation=sides.validation[:DRAWN]),
        figure="AUC pneumonia",
        of_cases=_logits,
        steps=40,
        epochs=8,
        pretrain_epochs=30,
    )


BENCHES: Mapping[str, Callable[[Path, Path], Bench]] = {"hippocampus": hippocampus, "chest": chest}


def _prepared(data: Path, out: Path, kept: Path) -> None:
    """Each radiograph as the network sees it, in 16 bits, beside the plan."""
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
    sides = recipe.sides(folder, 0)
    cases = [*sides.train, *sides.validation, *sides.test]
    np.savez_compressed(
        kept,
        images=np.stack([recipe.example(case.load()).image for case in cases]).astype(np.float16),
        labels=np.array([case.labels for case in cases], dtype=np.float32),
        patients=np.array([case.patient for case in cases]),
        names=np.array([case.name for case in cases]),
        strata=np.array([case.stratum for case in cases]),
    )


def _as_it_is(shown: Any) -> Example:
    """What a case loads is prepared already."""
    assert isinstance(shown, Example)
    return shown


def _example(image: NDArray[np.float16], labels: NDArray[np.float32]) -> Any:
    return Example(image=image.astype(np.float32), target=labels.astype(np.uint8))


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
