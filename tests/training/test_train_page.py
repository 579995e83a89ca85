"""docs/howto/train-a-model.md as written: its commands in their order, by a network of one convolution, which takes a moment.

What the recipe's own network learns, and that what is served is what was evaluated, are test_hippocampus's.
"""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.howto import HowTo
from tests.unit.cli.conftest import Answer, Run
from tests.unit.cli.conftest import run as run

from .made import as_recipe, crops, smallest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]


def test_the_page_is_followed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, evaluated, exported; other settings searched; every patient held out once; the shipped model scored, and both compared."""
    made = replace(smallest(), schedule=replace(smallest().schedule, epochs=1))
    as_recipe(monkeypatch, "hippocampus", made)
    monkeypatch.chdir(tmp_path)
    crops(tmp_path / "DIR", 10)
    (tmp_path / "inference").symlink_to(ROOT / "inference")
    page = HowTo("train-a-model.md")

    def typed(command: str) -> Answer:
        program, *words = shlex.split(page.typed(command))
        assert program == "hilum"
        said = run(*words)
        assert said.code == 0, (command, said)
        return said

    train, evaluate, export, search, folds, shipped, compare = page.commands()
    typed(train)
    assert (tmp_path / "var/training/hippocampus/best.pt").is_file()
    typed(evaluate)
    assert {"evaluation.json", "card.html"} <= {one.name for one in (tmp_path / "var/training/hippocampus").iterdir()}
    typed(export)
    assert list((tmp_path / "config/models").rglob("card.html"))
    typed(shipped)
    said = typed(compare).out
    assert "volume" in said
    # a run of its own, beside the one that is compared
    monkeypatch.chdir(tmp_path / "config")
    (tmp_path / "config/DIR").symlink_to(tmp_path / "DIR")
    typed(search)
    assert (tmp_path / "config/var/training/hippocampus/search.json").is_file()
    typed(folds)
    page.followed()
    together = json.loads((tmp_path / "config/var/training/hippocampus/folds.json").read_text())
    assert together["folds"] == 5
