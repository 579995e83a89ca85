"""The plug-in that runs the fast tests in forks of one process: every test once, and none lost with the process that runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PLUGGED_IN = """
import pytest
from tests.lab.forks import Forks

def pytest_configure(config):
    config.pluginmanager.register(Forks(2))

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
    os.kill(os.getpid(), signal.SIGKILL)

def test_comes_after_it():
    pass
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Three files of five tests and one whose first test fails and whose second kills its process, in two forks."""
    folder = tmp_path_factory.mktemp("forked")
    (folder / "conftest.py").write_text(_PLUGGED_IN)
    for name in "abc":
        (folder / f"test_{name}.py").write_text(_GOOD.replace("RAN", repr(str(folder / "ran"))))
    (folder / "test_bad.py").write_text(_BAD)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return folder, subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_each_runs_once_and_a_file_in_one_process(ended: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Fifteen good tests, each of the three files in one fork, which is not the process that collected."""
    folder, done = ended
    ran = [line.split() for line in (folder / "ran").read_text().splitlines()]
    assert sorted((file, number) for file, number, _ in ran) == sorted((f"test_{name}", str(n)) for name in "abc" for n in range(5))
    assert len({(file, process) for file, _, process in ran}) == 3
    assert "15 passed" in done.stdout
    assert sorted((folder / "ended").read_text().split()) == ["test_a.py", "test_b.py", "test_c.py"]


def test_what_fails_and_what_kills_is_told(ended: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """With what it printed, and with the exit code of a failure; the files after it are run."""
    _, done = ended
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "2 failed" in done.stdout
    assert "what it said" in done.stdout
    assert "assert 1 == 2" in done.stdout
    assert "test_takes_its_process_along" in done.stdout
    assert "the process that ran it ended" in done.stdout
