"""The recipes, one file each with a RECIPE; names are known without importing any."""

import importlib
from difflib import get_close_matches
from pathlib import Path

from training.errors import UnknownRecipe
from training.recipe import Recipe


def names() -> tuple[str, ...]:
    """The names of all recipes, sorted: `chest-xray` lives in chest_xray.py."""
    return tuple(sorted(file.stem.replace("_", "-") for file in Path(__file__).parent.glob("[a-z]*.py")))


def load(name: str) -> Recipe:
    """The recipe called `name`.

    Raises
    ------
    UnknownRecipe
    """
    if name not in names():
        near = get_close_matches(name, names(), n=1)
        raise UnknownRecipe(f'no recipe "{name}"; ' + (f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(names())}"))
    recipe: Recipe = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    return recipe
