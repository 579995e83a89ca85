"""Result case: what ct-head-bleed says of a head whose gantry was tilted; a network that goes by density stands in for its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from inference.applications.analysing import analyse
from inference.applications.ct_head_bleed import APPLICATION
from inference.engines.port import ModelRef, Tensors
from inference.imaging.assemble import assemble
from node.results.encode import encode
from tests.lab import report, validators
from tests.results import made
from tests.unit.applications.conftest import OneByOne

BLOOD_HU = 75
_ROWS, _COLUMNS = np.mgrid[:512, :512]
_PLANTED = np.zeros((28, 512, 512), dtype=np.bool_)
_PLANTED[15:19, (_ROWS - 230) ** 2 + (_COLUMNS - 330) ** 2 < 30**2] = True
VOLUME, ABC_HALF = "118565006", "ABC-HALF"


def _as_blood(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """All three call what is as dense as the planted blood, and thick, intraparenchymal."""
    (image,) = tensors["IMAGE"]
    hu = (image[0, 40:-40, 40:-40, 40:-40] * 115 + 85) / 2
    logits = np.zeros((1, 5, *hu.shape), dtype=np.float32)
    logits[0, 0] = 2
    # between brain and bone every density is met, in a thin shell
    blood = np.pad(np.abs(hu - BLOOD_HU) < 3, 3, mode="edge")
    logits[0, 1][ndimage.binary_opening(blood, iterations=3)[3:-3, 3:-3, 3:-3]] = 6
    return {"LOGITS": logits}


@pytest.fixture(scope="module")
def head(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The real head with slices of 4 and 7 mm under 18.5 degrees, and a cylinder of blood along the table through slices 16 to 19."""
    folder = tmp_path_factory.mktemp("head")
    files = sorted(real("dicom/ct_head_GE_gantrytilt.zip"), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
    for number, path in enumerate(files):
        one = pydicom.dcmread(path)
        # which the publisher left empty
        one.DeidentificationMethod = "by the publisher"
        stored = one.pixel_array.copy()
        stored[_PLANTED[number]] = round((BLOOD_HU - float(one.RescaleIntercept)) / float(one.RescaleSlope))
        one.PixelData = stored.tobytes()
        one.save_as(folder / f"{number:02}.dcm")
    return [folder / f"{number:02}.dcm" for number in range(len(files))]


@pytest.mark.slow
@pytest.mark.peers
def test_a_tilted_head_with_blood_in_it(head: list[Path], tmp_path: Path) -> None:
    """The mask lies on pixels that were planted, on their own slices; volume, ABC/2 and what is present or absent are in reports;
    no validator objects to any object."""
    volume = assemble(head)
    findings = analyse(APPLICATION, volume, OneByOne(_as_blood))
    objects = made.save(encode(made.encoding(head, findings, volume=volume, application=APPLICATION)), tmp_path)
    by_modality: dict[str, list[Path]] = {}
    for path in objects:
        by_modality.setdefault(str(pydicom.dcmread(path, stop_before_pixels=True).Modality), []).append(path)
    assert {modality: len(paths) for modality, paths in by_modality.items()} == {"SEG": 1, "SR": 2, "OT": 1}
    seg = hd.seg.segread(by_modality["SEG"][0])
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["intraparenchymal haemorrhage"]
    uids = [str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in head]
    marked = seg.get_pixels_by_source_instance(uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True)[..., 0] > 0
    # the stand-in opens what it marks, which rounds it
    assert (marked & _PLANTED).sum() > 0.99 * marked.sum()
    assert (marked & _PLANTED).sum() > 0.7 * _PLANTED.sum()
    ((value, unit),) = [one for path in by_modality["SR"] for one in report.numbers(path, VOLUME)]
    assert unit == "cm3"
    assert value == pytest.approx(volume.volume_mm3(marked) / 1000, rel=1e-3)
    assert [unit for path in by_modality["SR"] for _, unit in report.numbers(path, ABC_HALF)] == ["cm3"]
    faults = [fault for path in objects for fault in validators.faults_of(path, report=path in by_modality["SR"])]
    assert faults == []
