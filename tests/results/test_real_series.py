"""Real series through the room: a 384-slice head, sagittal slices, an enhanced multi-frame object, a CT in JPEG 2000."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from inference import codes
from inference.findings import Findings, Measurement
from inference.imaging.assemble import assemble
from node.results.encode import encode
from tests.lab import validators
from tests.lab.needs import data
from tests.results import made

pytestmark = [pytest.mark.slow, pytest.mark.peers]


@pytest.mark.parametrize("name", ["mr_t1_3d_brain_datalad", "mr_t1_sag_HFS_decubitus", "mr_enhanced_xa30_T1", "mr_hippocrop_Study1"])
def test_a_real_series_gives_results_that_others_read(name: str, tmp_path: Path) -> None:
    """An ellipsoid in the middle of the volume: no validator objects; dcmqi finds it at the same points of the patient, of the volume
    that the report says."""
    with zipfile.ZipFile(data("dicom", f"{name}.zip")) as archive:
        archive.extractall(tmp_path / "source")
    files = sorted(path for path in (tmp_path / "source").rglob("*") if path.is_file())
    volume = assemble(files)
    inside = np.zeros(volume.voxels.shape)
    for axis, grid in enumerate(np.ogrid[tuple(slice(length) for length in volume.voxels.shape)]):
        length = volume.voxels.shape[axis]
        # off the middle on every axis, so that a flip shows
        inside = inside + ((grid - length * (0.45 + 0.03 * axis)) / (length * 0.2)) ** 2
    mask = inside < 1
    cm3 = float(mask.sum()) * volume.voxel_volume_mm3 / 1000
    measured = Measurement(name=codes.VOLUME, value=cm3, unit=codes.CUBIC_CENTIMETRE, segment="ball")
    findings = Findings(segments=(made.segment("ball", mask),), measurements=(measured,))
    seg, report, page = made.save(encode(made.encoding(files, findings, volume=volume)), tmp_path / "results")
    assert [fault for path in (seg, report, page) for fault in validators.faults_of(path, report=path is report)] == []
    (segment,) = validators.segimage2itkimage(seg)
    assert segment.mask.sum() == mask.sum()
    assert segment.volume_ml == pytest.approx(cm3, rel=1e-3)
    meant = np.argwhere(mask) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert segment.centroid_mm == pytest.approx(meant.mean(axis=0), abs=0.05)
    found = segment.points_mm()
    assert found.min(axis=0) == pytest.approx(meant.min(axis=0), abs=0.1)
    assert found.max(axis=0) == pytest.approx(meant.max(axis=0), abs=0.1)
