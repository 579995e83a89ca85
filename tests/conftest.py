"""What all tests share: marks follow folders, and what was skipped for want of a program or of images is said loudly at the end."""

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.lab import needs
from tests.lab.triton import Started, servers

# how fast examples come says something about the machine, not about the code
settings.register_profile("hilum", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hilum")

_PEERS = Path(__file__).parent / "peers"


@pytest.fixture(autouse=True)
def _process_as_at_start() -> Iterator[None]:
    """A command run inside a test sets up events, and the modes of files, for its own process; the next test begins without."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    """`real("dicom/x.zip")`, `real("dicom/folder")` or `real("labelled/x.nii.gz")`: published files, or a loud skip."""
    unpacked: dict[str, list[Path]] = {}

    def files(name: str) -> list[Path]:
        source = needs.data(name)
        if source.suffix != ".zip":
            return sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        if name not in unpacked:
            folder = tmp_path_factory.mktemp(source.stem)
            with zipfile.ZipFile(source) as archive:
                archive.extractall(folder)
            unpacked[name] = sorted(path for path in folder.rglob("*") if path.is_file())
        return unpacked[name]

    return files


@pytest.fixture
def triton() -> Iterator[Started]:
    """`triton(repository)` starts a real Triton server that ends with the test."""
    with servers() as start:
        yield start


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
