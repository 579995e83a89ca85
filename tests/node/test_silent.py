"""Processes of a node that stand still: each is named by readiness, told of, ended and started again, and no study is lost or doubled. One
that only slept, with the supervisor that watches it, is not."""

import contextlib
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.lab.messages import Posts, webhook_server
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.lab.scrape import health
from tests.lab.wrapping import path_of
from tests.node.test_metrics import _processes, _send, _settings, _study
from tests.node.test_poison import INSIDE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PATIENCE_S = 90
_MENDED_S = 240
"""Three nodes start again on processors that other tests use: quiet ones have named each within 30 s and mended it within 90."""
_ENDED_S = 60
_NAMES = {"receive", "flow", "work 1", "console"}


@dataclass
class _Scene:
    """One node, with a study taken; its processes as they were then."""

    node: Node
    posts: Posts
    before: dict[str, psutil.Process]

    @property
    def port(self) -> int:
        assert self.node.metrics_port is not None
        return self.node.metrics_port

    def ready(self) -> bool:
        parts = health(self.port, "ready")[1]["parts"]
        return all(parts[name]["ready"] for name in _NAMES)

    def analyses(self, studies: int) -> None:
        """A study more comes out, and each of them once."""
        assert _send(self.node, _study(self.node.folder / "after", "AFTER", 8)) == [0] * 8
        self.node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"] * studies, _PATIENCE_S, "all are analysed")
        assert len(list((self.node.folder / "results").rglob("*.dcm"))) == studies * 3


@contextlib.contextmanager
def _scene(folder: Path, environment: dict[str, str]) -> Iterator[_Scene]:
    folder.mkdir()
    with webhook_server() as posts:
        settings = _settings(folder)
        settings["notify"] = {"webhook": {"url": f"http://127.0.0.1:{posts.port}/in"}}
        settings["console"] = {"listen": "127.0.0.1:0"}
        with Node(settings, folder, environment=environment) as node:
            scene = _Scene(node=node, posts=posts, before=_processes(node))
            wait_until(scene.ready, _PATIENCE_S, "everything is up")
            assert _send(node, _study(folder / "before", "BEFORE", 8)) == [0] * 8
            scene.before = _processes(node)
            yield scene


def test_every_process_that_stands_still_is_named_and_started_again(tmp_path: Path) -> None:
    """At the same time: a node whose processes a signal stops, one whose processes stand in deadlocks of their own (which let all other
    threads run), and one of which the supervisor is stopped with its family. Of the first two each process is named before it is ended, and
    mended by nobody's hand; people are told though the process that tells them stands still as well; the study and the next one come
    out once. Of the third none is ended: nobody is late before the supervisor has been awake for a whole period."""
    stalls = tmp_path / "stalls"
    stalls.mkdir()
    with (
        _scene(tmp_path / "stopped", {}) as stopped,
        _scene(tmp_path / "locked", {"PYTHONPATH": path_of(INSIDE), "HILUM_STALLS": str(stalls)}) as locked,
        _scene(tmp_path / "slept", {}) as slept,
    ):
        since = time.monotonic()
        supervisor = psutil.Process(slept.node.pid)
        for process in (supervisor, *slept.before.values()):
            process.send_signal(signal.SIGSTOP)
        for stage in locked.before:
            (stalls / stage).touch()
        for process in stopped.before.values():
            process.send_signal(signal.SIGSTOP)
        with ThreadPoolExecutor(2) as both:
            list(both.map(_is_named_and_mended, (locked, stopped)))
        time.sleep(max(0.0, _ENDED_S + 5 - (time.monotonic() - since)))  # for longer than a silent process has
        supervisor.send_signal(signal.SIGCONT)
        wait_until(lambda: health(slept.port, "live")[0] == 200, _PATIENCE_S, "the supervisor is awake")
        time.sleep(3.0)  # many of its turns
        for process in slept.before.values():
            process.send_signal(signal.SIGCONT)
        wait_until(slept.ready, _PATIENCE_S, "all go on")
        slept.analyses(2)
        assert _processes(slept.node) == slept.before
    assert [one for one in slept.node.events() if one["event"] in ("process.silent", "process.died")] == []
    assert [one for one in locked.node.events() if one["event"] == "loop.stands" and "sitecustomize" in str(one["trace"])] != []


def _is_named_and_mended(scene: _Scene) -> None:
    named: set[str] = set()

    def all_named() -> bool:
        said = health(scene.port, "ready")[1]["parts"]
        named.update(name for name in _NAMES if "no sign of life" in said[name].get("why", ""))
        return named == _NAMES

    wait_until(all_named, _PATIENCE_S, "all are named")
    assert health(scene.port, "live")[0] == 200
    wait_until(lambda: not any(one.is_running() for one in scene.before.values()), _MENDED_S, "all were ended")
    wait_until(scene.ready, _MENDED_S, "all are back")
    scene.analyses(2)
    wait_until(lambda: sum(one["over"] for post in scene.posts.content for one in post["items"]) == 4, _PATIENCE_S, "all is told")
    said = [one["says"] for post in scene.posts.content for one in post["items"] if one["about"] == "process" and not one["over"]]
    assert sorted(words.split()[2] for words in said) == ["console", "flow", "receive", "work"]
    silent = [one["stage"] for one in scene.node.events() if one["event"] == "process.silent"]
    assert sorted(silent) == ["console", "flow", "receive", "work"]
