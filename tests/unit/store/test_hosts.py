"""Who holds leases on a host, which supervisors may run beside each other, and what `--stages` takes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.assembly.roles import ALL, AlreadyRunning, NodeRole, UnknownStage, lock, node_runs, roles_of
from node.assembly.supervisor import Supervisor
from node.blobs.port import BlobsFailed
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store
from node.store.hosts import dead_owners, forget, host_of, owner_of, run_folder, stay_alive

_SERVER = "postgresql://nobody@192.0.2.1/none"


def _config(folder: Path, *, journal: str = _SERVER, spool: str = "spool") -> Config:
    store = Store(journal=journal, blobs=folder / "blobs", spool=folder / spool)
    return Config(path=folder / "hilum.yaml", digest="", node=Node(workers=2), store=store, models=folder)


def test_a_host_keeps_its_name_and_shares_it_with_nobody(tmp_path: Path) -> None:
    """Two run folders on one machine are two hosts, as are two machines that bear one name."""
    one, other = _config(tmp_path, spool="one"), _config(tmp_path, spool="other")
    assert host_of(one) == host_of(one)
    assert host_of(one) != host_of(other)
    assert owner_of(one, 42) == f"{host_of(one)}:42"
    assert host_of(one).startswith(os.uname().nodename)


def test_a_process_that_was_killed_is_known_as_dead_and_a_living_one_is_not(tmp_path: Path) -> None:
    """SIGKILL leaves a file whose lock is gone; once forgotten it is told no more."""
    config = _config(tmp_path)
    program = """
import os, signal, sys
from pathlib import Path
from node.store.hosts import stay_alive
from tests.unit.store.test_hosts import _config
held = stay_alive(_config(Path(sys.argv[1])))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    killed.wait()
    with stay_alive(config):
        assert dead_owners(config) == [owner_of(config, killed.pid)]
        forget(config, owner_of(config, killed.pid))
        assert dead_owners(config) == []
        forget(config, owner_of(config, os.getpid()))  # its number is another's by now, and lives
    assert dead_owners(config) == [owner_of(config, os.getpid())]


def test_a_journal_in_a_file_has_one_family_whatever_its_stages(tmp_path: Path) -> None:
    """Two would release each other's leases."""
    config = _config(tmp_path, journal=f"sqlite:{tmp_path}/hilum.db")
    held = lock(config, frozenset({NodeRole.RECEIVE}))
    assert node_runs(config)
    with pytest.raises(AlreadyRunning):
        lock(config, frozenset({NodeRole.WORK}))
    for file in held:
        file.close()
    assert not node_runs(config)


def test_a_place_that_takes_no_lock_is_told_with_what_to_do(tmp_path: Path) -> None:
    """A disk that is mounted read-only, or, here, a file where the folder belongs."""
    config = _config(tmp_path, journal=f"sqlite:{tmp_path}/hilum.db")
    run_folder(config).write_text("")
    with pytest.raises(BlobsFailed, match="cannot be written") as told:
        lock(config, ALL)
    assert told.value.remedy


def test_on_a_server_families_of_other_stages_run_beside_each_other(tmp_path: Path) -> None:
    """One listener and one flow a spool; as many workers as one likes; another spool is another host's."""
    config = _config(tmp_path)
    held = [lock(config, frozenset({role})) for role in (NodeRole.RECEIVE, NodeRole.FLOW, NodeRole.WORK, NodeRole.WORK)]
    for roles in (frozenset({NodeRole.RECEIVE}), ALL):
        with pytest.raises(AlreadyRunning, match="spool"):
            lock(config, roles)
    held.append(lock(_config(tmp_path, spool="other"), ALL))


@pytest.mark.parametrize(
    ("stages", "processes"),
    [
        ("receive,flow,work", ["flow", "work", "work", "receive"]),
        ("receive", ["index", "receive"]),
        ("flow", ["flow"]),
        ("work , receive", ["index", "work", "work", "receive"]),
    ],
)
def test_stages_become_processes(tmp_path: Path, stages: str, processes: list[str]) -> None:
    """A host that receives without a flow of its own empties its spool all the same: nobody else can."""
    supervisor = Supervisor(_config(tmp_path), announce=lambda _: None, roles=roles_of(stages))
    assert [member.stage for member in supervisor.members] == processes


@pytest.mark.parametrize("stages", ["", "infer", "receive,", "receive,wrok", "all"])
def test_unknown_stages_are_refused_with_those_there_are(stages: str) -> None:
    """The message names the word, the remedy the choice."""
    with pytest.raises(UnknownStage) as unknown:
        roles_of(stages)
    assert "receive, flow, work" in unknown.value.remedy


def test_a_run_folder_is_the_hosts_own_where_blobs_are_shared(tmp_path: Path) -> None:
    """Locks and wake-up pipes lie beside the spool, never in what another host mounts too."""
    config = _config(tmp_path)
    stay_alive(config).close()
    assert (tmp_path / "spool.run" / "alive").is_dir()
    assert not (tmp_path / "blobs.run").exists()
    alone = replace(config, store=replace(config.store, spool=None))
    stay_alive(alone).close()
    assert (tmp_path / "blobs.run" / "alive").is_dir()
