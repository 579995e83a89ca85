"""What hangs ends: a test that is over its time and does not come back takes its process with it, and is named."""

import faulthandler
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key


@contextmanager
def ended_after(config: pytest.Config, seconds: float) -> Iterator[None]:
    """Say on stderr where every thread stands, and exit, where what is done inside takes longer."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=config.stash[fault_handler_stderr_fd_key])
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class Stuck:
    """Pytest plug-in: where a phase of a test outlives its timeout, says on stderr where every thread stands, and exits.

    `--forks` reports the test as failed, and goes on with another process. pytest's own `faulthandler_timeout` is called off by the first
    failure, before the fixtures end. pytest-timeout raises once in a test: what waits for ever after that (a fixture's end, a pipe that a
    stray process holds open) has `grace_s` beyond it.
    """

    def __init__(self, *, grace_s: float = 120.0) -> None:
        self._grace_s = grace_s

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch the fixtures begin."""
        return (yield from self._watched(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch the test itself."""
        return (yield from self._watched(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch the fixtures end."""
        return (yield from self._watched(item))

    def _watched(self, item: pytest.Item) -> Generator[None, object, object]:
        marker = item.get_closest_marker("timeout")
        timeout_s = float(marker.args[0] if marker is not None and marker.args else item.config.getini("timeout"))
        with ended_after(item.config, timeout_s + self._grace_s):
            return (yield)
