"""The supervisor when its surroundings fail."""

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.assembly import compose
from node.assembly.receive import NotReady
from node.assembly.supervisor import PIPES, NodeProcess, Supervisor
from node.backup.manifest import begin_restore
from node.journal.journal import Journal
from node.observe.pulse import InHand, WatchedProcess
from node.observe.shared_memory import SharedCells
from node.settings.audit import Audit
from node.settings.config import Config
from node.settings.console import Console
from node.settings.node import Node
from node.settings.secrets import NotPrivate
from node.settings.store import Store
from tests.lab import audit
from tests.lab.certificates import Authority
from tests.lab.next_hilum import next_hilum
from tests.unit.journal.story import Story


def _is_a_file(config: Config) -> None:
    if config.store.blobs.exists():
        config.store.blobs.rename(config.store.blobs.with_name("aside"))
    config.store.blobs.touch()


def _is_half_restored(config: Config) -> None:
    config.store.blobs.mkdir(exist_ok=True)
    begin_restore(config, config.path.with_name("backup"))


def test_a_death_while_the_journal_cannot_be_written_ends_nobody_else(tmp_path: Path) -> None:
    """A worker dies of the same full or broken disk that keeps its leases from being released: the supervisor says so and starts it
    again later, and the listener goes on."""
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs")
    config = Config(path=tmp_path / "hilum.yaml", digest="", node=Node(), store=store, models=tmp_path)
    supervisor = Supervisor(config, announce=lambda _: None)
    (tmp_path / "hilum.db").write_bytes(b"no journal at all " * 1000)
    dead = subprocess.Popen([sys.executable, "-c", ""], text=True)
    dead.wait()
    member = NodeProcess(stage="work", watched=WatchedProcess(name="work"), process=dead)
    with capture_logs() as events:
        supervisor.watch(member)
    assert [(one["event"], one.get("code")) for one in events] == [("family.leases_stand", "HLM-7004"), ("process.died", None)]
    assert member.process is None


def test_a_process_that_cannot_be_started_now_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for another process (EAGAIN): the supervisor says so, waits longer each time, and starts it once there is room."""
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs")
    supervisor = Supervisor(
        Config(path=tmp_path / "hilum.yaml", digest="", node=Node(), store=store, models=tmp_path), announce=lambda _: None
    )
    (member,) = [one for one in supervisor.members if one.stage == "flow"]

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with capture_logs() as events, monkeypatch.context() as full:
        full.setattr(subprocess, "Popen", refuse)
        for _ in range(3):
            member.restart_at = 0.0
            supervisor.watch(member)
        supervisor.watch(member)  # not before its time
    told = [one for one in events if one["event"] == "process.cannot_start"]
    assert [one["again_in_s"] for one in told] == [0.5, 1.0, 2.0]
    member.restart_at = 0.0
    supervisor.watch(member)
    assert member.process is not None
    member.process.kill()
    member.process.wait()


def test_a_node_that_never_served_neither_started_nor_stopped(tmp_path: Path) -> None:
    """Its port is taken: the audit trail says nothing of an application that began (PS3.15 A.5.3.1)."""
    path = tmp_path / "hilum.yaml"
    path.write_text("node: {}\n")
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        node = Node(host="127.0.0.1", port=taken.getsockname()[1])
        config = Config(path=path, digest="", node=node, store=store, models=tmp_path, audit=Audit(folder=tmp_path / "audit"))
        with pytest.raises(NotReady):
            Supervisor(config, announce=lambda _: None).run()
    assert audit.events(audit.trail(tmp_path / "audit")) == []


@pytest.mark.parametrize("lost", [_is_a_file, _is_half_restored], ids=["no folder any more", "half restored"])
def test_a_death_while_the_blobs_are_not_what_they_were_ends_nobody_else(tmp_path: Path, lost: Callable[[Config], None]) -> None:
    """What a process dies of, its disk, is what the supervisor meets as well when it releases its leases: it stays."""
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs")
    config = Config(path=tmp_path / "hilum.yaml", digest="", node=Node(), store=store, models=tmp_path)
    supervisor = Supervisor(config, announce=lambda _: None)
    lost(config)
    dead = subprocess.Popen([sys.executable, "-c", ""], text=True)
    dead.wait()
    member = NodeProcess(stage="work", watched=WatchedProcess(name="work"), process=dead)
    with capture_logs() as events:
        supervisor.watch(member)
    assert [one["event"] for one in events] == ["family.leases_stand", "process.died"]
    assert member.process is None


def test_what_a_process_prints_is_no_word_to_the_supervisor_and_does_not_stop_it_from_listening() -> None:
    """An application that prints a number, bytes that are no text, brackets without end: the next line is heard all the same, and the pipe
    does not fill until the process hangs."""
    printed = (
        "import sys; out = sys.stdout.buffer\n"
        "for said in (b'5', b'0.5', b'null', b'[1]', b'\\xff\\xfe', b'[' * 100_000): out.write(said + b'\\n')\n"
        "out.write(b'{\"event\": \"process.ready\"}\\n'); out.write(b'0.5\\n' * 100_000)"
    )
    with subprocess.Popen([sys.executable, "-c", printed], **PIPES) as process:
        member = NodeProcess(stage="work", watched=WatchedProcess(name="work"), process=process)
        listening = threading.Thread(target=member.listen, args=(process,), daemon=True)
        listening.start()
        try:
            assert process.wait(60) == 0
            listening.join(60)
        finally:
            process.kill()
    assert member.watched.ready
    assert member.ready.is_set()


def test_systemd_waits_for_a_start_that_takes_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal of years is brought to a new schema before the supervisor's loop turns: killed in it by `WatchdogSec=`, it would begin
    again, and be killed again."""
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs")
    Journal.open(store.journal).close()
    said: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000")
        with next_hilum(lambda: said.extend(systemd.recv(64) for _ in range(2))):
            Supervisor(Config(path=tmp_path / "hilum.yaml", digest="", node=Node(), store=store, models=tmp_path), announce=lambda _: None)
    assert said == [b"WATCHDOG=1"] * 2


@pytest.mark.parametrize("why", ["ended on purpose", "died", "hung"])
def test_what_a_process_was_at_is_to_blame_for_its_death_and_not_for_its_end(tmp_path: Path, why: str) -> None:
    """The store came back as another file, so that every process begins anew: neither its arrival nor its job counts an attempt."""
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs")
    config = Config(path=tmp_path / "hilum.yaml", digest="", node=Node(), store=store, models=tmp_path)
    supervisor = Supervisor(config, announce=lambda _: None)
    (member,) = [one for one in supervisor.members if one.stage == "work"]
    with contextlib.closing(compose.open_journal(config)) as journal:
        story = Story(journal)
        job = story.queued()
        story.claim("host:1")
        member.owner = "host:1"
        InHand("arrival", SharedCells.attach(member.watched.cells.descriptor)).take(7)
        member.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], text=True)
        if why == "died":
            member.process.kill()
            member.process.wait()
        if why == "hung":
            member.ending.told_at = 1.0
        supervisor.begin_anew()
        member.process.wait()
        supervisor.watch(member)
        in_hand = InHand("arrival", SharedCells.attach(member.watched.cells.descriptor)).number
        assert (in_hand, journal.jobs.get(job).attempts) == ((0, 0) if why == "ended on purpose" else (7, 1))


@pytest.mark.peers
def test_a_console_with_which_no_browser_could_shake_hands_is_refused_at_the_start(tmp_path: Path) -> None:
    """A key that others may read is told before anything is started: the console's process would die of it again and again."""
    own = Authority(tmp_path / "ca").signs("localhost")
    own.key.chmod(0o444)
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs")
    console = Console(host="127.0.0.1", port=0, cert=own.certificate, key=own.key)
    config = Config(path=tmp_path / "hilum.yaml", digest="", node=Node(), store=store, models=tmp_path, console=console)
    said: list[dict[str, object]] = []
    with pytest.raises(NotPrivate, match=r"may be read by others"):
        Supervisor(config, announce=said.append).run()
    assert said == []
