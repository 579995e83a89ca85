"""What all tests share: marks follow folders, and what was skipped for want of a program or of images is said loudly at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

# how fast examples come says something about the machine, not about the code
settings.register_profile("hilum", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hilum")

_PEERS = Path(__file__).parent / "peers"


@pytest.fixture(autouse=True)
def _events_as_at_start() -> Iterator[None]:
    """A command run inside a test sets up events for its own process; the next test begins without."""
    yield
    structlog.reset_defaults()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/peers needs Debian's programs."""
    for item in items:
        if _PEERS in item.path.parents:
            item.add_marker(pytest.mark.peers)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in so many words that something was not tested, and what to install."""
    absent = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if isinstance(report.longrepr, tuple)}
    absent = {reason.removeprefix("Skipped: ") for reason in absent if " is absent: " in reason}
    if absent:
        terminalreporter.section("NOT TESTED for want of something outside the repository", red=True, bold=True)
        for reason in sorted(absent):
            terminalreporter.write_line(reason, yellow=True)
