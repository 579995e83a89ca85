"""Where the run of a recipe lies, and what all verbs of training need installed; imported before anything heavy is."""

import importlib.util
from pathlib import Path

from training.errors import TrainingNotInstalled

_NEEDED = ("torch", "monai", "nibabel", "tensorboard", "jinja2")


def demand_installed() -> None:
    """Refuse where a library of training is absent.

    Raises
    ------
    TrainingNotInstalled
    """
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise TrainingNotInstalled(f"not installed: {', '.join(absent)}")


def default_run(recipe: str) -> Path:
    """The folder of a recipe's run where none is named."""
    return Path("var/training") / recipe
