"""docs/howto/train-a-classifier.md typed as it stands, over a table of made radiographs: a route then serves what was evaluated."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from ruamel.yaml import YAML

from tests.lab.howto import HowTo
from tests.lab.node import Node, configuration, hilum
from tests.lab.program import wait_until

from .labelled_radiographs import write_labelled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("node")]

PATIENTS, EPOCHS = 24, "2"
_PATIENCE_S = 240


def typed(command: str, folder: Path) -> str:
    """Run a command of the page where its paths are relative to; a training is short."""
    words = shlex.split(command)
    assert words[0] == "hilum", command
    if "--epochs" in words:
        words[words.index("--epochs") + 1] = EPOCHS
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hilum")), *words[1:]],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def numbers(item: Dataset) -> list[float]:
    """Every number in a content tree."""
    own = [float(item.MeasuredValueSequence[0].NumericValue)] if item.get("MeasuredValueSequence") else []
    return own + [each for child in item.get("ContentSequence", ()) for each in numbers(child)]


def reports(folder: Path) -> dict[str, Dataset]:
    """The reports with coded findings that lie in a folder, by study."""
    read = (dcmread(path) for path in folder.rglob("*.dcm"))
    return {str(each.StudyInstanceUID): each for each in read if each.Modality == "SR"}


def test_a_table_becomes_a_served_classifier(tmp_path: Path) -> None:
    """Trained, evaluated, exported and listed by the page's commands; by the page's route the held-out studies get reports whose
    probabilities are the evaluation's. Another table over the same run is refused."""
    page = HowTo("train-a-classifier.md")
    write_labelled(tmp_path / "studies", PATIENTS).rename(tmp_path / "labels.csv")
    train, evaluate, export, listed = page.commands()
    said = typed(train, tmp_path)
    assert f"{PATIENTS} cases of {PATIENTS} patients, DX: one of 2 classes" in said
    assert "labels that the image makes unlikely" in said
    assert "split by patient" in said
    assert "| log score |" in typed(evaluate, tmp_path)
    typed(export, tmp_path)
    assert "spots" in typed(listed, tmp_path)
    evaluation = json.loads((tmp_path / "var" / "training" / "classification" / "evaluation.json").read_text())
    assert evaluation["cases"] == {"train": 17, "validation": 2, "test": 5}
    settings = configuration(
        tmp_path / "node",
        port=0,
        repository=tmp_path / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": "1s"}}},
        sinks={"archive": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=YAML(typ="safe").load(page.blocks("yaml")[0])["routes"],
    )
    held_out = {row["case"].removesuffix(".1"): row["probabilities"] for row in evaluation["each"]}
    with Node(settings, tmp_path / "node") as node:
        files = [tmp_path / "studies" / f"{study.rpartition('.')[2]}.dcm" for study in held_out]
        sent = hilum("send", *files, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
        assert sent.code == 0, sent.out + sent.err
        wait_until(lambda: reports(tmp_path / "results").keys() == held_out.keys(), _PATIENCE_S, "every study has its report")
    for study, report in reports(tmp_path / "results").items():
        told = numbers(report)
        assert told, "the one that is present or undetermined has a probability"
        assert all(min(abs(number / 100 - given) for given in held_out[study].values()) < 0.006 for number in told), (told, held_out[study])
    with (tmp_path / "labels.csv").open("a") as table:
        table.write("1.2.3,fine\n")
    with pytest.raises(AssertionError, match="HLM-8003"):
        typed(train, tmp_path)
