"""Several receive processes on one listening socket."""

from pathlib import Path

import psutil
import pytest

from tests.dimse.conftest import instance, offer
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.lab.wire import Sender
from tests.node.test_metrics import _settings


def _receivers(node: Node) -> list[psutil.Process]:
    def words(process: psutil.Process) -> list[str]:
        return process.info["cmdline"] or []

    return [one for one in psutil.process_iter(["cmdline"]) if {str(node.config), "receive"} <= set(words(one))]


@pytest.mark.slow
def test_a_receive_process_that_dies_refuses_nobody(tmp_path: Path) -> None:
    """One of two is killed: every association that comes then is taken by the other, or waits for the successor; both come back."""
    with Node(_settings(tmp_path / "node", receivers=2), tmp_path / "node") as node:
        first, second = _receivers(node)
        first.kill()
        # while it dies it may take one more, which nobody can then answer
        first.wait(60)
        for _ in range(12):
            one = offer(instance())
            with Sender(node.port, [one], calling="SCANNER") as sender:
                assert sender.store(one) == 0x0000
        wait_until(lambda: len(_receivers(node)) == 2, 60, "its successor has started")
        assert second.is_running()
