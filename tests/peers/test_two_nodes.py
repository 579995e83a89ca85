"""Two nodes of two journals and one archive (storescp): each analyses the same study with the same application, and sends what it made."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from inference.imaging.write_series import write_series
from tests.lab.dcmtk import StoreScp, dcmdump
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.own_uids import digest_of, uid_of
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"


def study(folder: Path) -> list[Path]:
    """A CT of air with a block of soft tissue in it."""
    voxels = np.full((6, 32, 32), -1000, np.int16)
    voxels[:, 10:20, 10:20] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    return write_series(voxels, affine, folder, modality="CT", patient_id="TWO")


def node(folder: Path, archive: StoreScp, beside: Node | None = None) -> Node:
    """A node that sends to the archive, and to the node beside it."""
    peers: dict[str, Any] = {
        "scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
        "archive": {"ae_title": archive.aet, "address": f"127.0.0.1:{archive.port}"},
        "other": {"ae_title": "HILUM", "address": f"127.0.0.1:{beside.port if beside else 0}"},
    }
    sinks = {"archive": {"kind": "dimse", "peer": "archive", "retry": {"first": "1s", "most": "2s"}}}
    sinks |= {"other": {"kind": "dimse", "peer": "other"}} if beside else {}
    routes = [{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": list(sinks)}]
    settings = configuration(folder, port=0, repository=folder / "models", peers=peers, sinks=sinks, routes=routes)
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    return Node(settings, folder)


def send(files: Sequence[Path], to: Node) -> None:
    """Send as the scanner; everything is acknowledged."""
    said = hilum("send", *files, "--to", f"HILUM@127.0.0.1:{to.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err


def passport(of: Node, uid: str) -> dict[str, Any]:
    """`hilum studies show`."""
    said = of.hilum("studies", "show", uid, "--json")
    assert said.code == 0, said.out + said.err
    return dict(said.json)


def made(of: Node, uid: str) -> dict[str, str]:
    """What a node's journal says that it made: SOP Instance UID → digest of its bytes by the node's blobs, and by nobody's word."""
    (job,) = passport(of, uid)["jobs"]
    blobs = {str(dcmread(path).SOPInstanceUID): digest_of(path.read_bytes()) for path in (of.folder / "blobs" / "results").glob("*.dcm")}
    assert {one["sop_uid"] for one in job["objects"]} == set(blobs)
    return blobs


def test_two_nodes_give_two_sets_and_no_uid_stands_for_two_contents(tmp_path: Path) -> None:
    """The first is killed when its results are encoded and the archive is away: it sends the same bytes under the same UIDs afterwards.
    The second, at another time, makes a set of its own. The archive holds both, each object named by its own bytes as the archive has
    them (pydicom, dcmdump), with one tracking UID for one finding; and the second tells whoever looks that the first was there."""
    files = study(tmp_path / "in")
    uid = str(dcmread(files[0]).StudyInstanceUID)
    archive = StoreScp(tmp_path / "archive")
    with node(tmp_path / "b", archive) as second, node(tmp_path / "a", archive, second) as first:
        send(files, first)
        first.wait_for_jobs(lambda jobs: jobs and jobs[0]["state"] == "encoded", 180, "the first has encoded")
        before = made(first, uid)
        first.kill()
        first.start()
        archive.start()
        try:
            first.wait_for_jobs(lambda jobs: jobs[0]["state"] == "done", 180, "the first has delivered")
            assert made(first, uid) == before
            # the second got the first's results before it got the images: they are listed as such, and open nothing
            wait_until(lambda: [(one["study_uid"], one["state"]) for one in second.studies()] == [(uid, "results")], 60, "they are listed")
            assert second.jobs() == []
            send(files, second)
            second.wait_for_jobs(lambda jobs: jobs and jobs[0]["state"] == "done", 180, "the second has delivered")
            wait_until(lambda: len(archive.received()) == 6, 30, "both sets are in the archive")
        finally:
            archive.stop()
        told = passport(second, uid)
        assert "another node has analysed the same series of this study with the same model" in " ".join(
            second.hilum("studies", "show", uid).out.split()
        )
        theirs = made(second, uid)
    assert not before.keys() & theirs.keys()
    there: dict[str, str] = {}
    tracked: defaultdict[str, set[str]] = defaultdict(set)
    for path in archive.received():
        dataset, digest = dcmread(path), digest_of(path.read_bytes())
        there[str(dataset.SOPInstanceUID)] = digest
        assert dataset.SOPInstanceUID == uid_of("instance", digest)
        assert dataset.SeriesInstanceUID == uid_of("series", digest)
        assert f"[{dataset.SOPInstanceUID}]" in dcmdump(path, "SOPInstanceUID")
        if dataset.Modality == "SEG":
            tracked[str(dataset.SegmentSequence[0].TrackingUID)].add(str(dataset.SOPInstanceUID))
    assert there == before | theirs
    assert [len(uids) for uids in tracked.values()] == [2]
    assert {one["sop_instance_uid"]: one["same_model"] for one in told["other_results"]} == dict.fromkeys(before, True)
    (series,) = {str(dcmread(path).SeriesInstanceUID) for path in files}
    # a page refers to no series: of it the device is told
    alike = {one["modality"]: (one["same_inputs"], one["inputs"]) for one in told["other_results"]}
    assert alike == {"SEG": (True, [series]), "SR": (True, [series]), "OT": (None, [])}
    assert {one["application"] for one in told["other_results"]} == {"bench-threshold"}
    assert [len(one["objects"]) for one in told["jobs"]] == [3]
