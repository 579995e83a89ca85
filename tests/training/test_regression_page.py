"""docs/howto/train-a-regression.md typed as it stands, over a table of made radiographs: a route then serves what was evaluated."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.lab.howto import HowTo

from .numbered_radiographs import write_numbered
from .tabled_page import numbers, reports, serve, typed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENTS = 48
"""Of ten that are held out, nine are enough for an interval of nine in ten."""


def test_a_table_becomes_a_served_regression(tmp_path: Path) -> None:
    """Trained, evaluated and exported by the page's commands; by the page's route three held-out studies get reports whose number and
    interval are the evaluation's. A table with other numbers over the same run is refused."""
    page = HowTo("train-a-regression.md")
    write_numbered(tmp_path / "studies", PATIENTS).rename(tmp_path / "numbers.csv")
    train, evaluate, export = page.commands()
    said = typed(page.typed(train), tmp_path)
    assert f"{PATIENTS} cases of {PATIENTS} patients, DX: numbers, Spot width" in said
    assert "numbers far from all others" in said
    told = typed(page.typed(evaluate), tmp_path)
    assert "| absolute error Spot width, mm |" in told
    typed(page.typed(export), tmp_path)
    page.followed()
    evaluation = json.loads((tmp_path / "var" / "training" / "regression" / "evaluation.json").read_text())
    (within,) = evaluation["intervals"]["within"]
    assert f"± {within:.3g} mm around each number is its 90% prediction interval" in told
    held_out = {row["case"].removesuffix(".1"): row["numbers"]["Spot width"] for row in evaluation["each"][:3]}
    serve(tmp_path, YAML(typ="safe").load(page.blocks("yaml")[0])["routes"], held_out)
    for study, report in reports(tmp_path / "results").items():
        value, above, below = numbers(report)
        assert value == pytest.approx(held_out[study], abs=0.0501), "lengths in mm are shown to a tenth"
        low, high = max(held_out[study] - within, 0), held_out[study] + within
        assert -1e-9 <= value + above - high < 0.1001, "outward"
        assert -1e-9 <= low - (value - below) < 0.1001, "outward"
        assert value - below > -1e-9, "a width is not below 0"
        concluded = str(report.ContentSequence[0].ContentSequence[0].TextValue)
        assert "90 % prediction interval" in concluded
        assert "mm" in concluded
    with (tmp_path / "numbers.csv").open("a") as table:
        table.write("1.2.3,4\n")
    with pytest.raises(AssertionError, match="HLM-8003"):
        typed(train, tmp_path)
