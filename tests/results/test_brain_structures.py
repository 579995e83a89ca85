"""Result case: what mr-brain-structures says of a made head with two nuclei; a network that goes by values stands in for its own."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from inference.applications.analysing import analyse
from inference.applications.mr_brain_structures import APPLICATION
from inference.imaging.assemble import assemble
from inference.imaging.write_series import write_series
from node.results.encode import encode
from tests.lab import report, validators
from tests.results import made
from tests.unit.applications.conftest import OneByOne
from tests.unit.applications.test_mr_brain_structures import NUCLEI, PREPARING, by_value, phantom

VOLUME, ASYMMETRY = "118565006", "ASYMMETRY"
SIDES = {"thalamus left": "Left", "thalamus right": "Right"}


@pytest.mark.slow
@pytest.mark.peers
def test_two_nuclei_and_how_much_they_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mask lies where its nucleus was planted, with its side; volumes and the asymmetry are in reports; no validator objects."""
    for name, value in (("SIDE", 64), ("LEAST_CM3", 10.0)):
        monkeypatch.setattr(f"{PREPARING}.{name}", value)
    voxels = phantom()
    voxels[20:28, 24:32, 30:38] = 700
    affine = made.axes((1, 0, 0), (0, 1, 0), (0, 0, 1))
    files = write_series(voxels, affine, tmp_path / "mr", modality="MR", patient_name="Doe^Jane", patient_id="P-1")
    volume = assemble(files)
    findings = analyse(APPLICATION, volume, OneByOne(by_value))
    objects = made.save(encode(made.encoding(files, findings, volume=volume, application=APPLICATION)), tmp_path / "made")
    by_modality: dict[str, list[Path]] = {}
    for path in objects:
        by_modality.setdefault(str(pydicom.dcmread(path, stop_before_pixels=True).Modality), []).append(path)
    assert {modality: len(paths) for modality, paths in by_modality.items()} == {"SEG": 1, "SR": 2, "OT": 1}
    seg = hd.seg.segread(by_modality["SEG"][0])
    uids = [one.sop_instance_uid for one in volume.sources]
    pixels = seg.get_pixels_by_source_instance(uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True)
    for segment in seg.SegmentSequence:
        ((type_,), (region,)) = segment.SegmentedPropertyTypeCodeSequence, segment.AnatomicRegionSequence
        (side,) = type_.SegmentedPropertyTypeModifierCodeSequence
        assert (type_.CodeValue, region.CodeValue, side.CodeMeaning) == ("42695009", "12738006", SIDES[segment.SegmentLabel])
        planted = np.zeros(voxels.shape, dtype=np.bool_)
        planted[NUCLEI[segment.SegmentLabel]] = True
        if segment.SegmentLabel == "thalamus left":
            planted[20:28, 24:32, 30:38] = True
        np.testing.assert_array_equal(pixels[..., segment.SegmentNumber - 1] > 0, planted)
    numbers = [one for path in by_modality["SR"] for one in report.numbers(path, VOLUME)]
    # what was not found has 0; both sides together stand in the report of asymmetry
    assert sorted(value for value, _ in numbers if value) == pytest.approx([0.384, 0.512, 0.896], rel=1e-3)
    ((asymmetry, unit),) = [one for path in by_modality["SR"] for one in report.numbers(path, ASYMMETRY)]
    assert asymmetry == pytest.approx(100 * 2 / 7, rel=1e-3)
    assert unit == "%"
    assert [fault for path in objects for fault in validators.faults_of(path, report=path in by_modality["SR"])] == []
