"""Storage commitment with a real archive, in both roles: Orthanc commits to results, and has this node commit to a study."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from tests.lab.loopback import free_port
from tests.lab.node import Node
from tests.lab.orthanc import Orthanc
from tests.lab.program import suspend, wait_until
from tests.node.test_commitment import _delivery, _done, _peer_of, _sink, _waits_for, settings_for
from tests.node.test_whole_way import _block, _process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_PATIENCE_S = 120


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Orthanc, Node]]:
    """An archive that may ask for commitment and is asked for it, and a node; the node is not started yet."""
    port = free_port()
    pacs = Orthanc(tmp_path / "pacs", node_port=port)
    peer = _peer_of(pacs.aet, pacs.dicom_port, may=["store", "echo", "commit"])
    node = Node(settings_for(tmp_path, port, {"pacs": peer}, {"archive": _sink("pacs", commitment_wait="2s")}), tmp_path)
    with pacs:
        yield pacs, node


def _send(pacs: Orthanc, files: list[Path]) -> None:
    stored = [pacs.post_instance(path.read_bytes()) for path in files]
    pacs.post("/modalities/NODE/store", {"Resources": stored, "Synchronous": True})


def test_orthanc_commits_to_results(pair: tuple[Orthanc, Node], tmp_path: Path) -> None:
    """Its report comes on an association of its own. Then both are restarted between a request and its report, which Orthanc does not send
    again by itself: it is asked anew until it has committed."""
    pacs, node = pair
    with node:
        assert "it offers storage commitment" in [one["detail"] for one in node.doctor()["findings"]]
        _send(pacs, _block(tmp_path / "in"))
        _done(node)
        delivery = _delivery(node)
        assert (delivery["state"], delivery["commitment"][-1]["committed"]) == ("committed", 3)
        # ---- again, with the deaths of both in between
        suspend(_process(node, "receive"))  # the report finds a port that nobody answers on
        assert node.hilum("jobs", "resend", "1").code == 0
        _waits_for(node, "commitment.asked", 2)
        node.kill()
        pacs.stop()
        pacs.start()
        node.start()
        _done(node)
        assert _delivery(node)["commitment"][-1]["committed"] == 3


def _commitment(pacs: Orthanc, transaction: str) -> Any:
    """Orthanc's report of a transaction, once it has one."""
    found: list[Any] = []

    def told() -> bool:
        found[:] = [pacs.get(f"/storage-commitment/{transaction}")]
        return bool(found[0]["Status"] != "Pending")

    wait_until(told, _PATIENCE_S, "the report is in the archive")
    return found[0]


def test_the_node_commits_to_what_orthanc_sent(pair: tuple[Orthanc, Node], tmp_path: Path) -> None:
    """Success for what was sent, also when the node dies between the request and its report; failure reason 0112 for what was not."""
    pacs, node = pair
    files = _block(tmp_path / "in")
    named = [{"SOPClassUID": str(one.SOPClassUID), "SOPInstanceUID": str(one.SOPInstanceUID)} for one in map(dcmread, files)]
    with node:
        _send(pacs, files)
        asked = pacs.post("/modalities/NODE/storage-commitment", {"DicomInstances": named})
        report = _commitment(pacs, asked["ID"])
        assert report["Status"] == "Success"
        assert sorted(one["SOPInstanceUID"] for one in report["Success"]) == sorted(one["SOPInstanceUID"] for one in named)
        foreign = {"SOPClassUID": named[0]["SOPClassUID"], "SOPInstanceUID": str(generate_uid())}
        asked = pacs.post("/modalities/NODE/storage-commitment", {"DicomInstances": [named[0], foreign]})
        report = _commitment(pacs, asked["ID"])
        assert report["Status"] == "Failure"
        assert [(one["SOPInstanceUID"], one["FailureReason"]) for one in report["Failures"]] == [(foreign["SOPInstanceUID"], 0x0112)]
        suspend(_process(node, "flow"))
        asked = pacs.post("/modalities/NODE/storage-commitment", {"DicomInstances": named})
        node.kill()
        assert list((tmp_path / "blobs" / "slips").glob("*.json")), "it is durable, and nobody has taken it"
        node.start()
        assert _commitment(pacs, asked["ID"])["Status"] == "Success"
