"""constraints.txt can be installed on every Python that the project promises, the first 3.11 of a distribution included."""

import importlib.metadata
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

_ROOT = Path(__file__).parents[2]


def test_every_pinned_version_takes_the_oldest_python() -> None:
    """Whoever pins on a newer one does not see otherwise that a version asks for it."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (oldest,) = (one.version + ".0" for one in SpecifierSet(project["requires-python"]))
    pinned = {Requirement(line).name for line in (_ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line}
    asked = {one.name: one.metadata["Requires-Python"] or "" for one in importlib.metadata.distributions() if one.name in pinned}
    assert len(asked) > 100
    assert not {name: said for name, said in asked.items() if not SpecifierSet(said).contains(oldest)}
