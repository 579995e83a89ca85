"""Methods compared on made data by the command: all of them run, are kept, are said on the card, and bad requests are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from training import cli
from training.errors import BrokenRun, OtherRun, UnfitSetting
from training.evaluation.methods import METHODS, lines, read_methods
from training.methods import classifying, outlining

from .made_radiographs import chests
from .made_short_axes import short_axis_slices

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chests(tmp_path_factory.mktemp("chests"))


@pytest.fixture(scope="module")
def run(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All methods of classification, the networks for one epoch."""
    folder = tmp_path_factory.mktemp("classified")
    assert cli.train("chest-xray", data=made, out=folder, methods=(), side=32, epochs=1, batch=32, device="cpu") == 0
    return folder


def test_every_method_of_classification_runs_and_stands_in_one_table(run: Path) -> None:
    """Twelve rows, sorted; all but one compared with that one by DeLong's test, each picture being a patient; the spots' texture tells
    more than their size, and more than networks of one epoch."""
    found = read_methods(run)
    assert found is not None
    rows = found["rows"]
    assert {row["method"] for row in rows} == set(classifying.METHODS)
    assert [row["figure"] for row in rows] == sorted((row["figure"] for row in rows), reverse=True)
    assert [row["method"] for row in rows if row["difference"] is None] == [found["compared_with"]]
    assert found["test"] == "DeLong"
    assert found["figure"] == "AUC"
    by_name = {row["method"]: row for row in rows}
    assert by_name["radiomics-svm"]["figure"] > 0.9
    assert by_name["radiomics-svm"]["interval"][0] > 0.8
    assert by_name["vgg-16"]["parameters"] > 100 * by_name["lenet"]["parameters"]
    for row in rows:
        difference = row["difference"]
        if difference is not None and difference["p"] is not None:
            assert difference["p"] <= difference["holm"]


def test_a_comparison_goes_on_where_it_was(made: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was run is not run again, and the table is the same; with other settings it is refused, and a damaged file is named."""
    kept = run / "methods" / "lenet.json"
    before = kept.stat().st_mtime_ns, (run / METHODS).read_text("utf-8")
    capsys.readouterr()
    assert cli.train("chest-xray", data=made, out=run, methods=(), side=32, epochs=1, batch=32, device="cpu", as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(before[1])
    assert kept.stat().st_mtime_ns == before[0]
    with pytest.raises(OtherRun, match=r"lenet\.json was made with"):
        cli.train("chest-xray", data=made, out=run, methods=("lenet",), side=48, epochs=1, batch=32, device="cpu")
    text = kept.read_text("utf-8")
    kept.write_text(text[:40], "utf-8")
    with pytest.raises(BrokenRun, match=r"lenet\.json"):
        cli.train("chest-xray", data=made, out=run, methods=("lenet",), side=32, epochs=1, batch=32, device="cpu")
    kept.write_text(text, "utf-8")


def test_a_method_that_another_device_computed_is_told_of_it(made: Path, run: Path) -> None:
    """The table names what computed each method, not what the last call would have computed with."""
    kept = run / "methods" / "lenet.json"
    text = kept.read_text("utf-8")
    kept.write_text(json.dumps(json.loads(text) | {"device": "cuda"}), "utf-8")
    asked = ("size-logistic", "lenet")
    assert cli.train("chest-xray", data=made, out=run, methods=asked, side=32, epochs=1, batch=32, device="cpu") == 0
    kept.write_text(text, "utf-8")
    found = read_methods(run)
    assert found is not None
    assert "on cpu and cuda;" in lines(found)


def test_every_method_of_segmentation_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Discs of made hearts: the level set grows beyond the atlas to their borders; each method is judged by patient."""
    data = short_axis_slices(tmp_path / "data", count=10)
    assert cli.train("left-ventricle", data=data, out=tmp_path / "run", methods=(), side=32, epochs=1, device="cpu") == 0
    found = read_methods(tmp_path / "run")
    assert found is not None
    by_name = {row["method"]: row for row in found["rows"]}
    assert set(by_name) == set(outlining.METHODS)
    assert by_name["atlas"]["figure"] > 0.5
    assert by_name["level-set"]["figure"] > by_name["atlas"]["figure"]
    # two patients are held out: of so few nothing is told
    assert all(row["interval"] is None for row in found["rows"])
    assert "| atlas |" in capsys.readouterr().out


def test_folds_are_compared_by_the_corrected_test(tmp_path: Path) -> None:
    """Three folds, one figure each, and the t-test that knows of the cases that they share; what one of them alone said lies with it, and
    is not told as what all say."""
    data = short_axis_slices(tmp_path / "data", count=9)
    asked = ("atlas", "level-set")
    assert cli.train("left-ventricle", data=data, out=tmp_path / "run", methods=asked, side=32, folds=3, fold=2, device="cpu") == 0
    assert read_methods(tmp_path / "run") is None
    assert read_methods(tmp_path / "run" / "fold-2") is not None
    assert cli.train("left-ventricle", data=data, out=tmp_path / "run", methods=asked, side=32, folds=3, device="cpu") == 0
    found = read_methods(tmp_path / "run")
    assert found is not None
    assert found["folds"] == 3
    assert all(len(row["folds"]) == 3 for row in found["rows"])
    assert found["test"] == "corrected resampled t-test over folds"
    assert "3 folds, the same for all" in lines(found)
    (other,) = (row for row in found["rows"] if row["difference"] is not None)
    (first,) = (row for row in found["rows"] if row["difference"] is None)
    assert other["difference"]["p"] == pytest.approx(corrected(found, other, first), rel=1e-6)


def corrected(found: dict[str, Any], one: dict[str, Any], other: dict[str, Any]) -> float:
    """p of the corrected resampled t-test (Nadeau and Bengio 2003), over cases that are held out and cases that are learned from."""
    differences = np.subtract(one["folds"], other["folds"])
    shares = [held_out / learned for learned, _, held_out in found["cases"]]
    deviation = np.sqrt((1 / len(differences) + np.mean(shares)) * differences.var(ddof=1))
    return float(2 * stats.t.sf(abs(differences.mean() / deviation), df=len(differences) - 1))


def test_a_method_without_a_figure_is_not_what_others_are_compared_with(tmp_path: Path) -> None:
    """Of a method whose figure on the cases to choose by is no number, even where it is named first."""
    data = short_axis_slices(tmp_path / "data", count=9)
    asked = ("atlas", "level-set")
    for _ in range(2):
        assert cli.train("left-ventricle", data=data, out=tmp_path / "run", methods=asked, side=32, device="cpu") == 0
        kept = tmp_path / "run" / "methods" / "atlas.json"
        kept.write_text(json.dumps(json.loads(kept.read_text("utf-8")) | {"validation": float("nan")}), "utf-8")
    found = read_methods(tmp_path / "run")
    assert found is not None
    assert found["compared_with"] == "level-set"


def test_what_cannot_be_compared_is_refused(made: Path, tmp_path: Path) -> None:
    """A method that is none, a task without methods, a side out of bounds, a rate that all should share."""
    with pytest.raises(UnfitSetting, match=r'--methods atlas: for recipe "chest-xray" there are size-logistic, '):
        cli.train("chest-xray", data=made, out=tmp_path, methods=("atlas",))
    with pytest.raises(UnfitSetting, match='recipe "lung-nodule" is of detection'):
        cli.train("lung-nodule", out=tmp_path, methods=())
    with pytest.raises(UnfitSetting, match="--side 8: from 32 to 256"):
        cli.train("chest-xray", data=made, out=tmp_path, methods=("lenet",), side=8, device="cpu")
    with pytest.raises(UnfitSetting, match="--methods and --learning-rate do not go together"):
        cli.train("chest-xray", data=made, out=tmp_path, methods=(), learning_rate=0.1)
