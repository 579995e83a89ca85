"""Training loop: seeded, resumable at every epoch, over one process or several; ends early when validation gets no better.

Nothing is drawn from a generator that runs through the training: the order of an epoch and each augmentation depend on seed, epoch and
case alone. So a run that was killed and goes on ends with the same weights as one that was not.

Memory that does not suffice is answered, and said: a batch goes through the network in twice as many parts (`Compute.parts` says what
that learns); a single image is cut, where the recipe's may be. Precision is part of what a run is, device and parts are not.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from inference.engines.processors import usable_memory
from training.augment import cut
from training.averaging import Average
from training.checkpoint import load, save
from training.compute import Precision, is_out_of_memory
from training.data.cases import Split, digest
from training.errors import BrokenRun, LossNotFinite, OtherRun, OutOfMemory
from training.prepared import SHARE, Prepared
from training.progress import Progress
from training.ranks import Ranks
from training.recipe import Augment, Example, Outcome, Recipe, Schedule

LAST, BEST = "last.pt", "best.pt"
WEIGHT_DECAY = 1e-4
_SEED = re.compile(r"\bseed (\d+)")


@runtime_checkable
class Learning(Protocol):
    """A loss that learns itself, as one with a discriminator: what it has learned is kept with the network."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def fit(recipe: Recipe, sides: Split, out: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
    """Train, or go on with the training that `out` holds; as a site of a federated training, for one round.

    Raises
    ------
    OtherRun
        `out` holds a run of something else.
    OutOfMemory, LossNotFinite, FullDisk, LostProcess
        The run is whole up to the last epoch, and can be gone on with.
    """
    run = _Run(recipe, sides, out, schedule, ranks)
    epochs = ranks.turn.ends if ranks.turn else schedule.epochs
    while run.epoch < epochs and run.epoch - run.best_epoch <= schedule.patience:
        run.one_epoch(progress)
    return Outcome(epochs=run.epoch, best_epoch=run.best_epoch, best=run.best)


def identity(recipe: Recipe, sides: Split, schedule: Schedule, ranks: Ranks) -> str:
    """What has to be the same for a run to be gone on with, as one line."""
    settings = ", ".join(f"{name} {value:g}" for name, value in asdict(schedule).items())
    averaged = f", averaged {recipe.averaged:g}" if recipe.averaged else ""
    precision = "" if ranks.compute.precision is Precision.FLOAT32 else f", {ranks.compute.precision}"
    begins = f", {recipe.begins}" if recipe.begins else ""
    return f"{recipe.name}: {settings}{averaged}{precision}{begins}; {_told(sides)}; {ranks.size} processes"


def seed_of(run: Path) -> int | None:
    """The seed that a run was begun with; None where nothing was trained.

    Raises
    ------
    BrokenRun
    """
    state = load(run / BEST)
    found = _SEED.search(str(state.get("identity"))) if state else None
    return int(found[1]) if found else None


def refuse_other_sides(state: Mapping[str, Any], sides: Split, run: Path) -> None:
    """The cases that are called held out now have to be those that the run held out.

    Raises
    ------
    OtherRun
    """
    if not is_of(state, sides):
        raise OtherRun(
            f"{run} was trained as {state.get('identity')}, and the data are split into {_told(sides)} now: cases that trained the network "
            "could be called held out. Name the folder as it was then, and no other --seed"
        )


def is_of(state: Mapping[str, Any], sides: Split) -> bool:
    """Whether a checkpoint was learned on these sides."""
    return f"; {_told(sides)}; " in str(state.get("identity"))


def _told(sides: Split) -> str:
    parts = (sides.train, sides.validation, sides.test)
    return f"{'/'.join(str(len(side)) for side in parts)} cases ({digest(*parts)})"


def trained(recipe: Recipe, run: Path) -> tuple[Any, dict[str, Any]]:
    """The best network of a run, ready to be served, and its checkpoint.

    Raises
    ------
    BrokenRun
        There is none, or it is another recipe's.
    """
    state = load(run / BEST)
    if state is None:
        raise BrokenRun(f"{run} holds no {BEST}: nothing was trained there")
    network = recipe.network()
    try:
        network.load_state_dict(state["network"])
    except (RuntimeError, KeyError) as other:
        raise BrokenRun(f'{run / BEST} is not of recipe "{recipe.name}"') from other
    return network.eval(), state


class _Run:
    """A training between two epochs."""

    def __init__(self, recipe: Recipe, sides: Split, out: Path, schedule: Schedule, ranks: Ranks) -> None:
        self._recipe, self._sides, self._out, self._schedule, self._ranks = recipe, sides, out, schedule, ranks
        self._identity = identity(recipe, sides, schedule, ranks)
        self._compute = ranks.compute
        self._parts = ranks.compute.parts
        self._window: tuple[int, ...] | None = None
        self.epoch, self.best_epoch, self.best = 0, 0, -math.inf
        self._prepared = Prepared(recipe, sides.train, most_bytes=int(SHARE * usable_memory()) // ranks.size)
        self._augment: Augment = recipe.augment()
        torch.manual_seed(schedule.seed)
        # made on the processor, so that the same seed gives the same weights on every device
        self._network = recipe.network().to(self._compute.device)
        self._loss: Any = recipe.loss()
        if hasattr(self._loss, "to"):
            # one that learns, or weighs classes
            self._loss.to(self._compute.device)
        # frames of a cine have three sides, too, and no 3-D convolution
        self._in_space = any(weights.ndim == 5 for weights in self._network.parameters())
        if self._in_space:
            # 3-D convolutions on a processor are several times faster so
            self._network = self._network.to(memory_format=torch.channels_last_3d)
        self._optimizer: Any = torch.optim.AdamW(self._network.parameters(), lr=schedule.learning_rate, weight_decay=WEIGHT_DECAY)
        self._private = ranks.turn.private if ranks.turn else None
        if self._private:
            self._optimizer = self._private.optimizer(self._network, self._optimizer, schedule.batch)
        self._average = Average(self._network, recipe.averaged) if recipe.averaged else None
        self._resume()
        if ranks.turn:
            # whatever this site has learned since, ended in a round: what all had at its beginning counts
            self.epoch = ranks.turn.begins
            if ranks.turn.weights is not None:
                self._network.load_state_dict(ranks.turn.weights)

    def one_epoch(self, progress: Progress) -> None:
        epoch, schedule = self.epoch, self._schedule
        for group in self._optimizer.param_groups:
            group["lr"] = schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / schedule.epochs))
        torch.manual_seed(_seed(schedule.seed, epoch, self._ranks.rank))
        loss = self._ranks.mean(self._train(epoch, progress))
        if not all(bool(torch.isfinite(each).all()) for each in self._network.parameters()):
            # a loss may be finite where its gradient is not: of the last step nothing else would tell, and the run would be spoilt
            raise LossNotFinite(f"epoch {epoch + 1}: the last loss was a finite number, and the weights behind its step are not")
        kept = self._average.network if self._average else self._network
        figure = self._ranks.told(self._recipe.validation(kept, self._sides.validation) if self._ranks.first else 0.0)
        better = figure > self.best
        if better:
            self.best, self.best_epoch = figure, epoch
        self.epoch = epoch + 1
        if self._ranks.first:
            state = self._state()
            # the best first: killed in between, the epoch is run again and chooses the same
            if better:
                save(self._out / BEST, {**state, "network": kept.state_dict()})
            # before the checkpoint: killed in between, it is run and told again; told behind it, nobody would ever hear of this epoch
            progress.epoch(epoch, {"loss": loss, f"validation {self._recipe.watched}": figure}, better)
            save(self._out / LAST, state)

    def _train(self, epoch: int, progress: Progress) -> float:
        batches = self._batches(epoch)
        progress.begun(epoch, self._schedule.epochs, len(batches))
        self._network.train()
        total = 0.0
        for number, batch in enumerate(batches):
            seeds = [_seed(self._schedule.seed, epoch, draw) for draw in batch]
            shown = [self._augment(self._prepared.of(draw), seed) for draw, seed in zip(batch, seeds, strict=True)]
            loss = self._gradients(shown, seeds, progress)
            if not math.isfinite(loss):
                raise LossNotFinite(f"epoch {epoch + 1}, batch {number + 1} of {len(batches)}: {self._what_was_shown(batch, shown)}")
            self._ranks.average(self._network.parameters())
            self._optimizer.step()
            if self._average:
                self._average.follow(self._network)
            total += loss
            progress.batch()
        return total / len(batches)

    def _gradients(self, shown: Sequence[Example], seeds: Sequence[int], progress: Progress) -> float:
        """The gradient of a batch, and its loss; with less at once where memory does not suffice."""
        while True:
            try:
                return self._summed(shown, seeds)
            except (MemoryError, RuntimeError) as failed:
                if not is_out_of_memory(failed):
                    raise
                why = (str(failed).strip() or type(failed).__name__).partition("\n")[0]
            # outside of the handler: what failed holds what was computed as long as it is handled
            if self._compute.device.type == "cuda":
                torch.cuda.empty_cache()
            progress.said(self._asking_less(shown, why))

    def _summed(self, shown: Sequence[Example], seeds: Sequence[int]) -> float:
        """The gradient of the mean loss over a batch, part by part."""
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in np.array_split(np.arange(len(shown)), min(self._parts, len(shown))):
            seen = [cut(shown[index], self._window, seeds[index]) if self._window else shown[index] for index in part]
            images = self._compute.tensor(np.stack([each.image for each in seen]))
            targets = self._compute.tensor(np.stack([each.target for each in seen]))
            if self._in_space:
                images = images.to(memory_format=torch.channels_last_3d)
            with self._compute.autocast():
                answer = self._network(images)
            loss = self._loss(answer.float(), targets) * (len(part) / len(shown))
            loss.backward()
            total += float(loss.detach())
        return total

    def _asking_less(self, shown: Sequence[Example], why: str) -> str:
        """Twice as many parts, or a smaller window of a single image; what is said of it.

        Raises
        ------
        OutOfMemory
        """
        if self._parts < len(shown):
            self._parts = min(2 * self._parts, len(shown))
            return f"memory does not suffice ({why}): batches of {len(shown)} go in {self._parts} parts from here on"
        sides, by = list(self._window or shown[0].image.shape[1:]), self._recipe.cut_by
        longest = sides.index(max(sides))
        half = max(2 * by, sides[longest] // 2 // by * by) if by else 0
        if not 0 < half < sides[longest]:
            told = " × ".join(map(str, sides))
            raise OutOfMemory(f"memory does not suffice for one image of {told} ({why}), and less cannot be learned from")
        sides[longest] = half
        self._window = tuple(sides)
        told = " × ".join(map(str, sides))
        return f"memory does not suffice ({why}): windows of {told} are learned from here on; what is served keeps its own"

    def _what_was_shown(self, batch: Sequence[int], shown: Sequence[Example]) -> str:
        """Of a batch without a finite loss, the cases, and which of them are no finite numbers themselves."""
        names = [self._sides.train[draw % len(self._sides.train)].name for draw in batch]
        broken = sorted({name for name, each in zip(names, shown, strict=True) if not np.isfinite(each.image).all()})
        if broken:
            return f"images with values that are no finite numbers, in {', '.join(broken)}"
        return f"the loss of {', '.join(sorted(set(names)))} is no finite number, and their images are"

    def _batches(self, epoch: int) -> list[list[int]]:
        """This process's cases in this epoch; as many batches in every process, or gradients would wait for ever."""
        if self._private:
            return self._private.batches(len(self._sides.train), self._recipe.draws, self._schedule.batch)
        order = np.random.default_rng((self._schedule.seed, epoch)).permutation(len(self._sides.train) * self._recipe.draws).tolist()
        size = self._ranks.size
        order += order[: -len(order) % size]
        mine, each = order[self._ranks.rank :: size], max(1, self._schedule.batch // size)
        return [mine[start : start + each] for start in range(0, len(mine), each)]

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self._identity,
            "epoch": self.epoch,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            **({"average": self._average.state_dict()} if self._average else {}),
            **({"loss": self._loss.state_dict()} if isinstance(self._loss, Learning) else {}),
        }

    def _resume(self) -> None:
        state = load(self._out / LAST)
        if state is None:
            return
        if state.get("identity") != self._identity:
            raise OtherRun(f"{self._out} holds another run: {state.get('identity')}; asked for is {self._identity}")
        if self._ranks.turn and self._ranks.turn.begins == 0:
            # a federation that begins anew: what this site has learned of an ended one, the others have not
            return
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average:
            self._average.load_state_dict(state["average"])
        if isinstance(self._loss, Learning):
            self._loss.load_state_dict(state["loss"])
        self.epoch, self.best, self.best_epoch = state["epoch"], state["best"], state["best_epoch"]


def _seed(*parts: int) -> int:
    return int(np.random.default_rng(parts).integers(2**31))
