"""Learns what frontal radiographs of the chest look like, for the input judge: `python -m training.chest_likeness`.

Reads train/kermany_cxr_224 (Kermany, Zhang, Goldbaum, Cell 2018; CC BY 4.0) below HILUM_DATA, and takes every second person in the order
of names: the other half is what the bench measures with. Of its own half, two thirds teach and one third fixes the bounds, by rule and
before anything of the other half is looked at. Writes inference/imaging/judge/chest_likeness.npz; the same data gives the same numbers.
"""

import csv
import io
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.imaging.judge.radiograph import FILE, SIDE, ChestLikeness, Floats, Manner, flattened, square_of

FOLDER = "train/kermany_cxr_224"
COMPONENTS = 24
HIDDEN = 32
EPOCHS, BATCH, RATE, DECAY = 40, 256, 1e-3, 0.05
NOISE = 0.1
"""Deviation of what is added to every square, in its own deviations, while it is learned from."""
SEED = 1
JITTERED = 4
"""Further copies of every right chest, each with less or more around it, turned and brightened a little: adults fill less of a film than
these children do."""
CROPPED, AROUND, TURNED_DEGREES, GAMMA = 0.06, 0.2, 6.0, (0.6, 1.6)
"""Shares of the film that are cut off, or that are added as its edge goes on, at each border at most."""
KEPT = (0.4, 0.65)
"""Share of the film that is left of one which is cut off."""
TOLD = 0.01
"""Share of right chests, of those that fix the bounds, that lies beyond what is usual in either sign."""

Pixels = NDArray[np.uint8]


def radiographs(data: Path) -> Iterator[tuple[str, Pixels]]:
    """The person and the pixels of every image of the set's training side, in the order of its table."""
    with (data / FOLDER / "train.csv").open(encoding="utf-8", newline="") as table, zipfile.ZipFile(data / FOLDER / "train.zip") as archive:
        for row in csv.DictReader(table):
            yield row["patient"], np.asarray(Image.open(io.BytesIO(archive.read(row["file"]))).convert("L"))


def learned_persons(persons: set[str]) -> set[str]:
    """Those whom the model is learned from or its bounds are fixed by; the bench measures with the others."""
    return set(sorted(persons)[::2])


def fixing_persons(persons: set[str]) -> set[str]:
    """Of the learned ones those who teach nothing and fix the bounds."""
    return set(sorted(learned_persons(persons))[::3])


def learn(data: Path) -> ChestLikeness:
    """The mean and the components that vary most, the classes of manner, and the bounds of both."""
    named = list(radiographs(data))
    persons = {person for person, _ in named}
    fixing = fixing_persons(persons)
    teaching = learned_persons(persons) - fixing
    rng = np.random.default_rng(SEED)
    rows: list[Floats] = []
    taught: dict[Manner, list[Floats]] = {manner: [] for manner in Manner}
    right, wrong = list[Floats](), list[Floats]()
    for person, pixels in named:
        if person in teaching:
            rows += _rows([pixels])
            for manner, made in manners(pixels, rng).items():
                taught[manner] += _rows(made)
        elif person in fixing:
            right += _rows([pixels, pixels[:, ::-1]])
            wrong += _rows([each for manner, made in manners(pixels, rng).items() if manner is not Manner.UPRIGHT for each in made])
    mean = np.stack(rows).mean(axis=0)
    components = np.linalg.svd(np.stack(rows) - mean, full_matrices=False)[2][:COMPONENTS]
    deviations = ((np.stack(rows) - mean) @ components.T).std(axis=0)
    layers = _fitted(taught)
    open_ended = ChestLikeness(
        mean=mean,
        components=components,
        deviations=deviations,
        layers=layers,
        usual=(np.inf, -np.inf),
        possible=(np.inf, -np.inf),
    )
    return _bounded(_halved(open_ended), right, wrong)


def manners(pixels: Pixels, rng: np.random.Generator) -> Mapping[Manner, Sequence[Pixels]]:
    """What is made of one right chest, (rows, columns): as it is, and in every manner that it should not be in."""
    upright = [pixels, pixels[:, ::-1], *(_jittered(pixels[:, ::-1] if number % 2 else pixels, rng) for number in range(JITTERED))]
    loose = _jittered(pixels, rng)
    rows, columns = pixels.shape
    tall, wide = (round(float(rng.uniform(*KEPT)) * count) for count in (rows, columns))
    return {
        Manner.UPRIGHT: upright,
        Manner.UPSIDE_DOWN: [pixels[::-1], loose[::-1], loose[::-1, ::-1]],
        Manner.ON_ITS_SIDE: [pixels.T[:, ::-1], pixels.T[::-1], loose.T[:, ::-1], loose.T[::-1]],
        Manner.NEGATIVE: [255 - pixels, 255 - loose],
        Manner.CUT: [
            *(pixels[rows // 2 :], pixels[: rows // 2], pixels[:, : columns // 2], pixels[:, columns // 2 :]),
            *(pixels[rows - tall :], pixels[:tall], pixels[:, :wide], pixels[:, columns - wide :]),
            *(_on_black(pixels, np.s_[rows - tall :]), _on_black(pixels, np.s_[:tall])),
            *(_on_black(pixels, np.s_[:, :wide]), _on_black(pixels, np.s_[:, columns - wide :])),
        ],
    }


def _on_black(pixels: Pixels, kept: tuple[slice, ...] | slice) -> Pixels:
    made = np.zeros_like(pixels)
    made[kept] = pixels[kept]
    return made


def _jittered(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    rows, columns = pixels.shape
    turned = np.asarray(Image.fromarray(pixels).rotate(float(rng.uniform(-TURNED_DEGREES, TURNED_DEGREES)), Image.Resampling.BILINEAR))
    top, bottom, left, right = (round(float(share)) for share in rng.uniform(-CROPPED, AROUND, 4) * (rows, rows, columns, columns))
    inside = turned[max(-top, 0) : rows + min(bottom, 0), max(-left, 0) : columns + min(right, 0)]
    values = np.pad(inside, ((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))), mode="edge") / 255
    brightened: Pixels = (255 * values ** float(rng.uniform(*GAMMA))).astype(np.uint8)
    return brightened


def _rows(pictures: Sequence[Pixels]) -> list[Floats]:
    return [flattened(square) for pixels in pictures if (square := square_of(pixels)) is not None]


def _fitted(taught: Mapping[Manner, Sequence[Floats]]) -> tuple[tuple[Floats, Floats], ...]:
    """A layer of `HIDDEN` units and one of the manners; every manner counts alike."""
    import torch

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    inputs = torch.tensor(np.concatenate([np.stack(taught[manner]) for manner in Manner]))
    wanted = torch.tensor(np.concatenate([np.full(len(taught[manner]), number) for number, manner in enumerate(Manner)]))
    weights = torch.tensor([len(inputs) / len(taught[manner]) for manner in Manner], dtype=torch.float32)
    first, last = torch.nn.Linear(SIDE * SIDE, HIDDEN), torch.nn.Linear(HIDDEN, len(Manner))
    net = torch.nn.Sequential(first, torch.nn.ReLU(), last)
    loss = torch.nn.CrossEntropyLoss(weight=weights)
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs))
        for start in range(0, len(inputs), BATCH):
            chosen = order[start : start + BATCH]
            batch = inputs[chosen] + NOISE * torch.randn(len(chosen), inputs.shape[1])
            optimiser.zero_grad()
            loss(net(batch), wanted[chosen]).backward()
            optimiser.step()
    return tuple((layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (first, last))


def _halved(likeness: ChestLikeness) -> ChestLikeness:
    """With the numbers as the file keeps them: bounds are of what is shipped."""
    return ChestLikeness.of({name: array.astype(np.float16) for name, array in likeness.arrays().items()})


def _bounded(likeness: ChestLikeness, right: Sequence[Floats], wrong: Sequence[Floats]) -> ChestLikeness:
    """With bounds: what is usual by the share of right chests beyond it; the most distance that is possible lies as far from there as
    their median does, and the least margin halfway from there to the median of wrong ones: people of other ages and films of other
    archives than these lie between.
    """
    distances = np.array([likeness.distance(row) for row in right])
    margins, wrongs = (np.array([likeness.manner(row)[0] for row in rows]) for rows in (right, wrong))
    farthest, least = float(np.quantile(distances, 1 - TOLD)), float(np.quantile(margins, TOLD))
    held = likeness.arrays()
    held["usual"] = np.array([farthest, least], dtype=np.float32)
    held["possible"] = np.array([2 * farthest - np.median(distances), (least + np.median(wrongs)) / 2], dtype=np.float32)
    return ChestLikeness.of(held)


def main() -> None:
    """Learn and write."""
    made = learn(Path(os.environ.get("HILUM_DATA", Path(__file__).resolve().parents[1] / "../shared/data")))
    kept: dict[str, Any] = {
        name: array if name in ("usual", "possible") else array.astype(np.float16) for name, array in made.arrays().items()
    }
    np.savez_compressed(FILE, **kept)
    print(f"{FILE}: {FILE.stat().st_size} bytes; usual {kept['usual']}, possible {kept['possible']}")


if __name__ == "__main__":
    main()
