"""Cross-validation: every patient is held out once, the folds are runs like any other, and what they say together is over all patients."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training import cli, recipes
from training.data.cases import Case, Fold, split
from training.errors import OtherRun, UnfitData, UnfitSetting
from training.evaluation.record import EVALUATION
from training.folds import TOGETHER
from training.planning import Asked

from .made import as_recipe, crops, smallest

pytestmark = pytest.mark.timeout(1500)
"""Trainings on a loaded machine."""


def cases(patients: int) -> tuple[Case, ...]:
    return tuple(
        Case(patient=f"p{number // 2}", name=f"c{number}", load=lambda: pytest.fail("nothing is read")) for number in range(2 * patients)
    )


@pytest.mark.parametrize(("patients", "count"), [(30, 5), (11, 4), (4, 4), (3, 3)])
def test_every_patient_is_held_out_once(patients: int, count: int) -> None:
    """Whatever the numbers: no patient on two sides of a fold, each held out by one fold, folds that differ by one patient at most."""
    made = [split(cases(patients), 3, Fold(number=number, count=count)) for number in range(1, count + 1)]
    held_out = Counter(case.name for sides in made for case in sides.test)
    assert held_out == Counter(case.name for case in cases(patients))
    for sides in made:
        here = [{case.patient for case in side} for side in (sides.train, sides.validation, sides.test)]
        assert all(here)
        assert sum(map(len, here)) == patients == len(set().union(*here))
    sizes = [len({case.patient for case in sides.test}) for sides in made]
    assert max(sizes) - min(sizes) <= 1


def test_what_cannot_be_folded_is_said(tmp_path: Path) -> None:
    """More folds than patients, nobody left to train on, one fold, and data that are laid out for their sides."""
    with pytest.raises(UnfitData, match="3 patients cannot be parted into 5 folds"):
        split(cases(3), 0, Fold(number=1, count=5))
    with pytest.raises(UnfitData, match="leave none to train on"):
        split(cases(3), 0, Fold(number=1, count=2))
    with pytest.raises(UnfitSetting, match="--folds 1: there are two at least"):
        cli.train("hippocampus", data=tmp_path, out=tmp_path, folds=1)
    with pytest.raises(UnfitSetting, match="--fold 4: of --folds 3 there are 1 to 3"):
        cli.train("hippocampus", data=tmp_path, out=tmp_path, folds=3, fold=4)
    with pytest.raises(UnfitSetting, match="--fold 2 is one of the trainings of --folds"):
        cli.train("hippocampus", data=tmp_path, out=tmp_path, fold=2)
    with pytest.raises(UnfitSetting, match='recipe "restore" has data that are laid out or made for their sides'):
        cli.train("restore", data=tmp_path, out=tmp_path, folds=3)
    assert not list(tmp_path.iterdir())


def test_a_fold_stays_the_fold_that_it_was_begun_as(tmp_path: Path) -> None:
    """Asked for another number of folds, it is refused, and what it is of is told as before."""
    run, first = tmp_path / "fold-1", Fold(number=1, count=5)
    for _ in range(2):
        recipes.begun("hippocampus", tmp_path, run, 0, Asked(), print, first)
    with pytest.raises(OtherRun, match=r"fold-1 is fold 1 of 5, and asked for is one of 4"):
        recipes.begun("hippocampus", tmp_path, run, 0, Asked(), print, Fold(number=1, count=4))
    assert recipes.fold_of(run) == first


@pytest.mark.slow
def test_folds_are_trained_evaluated_and_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three folds of six crops: the mean is that of all six cases, the split is said, what is done is not done again, and a fold alone is
    evaluated on what it held out and on nothing else."""
    made = replace(smallest(), schedule=replace(smallest().schedule, epochs=1))
    as_recipe(monkeypatch, "made", made)
    data, run = crops(tmp_path / "data", count=6), tmp_path / "run"
    assert cli.train("made", data=data, out=run, folds=3) == 0
    said = capsys.readouterr().out
    assert "6 cases, each held out once in 3 folds, split by case; whether two are of one person, the data do not tell" in said
    found = json.loads((run / TOGETHER).read_text())
    of_folds = [json.loads((run / f"fold-{number}" / EVALUATION).read_text()) for number in (1, 2, 3)]
    assert sorted(row["case"] for row in found["each"]) == sorted(f"made_{number:03d}" for number in range(6))
    watched = [row["figures"]["volume"] for each in of_folds for row in each["each"]]
    assert found["figures"]["volume"]["mean"] == pytest.approx(np.mean(watched))
    assert found["figures"]["volume"]["folds"] == [each["figures"]["volume"]["mean"] for each in of_folds]
    assert found["figures"]["volume"]["count"] == 6

    before = [(run / f"fold-{number}" / EVALUATION).read_bytes() for number in (1, 2, 3)]
    assert cli.train("made", data=data, out=run, folds=3) == 0
    assert [(run / f"fold-{number}" / EVALUATION).read_bytes() for number in (1, 2, 3)] == before
    assert cli.evaluate("made", data=data, out=run / "fold-2", as_json=True) == 0
    again = json.loads(capsys.readouterr().out.partition("volume of each fold")[2].partition("\n")[2])
    assert [row["case"] for row in again["each"]] == [row["case"] for row in of_folds[1]["each"]]
    with pytest.raises(OtherRun):
        recipes.begun("made", data, run / "fold-2", 0, Asked(), print).evaluate(made.sides(data, 0), run / "fold-2")
