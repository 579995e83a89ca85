"""The stages are forks of one process, and look to the supervisor, the operator and each other as programs of their own."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.lab.node import Node, configuration
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow]

_PATIENCE_S = 90
_STAGES = {"receive", "flow", "work"}
_NICENESS = {"receive": 0, "flow": 5, "work": 10}


def _settings(folder: Path) -> dict[str, object]:
    return configuration(folder, port=0, repository=folder / "models", peers={}, sinks={}, routes=[])


def _stages(node: Node) -> dict[str, psutil.Process]:
    """The supervisor's children that are stages, as their command lines say."""
    found = {}
    for child in psutil.Process(node.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # one that has just ended
            words = child.cmdline()
            if words[1:4] == ["-P", "-m", "node.assembly.process"]:
                assert words[4] == str(node.config)
                found[words[5]] = child
    return found


def _template(node: Node) -> psutil.Process:
    (found,) = [one for one in psutil.Process(node.pid).children() if one.name() == "hilum-template"]
    return found


def _all_stand(node: Node) -> bool:
    return set(_stages(node)) == _STAGES


def _stand_anew(node: Node, stage: str, old: int) -> bool:
    """Whether every stage stands, this one as another process; by one look, for one that dies is still there for a moment."""
    stages = _stages(node)
    return set(stages) == _STAGES and stages[stage].pid != old


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[Node]:
    with Node(_settings(folder), folder, interpreter=True) as running:
        wait_until(lambda: _all_stand(running), _PATIENCE_S, "every stage stands")
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One for all that leave it as it is."""
    with _running(tmp_path_factory.mktemp("node")) as running:
        yield running


def _opened(process: psutil.Process) -> set[str]:
    """What its descriptors are, but for the standard streams."""
    folder = Path(f"/proc/{process.pid}/fd")
    return {os.readlink(folder / name) for name in os.listdir(folder) if int(name) > 2}


def test_the_template_has_one_thread_and_holds_nothing_of_the_node(node: Node) -> None:
    """No journal, no lock of the store, no listening socket, no pipe to a stage, whose life line would not break while it holds it."""
    template = _template(node)
    assert template.num_threads() == 1
    (control,) = _opened(template)
    assert control.startswith("socket:")
    assert template.net_connections("inet") == []
    assert control not in _opened(psutil.Process(node.pid))


def test_a_stage_holds_nothing_of_another_one(node: Node) -> None:
    """The pipes and counters of each are its own, and of the sockets that stages share only receive has the listening one."""
    stages = _stages(node)
    pipes = {name: {os.readlink(f"/proc/{one.pid}/fd/{number}") for number in (0, 1)} for name, one in stages.items()}
    assert len(set[str]().union(*pipes.values())) == 2 * len(_STAGES)
    for name, one in stages.items():
        others = set[str]().union(*(pipes[other] for other in _STAGES - {name}))
        assert not _opened(one) & others
        assert [each.laddr.port for each in one.net_connections("inet") if each.status == psutil.CONN_LISTEN] == (
            [node.port] if name == "receive" else []
        )
        assert sum("hilum-metrics" in line for line in Path(f"/proc/{one.pid}/maps").read_text().splitlines()) == 1


def test_stages_come_first_on_a_busy_machine_as_before(node: Node) -> None:
    """Each has its own niceness: none of it was left behind in the template."""
    own = psutil.Process(node.pid).nice()
    assert {name: one.nice() - own for name, one in _stages(node).items()} == _NICENESS


def test_how_a_stage_ended_is_known_and_the_next_one_is_forked_too(node: Node) -> None:
    """The supervisor waits for its stages itself: minus the signal is in the event."""
    old = _stages(node)["work"].pid
    os.kill(old, signal.SIGSEGV)
    wait_until(lambda: _stand_anew(node, "work", old), _PATIENCE_S, "work runs again")
    (died,) = [one for one in node.events() if one["event"] == "process.died"]
    assert (died["pid"], died["exit_code"]) == (old, -signal.SIGSEGV)
    # its parent is the supervisor; the template has no child, dead or alive
    assert _template(node).children() == []


def test_what_is_sent_to_the_whole_group_ends_the_node_in_order(tmp_path: Path) -> None:
    """^C at a terminal reaches the template and the stages, too: they are ended by the supervisor, and nothing is left."""
    with _running(tmp_path) as node:
        template = _template(node)
        os.killpg(os.getpgid(node.pid), signal.SIGINT)
        node.stop()
        assert not template.is_running()
    assert [one["killed"] for one in node.events() if one["event"] == "node.stopped"] == [0]


def test_without_its_template_a_node_goes_on(tmp_path: Path) -> None:
    """What runs is left alone; a stage that dies later is started as an interpreter of its own, and that is told."""
    with _running(tmp_path) as node:
        before = {name: one.pid for name, one in _stages(node).items()}
        _template(node).kill()
        os.kill(before["flow"], signal.SIGKILL)
        wait_until(lambda: _stand_anew(node, "flow", before["flow"]), _PATIENCE_S, "flow runs again")
        after = {name: one.pid for name, one in _stages(node).items()}
        assert {name for name in _STAGES if after[name] != before[name]} == {"flow"}
        (lost,) = [one for one in node.events() if one["event"] == "process.template_lost"]
        assert (lost["level"], lost["reason"]) == ("warning", "it was ended by signal 9")
        started = [(one["stage"], one["forked"]) for one in node.events() if one["event"] == "process.started"]
        assert started == [*((name, True) for name, _ in started[:-1]), ("flow", False)]


def test_a_killed_supervisor_leaves_no_template(tmp_path: Path) -> None:
    """It would keep the memory of what it imported."""
    with contextlib.suppress(AssertionError), _running(tmp_path) as node:
        template = _template(node)
        os.kill(node.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs([template], timeout=60)
    assert alive == []


def test_nobody_waits_for_the_template_who_reads_what_hilum_was_handed() -> None:
    """A pipe that hilum inherits, and its stdout: whoever reads them reads the end as soon as hilum itself has closed them."""
    said = subprocess.run([sys.executable, "-c", _HANDED], capture_output=True, text=True, timeout=120, check=True)
    assert said.stdout.split() == ["True", "True"]


_HANDED = """
import os, select, sys
from node.assembly.template import forked_template
handed, to = os.pipe()
os.set_inheritable(to, True)
printed, out = os.pipe()
kept = os.dup(1)
os.dup2(out, 1)
os.close(out)
with forked_template([]) as template:
    assert template is not None
    os.close(to)
    os.dup2(kept, 1)
    for end in (handed, printed):
        print(bool(select.select([end], [], [], 60)[0]) and os.read(end, 1) == b"", flush=True)
"""


def test_a_stage_does_at_its_end_what_an_interpreter_does() -> None:
    """It waits for its threads, calls what was registered in the template and in itself, and what it printed is read; its exit code is
    known. Only its modules are not taken down one by one."""
    said = subprocess.run([sys.executable, "-c", _ENDING], capture_output=True, text=True, timeout=120, check=True)
    thread, *registered, code = said.stdout.splitlines()
    assert (thread, sorted(registered), code) == ("thread", ["before the fork", "in the stage"], "exit code 7")


_ENDING = """
import atexit, sys, threading, time, weakref
from node.cli.ending import leave_at_once
ended = []
atexit.register(leave_at_once, ended)
from node.assembly import process
from node.assembly.template import forked_template

class Kept:
    def __del__(self):
        print("module taken down", flush=True)

kept = Kept()
supervisor = []
atexit.register(lambda: supervisor or print("before the fork"))

def stage(arguments):
    assert arguments == ["some.yaml", "receive"]
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    weakref.finalize(Kept, print, "in the stage")
    return 7

process.main = stage
with forked_template(ended) as template:
    supervisor.append(True)
    started = template.start(["some.yaml", "receive"], [])
    for line in started.stdout:
        print(line, end="")
    print("exit code", started.wait(60), flush=True)
    kept.__class__.__del__ = lambda kept: None
"""


def _of_stages(script: str) -> list[str]:
    """What a script prints that forks stages, with `process.main` of its own."""
    whole = _BEGINNING + script
    return subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()


_BEGINNING = """
import os, shutil, signal, time
import structlog.testing
from node.assembly import process
from node.assembly.template import forked_template
"""


def test_a_stage_that_is_told_to_stop_at_once_is_ended() -> None:
    """As an interpreter that has not begun to listen for it: it would serve on for half a minute, and be killed in the middle of it."""
    assert _of_stages(_STOPPED) == ["{-15}"]


_STOPPED = """
process.main = lambda arguments: time.sleep(60)
ends = set()
with forked_template([]) as template:
    for _ in range(100):
        stage = template.start(["some.yaml", "work"], [])
        stage.send_signal(signal.SIGTERM)
        ends.add(stage.wait(30))
print(ends)
"""


def test_a_configuration_may_lie_where_the_path_is_no_text() -> None:
    """Bytes that are no UTF-8 reach a stage as they are; ps shows a mark in their place."""
    assert _of_stages(_NO_TEXT) == ["7"]


_NO_TEXT = """
process.main = lambda arguments: 7 if os.fsencode(arguments[0]) == b"\\xff.yaml" else 8
with forked_template([]) as template:
    print(template.start([os.fsdecode(b"\\xff.yaml"), "work"], []).wait(30))
"""


def test_after_an_upgrade_no_stage_is_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it imports later, and the journal's revisions on the disk, would be another version's: it is started as an interpreter."""
    monkeypatch.setenv("INSTALLED", str(tmp_path))
    told = [("process.template_lost", "hilum was upgraded meanwhile")]
    assert _of_stages(_UPGRADED) == ["True", "False", str(told)]


_UPGRADED = """
process.main = lambda arguments: 0
folder = os.environ["INSTALLED"]
shutil.copy(process.__file__, folder + "/process.py")
process.__file__ = folder + "/process.py"
with forked_template([]) as template:
    print(template.start(["some.yaml", "work"], []) is not None)
    os.rename(shutil.copy(process.__file__, folder + "/new.py"), process.__file__)
    with structlog.testing.capture_logs() as events:
        print(template.start(["some.yaml", "work"], []) is not None)
print([(one["event"], one["reason"]) for one in events])
"""
