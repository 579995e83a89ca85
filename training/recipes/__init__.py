"""The recipes, one file each; names are known without importing any.

A file has a RECIPE; or, where the recipe depends on the data, `begun`, which makes it of a folder, `of_run`, which finds it in a run, and
a SYNOPSIS.
"""

import importlib
from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from training.errors import BrokenRun, UnfitSetting, UnknownRecipe
from training.recipe import Recipe
from training.synopsis import Synopsis

if TYPE_CHECKING:
    from training.planning import Asked


def names() -> tuple[str, ...]:
    """The names of all recipes, sorted: `chest-xray` lives in chest_xray.py."""
    return tuple(sorted(file.stem.replace("_", "-") for file in Path(__file__).parent.glob("[a-z]*.py")))


def load(name: str, run: Path | None = None) -> Recipe:
    """The recipe called `name`; one that depends on the data, as `run` was begun with.

    Raises
    ------
    UnknownRecipe, BrokenRun
    """
    module = _module(name)
    if not hasattr(module, "RECIPE") and run is None:
        raise BrokenRun(f'what recipe "{name}" is stands in its run, and no run is named')
    recipe: Recipe = module.RECIPE if hasattr(module, "RECIPE") else module.of_run(run)
    return recipe


def synopses() -> tuple[Synopsis, ...]:
    """All recipes, by name."""
    modules = (_module(name) for name in names())
    return tuple(module.RECIPE.synopsis() if hasattr(module, "RECIPE") else module.SYNOPSIS for module in modules)


def begun(name: str, data: Path | None, run: Path, seed: int, asked: "Asked", tell: Callable[[str], None]) -> Recipe:
    """The recipe to begin a run with, or to go on with; one that depends on the data finds there what `asked` leaves open.

    Raises
    ------
    UnknownRecipe, UnfitSetting
    """
    module = _module(name)
    if hasattr(module, "RECIPE"):
        said = [field.name for field in fields(asked) if getattr(asked, field.name)]
        if said:
            raise UnfitSetting(f'recipe "{name}" is for one kind of data, and takes no {" or ".join(said)}')
        return load(name)
    recipe: Recipe = module.begun(data, run, seed, asked, tell)
    return recipe


def _module(name: str) -> ModuleType:
    if name not in names():
        near = get_close_matches(name, names(), n=1)
        meant = f'; did you mean "{near[0]}"?' if near else "."
        raise UnknownRecipe(f'no recipe "{name}"{meant} There are {", ".join(names())}')
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
