"""What all tests share: marks follow folders, and what was skipped for want of a program or of images is said loudly at the end."""

import gc
import importlib.metadata
import os
import zipfile
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path

# several tests run side by side: threads of one training, or of one product of matrices, that wait for each other, spinning, would take
# what the others compute with. Libraries ask when they are imported: numpy below. What a node computes with is its engine's own choice,
# whatever stands here; there, too, who waits sleeps
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.lab import needs
from tests.lab.costly import ProcessorTime
from tests.lab.forks import Forks
from tests.lab.reactor import hold_still
from tests.lab.stuck import Stuck
from tests.lab.triton import Started, servers
from tests.lab.turns import InTurns, turn

# how fast examples come says something about the machine, not about the code; the same ones every time, so that what turns red was changed.
# `--hypothesis-profile search` looks for others
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("hilum", settings.get_profile("search"), derandomize=True)
settings.load_profile("hilum")

hold_still()

_UMASK = os.umask(0o022)
"""Whoever started the tests has it."""
os.umask(_UMASK)
_PEERS = Path(__file__).parent / "peers"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-costly` is for `make costly`, `--write-longest` for `make longest`, `--forks` for `make check` and `make test`."""
    parser.addoption("--write-costly", action="store_true", help="measure, and write tests/costly.txt")
    parser.addoption("--write-longest", action="store_true", help="measure, and write tests/longest.txt")
    parser.addoption("--forks", type=int, default=0, help="run the tests in so many forks of this process")


def pytest_configure(config: pytest.Config) -> None:
    """Measure, put in order, and end what hangs, wherever tests run."""
    config.pluginmanager.register(Stuck())
    config.pluginmanager.register(ProcessorTime(writes=bool(config.getoption("--write-costly"))))
    config.pluginmanager.register(InTurns(writes=bool(config.getoption("--write-longest"))))
    if forks := config.getoption("--forks"):
        config.pluginmanager.register(Forks(forks, turn))


@pytest.fixture(autouse=True)
def _process_as_at_start() -> Iterator[None]:
    """A command run inside a test, or in a fixture of its module, sets up events, and the modes of files, for its own process; the next
    test, and the fixtures of the next module, begin without."""
    os.umask(0o022)
    yield
    os.umask(_UMASK)
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _installed_packages_are_listed_once() -> Iterator[None]:
    """A configuration asks all of them for applications, as it must when a node starts: nobody installs one while tests run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(importlib.metadata, "entry_points", cache(importlib.metadata.entry_points))
        yield


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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Little of what is imported and collected is garbage: the garbage collector, which walks through all of it again and again, waits."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/peers needs Debian's programs."""
    for item in items:
        if _PEERS in item.path.parents:
            item.add_marker(pytest.mark.peers)


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end, some 700,000 objects: the garbage collector walks through them no more, which
    took a second of a processor now and then, of whichever test was under way. What tests make, it looks through less often than by default
    (after 700 objects), for most of it is gone by then: a tenth of a processor's time (docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 10)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in so many words that something was not tested, and what to install."""
    absent = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if isinstance(report.longrepr, tuple)}
    absent = {reason.removeprefix("Skipped: ") for reason in absent if " is absent: " in reason}
    if absent:
        terminalreporter.section("NOT TESTED for want of something outside the repository", red=True, bold=True)
        for reason in sorted(absent):
            terminalreporter.write_line(reason, yellow=True)
