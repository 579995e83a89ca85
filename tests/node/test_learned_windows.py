"""Quiet windows that are learned, on one real node: storescu sends three hundred studies, `hilum peers` says what that taught, and with
it in force the next study settles sooner."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.lab.dcmtk import storescu
from tests.lab.node import Node, configuration
from tests.lab.program import wait_until
from tests.unit.flow.files import part10, slice_of

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]

_STUDIES = 305
_PAUSE_S = 6.0
_QUIET_S = 30.0


def _settings(folder: Path, *, use: bool) -> dict[str, object]:
    scanner = {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": f"{_QUIET_S:g}s", "learned": {"use": use}}}
    return configuration(folder, port=0, repository=folder / "models", peers={"scanner": scanner}, sinks={}, routes=[])


def _study(folder: Path, number: int) -> list[Path]:
    """Two slices of 4 × 4 pixels."""
    paths = []
    for slice_ in (1, 2):
        study = f"1.2.826.0.9.{number}"
        path = folder / f"{number:04}-{slice_}.dcm"
        of_study = slice_of(slice_, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=f"{study}.1.{slice_}")
        path.write_bytes(part10(of_study))
        paths.append(path)
    return paths


def _send(node: Node, *paths: Path) -> None:
    sent = storescu(node.port, *paths, calling="SCANNER")
    assert sent.code == 0, sent.text


def _waits_s(node: Node) -> list[float]:
    """How long each arrival was silent before it was complete."""
    return [float(one["waited_s"]) for one in node.events() if one["event"] == "arrival.complete"]


def _silent_s(node: Node) -> float:
    """How long ago the node has indexed something, by its own events; before it has, 0."""
    indexed = [one["timestamp"] for one in node.events() if one["event"] == "index.committed"]
    return (datetime.now(UTC) - datetime.fromisoformat(indexed[-1])).total_seconds() if indexed else 0.0


def _peer(node: Node) -> dict[str, Any]:
    (one,) = node.hilum("peers", "--json").json
    return dict(one)


def test_a_study_settles_sooner_once_the_node_has_learned_how_its_sender_pauses(tmp_path: Path) -> None:
    """Of 305 studies one pauses for six seconds, or as long as its sender takes to go on: half as long again is learned, and not used
    until the operator says so; after a restart with `use: true` a study is complete after that, and no longer after thirty seconds."""
    sent = tmp_path / "sent"
    sent.mkdir()
    files = [path for number in range(1, _STUDIES + 1) for path in _study(sent, number)]
    with Node(_settings(tmp_path / "node", use=False), tmp_path / "node") as node:
        began = time.monotonic()
        _send(node, files[0])
        wait_until(lambda: _silent_s(node) > _PAUSE_S, 60, "the sender has paused")
        _send(node, *files[1:])
        took_s = time.monotonic() - began
        wait_until(lambda: len(_waits_s(node)) == _STUDIES, 120, "all have settled")
        assert min(_waits_s(node)) >= _QUIET_S
        before = _peer(node)
        said = node.hilum("peers").out
    assert (before["studies"], before["window_s"], before["uses_learned"]) == (_STUDIES, _QUIET_S, False)
    assert _PAUSE_S <= before["largest_gap_s"] < took_s
    assert before["learned_s"] == pytest.approx(1.5 * before["largest_gap_s"], abs=1e-5)
    assert before["largest_gap_study"] == "1.2.826.0.9.1"
    assert before["would_have"]["closed_early"] == 0
    assert "not used" in said
    with Node(_settings(tmp_path / "node", use=True), tmp_path / "node") as node:
        _send(node, *_study(sent, _STUDIES + 1))
        wait_until(lambda: len(_waits_s(node)) > _STUDIES, 60, "it has settled")
        assert before["learned_s"] <= _waits_s(node)[-1] < _QUIET_S
        now = _peer(node)
    assert (now["window_s"], now["uses_learned"], now["studies"]) == (before["learned_s"], True, _STUDIES + 1)
