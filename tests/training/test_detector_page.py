"""docs/howto/train-a-detector.md typed as it stands, over made radiographs with discs and rings: a route then tells what was evaluated."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from ruamel.yaml import YAML

from tests.lab import validators
from tests.lab.howto import HowTo

from .boxed_radiographs import write_boxed
from .tabled_page import reports, serve, typed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENTS, SIZE = 24, 64


def boxes(item: Dataset) -> list[tuple[float, float, float, float]]:
    """Top, left, bottom, right of every closed polyline in a content tree."""
    own = []
    if item.get("GraphicType") == "POLYLINE":
        across, down = item.GraphicData[::2], item.GraphicData[1::2]
        own = [(min(down), min(across), max(down), max(across))]
    return own + [each for child in item.get("ContentSequence", ()) for each in boxes(child)]


def sides(told: dict[str, Any]) -> tuple[float, ...]:
    return tuple(told[side] for side in ("top", "left", "bottom", "right"))


def test_a_table_of_boxes_becomes_a_served_detector(tmp_path: Path) -> None:
    """Trained, evaluated, exported and listed by the page's commands; by the page's route the held-out studies get reports with the very
    boxes of the evaluation, without a fault, and those without a box say so. Another table over the same run is refused."""
    page = HowTo("train-a-detector.md")
    write_boxed(tmp_path / "studies", PATIENTS, SIZE).rename(tmp_path / "boxes.csv")
    train, evaluate, export, listed = page.commands()
    said = typed(page.typed(train), tmp_path)
    assert f"{PATIENTS} cases of {PATIENTS} patients, DX: boxes of 2 classes, at most 4 on an image, disc, ring" in said
    assert "KEPT, AS SHOWING NOTHING" in said
    told = typed(page.typed(evaluate), tmp_path)
    assert "| mAP@0.5 |" in told
    typed(page.typed(export), tmp_path)
    assert "discs" in typed(page.typed(listed), tmp_path)
    page.followed()
    evaluation = json.loads((tmp_path / "var" / "training" / "detection" / "evaluation.json").read_text())
    assert f"Told is a box from probability {evaluation['boxes']['told from']:g} on" in told
    assert evaluation["figures"]["mAP@0.5"]["mean"] > evaluation["figures"]["mAP@0.5"]["baseline"], "it has learned something"
    held_out = {row["case"].removesuffix(".1.1"): row["told"] for row in evaluation["each"]}
    assert any(held_out.values())
    serve(tmp_path, YAML(typ="safe").load(page.blocks("yaml")[0])["routes"], held_out)
    for path in (tmp_path / "results").rglob("*.dcm"):
        assert validators.faults_of(path, report=str(dcmread(path, stop_before_pixels=True).Modality) == "SR") == []
    for study, report in reports(tmp_path / "results").items():
        wanted = sorted(sides(one) for one in held_out[study])
        # each stands twice, with its certainty and without, as viewers take it up
        found = sorted(boxes(report))[::2]
        assert len(found) == len(wanted)
        for mine, evaluated in zip(found, wanted, strict=True):
            assert mine == pytest.approx(evaluated, abs=1e-3), "GraphicData are of single precision"
    with (tmp_path / "boxes.csv").open("a") as table:
        table.write("1.2.3,1,1,9,9,disc\n")
    with pytest.raises(AssertionError, match="HLM-8003"):
        typed(train, tmp_path)
