"""Progress of a training: on the terminal, and in TensorBoard's files."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from rich.console import Console

from training.checkpoint import writing


class Progress(Protocol):
    """Told of what happens; says it to somebody."""

    def begun(self, epoch: int, epochs: int, batches: int) -> None: ...

    def batch(self) -> None: ...

    def epoch(self, epoch: int, figures: Mapping[str, float], best: bool) -> None: ...

    def said(self, line: str) -> None: ...


Step: TypeAlias = Callable[[str, int], None]
"""Told that something of so many is done, and what it was."""


def silent(done: str, total: int) -> None:
    """For tests, and where nobody watches."""


class Silent:
    """For tests, and the processes beside the first, which say nothing but what happened to them alone."""

    def begun(self, epoch: int, epochs: int, batches: int) -> None: ...

    def batch(self) -> None: ...

    def epoch(self, epoch: int, figures: Mapping[str, float], best: bool) -> None: ...

    def said(self, line: str) -> None:
        Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Named:
    """A progress in which the figures of several trainings are told apart by their name."""

    name: str
    progress: Progress

    def begun(self, epoch: int, epochs: int, batches: int) -> None:
        self.progress.begun(epoch, epochs, batches)

    def batch(self) -> None:
        self.progress.batch()

    def epoch(self, epoch: int, figures: Mapping[str, float], best: bool) -> None:
        self.progress.epoch(epoch, {f"{self.name} {name}": value for name, value in figures.items()}, best)

    def said(self, line: str) -> None:
        self.progress.said(f"{self.name}: {line}")


class _Shown:
    """A bar for the epoch under way (where somebody watches), a line for each that is over, and TensorBoard's scalars."""

    def __init__(self, console: Console, folder: Path) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
        from torch.utils.tensorboard.writer import SummaryWriter

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._console, self._folder = console, folder
        self._writer = SummaryWriter(str(folder))
        self._task = self.bar.add_task("")
        self._epochs = 0

    def begun(self, epoch: int, epochs: int, batches: int) -> None:
        self._epochs = epochs
        self.bar.reset(self._task, total=batches, description=f"epoch {epoch + 1} of {epochs}")

    def batch(self) -> None:
        self.bar.advance(self._task)

    def epoch(self, epoch: int, figures: Mapping[str, float], best: bool) -> None:
        said = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self._console.print(f"epoch {epoch + 1:>3} of {self._epochs}  {said}{'  best' if best else ''}", highlight=False)
        with writing(self._folder):
            for name, value in figures.items():
                self._writer.add_scalar(name, value, epoch + 1)
            # what a kill leaves is complete up to here
            self._writer.flush()

    def said(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        with writing(self._folder):
            self._writer.close()


@contextmanager
def shown(folder: Path) -> Iterator[Progress]:
    """Progress on stderr, and in `folder` for `tensorboard --logdir`."""
    told = _Shown(Console(stderr=True), folder)
    try:
        with told.bar:
            yield told
    finally:
        told.close()


@contextmanager
def steps(title: str) -> Iterator[Step]:
    """Steps on stderr: a bar where somebody watches, else a line for every tenth of them."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[done]}"),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task, count = bar.add_task(title, done="", total=None), 0

        def step(done: str, total: int) -> None:
            nonlocal count
            count += 1
            bar.update(task, total=total, completed=count, done=done)
            if not console.is_terminal and count * 10 // total > (count - 1) * 10 // total:
                console.print(f"{title}: {count} of {total}", highlight=False)

        yield step
