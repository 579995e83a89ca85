"""The table of recipes in their small form: each recipe has a row, and one whose data cannot be made says what it needs."""

from pathlib import Path

import pytest

from bench.recipes import SMALL, show, told
from training.recipes import names, synopses


def test_every_recipe_has_a_small_form_or_says_what_it_needs(tmp_path: Path) -> None:
    """Of breast ultrasound nothing is made; nothing is trained of it, and its row says which images it wants."""
    assert set(names()) - set(SMALL) == {"breast-ultrasound"}
    (breast,) = (one for one in synopses() if one.recipe == "breast-ultrasound")
    row = told(breast, tmp_path / "breast")
    assert row.data.startswith("needs: the breast ultrasound images of Al-Dhabyani and others 2020")
    assert (row.figure, row.seconds, row.objects) == ("–", None, ("Measurement report",))
    assert not (tmp_path / "breast").exists()


@pytest.mark.slow
def test_a_row_tells_figure_interval_baseline_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the recipe over phases, trained and evaluated in its small form; the recipe itself is in its place again."""
    (phases,) = (one for one in synopses() if one.recipe == "cardiac-phase")
    row = told(phases, tmp_path / "phases")
    assert row.figure.startswith("nearness 0.")
    assert row.baseline.startswith("largest and smallest area by threshold and region growing 0.")
    assert row.seconds is not None
    assert row.objects == ("Measurement report",)
    assert [one.run for one in synopses() if one.recipe == "cardiac-phase"] == [phases.run]
    capsys.readouterr()
    show([row])
    printed = " ".join(capsys.readouterr().out.split())
    for word in ("cardiac-phase", "phases of a", "nearness", "Measurement"):
        assert word in printed
