"""Commands that tests run as forks of one process: each says and ends as the same command in an interpreter of its own."""

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom.data import get_testdata_file

from tests.lab.asking import Asker, ForkedNode, written
from tests.lab.node import hilum
from tests.lab.program import wait_until

_HERE = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("config", "check", "--config", _HERE / "bad_configs" / "unknown_key.yaml"),
        ("jobs", "list", "--nonsense"),
        ("send", "--help"),
        ("doctor", "--config", "nowhere.yaml"),
    ],
    ids=lambda words: words[0],
)
def test_a_fork_says_and_ends_as_a_new_interpreter_does(words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code, stdout and stderr, of commands that are refused and of one that is not."""
    monkeypatch.chdir(tmp_path)
    asked, ask = list[bool](), Asker.ask

    def seen(self: Asker, *how: Any) -> tuple[int, bytes, bytes] | None:
        answer = ask(self, *how)
        asked.append(answer is not None)
        return answer

    monkeypatch.setattr(Asker, "ask", seen)
    forked, new = hilum(*words), hilum(*words, environment={})
    assert asked == [True], "the first is a fork's answer, the second an interpreter's"
    assert forked == new
    assert forked.out + forked.err


@pytest.mark.slow
def test_a_second_command_does_not_wait_for_the_first() -> None:
    """A peer that never answers keeps a command; another one is told that there is no fork for it, and the next has one again."""
    asker, peers = Asker(), list[socket.socket]()
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(200)
            words = ["send", str(get_testdata_file("CT_small.dcm")), "--to", f"ANY@127.0.0.1:{silent.getsockname()[1]}"]
            first = threading.Thread(target=asker.ask, args=(words, 200), daemon=True)
            first.start()
            peers.append(silent.accept()[0])
            assert asker.ask(["config", "check"], 200) is None
            peers.pop().close()
        first.join(200)
        assert not first.is_alive()
        assert asker.ask(["jobs", "--help"], 200) is not None
    finally:
        asker.close()


@pytest.mark.slow
def test_one_fork_answers_what_is_repeated_about_a_configuration(tmp_path: Path) -> None:
    """Each time it says and ends as a new interpreter does then, refused or not; about another configuration another fork is asked."""
    asker = Asker()
    store = {"journal": f"sqlite:{tmp_path / 'hilum.db'}", "blobs": f"file:{tmp_path / 'blobs'}", "min_free": "1MB", "high_water": 1}
    good = json.dumps({"node": {"listen": "127.0.0.1:0"}, "store": store, "models": {"repository": str(tmp_path / "models")}})

    def forks() -> set[psutil.Process]:
        found = set[psutil.Process]()
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):  # one for which nobody waited: an earlier test's
                if "asking.py" in " ".join(child.cmdline()):
                    found.update(child.children())
        return found - others

    def asked(name: str, text: str, *words: str) -> set[psutil.Process]:
        """Ask twice of this text; the forks that are there then."""
        (tmp_path / name).write_text(text)
        question = ["jobs", "list", *words, "--config", str(tmp_path / name)]
        new = hilum(*question, environment={})
        for _ in range(2):
            said = asker.ask(question, 200)
            assert said is not None
            assert said[0] == new.code
            assert [one.decode() for one in said[1:]] == [new.out, new.err]
        return forks()

    others: set[psutil.Process] = set()
    others = forks()
    try:
        (first,) = asked("one.yaml", "nonsense: {}")
        assert asked("one.yaml", good, "--json") == {first}
        assert asked("one.yaml", good, "--nonsense") == {first}
        (second,) = asked("two.yaml", good)
        assert second != first
        assert asker.ask(["config", "check", "--config", str(tmp_path / "two.yaml")], 200) is not None
        assert forks() == {second}
    finally:
        asker.close()


@pytest.mark.slow
def test_a_node_is_a_child_that_leads_its_own_group(tmp_path: Path) -> None:
    """It says what it does and ends as a program does that was started here: by SIGTERM with 0, by SIGKILL with that, and of one that is
    refused the exit code is told; the process that forked it may be gone meanwhile."""
    asker = Asker()
    config = tmp_path / "hilum.yaml"
    store = {"journal": f"sqlite:{tmp_path / 'hilum.db'}", "blobs": f"file:{tmp_path / 'blobs'}", "min_free": "1MB", "high_water": 1}
    config.write_text(json.dumps({"node": {"listen": "127.0.0.1:0"}, "store": store, "models": {"repository": str(tmp_path / "models")}}))

    def begun(*words: str) -> ForkedNode:
        process = asker.serve(["--config", str(config), *words], stdout=tmp_path / "out", stderr=tmp_path / "events")
        assert process is not None
        return process

    try:
        refused = begun("--stages", "nonsense")
        assert refused.wait(60) == 1
        assert "nonsense" in (tmp_path / "events").read_text()
        for number, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
            (tmp_path / "out").unlink()
            node = begun()
            shown = psutil.Process(node.pid)
            assert (shown.ppid(), os.getpgid(node.pid), os.getsid(node.pid)) == (os.getpid(), node.pid, node.pid)
            assert shown.cmdline()[1:] == [str(Path(sys.executable).with_name("hilum")), "serve", "--config", str(config)]
            asker.close()
            wait_until(lambda: "node.ready" in (tmp_path / "out").read_text(), 60, "node.ready")
            assert node.poll() is None
            node.send_signal(number)
            assert node.wait(60) == code
    finally:
        asker.close()


def test_a_node_is_waited_for_however_many_files_are_open() -> None:
    """Descriptors from 1024 on, as where a test holds a thousand associations."""
    high, limits = [os.open(os.devnull, os.O_RDONLY)], resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2048), limits[1]))
        while high[-1] < 1024:
            high.append(os.dup(high[-1]))
        node = ForkedNode(os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ))
        with pytest.raises(subprocess.TimeoutExpired):
            node.wait(0.05)
        node.kill()
        assert node.wait(60) == -signal.SIGKILL
    finally:
        for each in high:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_what_is_written_to_a_journal_is_news(tmp_path: Path) -> None:
    """Every commit is, while the journal is open; to look is none. Of a configuration that names no such journal nothing is known."""
    config, journal = tmp_path / "hilum.yaml", tmp_path / "hilum.db"
    config.write_text(json.dumps({"store": {"journal": f"sqlite:{journal}"}}))
    words = ["jobs", "list", "--config", str(config)]
    assert written(words) == ()
    with closing(sqlite3.connect(journal, isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode = WAL")
        opened.execute("CREATE TABLE job (state TEXT)")
        before = written(words)
        assert before
        opened.execute("SELECT * FROM job").fetchall()
        assert written(words) == before
        opened.execute("INSERT INTO job VALUES ('done')")
        assert written(words) != before
    for text in ("store: {journal: hilum.db}", "{}", json.dumps({"store": {"journal": "postgresql://db/hilum"}})):
        config.write_text(text)
        assert written(words) == ()
    assert written(["jobs", "list"]) == ()
