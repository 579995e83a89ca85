"""Places of the store that go under a running node: nothing is taken in meanwhile, readiness says which, and it goes on afterwards."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from tests.lab.messages import webhook_server
from tests.lab.node import Node, hilum
from tests.lab.program import wait_until
from tests.lab.scrape import health
from tests.node.test_metrics import _send, _settings, _study

pytestmark = [pytest.mark.slow]

_PATIENCE_S = 90


def _taken(node: Node, file: Path) -> bool:
    """Whether an instance is answered 0x0000; an association that is rejected takes none."""
    modality = AE(ae_title="SCANNER")
    modality.add_requested_context(CTImageStorage)
    association = modality.associate("127.0.0.1", node.port, ae_title=node.ae_title)
    if not association.is_established:
        return False
    status = association.send_c_store(dcmread(file))
    association.release()
    return int(status.Status if status else 0xFFFF) == 0


def _await_told(port: int, place: Path) -> None:
    def told() -> bool:
        status, said = health(port, "ready")
        return status == 503 and str(place) in said["parts"]["store"].get("why", "")

    wait_until(told, _PATIENCE_S, f"{place.name} is missed")


def test_a_store_that_goes_under_the_node_is_told_and_gone_on_with(tmp_path: Path) -> None:
    """The journal moved away and back, the blobs moved away and back, the journal replaced by a copy of itself: each time nothing is
    acknowledged, nothing is made in its place, readiness and a message say which it is, and afterwards studies come out, each once."""
    journal, blobs, aside = tmp_path / "hilum.db", tmp_path / "blobs", tmp_path / "aside"
    with webhook_server() as posts:
        settings = _settings(tmp_path)
        settings["notify"] = {"webhook": {"url": f"http://127.0.0.1:{posts.port}/in"}, "about": ["disk"]}
        with Node(settings, tmp_path) as node:
            port = node.metrics_port
            assert port is not None
            study = _study(tmp_path / "in", "BEFORE", 8)
            assert _send(node, study) == [0] * 8

            def back() -> bool:
                return health(port, "ready")[1]["ready"] and _taken(node, study[0])

            # whoever begins in the very moment in which a place goes may still make a folder there: all have begun
            wait_until(lambda: all(part["ready"] for part in health(port, "ready")[1]["parts"].values()), _PATIENCE_S, "all have begun")
            for place in (journal, blobs):
                os.rename(place, aside)
                _await_told(port, place)
                assert not _taken(node, study[0])
                assert not place.exists()
                os.rename(aside, place)
                wait_until(back, _PATIENCE_S, f"{place.name} is back")

            with sqlite3.connect(journal) as live, sqlite3.connect(aside) as copy:
                live.backup(copy)
            for companion in ("-wal", "-shm"):
                Path(f"{journal}{companion}").unlink(missing_ok=True)
            os.rename(aside, journal)
            wait_until(back, _PATIENCE_S, "the copy is taken up")
            assert _send(node, _study(tmp_path / "in2", "AFTER", 8)) == [0] * 8
            node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"] * 2, _PATIENCE_S, "both are analysed")
            wait_until(lambda: sum(one["over"] for post in posts.content for one in post["items"]) >= 2, _PATIENCE_S, "all is told")
        events = [one["event"] for one in node.events()]
    assert events.count("store.lost") >= 2
    assert len(list((tmp_path / "results").rglob("*.dcm"))) == 2 * 3
    assert hilum("doctor", "--deep", "--json", "--config", node.config).json["findings"]

    shutil.move(journal, aside)
    for companion in ("-wal", "-shm"):
        Path(f"{journal}{companion}").unlink(missing_ok=True)
    (found,) = [one for one in hilum("doctor", "--json", "--config", node.config).json["findings"] if one["subject"] == "store"]
    assert found["level"] == "bad"
    assert "HLM-7059" in found["detail"]
    assert not journal.exists()
    said = hilum("serve", "--config", node.config)
    assert said.code == 1
    assert "HLM-7059" in said.err
    assert "--new-journal" in said.err
    assert not journal.exists()
