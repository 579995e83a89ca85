"""`hilum associations` of a real node that real peers called: who was accepted, who was turned away and why, and what to do."""

from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from tests.lab.node import Node, configuration
from tests.lab.program import wait_until
from tests.lab.rejection import associate, rejection

pytestmark = [pytest.mark.slow]


def _call(node: Node, calling: str, called: str = "HILUM") -> tuple[int, int, int] | None:
    entity = AE(ae_title=calling)
    entity.add_requested_context(Verification)
    association = associate(entity, node.port, called=called)
    if not association.is_established:
        return rejection(association)
    assert association.send_c_echo().Status == 0
    association.release()
    return None


def test_who_came_is_told_with_what_became_of_it(tmp_path: Path) -> None:
    """While the node runs, and after it was killed; of the last hour, and with what to do."""
    peers = {"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0"}}
    settings = configuration(tmp_path, port=0, repository=tmp_path / "models", peers=peers, sinks={}, routes=[])
    node = Node(settings, tmp_path)
    assert "nobody called since" in node.hilum("associations").out
    with node:
        assert _call(node, "SCANNER") is None
        assert _call(node, "SCANNER", called="HILUN") == (1, 1, 7)
        assert _call(node, "CT9") == (1, 1, 3)
        wait_until(lambda: node.hilum("associations", "--json").json[0]["ended"] == "released", 60, "the end is told")
        told = node.hilum("associations", "--json").json
        assert [(one["outcome"], one["calling"], one["called"], one["address"], one["peer"]) for one in told] == [
            ("accepted", "SCANNER", "HILUM", "127.0.0.1", "scanner"),
            ("refused", "SCANNER", "HILUN", "127.0.0.1", None),
            ("refused", "CT9", "HILUM", "127.0.0.1", None),
        ]
        assert [one["rejection"] for one in told] == [None, "called", "calling"]
        node.kill()
        out = " ".join(node.hilum("associations", "--refused").out.split())
        assert 'turned away: called AE title "HILUN" is none of this node' in out
        assert "SCANNER → HILUN" in out
        assert "127.0.0.1: Have its administrator enter the node's own AE title" in out
        assert "nobody was turned away since" in node.hilum("associations", "--refused", "--since", "2099-01-01").out
        node.start()
        assert [one["ended"] for one in node.hilum("associations", "--json").json] == ["released", None, None]
        assert _call(node, "SCANNER") is None
        assert len(node.hilum("associations", "--json").json) == 4
