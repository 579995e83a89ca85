"""Limits hold over all receive processes of a real node, and what a process that was killed had open is forgotten."""

from pathlib import Path

import psutil
import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from tests.lab.node import Node, configuration
from tests.lab.program import wait_until
from tests.lab.rejection import associate, rejection

pytestmark = [pytest.mark.slow]

_PATIENCE_S = 90
_MOST = 6


def _settings(folder: Path) -> dict[str, object]:
    limits = {"associations": _MOST}
    peers = {"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "limits": limits}}
    settings = configuration(folder, port=0, repository=folder / "models", peers=peers, sinks={}, routes=[])
    assert isinstance(settings["node"], dict)
    settings["node"] |= {"receivers": 3, "idle_timeout": "10m"}
    return settings


def _associate(node: Node) -> Association:
    entity = AE(ae_title="SCANNER")
    entity.acse_timeout, entity.network_timeout = _PATIENCE_S, 600
    entity.add_requested_context(Verification)
    return associate(entity, node.port)


def _holders(node: Node) -> dict[int, int]:
    """How many connections each receive process holds."""
    held: dict[int, int] = {}
    for process in psutil.Process(node.pid).children():
        if "receive" in process.cmdline():
            mine = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED and one.laddr.port == node.port]
            held[process.pid] = len(mine)
    return held


def test_a_limit_holds_over_processes_of_which_one_is_killed(tmp_path: Path) -> None:
    """Six associations stand, whichever of three processes took each; the seventh is rejected. One process is killed with what it holds:
    as many are admitted anew, and no more; those of the other processes never ended."""
    with Node(_settings(tmp_path), tmp_path) as node:
        standing = [_associate(node) for _ in range(_MOST)]
        assert all(one.is_established for one in standing)
        assert rejection(_associate(node)) == (2, 3, 2)
        held: dict[int, int] = {}

        def all_stand() -> bool:
            # the rejected one's connection is closed after its answer
            held.clear()
            held.update(_holders(node))
            return sum(held.values()) == _MOST

        wait_until(all_stand, _PATIENCE_S, "each of the six is held by one of the processes, and no other is")
        victim = max(held, key=lambda pid: held[pid])
        psutil.Process(victim).kill()
        fresh: list[Association] = []

        def admitted() -> bool:
            one = _associate(node)
            if one.is_established:
                fresh.append(one)
            return len(fresh) == held[victim]

        wait_until(admitted, _PATIENCE_S, "as many are admitted as were lost")
        assert rejection(_associate(node)) == (2, 3, 2)

        def alive() -> list[Association]:
            return [one for one in standing if one.is_established]

        wait_until(lambda: len(alive()) <= _MOST - held[victim], _PATIENCE_S, "those of the killed process have ended")
        assert len(alive()) == _MOST - held[victim]
        for one in (*alive(), *fresh):
            one.release()
