"""The plug-in that ends what hangs: a test whose fixture never ends costs its process and is named, and the next test runs."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PLUGGED_IN = """
from tests.lab.forks import Forks
from tests.lab.stuck import Stuck

def pytest_configure(config):
    config.pluginmanager.register(Stuck(grace_s=1))
    config.pluginmanager.register(Forks(1))
"""
_TESTS = """
import time, pytest

@pytest.fixture
def endless():
    yield
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

@pytest.mark.timeout(1)
def test_hangs(endless):
    assert 1 == 2

def test_runs():
    pass
"""


@pytest.mark.slow
def test_what_hangs_is_ended_and_named(tmp_path: Path) -> None:
    """pytest-timeout's exception is swallowed where the fixture ends, after a test that failed: nothing else would end it."""
    (tmp_path / "conftest.py").write_text(_PLUGGED_IN)
    (tmp_path / "test_stuck.py").write_text(_TESTS)
    words = ["-q", "-o", "timeout=20", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "the process that ran it ended with exit code 1" in done.stdout
    assert "test_hangs" in done.stdout
    assert "1 passed" in done.stdout
    assert "in endless" in done.stderr
