"""docs/howto/train-on-several-series.md typed as it stands, on made studies; its route then serves some that lack a series.

Through storescu, the node and Orthanc: what was missing stands in the report that a reader opens.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from ruamel.yaml import YAML

from tests.lab import dcmtk
from tests.lab.howto import HowTo
from tests.lab.loopback import free_port
from tests.lab.node import QUIET, Node, configuration
from tests.lab.orthanc import Orthanc
from tests.training.made_rings import NAMES, series_of, study_of, write_rings, write_study
from tests.training.tabled_page import numbers, texts, typed

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(900)]

STUDIES = 60
_LACKING = frozenset(range(6, STUDIES, 4))
_PATIENCE_S = 240


def said(item: Dataset) -> Iterator[str]:
    """The meaning of every code that answers something in a content tree."""
    if item.get("ConceptCodeSequence"):
        yield str(item.ConceptCodeSequence[0].CodeMeaning)
    for child in item.get("ContentSequence", ()):
        yield from said(child)


def test_several_series_become_one_answer(tmp_path: Path) -> None:
    """Trained, evaluated and exported by the page's commands. Held-out studies get the evaluation's answers, one with both series and one
    that lacks its FLAIR, whose report says so; a study without its T1, which has to be there, is parked."""
    page = HowTo("train-on-several-series.md")
    train, evaluate, export = page.commands()
    write_rings(tmp_path, STUDIES, _LACKING)
    assert "T1, FLAIR (may be missing), late fusion" in typed(page.typed(train), tmp_path)
    told = typed(page.typed(evaluate), tmp_path)
    assert "| left out | cases that have it | figure |" in told
    typed(page.typed(export), tmp_path)
    page.followed()
    evaluation = json.loads((tmp_path / "var" / "training" / "classification" / "evaluation.json").read_text())
    assert [(one["role"], one["optional"]) for one in evaluation["left_out"]] == [("FLAIR", True)]
    given = {row["case"]: row["probabilities"]["ring"] for row in evaluation["each"]}
    held_out = sorted((given[series_of(number, "T1")], number) for number in range(STUDIES) if series_of(number, "T1") in given)
    _, whole = [one for one in held_out if one[1] not in _LACKING][-1]
    _, lacking = [one for one in held_out if one[1] in _LACKING][-1]
    without_first = STUDIES
    (route,) = YAML(typ="safe").load(page.blocks("yaml")[0])["routes"]
    assert route["needs"].keys() == {"within"}
    port = free_port()
    pacs = Orthanc(tmp_path / "pacs", node_port=port)
    settings = configuration(
        tmp_path / "node",
        port=port,
        repository=tmp_path / "models",
        peers={"pacs": {"ae_title": "PACS", "address": f"127.0.0.1:{pacs.dicom_port}", "settle": {"quiet": QUIET}}},
        sinks={"archive": {"kind": "dimse", "peer": "pacs"}},
        routes=[{**route, "needs": {"within": QUIET}}],
    )
    with pacs, Node(settings, tmp_path / "node") as node:
        for number, names in {without_first: NAMES[1:], whole: NAMES, lacking: NAMES[:1]}.items():
            sent = dcmtk.storescu(node.port, *write_study(tmp_path / "sent", number, names), calling="PACS")
            assert sent.code == 0, sent
        ended = {study_of(whole): "done", study_of(lacking): "done", study_of(without_first): "parked"}
        jobs = node.wait_for_jobs(
            lambda jobs: {one["study_uid"]: one["state"] for one in jobs} == ended, _PATIENCE_S, "two studies are done, one is parked"
        )
        reports = {number: _reports(pacs, number, tmp_path) for number in (whole, lacking, without_first)}
    (parked,) = [one for one in jobs if one["state"] == "parked"]
    assert parked["code"] == "HLM-3085"
    assert "T1" in parked["reason"]
    missing = "Analysed without FLAIR: there was no such series."
    (answer,) = evaluation["chosen"]["answers"]
    for number in (whole, lacking):
        (report,) = [one for one in reports[number] if {"Present", "Absent", "Undetermined"} & {*said(one)}]
        probability = given[series_of(number, "T1")]
        stated = "Present" if probability >= answer["present"] else "Absent" if probability < answer["absent"] else "Undetermined"
        assert stated in {*said(report)}
        assert any(missing in text for text in texts(report)) is (number == lacking)
        assert stated == "Absent" or any(abs(each / 100 - probability) < 0.006 for each in numbers(report))
    assert not [one for one in reports[without_first] if {"Present", "Absent", "Undetermined"} & {*said(one)}]


def _reports(pacs: Orthanc, number: int, folder: Path) -> list[Dataset]:
    """The reports of a study in the archive; none where it has none of the study."""
    results = [series for study in pacs.studies() if study.uid == study_of(number) for series in study.series if series.modality == "SR"]
    return [dcmread(path) for series in results for path in pacs.download(series, folder / "got" / series.identifier)]
