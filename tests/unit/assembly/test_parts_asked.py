"""What an application takes of a series of several volumes is the operator's to choose: checked, and the same wherever it is asked."""

from pathlib import Path

import pytest

from inference.applications.port import Application
from node.assembly.compose import application, demand_fit_parts, manifest, served
from node.assembly.configuration import load
from node.domain.errors import ConfigError
from node.domain.instance import Header
from node.routing.decisions import seen
from node.routing.gate import Fit, answer
from node.settings.config import Config
from node.settings.source import UnfitParts

_CONFIG = """
node: {{ae_title: HILUM, listen: "127.0.0.1:11112"}}
peers: {{ct: {{ae_title: CT, address: "127.0.0.1:104", may: [store]}}}}
sinks: {{out: {{kind: folder, path: results}}}}
applications: {{{applications}}}
routes:
  - {{name: all, from: [ct], run: [mr-brain], send: [out]}}
"""
_MR = "1.2.840.10008.5.1.4.1.1.4"


def _loaded(folder: Path, applications: str) -> Config:
    (folder / "hilum.yaml").write_text(_CONFIG.format(applications=applications))
    return load(folder / "hilum.yaml")


def _says(asked: Application) -> Fit:
    """Of a diffusion series: 120 places, and two images at each."""
    place: Header = {
        "SOPClassUID": (_MR,),
        "Modality": ("MR",),
        "FrameOfReferenceUID": ("1.2",),
        "StudyInstanceUID": ("1",),
        "SeriesInstanceUID": ("1.1",),
        "Rows": (200,),
        "Columns": (200,),
        "PixelSpacing": (1.0, 1.0),
        "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    }
    images: list[tuple[str, Header]] = [
        (_MR, {**place, "ImagePositionPatient": (0.0, 0.0, 1.5 * z), "SOPInstanceUID": (f"1.{z}.{b}",), "DiffusionBValue": (float(b),)})
        for z in range(120)
        for b in (0, 1000)
    ]
    return answer(asked, seen("1.1", images)).fit


def test_what_is_asked_holds_wherever_the_application_is_asked_for(tmp_path: Path) -> None:
    """By routing and its explanations (`served`, `manifest`), and by who analyses (`application`); the gate leaves to the images what it
    refused before. A file that says it means something else than one that does not."""
    plain, asked = _loaded(tmp_path, ""), _loaded(tmp_path, "mr-brain: {parts: b0}")
    same = _loaded(tmp_path, "mr-brain: {attempts: 2}")
    demand_fit_parts(asked)
    for of in (served, manifest, application):
        assert [of(config, "mr-brain").accepts.parts for config in (plain, asked, same)] == ["refuse", "b0", "refuse"]
    assert (plain.digest == same.digest, plain.digest == asked.digest) == (True, False)
    assert [_says(served(config, "mr-brain")) for config in (plain, asked)] == [Fit.REFUSES, Fit.OPEN]


def test_parts_that_an_application_cannot_take_are_refused(tmp_path: Path) -> None:
    """Radiographs have none, and no loop has a volume at b 0; an application of others is asked in a process of its own."""
    with pytest.raises(UnfitParts, match=r'application "chest-xray": accepts\.parts "b0" is for volumes, and it takes images'):
        demand_fit_parts(_loaded(tmp_path, "chest-xray: {parts: b0}, mr-brain: {parts: each}"))
    with pytest.raises(ConfigError, match=r'hilum\.yaml:5:.*"all" is not one of refuse, each, b0'):
        _loaded(tmp_path, "mr-brain: {parts: all}")
