"""docs/howto/train-a-classifier.md typed as it stands, over a table of made radiographs: a route then serves what was evaluated."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.lab.howto import HowTo

from .labelled_radiographs import write_labelled
from .tabled_page import numbers, reports, serve, typed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENTS = 24


def test_a_table_becomes_a_served_classifier(tmp_path: Path) -> None:
    """Trained, evaluated, exported and listed by the page's commands; by the page's route the held-out studies get reports whose
    probabilities are the evaluation's. Another table over the same run is refused."""
    page = HowTo("train-a-classifier.md")
    write_labelled(tmp_path / "studies", PATIENTS).rename(tmp_path / "labels.csv")
    train, evaluate, export, listed = page.commands()
    said = typed(page.typed(train), tmp_path)
    assert f"{PATIENTS} cases of {PATIENTS} patients, DX: one of 2 classes" in said
    assert "labels that the image makes unlikely" in said
    assert "split by patient" in said
    assert "| log score |" in typed(page.typed(evaluate), tmp_path)
    typed(page.typed(export), tmp_path)
    assert "spots" in typed(page.typed(listed), tmp_path)
    page.followed()
    evaluation = json.loads((tmp_path / "var" / "training" / "classification" / "evaluation.json").read_text())
    assert evaluation["cases"] == {"train": 17, "validation": 2, "test": 5}
    held_out = {row["case"].removesuffix(".1"): row["probabilities"] for row in evaluation["each"]}
    serve(tmp_path, YAML(typ="safe").load(page.blocks("yaml")[0])["routes"], held_out)
    for study, report in reports(tmp_path / "results").items():
        told = numbers(report)
        assert told, "the one that is present or undetermined has a probability"
        assert all(min(abs(number / 100 - given) for given in held_out[study].values()) < 0.006 for number in told), (told, held_out[study])
    with (tmp_path / "labels.csv").open("a") as table:
        table.write("1.2.3,fine\n")
    with pytest.raises(AssertionError, match="HLM-8003"):
        typed(train, tmp_path)
