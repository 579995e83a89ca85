"""A head CT with a tilted gantry through a whole node: received over DIMSE, analysed, and its results in an archive of another maker."""

from collections.abc import Callable, Mapping
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread

from tests.lab import dcmtk, report, validators
from tests.lab.node import QUIET, Node, configuration
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(300)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 180
_BONE_HU, _RED = 300, (240, 80, 60)


def _settings(folder: Path, archive: dcmtk.StoreScp) -> dict[str, object]:
    made = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={
            "scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
            "archive": {"ae_title": archive.aet, "address": f"127.0.0.1:{archive.port}"},
        },
        sinks={"archive": {"kind": "dimse", "peer": "archive"}},
        routes=[{"name": "head CT", "when": {"Modality": "CT"}, "run": ["skull-threshold"], "send": ["archive"]}],
    )
    return {**made, "models": {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}}


def test_the_real_tilted_head_comes_out_marked_on_its_own_slices(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """18.5 degrees, slices of 4 and of 7 mm. The mask in the archive is, file by file, what lies above 300 HU in the source's own pixels,
    at the source's own position; the reported volume is area times what each slice stands for along the normal, by arithmetic on the
    headers; the report says how far the gantry was tilted; the page shows bone in red."""
    files = real("dicom/ct_head_GE_gantrytilt.zip")
    with dcmtk.StoreScp(tmp_path / "archive") as archive, Node(_settings(tmp_path / "node", archive), tmp_path / "node") as node:
        sent = dcmtk.dcmsend(node.port, *files, calling="SCANNER")
        assert sent.code == 0, sent.text
        node.wait_for_jobs(lambda jobs: bool(jobs) and jobs[0]["state"] in ("done", "parked", "failed"), _PATIENCE_S, "the job ended")
        (job,) = node.jobs()
        assert job["state"] == "done", job
        wait_until(lambda: len(archive.received()) >= 3, _PATIENCE_S, "three objects arrived")
        objects = {str(dcmread(path, stop_before_pixels=True).Modality): path for path in archive.received()}
    assert set(objects) == {"SEG", "SR", "OT"}
    sources = {str(one.SOPInstanceUID): one for one in map(dcmread, files)}
    _lies_on(objects["SEG"], sources)
    ((value, unit),) = report.numbers(objects["SR"], "118565006")
    assert unit == "cm3"
    assert value == pytest.approx(_cm3(list(sources.values())), rel=1e-3)
    # dsrdump cuts long texts
    assert "The gantry was tilted by 18" in validators.dsrdump(objects["SR"])[1]
    page = dcmread(objects["OT"])
    picture = page.pixel_array
    Image.fromarray(picture).save(tmp_path / "page.png")  # for whoever wants to look
    red = (np.abs(picture.astype(int) - _RED).max(axis=-1) < 40).sum()
    assert red > 2000


def _lies_on(path: Path, sources: Mapping[str, Dataset]) -> None:
    seg = hd.seg.segread(path)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = sources[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        stated = [float(mm) for mm in frame.PlanePositionSequence[0].ImagePositionPatient]
        assert stated == pytest.approx([float(mm) for mm in source.ImagePositionPatient], abs=1e-6)
    read = seg.get_pixels_by_source_instance(list(sources), ignore_spatial_locations=True, assert_missing_frames_are_empty=True)
    for source, pixels in zip(sources.values(), read[..., 0], strict=True):
        np.testing.assert_array_equal(pixels.astype(bool), _hounsfield(source) > _BONE_HU)


def _hounsfield(source: Dataset) -> NDArray[np.float64]:
    values: NDArray[np.float64] = source.pixel_array.astype(np.float64) * float(source.RescaleSlope) + float(source.RescaleIntercept)
    return values


def _cm3(sources: list[Dataset]) -> float:
    """Area times half the way to both neighbours along the normal, from the headers."""
    row, column = np.array(sources[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    depth = {one.SOPInstanceUID: float(np.array(one.ImagePositionPatient, dtype=float) @ np.cross(row, column)) for one in sources}
    ordered = sorted(sources, key=lambda one: depth[one.SOPInstanceUID])
    at = np.array([depth[one.SOPInstanceUID] for one in ordered])
    ends = np.concatenate([[at[0] - (at[1] - at[0]) / 2], (at[:-1] + at[1:]) / 2, [at[-1] + (at[-1] - at[-2]) / 2]])
    pixel_mm2 = float(np.prod([float(mm) for mm in sources[0].PixelSpacing]))
    areas = [int((_hounsfield(one) > _BONE_HU).sum()) * pixel_mm2 for one in ordered]
    return float(np.array(areas) @ np.diff(ends)) / 1000
