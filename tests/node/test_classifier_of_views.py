"""A network of two views, learned from a table of studies and served: which image shows which view, the node finds by the headers."""

import json
import os
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.lab import dcmtk
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.training.labelled_radiographs import ROOT
from tests.training.tabled_page import numbers, reports, texts
from tests.training.test_tabled_roles import write_views

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STUDIES = 40
_LACKING = frozenset(range(6, STUDIES, 4))
_PATIENCE_S = 240
MISSING = "Analysed without LL: there was no such image."


def test_the_views_of_a_study_are_one_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out studies get the evaluation's probabilities, about both images, or without the one from the side, and that is said; a study
    without the one from the front is parked by the view that is missing."""
    write_views(tmp_path, STUDIES, _LACKING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    roles = ("--optional", "LL", "--name", "two-views", "--epochs", "2", "--roles", "PA", "LL")
    for words in (
        ("train", "classification", "--data", "studies", "--labels", "labels.csv", *roles),
        ("evaluate", "classification", "--data", "studies", "--explain", "0"),
        ("export", "classification", "--repository", "models"),
    ):
        said = hilum(*words)
        assert said.code == 0, (words, said.out, said.err)
    evaluation = json.loads((tmp_path / "var" / "training" / "classification" / "evaluation.json").read_text())
    held_out = {row["case"]: row["probabilities"] for row in evaluation["each"]}
    whole = next(n for n in range(STUDIES) if n not in _LACKING and f"{ROOT}.{n}" in held_out)
    lacking = next(n for n in sorted(_LACKING) if f"{ROOT}.{n}" in held_out)
    from_the_side = next(n for n in range(STUDIES) if n not in (*_LACKING, whole))
    settings = configuration(
        tmp_path / "node",
        port=0,
        repository=tmp_path / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "views", "when": {"Modality": "DX"}, "run": ["two-views"], "send": ["results"]}],
    )
    with Node(settings, tmp_path / "node") as node:
        for number, views in {whole: ("LL", "PA"), lacking: ("PA",), from_the_side: ("LL",)}.items():
            files = [tmp_path / "studies" / f"{number}-{view}.dcm" for view in views]
            sent = dcmtk.storescu(node.port, *files, calling="SCANNER")
            assert sent.code == 0, sent
        ended = {f"{ROOT}.{whole}": "done", f"{ROOT}.{lacking}": "done", f"{ROOT}.{from_the_side}": "parked"}
        jobs = node.wait_for_jobs(lambda jobs: {one["study_uid"]: one["state"] for one in jobs} == ended, _PATIENCE_S, "two are done")
    (parked,) = [one for one in jobs if one["state"] == "parked"]
    assert parked["code"] == "HLM-3034"
    assert "none shows PA" in parked["reason"]
    found = reports(tmp_path / "results")
    for number in (whole, lacking):
        report, study = found[f"{ROOT}.{number}"], f"{ROOT}.{number}"
        told = numbers(report)
        assert told, "one of two classes is present or undetermined"
        assert all(min(abs(each / 100 - given) for given in held_out[study].values()) < 0.006 for each in told), (told, held_out[study])
        assert any(MISSING in text for text in texts(report)) is (number == lacking)
        seen = ("LL", "PA") if number == whole else ("PA",)
        shown = {str(dcmread(tmp_path / "studies" / f"{number}-{view}.dcm").SOPInstanceUID) for view in seen}
        evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        assert {str(one.ReferencedSOPInstanceUID) for series in evidence for one in series.ReferencedSOPSequence} == shown
