"""The recipes, one file each; names are known without importing any.

A file has a RECIPE; or, where the recipe depends on the data, `begun`, which makes it of a folder, `of_run`, which finds it in a run, and
a SYNOPSIS; or, where no network is trained, `judged`, which learns and judges at once, `lines`, which tells what it found, LEFT, what is
left of it, and a SYNOPSIS.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from training.checkpoint import save_json
from training.compressing.widths import as_wide
from training.data.cases import ByPatient, Fold
from training.errors import BrokenRun, NothingServed, OtherRun, UnfitSetting, UnknownRecipe
from training.recipe import Recipe
from training.space import STRENGTHS
from training.synopsis import Synopsis

if TYPE_CHECKING:
    from training.planning import Asked

FOLD = "fold.json"
"""Of a run that is one of a cross-validation, in its folder: which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRecipe:
    """What does all that there is of a recipe without a network, and makes text of what it gives back."""

    judge: Callable[..., dict[str, Any]]
    lines: Callable[[Mapping[str, Any]], str]


def names() -> tuple[str, ...]:
    """The names of all recipes, sorted: `chest-xray` lives in chest_xray.py."""
    return tuple(sorted(file.stem.replace("_", "-") for file in Path(__file__).parent.glob("[a-z]*.py")))


def load(name: str, run: Path | None = None) -> Recipe:
    """The recipe called `name`; one that depends on the data, as `run` was begun with, and of the fold that it is of.

    Raises
    ------
    UnknownRecipe, BrokenRun
    NothingServed
        It is judged and told.
    """
    module = _module(name)
    if hasattr(module, "judged"):
        raise NothingServed(
            f'recipe "{name}" is judged by `hilum train {name}` itself, which keeps its figures and card.html in the run\'s folder; '
            f"{module.LEFT}"
        )
    if not hasattr(module, "RECIPE") and run is None:
        raise BrokenRun(f'what recipe "{name}" is stands in its run, and no run is named')
    recipe: Recipe = module.RECIPE if hasattr(module, "RECIPE") else module.of_run(run)
    return as_wide(folded(recipe, fold_of(run)), run) if run is not None else recipe


def judged(name: str) -> JudgedRecipe | None:
    """What learns and judges a recipe at once, and tells what it found; None of one whose network is trained.

    Raises
    ------
    UnknownRecipe
    """
    module = _module(name)
    return JudgedRecipe(judge=module.judged, lines=module.lines) if hasattr(module, "judged") else None


def synopses() -> tuple[Synopsis, ...]:
    """All recipes, by name."""
    modules = (_module(name) for name in names())
    return tuple(module.RECIPE.synopsis() if hasattr(module, "RECIPE") else module.SYNOPSIS for module in modules)


def begun(
    name: str, data: Path | None, run: Path, seed: int, asked: "Asked", tell: Callable[[str], None], fold: Fold | None = None
) -> Recipe:
    """The recipe to begin a run with, or to go on with; one that depends on the data finds there what `asked` leaves open.

    With a fold, the run is of this part of the patients alone, and keeps that.

    Raises
    ------
    UnknownRecipe, UnfitSetting
    OtherRun
        The run is of another fold.
    """
    module = _module(name)
    if asked.augmentation is not None and not STRENGTHS[0] <= asked.augmentation <= STRENGTHS[1]:
        raise UnfitSetting(f"--augmentation {asked.augmentation:g}: from {STRENGTHS[0]:g} to {STRENGTHS[1]:g}, 1 being the recipe's own")
    if fold is not None:
        there = fold_of(run)
        if there is not None and there != fold:
            raise OtherRun(f"{run} is fold {there.number} of {there.count}, and asked for is one of {fold.count}")
    if hasattr(module, "RECIPE"):
        said = [field.name for field in fields(asked) if getattr(asked, field.name) not in (None, ())]
        if said:
            raise UnfitSetting(f'recipe "{name}" is for one kind of data, and takes no {" or ".join(said)}')
        recipe = folded(load(name), fold)
    else:
        recipe = module.begun(data, run, seed, asked, tell, fold)
    if fold is not None:
        save_json(run / FOLD, asdict(fold))
    return recipe


def folded(recipe: Recipe, fold: Fold | None) -> Recipe:
    """The recipe with the sides of a fold.

    Raises
    ------
    UnfitSetting
    """
    if fold is None:
        return recipe
    if not isinstance(recipe.sides, ByPatient):
        raise UnfitSetting(f'recipe "{recipe.name}" has data that are laid out or made for their sides, and takes no --folds')
    return replace(recipe, sides=replace(recipe.sides, fold=fold))


def fold_of(run: Path) -> Fold | None:
    """The fold that a run is of; None where it is of no cross-validation.

    Raises
    ------
    BrokenRun
    """
    path = run / FOLD
    if not path.is_file():
        return None
    try:
        return Fold(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as broken:
        raise BrokenRun(f"{path} is no fold: {broken!r}") from broken


def _module(name: str) -> ModuleType:
    if name not in names():
        near = get_close_matches(name, names(), n=1)
        meant = f'; did you mean "{near[0]}"?' if near else "."
        raise UnknownRecipe(f'no recipe "{name}"{meant} There are {", ".join(names())}')
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
