"""Four contrasts of a drawn glioma through `hilum serve`: out of order, one late, one with more behind it; networks go by brightness."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from ruamel.yaml import YAML

from inference.applications.mr_glioma.reading import TumourPart
from tests.lab import dcmtk, report
from tests.lab.glioma import drawn, series_of, stand_ins
from tests.lab.howto import HowTo
from tests.lab.node import QUIET, Node, configuration
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PATIENCE_S = 400
STEP_MM = 4
AFFINE = np.array([[0, 0, 1, -60], [0, 1, 0, -75], [STEP_MM, 0, 0, -64], [0, 0, 0, 1]], dtype=np.float64)
VOLUME = "118565006"  # SCT


def settings(folder: Path) -> dict[str, object]:
    """The route of the page, which gives up waiting after some seconds."""
    stand_ins(folder / "models")
    (block,) = (YAML(typ="safe").load(text) for text in HowTo("mr-glioma.md").blocks("yaml"))
    (route,) = block["routes"]
    return configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"archive": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{**route, "needs": {"within": "5s"}}],
    )


def objects(folder: Path, modality: str) -> list[Dataset]:
    """What was delivered of a modality, by when it was made."""
    read = [dcmread(path) for path in sorted((folder / "results").rglob("*.dcm"))]
    return [one for one in read if one.Modality == modality]


def test_out_of_order_one_late_and_one_sent_again(tmp_path: Path) -> None:
    """Three come, FLAIR first, over associations of their own: the job is parked, and names the fourth. It comes: one job, one mask with
    the drawn volumes. Two slices of T2 come behind it: a revision, whose mask refers to them too."""
    contrasts, balls = drawn()
    files = {role: series_of(role, voxels[::STEP_MM], AFFINE, tmp_path / "mr") for role, voxels in contrasts.items()}
    more = files["T2"][-2:]
    files["T2"] = files["T2"][:-2]
    with Node(settings(tmp_path), tmp_path) as node:
        for role in ("FLAIR", "T2", "T1c"):
            assert dcmtk.storescu(node.port, *files[role], calling="SCANNER").code == 0
        (parked,) = node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["parked"], _PATIENCE_S, "T1 is missed")
        assert parked["code"] == "HLM-3085"
        assert "T1" in parked["reason"]
        assert dcmtk.storescu(node.port, *files["T1"], calling="SCANNER").code == 0
        node.wait_for_jobs(lambda jobs: "done" in {job["state"] for job in jobs}, _PATIENCE_S, "all four are analysed")
        wait_until(lambda: len(objects(tmp_path, "SEG")) == 1, _PATIENCE_S, "the mask is there")
        (first,) = objects(tmp_path, "SEG")
        assert dcmtk.storescu(node.port, *more, calling="SCANNER").code == 0
        wait_until(lambda: len(objects(tmp_path, "SEG")) == 2, _PATIENCE_S, "the revision is there")
    assert [one.SegmentLabel for one in first.SegmentSequence] == ["whole tumour with oedema", "tumour core", "enhancing tumour"]
    (second,) = (one for one in objects(tmp_path, "SEG") if one.SOPInstanceUID != first.SOPInstanceUID)
    assert _images(second) - _images(first) == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in more}
    reports = [path for path in (tmp_path / "results").rglob("*.dcm") if dcmread(path).Modality == "SR"]
    numbers = [number for path in reports for number, _ in report.numbers(path, VOLUME)]
    # the smallest ball lies on two slices or three: of what size it looks there says how they were laid
    for part in (TumourPart.WHOLE, TumourPart.CORE):
        drawn_cm3 = float(balls[part].sum()) / 1000
        assert any(number == pytest.approx(drawn_cm3, rel=0.1) for number in numbers), (part, numbers)


def _images(mask: Dataset) -> set[str]:
    """The images that a mask refers to by its series."""
    return {str(one.ReferencedSOPInstanceUID) for series in mask.ReferencedSeriesSequence for one in series.ReferencedInstanceSequence}
