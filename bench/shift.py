"""`python -m bench.shift DATA`: what a network loses on another scanner, and what brings it back, with labels of the new one and without.

DATA is a folder of children's chest radiographs (train.zip and train.csv, of Kermany and others 2018), here at 64 × 64. **The other scanner
is made**: the same kind of films, darker by a gamma of 1.8, brighter to one side by a fifth (heel effect), blurred by one pixel and in
noise of 5 % of the range. Networks are those of `bench.federated` that had all films of a seed, which are trained where they are not there.
The 400 films that judge are of persons whom nobody learned or adapted from; three seeds. Each training is kept in OUT and not run again;
the table is printed, and written to OUT/shift.json.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import nn

from bench.federated import BATCH, POOLED, SEEDS, Films, alone, asked
from bench.rows import say
from training import recipes
from training.checkpoint import save_json
from training.data.cases import Case
from training.evaluation.bootstrap import over_patients
from training.evaluation.classification import auc
from training.fit import BEST, trained
from training.pretraining.beginning import begun_with
from training.progress import Silent
from training.ranks import Ranks
from training.recipe import Schedule
from training.tasks.answers import Answerer

GAMMA, HEEL, BLUR_PX, NOISE = 1.8, 0.2, 1.0, 0.05
UNLABELLED, LABELLED = 200, (50, 200)
EPOCHS, RATE = 10, 3e-4
"""Of a training that goes on; a third of the rate that the network was learned with."""
QUANTILES = np.linspace(0, 1, 65)
AS_TAKEN, SHIFTED = "own scanner", "other scanner"
STATISTICS, HISTOGRAM = f"{SHIFTED}, statistics of {UNLABELLED} films without labels", f"{SHIFTED}, histograms matched"


class OtherScanner(Films):
    """The same films as another scanner might have taken them."""

    def taken(self, film: Image.Image, name: str) -> Image.Image:
        values = (np.asarray(film, dtype=np.float64) / 255) ** GAMMA
        values *= 1 + HEEL * np.linspace(-1, 1, values.shape[1])
        values = gaussian_filter(values, BLUR_PX)
        own = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
        values += own.normal(0, NOISE, values.shape)
        return Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))


def films(folder: Path, out: Path) -> tuple[Answerer, tuple[Case, ...]]:
    """All films of a folder, whatever side they stand on, and a recipe that shows them."""
    recipe = recipes.begun("classification", folder, out, 0, asked(folder), say)
    assert isinstance(recipe, Answerer)
    sides = recipe.sides(folder, 0)
    return recipe, tuple(sorted((*sides.train, *sides.validation, *sides.test), key=lambda case: case.name))


def shown(recipe: Answerer, cases: Sequence[Case]) -> NDArray[np.float32]:
    """What the network sees, (N, 1, Y, X)."""
    return np.stack([recipe.example(case.load()).image for case in cases])


def answers(recipe: Answerer, network: Any, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """The probability of each film."""
    network.eval()
    with torch.inference_mode():
        logits = torch.cat([network(torch.from_numpy(part)) for part in np.array_split(images, max(1, len(images) // 64))])
    found: NDArray[np.float64] = recipe.probable(logits.numpy().astype(np.float64) - np.log(np.array(recipe.weights)))[:, -1]
    return found


def with_statistics(network: Any, images: NDArray[np.float32]) -> Any:
    """The network whose normalisations over a batch hold mean and variance of these images (Li and others 2016); no weight is changed."""
    for each in network.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.reset_running_stats()
            # the mean over all batches
            each.momentum = None
    network.train()
    with torch.no_grad():
        for part in np.array_split(images, max(1, len(images) // 50)):
            network(torch.from_numpy(part))
    return network.eval()


def matched(images: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images whose quantiles are the mean ones of `own` (Nyúl and Udupa 1999)."""
    wanted = np.quantile(own.reshape(len(own), -1), QUANTILES, axis=1).mean(axis=1)
    return np.stack([np.interp(one, np.quantile(one, QUANTILES), wanted).astype(np.float32) for one in images])


def gone_on(best: Path, folder: Path, run: Path, seed: int) -> Path:
    """`hilum train classification --data FOLDER --from BEST`, a few epochs; the run."""
    recipe = recipes.begun("classification", folder, run, seed, asked(folder), say)
    sides = recipe.sides(folder, seed)
    begun = begun_with(recipe, best, sides, say)
    schedule = Schedule(epochs=EPOCHS, batch=BATCH, learning_rate=RATE, patience=EPOCHS, seed=seed)
    begun.fit(sides, run, schedule, Ranks(), Silent())
    return run


def of_seed(data: Path, out: Path, seed: int) -> dict[str, list[float]]:
    """What every network of a seed says of each film that judges, by arm; read where it was asked before."""
    kept = out / f"seed-{seed}" / "shift.json"
    if kept.is_file():
        before: dict[str, list[float]] = json.loads(kept.read_text(encoding="utf-8"))
        return before
    own, other, there = Films(data, out), OtherScanner(data, out / "other"), out / f"seed-{seed}"
    recipe, cases = films(own.judging(), out / "judging")
    _, same = films(other.judging(), out / "judging-other")
    as_taken, shifted = shown(recipe, cases), shown(recipe, same)
    said: dict[str, list[float]] = {}

    def arm(name: str, run: Path, images: NDArray[np.float32], adapt: Callable[[Any], Any] = lambda network: network) -> None:
        learned = recipes.load("classification", run)
        assert isinstance(learned, Answerer)
        network, _ = trained(learned, run)
        said[name] = answers(learned, adapt(network), images).tolist()
        say(f"{name}: AUC {auc(np.array(said[name]), truth_of(cases)):.4f}")

    learned = alone(own.pooled(seed), there / POOLED, seed)
    arm(AS_TAKEN, learned, as_taken)
    arm(SHIFTED, learned, shifted)
    _, fresh = films(other.further(seed, UNLABELLED), there / "further-plan")
    arm(STATISTICS, learned, shifted, partial(with_statistics, images=shown(recipe, fresh)))
    _, source = films(own.pooled(seed), there / "pooled-plan")
    arm(HISTOGRAM, learned, matched(shifted, shown(recipe, source)))
    for count in LABELLED:
        folder = other.further(seed, count)
        arm(f"{SHIFTED}, gone on with {count} labelled films", gone_on(learned / BEST, folder, there / f"from-{count}", seed), shifted)
    arm(f"{SHIFTED}, begun anew with {count} labelled films", alone(folder, there / f"anew-{count}", seed), shifted)
    save_json(kept, said)
    return said


def truth_of(cases: Sequence[Case]) -> NDArray[np.bool_]:
    """Whether each film shows pneumonia."""
    return np.array([case.labels[-1] > 0 for case in cases])


def table(data: Path, out: Path) -> dict[str, Any]:
    """Every network of every seed on both scanners; of each arm the mean over seeds, and how far it is ahead of none that adapts."""
    each_seed = [of_seed(data, out, seed) for seed in SEEDS]
    _, cases = films(Films(data, out).judging(), out / "judging")
    truth, patients = truth_of(cases), [case.patient for case in cases]
    said = {name: [np.array(one[name]) for one in each_seed] for name in each_seed[0]}

    def mean(of: Callable[..., float], name: str, drawn: NDArray[np.intp]) -> float:
        return float(np.mean([of(one[drawn], truth[drawn]) for one in said[name]]))

    everybody = np.arange(len(cases))
    rows = []
    for name, each in said.items():
        row: dict[str, Any] = {"arm": name, "seeds": [auc(one, truth) for one in each]}
        for figure, of in (("auc", auc), ("log score", log_score)):
            row[figure] = [mean(of, name, everybody), *over_patients(partial(mean, of, name), patients)]
        if name not in (AS_TAKEN, SHIFTED):

            def ahead(drawn: NDArray[np.intp], name: str = name) -> float:
                return mean(auc, name, drawn) - mean(auc, SHIFTED, drawn)

            row["ahead of unadapted"] = [ahead(everybody), *over_patients(ahead, patients)]
        rows.append(row)
    return {"films": len(cases), "persons": len(set(patients)), "rows": rows}


def log_score(said: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The mean logarithm of the probability that was given to what is so; 0 is best."""
    return float(np.log(np.where(truth, said, 1 - said).clip(1e-6)).mean())


def lines(found: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    head = ("films of", "AUC, mean (95 %)", "by seed", "ahead of unadapted (95 %)", "log score (95 %)")
    told = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in found["rows"]:
        ahead = "–" if "ahead of unadapted" not in row else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row["ahead of unadapted"])
        seeds = ", ".join(f"{one:.3f}" for one in row["seeds"])
        score, probable = ("{:.3f} ({:.3f} to {:.3f})".format(*row[figure]) for figure in ("auc", "log score"))
        told.append(f"| {row['arm']} | {score} | {seeds} | {ahead} | {probable} |")
    return "\n".join(told) + "\n"


def main() -> None:
    """Run what was not run yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.shift")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("var/federated-bench"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = table(given.data, given.out.resolve())
    save_json(given.out / "shift.json", found)
    print(lines(found))


if __name__ == "__main__":
    main()
