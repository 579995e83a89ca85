"""The table of recipes in their small form: each recipe has a row, and one whose data cannot be made says what it needs."""

import json
import re
from pathlib import Path

import pytest

from bench.recipes import SMALL, figure_of, show, told
from training.evaluation.record import EVALUATION
from training.recipes import names, synopses


def test_every_recipe_has_a_small_form_or_says_what_it_needs(tmp_path: Path) -> None:
    """Of breast ultrasound nothing is made; nothing is trained of it, and its row says which images it wants."""
    assert set(names()) - set(SMALL) == {"breast-ultrasound"}
    (breast,) = (one for one in synopses() if one.recipe == "breast-ultrasound")
    row = told(breast, tmp_path / "breast")
    assert row.data.startswith("needs: the breast ultrasound images of Al-Dhabyani and others 2020")
    assert (row.figure, row.seconds, row.objects) == ("–", None, ("Measurement report",))
    assert not (tmp_path / "breast").exists()


def test_a_row_tells_the_watched_figure_its_interval_and_the_baseline(tmp_path: Path) -> None:
    """As the run's evaluation has them, in its own digits; without an interval, without a baseline, and without an evaluation."""
    dice = {"mean": 0.91449, "interval": [0.91, 0.918], "digits": 3, "baseline": 0.2438}
    kept = {"watched": "Dice", "baseline": "mean shape", "figures": {"Dice": dice, "volume error": {**dice, "mean": 3.0}}}
    (tmp_path / EVALUATION).write_text(json.dumps(kept))
    assert figure_of(tmp_path) == ("Dice 0.914 (0.910 to 0.918)", "mean shape 0.244")
    (tmp_path / EVALUATION).write_text(json.dumps({**kept, "figures": {"Dice": {**dice, "interval": None, "baseline": None}}}))
    assert figure_of(tmp_path) == ("Dice 0.914", "–")
    (tmp_path / EVALUATION).write_text(json.dumps({**kept, "watched": "AUC"}))
    assert figure_of(tmp_path) == ("AUC: in its card", "–")
    assert figure_of(tmp_path / "nowhere") == ("in its card", "–")


@pytest.mark.slow
def test_a_recipe_is_run_in_its_small_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The quickest, prognosis: it ends, its time is told, and what is sent of it."""
    (prognosis,) = (one for one in synopses() if one.recipe == "prognosis")
    row = told(prognosis, tmp_path / "small")
    assert (row.data, row.objects) == ("a made table of 160 patients", ())
    assert re.fullmatch(r"C 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", row.figure)
    assert re.fullmatch(r"age alone 0\.\d{3}", row.baseline)
    assert row.seconds is not None
    capsys.readouterr()
    show([row])
    printed = " ".join(capsys.readouterr().out.split())
    assert "prognosis" in printed
    assert f"{row.seconds:.0f} s" in printed
