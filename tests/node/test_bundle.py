"""A MONAI Bundle in the real node: imported with the command, routed to by name, its SEG right by arithmetic; rolled back under way."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from inference.imaging.write_series import write_series
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.unit.applications.bundle import made

pytest.importorskip("monai")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

_PATIENCE_S = 90
_INSIDE = 8 * 18 * 10
_FACES = 2 * (8 * 18 + 8 * 10 + 18 * 10)
BLOCK = 10 * 20 * 12
"""Voxels of the block; the means over 3 × 3 × 3 voxels are 27, 18, 12 and 8 of 27 inside, on its faces, edges and corners, and 9 of 27
just outside of its faces' inside."""


def _series(folder: Path, patient: str) -> Path:
    """A CT of air with a block of 300 HU, 10 × 20 × 12 voxels, away from all borders; 2 × 1 × 1 mm."""
    voxels = np.full((20, 64, 64), -1000, np.int16)
    voxels[4:16, 20:30, 10:30] = 300
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    write_series(voxels, affine, folder, modality="CT", patient_id=patient)
    return folder


def _bundle(path: Path, limit: float) -> Path:
    """The known network in one window that holds the whole image, on the image's own grid."""
    config = made.inference(roi=[64, 64, 32])
    config["preprocessing"]["transforms"][3]["pixdim"] = [1.0, 1.0, 2.0]
    return made.archive(path, {"model.ts": made.script(made.bright(limit))}, config=config)


def _masks(folder: Path) -> dict[str, int]:
    """Marked voxels of every SEG by patient."""
    found = {}
    for path in folder.rglob("*.dcm"):
        dataset = dcmread(path)
        if dataset.Modality == "SEG":
            (segment,) = dataset.SegmentSequence
            (code,) = segment.SegmentedPropertyTypeCodeSequence
            assert (code.CodeValue, code.CodingSchemeDesignator) == ("78961009", "SCT")
            found[str(dataset.PatientID)] = int(np.asarray(dataset.pixel_array).sum())
    return found


def test_a_bundle_serves_and_is_rolled_back_while_the_node_runs(tmp_path: Path) -> None:
    """Two versions of one bundle, the later one served; after a rollback the next study gets the earlier one's mask, and after another
    the later one's again. The block marked where the mean is above one half is the block without its edges; above a quarter, with a
    layer on its faces."""
    settings = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bright-ct"], "send": ["results"]}],
    )
    node = Node(settings, tmp_path)
    for number, limit in (("one", 0.5), ("two", 0.25)):
        (tmp_path / number).mkdir()
        bundle = _bundle(tmp_path / number / "bright_ct.zip", limit)
        said = hilum("models", "import", bundle, "--repository", tmp_path / "models", "--licence", "MIT", "--no-tune")
        assert said.code == 0, said.out + said.err
    assert node.hilum("config", "check").code == 0
    with node:
        expected = {}

        def done(count: int) -> bool:
            return [job["state"] for job in node.jobs()] == ["done"] * count

        for count, (patient, voxels) in enumerate((("LATER", BLOCK + _FACES), ("EARLIER", _INSIDE + _FACES), ("AGAIN", BLOCK + _FACES)), 1):
            if count > 1:
                assert node.hilum("models", "rollback", "bright_ct").code == 0
            said = hilum("send", _series(tmp_path / patient, patient), "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
            assert said.code == 0, said.out + said.err
            wait_until(partial(done, count), _PATIENCE_S, "the jobs are done")
            expected[patient] = voxels
        assert _masks(tmp_path / "results") == expected
        versions = {job["application_version"] for job in node.jobs()}
        assert versions == {"0.1.3+model.1", "0.1.3+model.2"}
        listed = {each["version"]: each["serving"] for each in node.hilum("models", "list", "--json").json}
        assert listed == {1: False, 2: True}
