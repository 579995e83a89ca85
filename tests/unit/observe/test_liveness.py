"""A process that gives no sign of life: named, ended, killed; by nobody's fault while the supervisor slept itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.assembly.compose import open_journal
from node.assembly.watches import tell_people
from node.observe.pulse import ENDED_S, SILENT_S, Pulse, SilenceAlerts, StandstillWatch, Termination, Watchdog, WatchedProcess
from node.observe.shared_memory import SharedCells
from node.records.telemetry import Facts, Telemetry
from node.settings.config import Config
from node.settings.node import Node
from node.settings.notify import Notify, WebhookTo
from node.settings.store import Store
from node.store.in_force import Present
from tests.lab.program import wait_until


@pytest.fixture
def child(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that does not end at SIGTERM."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_process_gives_signs_of_life_in_the_memory_that_it_is_lent() -> None:
    """Its parent sees them as they come, and that they stop when it does: a signal stops every thread of it."""
    cells = SharedCells.make()
    pulse = Pulse(cells)
    beats = (
        "import sys, time; from node.observe.shared_memory import SharedCells; from node.observe.pulse import Pulse; "
        "Pulse(SharedCells.attach(int(sys.argv[1]))).beat_on(); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", beats, str(cells.descriptor)], pass_fds=(cells.descriptor,))
    try:
        wait_until(lambda: pulse.at_s > 0, 60, "it beats")
        first = pulse.at_s
        wait_until(lambda: pulse.at_s > first, 30, "it beats again")
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: time.monotonic() - pulse.at_s > 3, 30, "it is silent")
        process.send_signal(signal.SIGCONT)
        stopped = pulse.at_s
        wait_until(lambda: pulse.at_s > stopped, 30, "it goes on")
    finally:
        process.kill()
        process.wait()


def test_a_silent_process_is_told_to_end_and_killed_if_it_does_not(child: "subprocess.Popen[str]") -> None:
    """After a minute SIGTERM, five seconds later SIGKILL, each once and each an event; before nothing."""
    ending = Termination()
    with capture_logs() as events:
        for silent_s, now in ((0.0, 0.0), (ENDED_S - 1, 59.0), (ENDED_S, 60.0), (61.0, 61.0), (64.9, 64.9)):
            ending.turn(child, "flow", silent_s, now)
            assert child.poll() is None
        ending.turn(child, "flow", 65.0, 65.0)
        assert child.wait(30) == -signal.SIGKILL
        ending.turn(child, "flow", 66.0, 66.0)
    assert [(one["event"], one.get("stage"), one["pid"]) for one in events] == [
        ("process.silent", "flow", child.pid),
        ("process.killed", None, child.pid),
    ]


def test_a_supervisor_that_slept_gives_its_family_one_period_more() -> None:
    """A laptop that was closed, a supervisor that was stopped: who was silent meanwhile is silent since it woke."""
    awake = StandstillWatch(since=0.0, _turned=0.0)
    for now in (0.2, 0.4, 9.0):
        awake.turn(now)
    assert awake.since == 0.0
    awake.turn(500.0)
    assert awake.since == 500.0
    watched = WatchedProcess(name="flow")
    watched.began(1, "host:1")
    assert watched.silent_s(time.monotonic() + 100) == 0.0
    assert watched.silent_s(0.0) < 30


def test_readiness_names_a_silent_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 30 s: the flow process degrades, a silent listener is not ready. What does not run is not silent as well."""
    (tmp_path / "blobs").mkdir()
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs", min_free_bytes=1)
    config = Config(path=tmp_path / "hilum.yaml", digest="", node=Node(metrics_host="127.0.0.1"), store=store, models=tmp_path)
    processes = [WatchedProcess(name="receive"), WatchedProcess(name="flow"), WatchedProcess(name="work 1")]
    for number, one in enumerate(processes):
        one.began(100_000_000 + number, f"host:{number}")
        one.ready = True
    processes[2].died(-9)
    telemetry = Telemetry(config, processes, Facts(config.store, partial(open_journal, config)))
    assert SILENT_S < 30
    later = time.monotonic() + SILENT_S + 1
    monkeypatch.setattr("node.records.telemetry.time.monotonic", lambda: later)

    def parts() -> tuple[int, dict[str, dict[str, object]]]:
        page = telemetry.readiness_page()
        return page.status.value, json.loads(page.body)["parts"]

    status, said = parts()
    assert (status, said["receive"]["ready"]) == (503, False)
    processes[0].pulse.beat()
    status, said = parts()
    assert said["receive"] == {"ready": True}
    assert said["flow"]["why"] == "no sign of life for 21 s; after 60 s it is ended and started again"
    assert said["work 1"]["why"] == "it ended with -9 and is started again"


def test_systemd_is_told_twice_a_period_that_the_supervisor_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sd_notify(3): a datagram, only where a period was set and for this very process, never waited for."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        Watchdog().turn()
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
        Watchdog().turn()
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        watchdog = Watchdog()
        watchdog.turn()
        watchdog.turn()
        assert systemd.recv(64) == b"WATCHDOG=1"
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(64)
        now[0] += 0.2
        watchdog.turn()
        assert systemd.recv(64) == b"WATCHDOG=1"
    (tmp_path / "notify").unlink()
    now[0] += 0.2
    watchdog.turn()  # nobody listens: nothing happens


def test_a_message_for_which_there_is_no_thread_ends_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without room for one more thread is where processes fall silent: the supervisor says so, and goes on."""
    notify = Notify(webhook=WebhookTo(url="http://127.0.0.1:1/in"))
    config = Config(path=tmp_path / "x", digest="", node=Node(), store=Store(journal="", blobs=tmp_path), models=tmp_path, notify=notify)

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with capture_logs() as events:
        SilenceAlerts(partial(tell_people, Present(config))).turn("flow", SILENT_S, ready=True)
    assert [(one["event"], one["reason"]) for one in events] == [("notice.not_sent", "can't start new thread")]
