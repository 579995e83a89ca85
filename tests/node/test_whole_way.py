"""A made CT goes in over DIMSE and its results come out, through `hilum serve` as an operator runs it; no model, no Debian program."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydicom import dcmread

from inference.codes import VOLUME
from inference.imaging.write_series import write_series
from node.dimse.requestor.peer import PeerRequestor
from node.domain.errors import DeliveryError
from node.settings.peers import Peer
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import suspend, wait_until

pytestmark = [pytest.mark.slow]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 90


def _block(folder: Path, *, slices: int = 12, patient: str = "WAY") -> list[Path]:
    """A CT of air with a block of 10 × 20 × `slices` voxels of 60 HU: 2 × 1 × 1 mm each."""
    voxels = np.full((slices, 64, 64), -1000, np.int16)
    voxels[:, 20:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    return write_series(voxels, affine, folder, modality="CT", patient_id=patient)


def _settings(folder: Path, port: int = 0) -> dict[str, object]:
    settings = configuration(
        folder,
        port=port,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["results"]}],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    return settings


def _send(node: Node, files: list[Path]) -> None:
    said = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err


def _answers(node: Node) -> bool:
    """Whether the listener answers a C-ECHO."""
    peer = Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=node.port)
    try:
        PeerRequestor(peer, calling_ae="SCANNER").echo()
    except DeliveryError:
        return False
    return True


def _results(folder: Path) -> dict[str, Path]:
    """The delivered objects by modality."""
    return {str(dcmread(path, stop_before_pixels=True).Modality): path for path in (folder / "results").rglob("*.dcm")}


def _done(node: Node, count: int = 1) -> None:
    wait_until(lambda: [job["state"] for job in node.jobs()] == ["done"] * count, _PATIENCE_S, "the jobs are done")


def _process(node: Node, stage: str) -> psutil.Process:
    """The process of one stage, found as an operator would find it: by its command line."""
    config = str(node.config)
    for process in psutil.process_iter(["cmdline"]):
        words: list[str] = process.info["cmdline"] or []
        if config in words and stage in words:
            return process
    raise AssertionError(f"no {stage} process")


def _volume_cm3(path: Path) -> float:
    def numbers(item: Any) -> list[float]:
        volume = "MeasuredValueSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == VOLUME.value
        own = [float(item.MeasuredValueSequence[0].FloatingPointValue)] if volume else []
        return own + [value for child in item.get("ContentSequence", []) for value in numbers(child)]

    (value,) = numbers(dcmread(path))
    return value


def test_a_study_comes_back_as_seg_sr_and_page(tmp_path: Path) -> None:
    """The volume in the report is the block's by arithmetic, the mask has its slices; once, though the study is sent twice."""
    with Node(_settings(tmp_path), tmp_path) as node:
        files = _block(tmp_path / "in")
        _send(node, files)
        _done(node)
        results = _results(tmp_path)
        assert set(results) == {"SEG", "SR", "OT"}
        assert _volume_cm3(results["SR"]) == pytest.approx(10 * 20 * 12 * 2 / 1000)
        seg = dcmread(results["SEG"])
        assert (seg.NumberOfFrames, seg.Rows, seg.Columns) == (12, 64, 64)
        assert np.asarray(seg.pixel_array).sum() == 10 * 20 * 12
        _send(node, files)
        # the second coming is in the journal when a third study, sent after it, is done
        _send(node, _block(tmp_path / "in2", patient="AFTER"))
        _done(node, 2)
        assert len(list((tmp_path / "results").rglob("*.dcm"))) == 6


def test_what_dies_is_started_again_and_the_study_is_done_once(tmp_path: Path) -> None:
    """Each process of the family is killed in turn; the listener keeps its port, and the study has one set of results."""
    with Node(_settings(tmp_path), tmp_path) as node:
        for stage in ("receive", "flow", "work"):
            old = _process(node, stage)
            old.send_signal(signal.SIGKILL)

            def again(stage: str = stage, old: int = old.pid) -> bool:
                try:
                    return _process(node, stage).pid != old
                except (AssertionError, psutil.NoSuchProcess):
                    return False

            wait_until(again, _PATIENCE_S, f"{stage} runs again")
        files = _block(tmp_path / "in")
        # the new listener takes a moment to import its libraries
        wait_until(lambda: _answers(node), _PATIENCE_S, "the listener is back on its port")
        _send(node, files)
        _done(node)
        assert len(list((tmp_path / "results").rglob("*.dcm"))) == 3


def test_killed_with_everything_in_the_inbox_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The flow process is stopped (not dead: it just never gets a turn), a study is acknowledged, the whole family is killed: after a
    restart every acknowledged instance is analysed."""
    node = Node(_settings(tmp_path), tmp_path)
    with node:
        suspend(_process(node, "flow"))
        _send(node, _block(tmp_path / "in"))
        node.kill()
        assert node.hilum("jobs", "list", "--json").json == []
        node.start()
        _done(node)
    assert _volume_cm3(_results(tmp_path)["SR"]) == pytest.approx(10 * 20 * 12 * 2 / 1000)


def test_two_nodes_never_serve_one_store(tmp_path: Path) -> None:
    """The second is told what is wrong and what to do, and ends with 1."""
    with Node(_settings(tmp_path), tmp_path) as node:
        said = hilum("serve", "--config", node.config)
        assert said.code == 1
        assert "HLM-2090" in said.err


def test_a_taken_port_is_said_at_once(tmp_path: Path) -> None:
    """Another node listens there: `hilum serve` ends with 1 and names the address, instead of trying for ever."""
    with Node(_settings(tmp_path / "first"), tmp_path / "first") as first:
        second = tmp_path / "second" / "hilum.yaml"
        second.parent.mkdir()
        second.write_text(json.dumps(_settings(second.parent, first.port)))
        said = hilum("serve", "--config", second)
        assert said.code == 1
        assert f"127.0.0.1:{first.port}" in said.err
        assert "HLM-2114" in said.err


def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    """A life line tells them: an orphan listener would acknowledge studies that nobody works on."""
    node = Node(_settings(tmp_path), tmp_path)
    node.start()
    children = [_process(node, stage) for stage in ("receive", "flow", "work")]
    os.kill(children[0].ppid(), signal.SIGKILL)
    began = time.monotonic()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == [], f"still there after {time.monotonic() - began:.0f} s"
    node.kill()  # it is waited for, too: its parent lives on
