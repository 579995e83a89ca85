"""The audit trail of a running node: a study comes, is analysed and leaves; a stranger knocks; the node starts and ends."""

import json
import subprocess
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from ruamel.yaml import YAML

from tests.lab import audit
from tests.lab.howto import HowTo
from tests.lab.node import Node, hilum
from tests.lab.program import wait_until
from tests.node.test_whole_way import _block, _done, _send, _settings

pytestmark = [pytest.mark.slow]
_PATIENCE_S = 90
PAGE = HowTo("audit.md")


def _told(folder: Path, event: str) -> list[Element]:
    return audit.of(audit.trail(folder / "audit"), event)


def test_the_trail_of_one_study(tmp_path: Path) -> None:
    """By the settings of docs/howto/audit.md: every message is valid by the standard's schema, names the patient, the study and who took
    part, and stands there once a study; the node's log names no patient."""
    settings = _settings(tmp_path)
    (block,) = PAGE.blocks("yaml")
    # without a repository, as the page says
    asked = {key: value for key, value in YAML(typ="safe").load(block)["audit"].items() if key not in ("send", "tls")}
    settings["audit"] = asked | {"folder": str(tmp_path / "audit")}
    with Node(settings, tmp_path) as node:
        _send(node, _block(tmp_path / "in", patient="AUDITED"))
        _done(node)
        said = hilum("send", tmp_path / "in", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "NOBODY", "--json")
        assert said.code != 0
        wait_until(lambda: _told(tmp_path, "Export"), _PATIENCE_S, "the results are told")
        wait_until(lambda: _told(tmp_path, "Security Alert"), _PATIENCE_S, "the stranger is told")
        log = node.log
    (received,) = _told(tmp_path, "DICOM Instances Transferred")
    assert audit.patients(received) == ["AUDITED"]
    assert list(audit.studies(received).values()) == [12]
    assert audit.users(received, "Source Role ID") == ["SCANNER"]
    (used,) = _told(tmp_path, "DICOM Instances Accessed")
    assert (audit.patients(used), audit.studies(used)) == (["AUDITED"], audit.studies(received))
    (left,) = _told(tmp_path, "Export")
    assert (audit.patients(left), list(audit.studies(left))) == (["AUDITED"], list(audit.studies(received)))
    assert list(audit.studies(left).values()) == [3]
    assert audit.users(left, "Destination Media") == [str(tmp_path / "results")]
    (alert,) = _told(tmp_path, "Security Alert")
    assert "NOBODY" in [one.get("UserID") for one in alert.iter("ActiveParticipant")]
    kinds = [one.get("originalText") for message in _told(tmp_path, "Application Activity") for one in message.iter("EventTypeCode")]
    assert kinds == ["Application Start", "Application Stop"]
    assert "AUDITED" not in log.read_text()
    sources = {
        one.get("AuditEnterpriseSiteID") for message in audit.trail(tmp_path / "audit") for one in message.iter("AuditSourceIdentification")
    }
    assert sources == {asked["site"]} == {"Radiology"}
    (look,) = PAGE.commands()
    counted = subprocess.run(
        PAGE.typed(look).replace("var/audit", "audit"), shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(counted.stdout) == len(audit.trail(tmp_path / "audit"))
    PAGE.followed()


def test_a_killed_node_tells_what_it_had_not_told(tmp_path: Path) -> None:
    """SIGKILL right after the delivery: the trail is complete after the next start; the changed configuration is told too."""
    settings = _settings(tmp_path)
    settings["audit"] = {"folder": str(tmp_path / "audit")}
    node = Node(settings, tmp_path)
    with node:
        _send(node, _block(tmp_path / "in", patient="KILLED"))
        _done(node)
        node.kill()
        node.config.write_text(json.dumps(settings))
        node.start()
        for event in ("DICOM Instances Transferred", "DICOM Instances Accessed", "Export", "Security Alert"):
            wait_until(partial(_told, tmp_path, event), _PATIENCE_S, f"{event} is told")
    (changed,) = _told(tmp_path, "Security Alert")
    assert [one.get("originalText") for one in changed.iter("EventTypeCode")] == ["Software Configuration"]
