"""Search space of a recipe: what `hilum train … --search` may vary of it, around the recipe's own settings; and one choice out of it.

What searches is `training.search`; nothing here needs optuna.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from training.checkpoint import save_json
from training.errors import BrokenRun
from training.planning import STRIDE, Asked

STRENGTHS = (0.0, 2.0)
"""Factor of how far an augmentation turns, scales and shifts, and changes grey values: 1 is the recipe's own. With 0 parts are cut out, and
mirror images made, all the same, where the recipe does so."""

TRIAL = "trial.json"
"""Of a run that is one of a search, in its folder: `SearchTrial`."""

Sides = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What may be varied; a setting that the user names is not.

    Attributes
    ----------
    learning_rate
        By which factors the recipe's own may be less and more; drawn evenly over its logarithm.
    batch
        Factors of the recipe's own.
    window
        Factors of the sides of the planned window, and how short and long a side may become; () where it is the recipe's.
    augmented
        Whether the strength of the augmentation is an option of the recipe (`STRENGTHS`).
    """

    learning_rate: tuple[float, float] = (0.1, 10.0)
    batch: tuple[float, ...] = (0.5, 1.0, 2.0)
    window: tuple[float, ...] = ()
    sides: tuple[int, int] = (2 * STRIDE, 512)
    augmented: bool = False

    def batches(self, own: int, most: int) -> tuple[int, ...]:
        """Batches to choose from, none of more than there is to show in an epoch (`most`)."""
        return tuple(sorted({own, *(max(1, round(own * factor)) for factor in self.batch if own * factor <= most)}))

    def windows(self, own: Sequence[int]) -> tuple[Sides, ...]:
        """Windows to choose from, the smallest first; a side of 1 (a single image) stays so."""
        planned = (1,) * (3 - len(own)) + tuple(own)
        low, high = self.sides
        made = [
            tuple(1 if side == 1 else min(max(round(side * factor / STRIDE) * STRIDE, low), high) for side in planned)
            for factor in self.window
        ]
        return tuple((one, two, three) for one, two, three in sorted({planned, *made}))


OF_ANY_RECIPE = Space()
"""Learning rate and batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One choice; None of what is not varied."""

    learning_rate: float | None = None
    batch: int | None = None
    window: Sides | None = None
    augmentation: float | None = None

    def over(self, asked: Asked, given: Mapping[str, Any]) -> tuple[Asked, dict[str, Any]]:
        """What the user said of a training, with this choice in it."""
        chosen = {name: value for name in ("learning_rate", "batch") if (value := getattr(self, name)) is not None}
        varied = {name: value for name in ("window", "augmentation") if (value := getattr(self, name)) is not None}
        return replace(asked, **varied), {**given, **chosen}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTrial:
    """What a run that is one trial of a search has to say of itself, wherever it goes.

    Attributes
    ----------
    trials
        Of the search, in all.
    patients
        Of the validation side, by whom one is chosen; cases, where the data name no patients.
    chosen
        Whether it is this one; None until the search has ended.
    """

    trials: int
    patients: int
    chosen: bool | None = None

    def write(self, run: Path) -> None:
        """Keep it in the run's folder.

        Raises
        ------
        FullDisk
        """
        save_json(run / TRIAL, asdict(self))

    def told(self) -> str:
        """For people: where the settings of the run come from."""
        by = f"{self.trials} trials of a search, by {self.patients} validation patients"
        if self.chosen is None:
            return f"settings of one of {by}; the search had not ended"
        return f"settings chosen among {by}" if self.chosen else f"settings of one of {by}, who chose another"


def trial_of(run: Path) -> SearchTrial | None:
    """The trial that a run is; None where it is of no search.

    Raises
    ------
    BrokenRun
    """
    path = run / TRIAL
    if not path.is_file():
        return None
    try:
        return SearchTrial(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as broken:
        raise BrokenRun(f"{path} does not say which trial of a search it is of: {broken!r}") from broken


def command(recipe: str, data: Path | None, asked: Asked, given: Mapping[str, Any], precision: str, parts: int = 1) -> str:
    """The `hilum train` that trains so, for a shell."""
    words = ["hilum", "train", recipe, *(() if data is None else ("--data", str(data)))]
    said: dict[str, Any] = {
        "name": asked.name,
        "labels": asked.labels,
        "target": asked.target,
        "spacing_mm": asked.spacing_mm,
        "window": asked.window,
        "modality": asked.modality,
        "roles": asked.roles,
        "optional": asked.optional,
    }
    said |= {"augmentation": asked.augmentation, **given, "precision": None if precision == "float32" else precision}
    said |= {"accumulate": None if parts == 1 else parts}
    for name, value in said.items():
        if value is not None and value != ():
            values: Sequence[Any] = value if isinstance(value, tuple) else (value,)
            words += [f"--{name.replace('_', '-')}", *(f"{one:.15g}" if isinstance(one, float) else str(one) for one in values)]
    return shlex.join(words)
