"""The laboratory itself: its peers start, talk to each other, and are gone afterwards."""

import socket
from pathlib import Path

import pytest

from tests.lab import dcmtk
from tests.lab.loopback import free_port, outside
from tests.lab.needs import data
from tests.lab.orthanc import Orthanc
from tests.lab.program import wait_until


def test_there_is_no_way_out(alone: bool) -> None:
    """Peers that bind 0.0.0.0 are reachable from this host's tests only; there is no route but loopback."""
    if not alone:
        pytest.skip("a network namespace is not permitted here; peers run on random ports of the ordinary network")
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with outside():
        assert len(socket.if_nameindex()) >= 1
    assert [name for _, name in socket.if_nameindex()] == ["lo"]


def test_a_stable_study_is_forwarded_once(tmp_path: Path) -> None:
    """Orthanc forwards by itself what was uploaded, in full, and does not send back what came from the node."""
    slices = data("dicom", "ct_liver3_SEG", "ct-3slice")
    with dcmtk.StoreScp(tmp_path / "received", aet="HILUM") as node, Orthanc(tmp_path / "pacs", node_port=node.port, forwards=True) as pacs:
        pacs.echo()
        pacs.upload(slices)
        wait_until(lambda: len(node.received()) == 3, 30, "the node has the study")
        # a result comes back from the node's AE title
        said = dcmtk.dcmsend(pacs.dicom_port, data("dicom", "ct_liver3_SEG", "liver.dcm"), called="PACS", calling="HILUM")
        assert said.code == 0, said.text
        (study,) = pacs.wait_for(lambda studies: studies and studies[0].of("SEG"), 10, "the result is in the archive")
        identifier = study.identifier
        wait_until(lambda: pacs.get(f"/studies/{identifier}")["IsStable"], 30, "the study is stable again")
        assert len(node.received()) == 3
        (seg,) = pacs.download(study.of("SEG")[0], tmp_path / "back")
        assert "DERIVED" in dcmtk.dcmdump(seg, "ImageType")
        pacs.delete(*study.of("SEG"))
        assert pacs.study().of("SEG") == ()
        # a restart on the same storage and ports
        pacs.stop()
        pacs.start()
        assert len(pacs.study().series) == 1


def test_a_second_pacs_keeps_what_it_is_sent(tmp_path: Path) -> None:
    """dcmqrscp answers and stores; a stranger that calls another AE title is refused."""
    with dcmtk.DcmQrScp(tmp_path / "second", node_port=free_port()) as second:
        path = data("dicom", "ct_liver3_SEG", "ct-3slice", "01.dcm")
        assert dcmtk.storescu(second.port, path, called="SECOND").code == 0
        assert len(second.received()) == 1
        assert dcmtk.echoscu(second.port, called="NOBODY").code != 0
