"""An application without a model, through a whole node: sent, routed, analysed, encoded and delivered, with nothing to import."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference.applications.catalog import load
from inference.imaging.write_series import write_series
from tests.lab import report, validators
from tests.lab.itk import paramap2itkimage
from tests.lab.node import hilum
from tests.lab.planted import LESIONS, SPACING, ellipsoid, head

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]


def test_planted_lesions_come_out_of_the_node(tmp_path: Path) -> None:
    """Three lesions by number, their volumes by DCMTK's reading of the report, the map's peak in the largest by dcmqi; every object valid.
    The device is the application's own version, and its serial number is not the digest of nothing."""
    made = head(*LESIONS)
    write_series(
        made.voxels, made.affine, tmp_path / "flair", modality="MR", series_description="FLAIR", extra={"BodyPartExamined": "HEAD"}
    )
    words = ("--input", tmp_path / "flair", "--application", "bright-lesion", "--engine", "embedded", "--out", tmp_path / "out", "--json")
    said = hilum("demo", *words, timeout_s=400)
    assert said.code == 0, said.out + said.err
    objects = {item["kind"]: Path(item["path"]) for item in said.json["objects"]}
    assert set(objects) == {"sr", "detections", "map", "sc"}
    assert [fault for kind, path in objects.items() for fault in validators.faults_of(path, report=kind in {"sr", "detections"})] == []
    truths = [ellipsoid(*lesion) for lesion in LESIONS]
    voxel_cm3 = float(np.prod(SPACING)) / 1000
    volumes = sorted((value for value, _ in report.numbers(objects["detections"], "118565006")), reverse=True)
    assert volumes == pytest.approx([truth.sum() * voxel_cm3 for truth in truths], rel=0.3)
    found = paramap2itkimage(objects["map"])
    peak = found.affine @ np.array([*np.unravel_index(int(found.values.argmax()), found.values.shape), 1], dtype=np.float64)
    z, y, x = np.rint(np.linalg.solve(made.affine, peak)[:3]).astype(int)
    assert any(truth[z, y, x] for truth in truths)
    devices = {pydicom.dcmread(path).DeviceSerialNumber for path in objects.values()}
    assert len(devices) == 1
    assert not devices & {"e3b0c44298fc1c14"}
    assert {item["location"] for item in said.json["measurements"]} == {"lesion 1", "lesion 2", "lesion 3"}


def test_there_is_nothing_to_import(tmp_path: Path) -> None:
    """`hilum models import` says so, and is not an error."""
    assert load("bright-lesion", ()).models == ()
    said = hilum("models", "import", "bright-lesion", "--repository", tmp_path)
    assert said.code == 0, said.err
    assert "no models" in said.out + said.err
