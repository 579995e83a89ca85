"""Associations that stand and say nothing cost the receive process next to nothing."""

import contextlib
import time
from pathlib import Path

import psutil
import pytest

from tests.lab.node import Node, configuration
from tests.soak.modality import CALLING, Association

pytestmark = [pytest.mark.slow]

_IDLE = 20
_WATCHED_S = 3.0
_MOST_OF_A_CORE = 0.04
"""Measured: 0.002 to 0.004; looking at each association twenty times a second took 0.09, pynetdicom's own sleeps of 1 ms take far more."""


def _settings(folder: Path) -> dict[str, object]:
    peers = {"modality": {"ae_title": CALLING, "address": "127.0.0.1:0", "limits": {"associations": _IDLE}}}
    settings = configuration(folder, port=0, repository=folder / "models", peers=peers, sinks={}, routes=[])
    assert isinstance(settings["node"], dict)
    settings["node"] |= {"max_associations": 2 * _IDLE}
    return settings


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def test_associations_that_say_nothing_cost_no_cpu(tmp_path: Path) -> None:
    """Twenty stand idle: the CPU time of the receive process over a few seconds. Then each of them is served as if nothing had been."""
    with Node(_settings(tmp_path), tmp_path, interpreter=True) as node, contextlib.ExitStack() as standing:
        (receiving,) = [one for one in psutil.Process(node.pid).children() if "receive" in one.cmdline()]
        associations = [standing.enter_context(Association(node.port)) for _ in range(_IDLE)]
        share = 1.0
        for _ in range(5):  # what it began with may not be done yet
            began, used_s = time.monotonic(), _used_s(receiving)
            time.sleep(_WATCHED_S)
            share = (_used_s(receiving) - used_s) / (time.monotonic() - began)
            if share < _MOST_OF_A_CORE:
                break
        assert share < _MOST_OF_A_CORE
        assert [one.echo() for one in associations] == [0x0000] * _IDLE
