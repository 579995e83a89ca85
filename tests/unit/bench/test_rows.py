"""Figures: what `make bench` leaves for scripts to read."""

import json
from pathlib import Path

from bench.rows import Row, write


def test_results_have_the_documented_shape(tmp_path: Path) -> None:
    """A list of {name, value, unit, baseline, ratio, goal, met}; the ratio is value over baseline, by hand 30 / 40."""
    path = tmp_path / "results.json"
    write([Row(name="receive", value=30.0, unit="instances/s", baseline=40.0, goal="at least 0.7", met=True)], path)
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"name": "receive", "value": 30.0, "unit": "instances/s", "baseline": 40.0, "ratio": 0.75, "goal": "at least 0.7", "met": True}
    ]


def test_a_figure_without_a_baseline_has_no_ratio(tmp_path: Path) -> None:
    """Null, not zero and not infinite, both without a baseline and with one of zero."""
    path = tmp_path / "results.json"
    write([Row(name="a", value=1.0, unit="s"), Row(name="b", value=1.0, unit="s", baseline=0.0)], path)
    assert [entry["ratio"] for entry in json.loads(path.read_text(encoding="utf-8"))] == [None, None]
