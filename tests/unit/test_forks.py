"""The plug-in that runs tests in forks of one process: every test once, and none lost with the process that runs it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PLUGGED_IN = """
import pytest
from tests.lab.forks import Forks

def pytest_configure(config):
    config.pluginmanager.register(Forks(2, turn))

def turn(file):
    return "one" if file in ("test_a.py", "test_c.py") else file

@pytest.fixture(scope="module", autouse=True)
def noted(request):
    yield
    with open(request.config.rootpath / "ended", "a") as ended:
        print(request.path.name, file=ended)
"""
_GOOD = """
import os, pytest

@pytest.mark.parametrize("number", range(5))
def test_runs(number, tmp_path):
    with open(RAN, "a") as ran:
        print(__name__, number, os.getpid(), file=ran)
"""
_BAD = """
import os, signal

def test_fails():
    print("what it said")
    assert 1 == 2

def test_takes_its_process_along():
    stays = os.fork()
    if not stays:
        signal.pause()
    with open(LEFT, "w") as left:
        print(stays, file=left)
    os.kill(os.getpid(), signal.SIGKILL)

def test_comes_after_it():
    pass

def test_ends_its_process():
    os._exit(7)

def test_is_the_last():
    pass
"""
_SLOW_TO_BEGIN = """
import pytest, time

@pytest.fixture(scope="module")
def begun():
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        pass

def test_waits_for_it(begun):
    pass
"""
_WAITS = """
import signal, threading

def test_waits():
    threading.Thread(target=threading.Event().wait, name="waits-beside-it", daemon=True).start()
    signal.raise_signal(signal.SIGALRM)

def test_comes_after_it():
    pass
"""
_INTERRUPTED = """
import os, pytest, signal

@pytest.fixture(scope="session")
def server():
    yield
    with open(ENDED, "a") as ended:
        print("server", file=ended)

def test_is_under_way(server):
    with open(BEGUN, "w"):
        pass
    signal.pause()

def test_is_not_begun():
    with open(ENDED, "a") as ended:
        print("begun", file=ended)
"""


def _command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *words, "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]


def _run(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code, and what is said, in a file: what a test leaves behind holds a pipe open."""
    with (folder / "said").open("w+") as said:
        done = subprocess.run(_command(folder, *words), cwd=_ROOT, stdout=said, stderr=subprocess.STDOUT, timeout=120, check=False)
        said.seek(0)
        return done.returncode, said.read()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, str]]:
    """Three files of five tests, two of them of one turn, and one in which a test fails and two end their process, in two forks."""
    folder = tmp_path_factory.mktemp("forked")
    (folder / "conftest.py").write_text(_PLUGGED_IN)
    for name in "abc":
        (folder / f"test_{name}.py").write_text(_GOOD.replace("RAN", repr(str(folder / "ran"))))
    (folder / "test_bad.py").write_text(_BAD.replace("LEFT", repr(str(folder / "left"))))
    yield folder, *_run(folder)
    with suppress(ProcessLookupError):
        os.kill(int((folder / "left").read_text()), signal.SIGKILL)


def test_each_runs_once_and_a_turn_in_one_process(ended: tuple[Path, int, str]) -> None:
    """Fifteen good tests, each of the three files in one fork, which is not the process that collected; one for two files of one turn."""
    folder, _, said = ended
    ran = [line.split() for line in (folder / "ran").read_text().splitlines()]
    assert sorted((file, number) for file, number, _ in ran) == sorted((f"test_{name}", str(n)) for name in "abc" for n in range(5))
    forks = {file: {process for name, _, process in ran if name == file} for file in ("test_a", "test_b", "test_c")}
    assert [len(processes) for processes in forks.values()] == [1, 1, 1]
    assert forks["test_a"] == forks["test_c"]
    assert "17 passed" in said
    assert sorted((folder / "ended").read_text().split()) == ["test_a.py", "test_b.py", "test_bad.py", "test_c.py"]


def test_what_fails_and_what_kills_is_told(ended: tuple[Path, int, str]) -> None:
    """With what it printed, and with the exit code of a failure, though what it left behind holds its pipe open; what comes after it in
    its file is run by another process."""
    _, code, said = ended
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "3 failed" in said
    assert "what it said" in said
    assert "assert 1 == 2" in said
    killed, _, left = said.partition("test_ends_its_process")
    assert "test_takes_its_process_along" in killed
    assert "the process that ran it ended by signal 9" in killed
    assert "the process that ran it ended with exit code 7" in left


def test_what_took_its_time_before_a_test_is_told(tmp_path: Path) -> None:
    """`--durations` shows what files set up, by which `make longest` orders them, too."""
    (tmp_path / "conftest.py").write_text(_PLUGGED_IN)
    (tmp_path / "test_slow.py").write_text(_SLOW_TO_BEGIN)
    assert re.search(r"0\.\d\ds setup +test_slow\.py::test_waits_for_it", _run(tmp_path, "--durations", "5")[1])


def test_what_is_over_its_time_is_told_with_where_its_threads_stood(tmp_path: Path) -> None:
    """As without forks: pytest-timeout asks for the terminal, which a fork has not, and names where each thread stands. Its
    alarm comes at once here."""
    (tmp_path / "conftest.py").write_text(_PLUGGED_IN)
    (tmp_path / "test_waits.py").write_text(_WAITS)
    code, said = _run(tmp_path, "--timeout", "60")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "Timeout (>60.0s) from pytest-timeout" in said
    assert "Stack of waits-beside-it" in said
    assert "1 failed, 1 passed" in said


def test_no_further_test_is_begun_after_as_many_failures_as_asked_for(tmp_path: Path) -> None:
    """The forks drop what they have taken and not begun, too."""
    (tmp_path / "conftest.py").write_text(_PLUGGED_IN)
    (tmp_path / "test_bad.py").write_text("def test_fails():\n    assert 1 == 2\n\ndef test_after_it():\n    pass\n")
    code, said = _run(tmp_path, "-x")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "1 failed in" in said
    assert "stopping after 1 failures" in said


def test_what_is_interrupted_ends_what_it_started(tmp_path: Path) -> None:
    """One SIGINT to the process that waits: its fork's fixtures end, and no further test begins."""
    (tmp_path / "conftest.py").write_text(_PLUGGED_IN)
    os.mkfifo(tmp_path / "begun")
    text = _INTERRUPTED.replace("ENDED", repr(str(tmp_path / "ended"))).replace("BEGUN", repr(str(tmp_path / "begun")))
    (tmp_path / "test_interrupted.py").write_text(text)
    with subprocess.Popen(_command(tmp_path), cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        (tmp_path / "begun").read_text()
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=120)
    assert running.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in said
    assert (tmp_path / "ended").read_text().split() == ["test_interrupted.py", "server"]
