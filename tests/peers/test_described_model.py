"""An ONNX file to a result in the PACS as docs/howto/describe-a-model.md has a newcomer do it: the page's app.yaml, command and route."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from ruamel.yaml import YAML

from inference.imaging.write_series import write_series
from tests.lab import source, validators
from tests.lab.hospital import hospital
from tests.lab.howto import HowTo
from tests.lab.node import hilum
from tests.unit.applications.bundle import onnx_nets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = HowTo("describe-a-model.md")
BLOCK = (14, 30, 24)
"""Voxels of the bone that is in the images, 2 × 0.75 × 0.75 mm each."""


def _bone(folder: Path) -> Path:
    """A CT of air with a block of 900 HU away from its borders."""
    voxels = np.full((32, 80, 80), -1000, np.int16)
    voxels[9 : 9 + BLOCK[0], 25 : 25 + BLOCK[1], 20 : 20 + BLOCK[2]] = 900
    affine = np.array([[0.0, 0, 0.75, -30], [0, 0.75, 0, -30], [2, 0, 0, 0], [0, 0, 0, 1]])
    write_series(voxels, affine, folder, modality="CT", patient_id="NEWCOMER")
    return folder


def test_an_onnx_file_becomes_results_in_the_pacs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's description, its import and its route, to the letter: the segmentation is where the bone is, with the page's code and
    colour; the report has its volume; the validators find nothing."""
    (described,) = [text for text in PAGE.blocks("yaml") if "model:" in text]
    (routed,) = [text for text in PAGE.blocks("yaml") if "routes:" in text]
    (command,) = PAGE.commands()
    (tmp_path / "bone").mkdir()
    (tmp_path / "bone" / "app.yaml").write_text(described, encoding="utf-8")
    # above 0 HU of -1000 to 1000
    onnx_nets.brighter(tmp_path / "bone" / "bone.onnx", 0.5)
    monkeypatch.chdir(tmp_path)
    said = hilum(*PAGE.typed(command).split()[1:], "--repository", tmp_path / "models", "--no-tune")
    assert said.code == 0, said.out + said.err
    PAGE.followed()
    assert said.out.startswith("bone is app.yaml and bone.onnx\n")
    routes: list[Mapping[str, Any]] = YAML(typ="safe").load(routed)["routes"]
    with hospital(tmp_path, tmp_path / "models", routes=routes) as both:
        sent = _bone(tmp_path / "sent")
        both.pacs.upload(sent)
        study = both.results(source.study_uid(sent))
        found = {
            modality: [path for series in study.of(modality) for path in both.pacs.download(series, tmp_path / "back")]
            for modality in ("SEG", "SR", "OT")
        }
    (seg,) = found["SEG"]
    (report,) = [path for path in found["SR"] if "measurements" in pydicom.dcmread(path).SeriesDescription]
    dataset = pydicom.dcmread(seg)
    (segment,) = dataset.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentedPropertyTypeCodeSequence[0].CodeValue) == ("Bone", "272673000")
    (mask,) = validators.segimage2itkimage(seg)
    millilitres = len(mask.points_mm()) * 2 * 0.75 * 0.75 / 1000
    assert millilitres == pytest.approx(np.prod(BLOCK) * 2 * 0.75 * 0.75 / 1000, rel=0.15)
    assert f"{millilitres:.1f}"[:3] in str(pydicom.dcmread(report))
    assert validators.faults_of(seg) + validators.faults_of(report, report=True) == []
