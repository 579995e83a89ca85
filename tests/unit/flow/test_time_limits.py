"""What the steps of a job may take before their process counts as one that stands."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.applications.analysing import analyse
from inference.imaging.subjects import subjects
from node.flow import time_limits
from node.flow.engines import Engines
from node.flow.route import RouteStage
from node.flow.settle import complete_now
from node.observe import pulse
from node.results.port import Encoded, Encoding
from tests.unit.flow.line import runner, threshold_alone
from tests.unit.flow.mini import APPLICATION, MiniNode, ThresholdEngine, encode

_MIB = 1 << 20


def _may_still_take_s() -> float:
    loop = pulse.loop_of_this_thread()
    assert loop is not None
    return loop.until - time.monotonic()


def test_each_step_of_a_job_has_a_bound_and_the_next_has_its_own(node: MiniNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding and encoding by the size of the files, the analysis by its time-out; behind the job the loop has to turn again."""
    found: dict[str, float] = {}

    def timed(name: str, does: Callable[..., Any]) -> Callable[..., Any]:
        def work(*given: Any, **named: Any) -> Any:
            found[name] = _may_still_take_s()
            return does(*given, **named)

        return work

    monkeypatch.setattr("node.flow.infer.subjects", timed("decode", subjects))
    monkeypatch.setattr("node.flow.infer.analyse", timed("infer", analyse))

    def told_encode(encoding: Encoding) -> list[Encoded]:
        found["encode"] = _may_still_take_s()
        return encode(encoding)

    node.receive_images("study", "t1")
    complete_now(node.journal.arrivals, node.arrivals()[0], node.clock())
    RouteStage(node.journal, node.config, node.clock, lambda _: "default", lambda _: APPLICATION).step()
    engines = Engines(node.config, lambda _: ThresholdEngine(), threshold_alone)
    with pulse.turning("work"):
        assert runner(node, engines, encode=told_encode).step() == 1
        assert _may_still_take_s() < 0
    assert {name: round(seconds / 60) for name, seconds in found.items()} == {"decode": 2, "infer": 17, "encode": 5}


def test_what_is_larger_may_take_longer(tmp_path: Path) -> None:
    """By what lies there, never by what a header claims: a gigabyte of files an hour and a half, a kilobyte of them two minutes."""
    file = tmp_path / "large"
    with file.open("wb") as sparse:
        sparse.truncate(1024 * _MIB)
    size = time_limits.size_of([file])
    assert size == 1024 * _MIB
    assert time_limits.to_decode_s(size) == 120 + 5 * 1024
    assert time_limits.to_decode_s(1024) == pytest.approx(120, abs=0.1)
    assert time_limits.to_encode_s(size) == 300 + 5 * 1024
    assert time_limits.to_fetch_s(size) == 120 + 2 * 1024
    assert time_limits.to_infer_s(900) == 1020
