"""A series of several loops goes in over DIMSE: an application that takes each of them has its results for each."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.lab.node import QUIET, Node, configuration, hilum

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 120
_BEHIND_ITS_PIXELS = 0xFFFEE0DD
_NAMED = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "PatientID": "L1", "PatientName": "LOOPS", "Modality": "US"}


def _numbered(source: Path, number: int, folder: Path) -> Dataset:
    """A real loop as the instance of this number in one series of one patient."""
    loop = dcmread(source)
    loop.pop(_BEHIND_ITS_PIXELS, None)  # one publisher left it at the end of its file, where nothing is delimited
    for keyword, value in _NAMED.items():
        setattr(loop, keyword, value)
    loop.InstanceNumber = number
    loop.save_as(folder / f"{number}.dcm")
    return loop


def test_every_loop_of_a_series_has_results_of_its_own(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Two real ultrasound loops (65 frames of 576 x 456 and 30 of 320 x 240) in one series: one job, a report for each, which names the
    loop and refers to no frame of the other."""
    sources = {path.name: path for path in real("dicom/us_cine")}
    inputs = tmp_path / "in"
    inputs.mkdir()
    loops = [_numbered(sources[name], number, inputs) for number, name in enumerate(("DIRW0007", "examples_ybr_color.dcm"), start=1)]
    made = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "models",
        peers={"echo": {"ae_title": "ECHO", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "loops", "when": {"Modality": "US"}, "run": ["every-loop"], "send": ["results"]}],
    )
    settings = {**made, "models": {"repository": str(tmp_path / "models"), "applications": [str(_APPLICATIONS)]}}
    with Node(settings, tmp_path / "node") as node:
        said = hilum("send", inputs, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "ECHO", "--json")
        assert said.code == 0, said.out + said.err
        node.wait_for_jobs(lambda jobs: len(jobs) == 1 and jobs[0]["state"] == "done", _PATIENCE_S, "the loops are analysed")
    reports = [one for path in (tmp_path / "results").rglob("*.dcm") if (one := dcmread(path)).Modality == "SR"]
    of_loop = {
        (str(loop.SOPInstanceUID), f"{int(loop.NumberOfFrames)} frames of {loop.Columns} x {loop.Rows},", f"loop {number} of 2")
        for number, loop in enumerate(loops, start=1)
    }
    assert len(reports) == 2
    for report in reports:
        text = " ".join([str(report.SeriesDescription), *(str(one.value) for one in report.iterall() if one.keyword == "TextValue")])
        named = {str(one.value) for one in report.iterall() if one.keyword == "ReferencedSOPInstanceUID"}
        (own,) = [one for one in of_loop if one[0] in named]
        assert all(words in text for words in own[1:]), text
        assert not any(other[0] in named or other[1] in text for other in of_loop - {own})
    assert {str(report.StudyInstanceUID) for report in reports} == {_NAMED["StudyInstanceUID"]}
